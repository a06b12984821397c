/**
 * What happens when a command runs in the test double: the test's own function instead of a real process.
 *
 * @example
 * ```ts
 * import { CommandHandler } from "effect-contree/testing"
 * import { Effect } from "effect"
 *
 * // `make` leaves a binary behind; whatever else is run is not found.
 * export const toolchain = CommandHandler.match([
 *   [
 *     /^make\b/,
 *     ({ files, stdout }) =>
 *       files.write("/out/app", "binary", { mode: 0o755 }).pipe(
 *         Effect.zipRight(stdout("built\n")),
 *         Effect.as(0),
 *         Effect.orDie
 *       )
 *   ]
 * ])
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { OperationId } from "../api/Images.js"
import type { ProcessNumber } from "../api/Subprocesses.js"
import type { Attributes, Entry, FileError, FileTree } from "./FileTree.js"

/**
 * The files that a command sees and changes. Relative paths start in the command's working directory. What it writes
 * belongs to the command's user.
 *
 * @since 0.1.0
 * @category models
 */
export interface Files {
  /** All files as they are now. */
  readonly tree: Effect.Effect<FileTree>
  /** Changes all files at once. */
  readonly update: (change: (tree: FileTree) => Effect.Effect<FileTree, FileError>) => Effect.Effect<void, FileError>
  /** The entry at a path, links followed. */
  readonly get: (path: string) => Effect.Effect<Entry, FileError>
  readonly exists: (path: string) => Effect.Effect<boolean>
  readonly read: (path: string) => Effect.Effect<Uint8Array, FileError>
  readonly readText: (path: string) => Effect.Effect<string, FileError>
  /** The names in a folder, in order. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>, FileError>
  /** Writes a file. One that is there keeps its attributes unless others are given. */
  readonly write: (
    path: string,
    content: string | Uint8Array,
    attributes?: Partial<Attributes> | undefined
  ) => Effect.Effect<void, FileError>
  /** Makes a folder, and those above it; one that is there stays as it is. */
  readonly makeFolder: (path: string) => Effect.Effect<void, FileError>
  readonly symlink: (target: string, path: string) => Effect.Effect<void, FileError>
  /** Removes what is at a path, with all that is below it. */
  readonly remove: (path: string) => Effect.Effect<void, FileError>
}

/**
 * A command as it was asked for, and what it can reach.
 *
 * - `command`: shell text with `shell: true`, else an executable; `args` are its arguments.
 * - `env`, `cwd`: with what the image gives.
 * - `stdin`: ends where the input is closed.
 * - `stdout`, `stderr`: write a piece.
 * - `trap`: takes signals instead of being ended by them. Number 9 cannot be taken.
 * - `process`: 1 for a run's own command, more for those started in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Invocation {
  readonly operationId: OperationId
  readonly process: ProcessNumber
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly shell: boolean
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly uid: number
  readonly gid: number
  readonly hostname: string
  readonly networking: boolean
  readonly stdin: Stream.Stream<Uint8Array>
  readonly stdinText: Effect.Effect<string>
  readonly files: Files
  readonly stdout: (piece: string | Uint8Array) => Effect.Effect<void>
  readonly stderr: (piece: string | Uint8Array) => Effect.Effect<void>
  readonly trap: (...signals: ReadonlyArray<number>) => Effect.Effect<Stream.Stream<number>, never, Scope.Scope>
}

/**
 * How a command ends: with an exit code, or by a signal.
 *
 * @since 0.1.0
 * @category models
 */
export type Ending = number | { readonly signal: number }

/**
 * What happens when a command runs. It is interrupted when the command is killed, runs out of time or is cancelled; its
 * scope closes when the command is over. A handler that dies fails the operation, as a sandbox that does not start.
 *
 * @since 0.1.0
 * @category models
 */
export type CommandHandler = (invocation: Invocation) => Effect.Effect<Ending, never, Scope.Scope>

/**
 * A command that writes a text and exits.
 *
 * @since 0.1.0
 * @category constructors
 */
export const answer =
  (stdout: string, options: { readonly stderr?: string | undefined; readonly exitCode?: number | undefined } = {}) =>
  (invocation: Invocation): Effect.Effect<Ending> =>
    invocation
      .stdout(stdout)
      .pipe(Effect.zipRight(invocation.stderr(options.stderr ?? "")), Effect.as(options.exitCode ?? 0))

/**
 * The command line: shell text as it is, an executable with its arguments behind it.
 *
 * @since 0.1.0
 * @category getters
 */
export const commandLine = (invocation: Pick<Invocation, "command" | "args" | "shell">): string =>
  invocation.shell ? invocation.command : [invocation.command, ...invocation.args].join(" ")

/**
 * A command that is not found: exit code 127.
 *
 * @since 0.1.0
 * @category constructors
 */
export const notFound: CommandHandler = (invocation) =>
  Effect.as(invocation.stderr(`sh: ${commandLine(invocation)}: not found\n`), 127)

/**
 * The handler of the first case that a command line agrees with: the same text, or a match. Without one the command is
 * {@link notFound}, or goes to `otherwise`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const match =
  (
    cases: ReadonlyArray<readonly [pattern: string | RegExp, handler: CommandHandler]>,
    otherwise: CommandHandler = notFound
  ): CommandHandler =>
  (invocation) => {
    const line = commandLine(invocation)
    const found = cases.find(([pattern]) => (typeof pattern === "string" ? pattern === line : pattern.test(line)))
    return (found?.[1] ?? otherwise)(invocation)
  }
