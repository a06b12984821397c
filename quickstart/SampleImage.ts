/**
 * A small Linux image made on the spot, without any network: from the machine's static busybox,
 * or else from its own shell and core tools with the libraries that they load.
 */
import { Command, type CommandExecutor, FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { Data, Effect, Option, type Scope } from "effect"
import * as Executable from "./Executable.js"
import * as OciLayout from "./OciLayout.js"
import * as TarArchive from "./TarArchive.js"

/** An image as an OCI layout in `directory`, and what it was made from. */
export interface SampleImage {
  readonly directory: string
  readonly root: OciLayout.Descriptor
  readonly origin: string
}

export class SampleImageError extends Data.TaggedError("SampleImageError")<{ readonly message: string }> {}

/** One file of an image: bytes with permissions, or a symbolic link. */
export type RootFile =
  | { readonly content: Uint8Array | string; readonly mode: number }
  | { readonly linkTarget: string }

// A fixed time, so that the same files give the same digests and a second start finds its image
const created = new Date("2025-01-01T00:00:00Z")

const coreTools = [
  "sh",
  "ls",
  "cat",
  "echo",
  "printf",
  "uname",
  "sleep",
  "mkdir",
  "rmdir",
  "cp",
  "mv",
  "rm",
  "ln",
  "touch",
  "chmod",
  "chown",
  "head",
  "tail",
  "wc",
  "sort",
  "uniq",
  "cut",
  "tr",
  "tee",
  "seq",
  "date",
  "env",
  "id",
  "whoami",
  "pwd",
  "hostname",
  "basename",
  "dirname",
  "readlink",
  "stat",
  "du",
  "df",
  "grep",
  "sed",
  "find",
  "sha256sum",
  "mktemp",
  "test",
  "true",
  "false"
]

/** Packs files into an image of one layer, with the directories and accounts that every root has. */
export const packFiles = Effect.fnUntraced(function* (
  directory: string,
  files: ReadonlyMap<string, RootFile>,
  config: OciLayout.ContainerConfig
) {
  const withAccounts = new Map<string, RootFile>([
    [
      "etc/passwd",
      { content: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", mode: 0o644 }
    ],
    ["etc/group", { content: "root:x:0:\nnogroup:x:65534:\n", mode: 0o644 }],
    ...files
  ])
  const directories = new Map([
    ...TarArchive.parents(withAccounts.keys()).map((path) => [path, 0o755] as const),
    ...["dev", "home", "proc", "sys", "var"].map((path) => [path, 0o755] as const),
    ["root", 0o700],
    ["tmp", 0o1777],
    ["var/tmp", 0o1777]
  ])
  const entries: ReadonlyArray<TarArchive.TarEntry> = [
    ...[...directories].map(([path, mode]) => ({ path, mode, type: "directory" as const, mtime: created })),
    ...[...withAccounts].map(([path, file]) =>
      "linkTarget" in file
        ? { path, mode: 0o777, type: "symlink" as const, linkTarget: file.linkTarget, mtime: created }
        : { path, mode: file.mode, type: "file" as const, content: file.content, mtime: created }
    )
  ]
  yield* OciLayout.create(directory)
  const layer = yield* OciLayout.writeGzipLayer(directory, TarArchive.pack(entries))
  const root = yield* OciLayout.writeImage(directory, { layers: [layer], created, config })
  yield* OciLayout.setRoot(directory, root)
  return { root, layer }
})

const sampleConfig: OciLayout.ContainerConfig = {
  Env: [`PATH=${Executable.systemPath}`, "SAMPLE_IMAGE=effect-contree"],
  Cmd: ["sh"]
}

/** The files of a root that holds one static busybox and a link for each of its applets. */
export const busyboxFiles = Effect.fnUntraced(function* (binary: string) {
  const fs = yield* FileSystem.FileSystem
  const content = yield* fs.readFile(binary)
  const applets = yield* Command.lines(Command.make(binary, "--list"))
  const files = new Map<string, RootFile>([["bin/busybox", { content, mode: 0o755 }]])
  for (const applet of applets) {
    if (applet.length > 0 && applet !== "busybox") {
      files.set(`bin/${applet}`, { linkTarget: "busybox" })
    }
  }
  return files
})

/** The machine's own busybox, if it has one that needs no libraries. */
export const findStaticBusybox = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const found = yield* Executable.find("busybox")
  if (Option.isNone(found)) {
    return found
  }
  const kind = Executable.inspect(yield* fs.readFile(found.value))
  return kind._tag === "Static" ? found : Option.none<string>()
})

/** The files of a root that holds the machine's `sh` and core tools, each with all that it loads. */
export const hostToolFiles = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const files = new Map<string, RootFile>()

  const add = (path: string, source: string): Effect.Effect<void, PlatformError, CommandExecutor.CommandExecutor> =>
    Effect.gen(function* () {
      const key = path.slice(1)
      if (files.has(key)) {
        return
      }
      const content = yield* fs.readFile(source)
      files.set(key, { content, mode: 0o755 })
      const kind = Executable.inspect(content)
      if (kind._tag === "Script") {
        yield* add(kind.interpreter, kind.interpreter)
      }
      if (kind._tag === "Dynamic") {
        yield* add(kind.loader, kind.loader)
        // What `ldd` does, without needing `ldd`
        const listing = yield* Command.string(Command.make(kind.loader, "--list", source))
        for (const library of Executable.libraries(listing)) {
          yield* add(library, library)
        }
      }
    })

  const packed = new Map<string, string>()
  for (const tool of coreTools) {
    const found = yield* Executable.find(tool)
    if (Option.isNone(found)) {
      continue
    }
    const source = yield* fs.realPath(found.value)
    const first = packed.get(source)
    if (first === undefined) {
      packed.set(source, tool)
      yield* add(`/bin/${tool}`, source)
    } else {
      // One program under several names (busybox, coreutils) goes by the name that it is called with
      files.set(`bin/${tool}`, { linkTarget: first })
    }
  }
  return files.has("bin/sh")
    ? files
    : yield* new SampleImageError({
        message:
          "The sample image needs a shell, and there is no executable `sh` on PATH: install one (dash or busybox)."
      })
})

/** Makes the sample image in a temporary directory that goes with the scope. */
export const make: Effect.Effect<
  SampleImage,
  SampleImageError,
  FileSystem.FileSystem | CommandExecutor.CommandExecutor | Scope.Scope
> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-sample-" })
  const busybox = yield* findStaticBusybox
  const files = Option.isSome(busybox) ? yield* busyboxFiles(busybox.value) : yield* hostToolFiles
  const { root } = yield* packFiles(directory, files, sampleConfig)
  return {
    directory,
    root,
    origin: Option.match(busybox, {
      onNone: () => "this machine's shell and core tools",
      onSome: (path) => `this machine's ${path}`
    })
  }
}).pipe(
  Effect.catchAll((error) =>
    error._tag === "SampleImageError"
      ? Effect.fail(error)
      : Effect.fail(new SampleImageError({ message: `The sample image could not be made: ${error.message}` }))
  )
)
