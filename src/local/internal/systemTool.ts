/**
 * The programs of the machine: where they are, and what one answers.
 */
import * as Command from "@effect/platform/Command"
import type { CommandExecutor } from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

// A user's PATH often lacks the folders of mount, nsenter and ip.
const systemFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

/** The folders in which programs are looked for, in order. */
export const folders: Effect.Effect<ReadonlyArray<string>> = Effect.map(
  Effect.orElseSucceed(Config.string("PATH"), () => ""),
  (path) => [...new Set([...path.split(":").filter((folder) => folder.startsWith("/")), ...systemFolders])]
)

/** The absolute path of a program. */
export const find = (name: string): Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* Effect.findFirst(
      (yield* folders).map((folder) => `${folder}/${name}`),
      (path) =>
        Effect.orElseSucceed(
          Effect.map(fs.stat(path), (info) => info.type === "File" && (info.mode & 0o111) !== 0),
          () => false
        )
    )
  })

/** The absolute paths of those of the programs that there are. */
export const findAll = (
  names: Iterable<string>
): Effect.Effect<ReadonlyMap<string, string>, never, FileSystem.FileSystem> =>
  Effect.map(
    Effect.forEach(names, (name) =>
      Effect.map(
        find(name),
        Option.map((path) => [name, path] as const)
      )
    ),
    (found) => new Map(found.flatMap(Option.toArray))
  )

/** What a program left: its exit code (127 where it could not be started), and its two outputs, trimmed. */
export interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const LONGEST = 64 * 1024

const text = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  stream.pipe(
    Stream.decodeText(),
    Stream.runFold("", (all, part) => (all + part).slice(0, LONGEST)),
    Effect.map((all) => all.trim())
  )

/** Runs a program to its end, with its messages in English. */
export const ask = (program: string, ...args: ReadonlyArray<string>): Effect.Effect<Answer, never, CommandExecutor> =>
  Effect.gen(function* () {
    const path = (yield* folders).join(":")
    const process = yield* Command.start(
      Command.make(program, ...args).pipe(Command.env({ PATH: path, LC_ALL: "C", LIBMOUNT_FORCE_MOUNT2: "always" }))
    )
    const [code, stdout, stderr] = yield* Effect.all([process.exitCode, text(process.stdout), text(process.stderr)], {
      concurrency: "unbounded"
    })
    return { code, stdout, stderr }
  }).pipe(
    Effect.scoped,
    Effect.catchAll((error) => Effect.succeed({ code: 127, stdout: "", stderr: error.message }))
  )
