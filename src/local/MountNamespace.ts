/**
 * The private mount namespace in which the engine's worker process lives, so that every mount ends with it.
 *
 * `command` gives the words that start the worker in one, as root or as an ordinary user; `layer` is for the worker:
 * it prepares what sandboxes are mounted on.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ElfFile from "./internal/elfFile.js"
import * as SlotScript from "./internal/slotScript.js"
import * as SystemTool from "./internal/systemTool.js"
import type { LauncherPlace } from "./Launcher.js"
import * as SandboxError from "./SandboxError.js"
import * as SeccompFilter from "./SeccompFilter.js"

/**
 * The first of the host's ids that the ids of images are stored as, where the engine runs as root.
 *
 * @since 0.1.0
 * @category configuration
 */
export const ID_SHIFT = 100_000

/**
 * How many ids an image has: files and processes have one below this.
 *
 * @since 0.1.0
 * @category configuration
 */
export const ID_COUNT = 65_536

/**
 * Service of the worker's mount namespace.
 *
 * @since 0.1.0
 * @category tags
 */
export class MountNamespace extends Context.Tag("effect-contree/local/MountNamespace")<
  MountNamespace,
  MountNamespace.Service
>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace MountNamespace {
  /**
   * The places and ids that sandboxes are made with.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** What the ids of an image's files are stored with added: 100000 where the engine is root, else 0. */
    readonly idShift: number
    /** `single` where only one id can be stored, so that a change of owner is refused by the kernel. */
    readonly ownership: "mapped" | "single"
    /** A tmpfs of this namespace, private to the sandboxes' root. */
    readonly directory: string
    /** The folder of the layers as a sandbox's root sees it. */
    readonly layers: string
    /** The same for any path below the engine's folders of layers, runs and probes; none for other paths. */
    readonly inside: (path: string) => Option.Option<string>
    /** The engine's folder for trying out sandboxes. */
    readonly probes: string
    /** The words before a command that make it the sandboxes' root. */
    readonly enter: ReadonlyArray<string>
    readonly place: LauncherPlace
  }
}

const isRoot = Effect.map(SystemTool.ask("id", "-u"), (answer) => answer.stdout === "0")

const plain = ["unshare", "--mount", "--propagation", "private"] as const

const own = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"] as const

// With newuidmap, newgidmap and subordinate ids the user's namespace has all the ids that images use.
const ownWithSubordinates = [...own, "--map-auto"] as const

/**
 * The words that start a program in a mount namespace of its own, in which it may mount: before them nothing, after
 * them the program and its arguments. Root keeps its user namespace; another user becomes root of one of its own, with
 * the subordinate ids of `/etc/subuid` where `newuidmap` and util-linux 2.38 make use of them.
 *
 * Each form is tried. Fails with the reason `MissingTool` or `Refused` and what the kernel said.
 *
 * @since 0.1.0
 * @category constructors
 */
export const command = Effect.fn("MountNamespace.command")(function* (
  executable: string,
  args: ReadonlyArray<string>
): Effect.fn.Return<
  readonly [string, ...ReadonlyArray<string>],
  SandboxError.SandboxError,
  CommandExecutor.CommandExecutor | FileSystem.FileSystem
> {
  const unshare = yield* SystemTool.find("unshare")
  if (Option.isNone(unshare)) {
    return yield* SandboxError.make("MissingTool", "`unshare` of util-linux is not installed")
  }
  const forms = (yield* isRoot) ? [plain, own] : [ownWithSubordinates, own]
  let said = ""
  for (const [, ...options] of forms) {
    const answer = yield* SystemTool.ask(unshare.value, ...options, "true")
    if (answer.code === 0) {
      return [unshare.value, ...options, executable, ...args]
    }
    said = answer.stderr
  }
  return yield* SandboxError.make("Refused", `a mount namespace of its own is refused to the engine: ${said}`)
})

/** The extents of a user namespace: how many ids it has, and whether it is the machine's first. */
const readIds = (fs: FileSystem.FileSystem) =>
  Effect.map(fs.readFileString("/proc/self/uid_map"), (map) => {
    const extents = map
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/).map(Number))
    return {
      initial:
        extents.length === 1 && extents[0]?.[0] === 0 && extents[0]?.[1] === 0 && extents[0]?.[2] === 2 ** 32 - 1,
      count: extents.reduce((sum, extent) => sum + (extent[2] ?? 0), 0)
    }
  })

// Every system has one of them, and the engine needs none: the first that hides nothing the worker uses.
const mountable = ["/mnt", "/media", "/srv", "/opt", "/var/empty", "/boot", "/var/opt", "/var/local"]

const refuse = (what: string) => (error: PlatformError.PlatformError) =>
  SandboxError.make("SetupFailed", `${what}: ${error.message}`)

const must = (what: string, program: string, ...args: ReadonlyArray<string>) =>
  Effect.flatMap(SystemTool.ask(program, ...args), (answer) =>
    answer.code === 0 ? Effect.void : SandboxError.make("Refused", `${what}: ${answer.stderr}`)
  )

/** Fails unless the mounts of this process are its own: on the machine's own table they would outlive the engine. */
const ensurePrivate = (fs: FileSystem.FileSystem) =>
  Effect.gen(function* () {
    const here = yield* fs.readLink("/proc/self/ns/mnt")
    const status = yield* fs.readFileString("/proc/self/status")
    const parent = /^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? "0"
    // A parent in another user namespace does not show its own: then they differ.
    const there = yield* Effect.orElseSucceed(fs.readLink(`/proc/${parent}/ns/mnt`), () => "")
    if (here === there) {
      return yield* SandboxError.make(
        "SetupFailed",
        "the engine shares its mounts with the process that started it",
        "Start it with the words that MountNamespace.command gives."
      )
    }
  })

/** A user namespace whose root is `ID_SHIFT` outside, for as long as the scope is open. */
const holdUserNamespace = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = (yield* SystemTool.folders).join(":")
  // It ends when its input does, which is when this process does, whatever way.
  const holder = yield* Command.start(
    Command.make("unshare", "--user", "--", "sh", "-c", "echo ready && read -r line").pipe(Command.env({ PATH: path }))
  )
  yield* Stream.runHead(holder.stdout)
  yield* Effect.forEach(
    ["uid_map", "gid_map"],
    (name) => fs.writeFileString(`/proc/${holder.pid}/${name}`, `0 ${ID_SHIFT} ${ID_COUNT}\n`),
    { discard: true }
  )
  return ["nsenter", `--user=/proc/${holder.pid}/ns/user`, "--setuid=0", "--setgid=0", "--"]
}).pipe(
  Effect.mapError((error) =>
    SandboxError.make("Refused", `a user namespace for sandboxes is refused: ${error.message}`)
  )
)

const devices = ["null", "zero", "full", "random", "urandom", "tty"]

const links: ReadonlyArray<readonly [name: string, target: string]> = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
  ["ptmx", "pts/ptmx"]
]

/**
 * What the namespace is prepared for.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface MountNamespaceOptions {
  /** The engine's data folder, absolute and existing, on a file system that can hold overlays. */
  readonly directory: string
  /** Paths that the worker goes on using, so that no mount hides them: its program, its packages. */
  readonly keep: ReadonlyArray<string>
}

/**
 * Prepares this process's mount namespace for sandboxes until the scope closes: a tmpfs with the mountpoint and the
 * programs of the slots, the folders of layers, runs and probes bound into it, and as root the user namespace of the
 * payloads. The folders `l`, `r` and `p` of the data folder are created where they are missing and given to the
 * sandboxes' root.
 *
 * Fails with `SetupFailed` in a process that shares its mounts with its parent, and with `Refused` where the kernel
 * forbids a mount or a namespace.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("MountNamespace.make")(function* (
  options: MountNamespaceOptions
): Effect.fn.Return<
  MountNamespace.Service,
  SandboxError.SandboxError,
  FileSystem.FileSystem | CommandExecutor.CommandExecutor | Scope.Scope
> {
  const fs = yield* FileSystem.FileSystem
  const executor = yield* CommandExecutor.CommandExecutor
  const architecture: string = process.arch
  if (!ElfFile.isKnown(architecture)) {
    return yield* SandboxError.make(
      "SetupFailed",
      `sandboxes are made on x64 and arm64 only, this is ${architecture}`,
      "Use a machine of one of these, or the hosted service."
    )
  }
  const data = yield* Effect.mapError(fs.realPath(options.directory), refuse("the data folder"))
  yield* Effect.catchTags(ensurePrivate(fs), {
    BadArgument: (error) => Effect.fail(refuse("the mount namespace")(error)),
    SystemError: (error) => Effect.fail(refuse("the mount namespace")(error))
  })
  const ids = yield* Effect.mapError(readIds(fs), refuse("the user namespace"))
  const shift = ids.initial ? ID_SHIFT : 0

  const tools = yield* SystemTool.findAll(["mount", "umount", "nsenter", "unshare", "setpriv", "sh", "bwrap"])
  const kept = yield* Effect.forEach([...options.keep, ...tools.values()], (path) =>
    Effect.orElseSucceed(fs.realPath(path), () => path)
  )
  const hides = (folder: string) => [data, ...kept].some((path) => path === folder || path.startsWith(`${folder}/`))
  const directory = yield* Effect.findFirst(mountable, (folder) =>
    Effect.orElseSucceed(
      Effect.map(
        Effect.all([fs.realPath(folder), fs.stat(folder)]),
        ([path, info]) => path === folder && info.type === "Directory" && !hides(folder)
      ),
      () => false
    )
  )
  if (Option.isNone(directory)) {
    return yield* SandboxError.make(
      "SetupFailed",
      `none of the folders ${mountable.join(", ")} is free to be mounted on`,
      "Create the folder /mnt, or keep the data folder and Node outside of it."
    )
  }
  const root = directory.value
  yield* must(
    "a tmpfs",
    "mount",
    "-n",
    "-t",
    "tmpfs",
    "-o",
    `mode=0700,uid=${shift},gid=${shift},nosuid`,
    "tmpfs",
    root
  )
  yield* Effect.addFinalizer(() =>
    Effect.provideService(SystemTool.ask("umount", "-n", "-l", root), CommandExecutor.CommandExecutor, executor)
  )

  const give = (path: string) => fs.chown(path, shift, shift)
  const skeleton = `${root}/dev`
  const bound = ["l", "r", "p"]
  const present = yield* Effect.filter(devices, (name) => fs.exists(`/dev/${name}`)).pipe(
    Effect.mapError(refuse("the machine's /dev"))
  )
  yield* Effect.gen(function* () {
    for (const name of bound) {
      yield* fs.makeDirectory(`${data}/${name}`, { recursive: true, mode: 0o700 })
      yield* give(`${data}/${name}`)
    }
    for (const path of [...bound.map((name) => `${root}/${name}`), `${root}/m`, `${root}/s`, skeleton]) {
      yield* fs.makeDirectory(path)
      yield* give(path)
    }
    yield* fs.chmod(skeleton, 0o755)
    for (const name of ["pts", "shm"]) {
      yield* fs.makeDirectory(`${skeleton}/${name}`)
      yield* give(`${skeleton}/${name}`)
    }
    for (const name of present) {
      yield* fs.writeFileString(`${skeleton}/${name}`, "")
    }
    for (const [name, target] of links) {
      yield* fs.symlink(target, `${skeleton}/${name}`)
    }
    yield* fs.writeFileString(
      `${root}/mounts`,
      [
        `proc ${root}/m/proc proc nosuid,nodev,noexec 0 0`,
        // The settings of a network stay as they are for the slot's next run.
        `${root}/m/proc/sys ${root}/m/proc/sys none bind,ro,nosuid,nodev,noexec 0 0`,
        ...present.map((name) => `/dev/${name} ${root}/m/dev/${name} none bind 0 0`),
        `devpts ${root}/m/dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=620 0 0`,
        `tmpfs ${root}/m/dev/shm tmpfs nosuid,nodev,mode=1777 0 0`,
        ""
      ].join("\n")
    )
    for (const [name, script] of [
      ["slot", SlotScript.slot],
      ["inner", SlotScript.inner],
      ["enter", SlotScript.enter],
      ["signal", SlotScript.signal]
    ] as const) {
      yield* fs.writeFileString(`${root}/${name}`, script)
    }
    yield* fs.writeFile(`${root}/filter`, SeccompFilter.make(architecture))
    for (const name of ["filter", "mounts", "slot", "inner", "enter", "signal"]) {
      yield* fs.chmod(`${root}/${name}`, 0o644)
    }
  }).pipe(Effect.mapError(refuse("the folders of the sandboxes")))
  for (const name of bound) {
    yield* must("a bind mount of the data folder", "mount", "-n", "--rbind", `${data}/${name}`, `${root}/${name}`)
  }

  const names = new Map(
    bound.flatMap((name) => [options.directory, data].map((folder) => [`${folder}/${name}/`, `${root}/${name}/`]))
  )
  const ownership = ids.count > 1 ? "mapped" : "single"
  return {
    idShift: shift,
    ownership,
    directory: root,
    layers: `${root}/l`,
    inside: (path) =>
      Option.map(
        Option.fromIterable([...names].filter(([outside]) => path.startsWith(outside))),
        ([outside, inside]) => inside + path.slice(outside.length)
      ),
    probes: `${data}/p`,
    enter: ids.initial ? yield* holdUserNamespace : [],
    place: {
      mountPoint: `${root}/m`,
      inner: `${root}/inner`,
      skeleton,
      table: `${root}/mounts`,
      filter: `${root}/filter`,
      devices: present,
      links,
      architecture,
      limits: "",
      ownership
    }
  }
})

/**
 * `make` as a layer, for the worker process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: MountNamespaceOptions
): Layer.Layer<MountNamespace, SandboxError.SandboxError, FileSystem.FileSystem | CommandExecutor.CommandExecutor> =>
  Layer.scoped(MountNamespace, make(options))
