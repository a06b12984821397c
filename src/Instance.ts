/**
 * A running instance: its processes, what they write while they run, and what they are given to read.
 *
 * `Image.start` starts one and owns it, `Operation.attach` finds one that somebody else has started.
 *
 * @example
 * ```ts
 * import { Command, Image } from "effect-contree"
 * import { Console, Effect, Stream } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const build = yield* Image.start("node:22", "npm ci && npm run build")
 *   // While it runs, a second process in the same instance.
 *   yield* Effect.fork(
 *     Effect.scoped(
 *       Effect.flatMap(build.exec(Command.exec("top", "-b")), ({ stdoutLines }) => Stream.runDrain(stdoutLines))
 *     )
 *   )
 *   yield* Stream.runForEach(build.stdoutLines, (line) => Console.log(`build | ${line}`))
 *   return yield* build.image
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"
import type { OperationId } from "./api/Images.js"
import type { Command } from "./Command.js"
import type { InputFailed, RequestError, StartError, WaitError } from "./ContreeError.js"
import type { Image } from "./Image.js"
import type { InstanceEvent } from "./InstanceEvent.js"
import type { Run } from "./Run.js"
import type { Subprocess } from "./Subprocess.js"
import type { WaitPolicy } from "./WaitPolicy.js"

/**
 * A process of an instance.
 *
 * - `events`: those of this process only. They are given from the first one on, however late they are asked for, and
 *   all readers of an instance share one connection; a reader that falls behind by more than 16 MiB gets another one.
 *   Nothing is read, and nothing held up, while nobody asks.
 * - `stdout`, `stderr`: bytes while they come; `stdoutLines`, `stderrLines`: lines of UTF-8 text, in which a character
 *   is never cut. They end with the process's stream. A stream that reaches the command's output limit ends early, and
 *   a `Truncated` event says so.
 * - `stdin`: what the process reads, if it was started with `stdin: "open"`. The sink ends the input when its stream
 *   ends; `write` gives a piece and leaves it open, and `endInput` ends it. Pieces keep their order, and are sent in
 *   requests of at most 512 KiB. An input that is closed gives `Conflict`, one of which it is not known whether it
 *   arrived `OutcomeUnknown`.
 * - `signal`: sends a signal, by number or by name such as `"TERM"`, to the process and its group. `false` says that it
 *   was over already. `interrupt` sends `INT`, `kill` sends `KILL`.
 * - `exit`: waits until the process is over and gives its result with what was kept of its output.
 *
 * @since 0.1.0
 * @category models
 */
export interface Process {
  readonly events: Stream.Stream<InstanceEvent, RequestError>
  readonly stdout: Stream.Stream<Uint8Array, RequestError>
  readonly stderr: Stream.Stream<Uint8Array, RequestError>
  readonly stdoutLines: Stream.Stream<string, RequestError>
  readonly stderrLines: Stream.Stream<string, RequestError>
  readonly stdin: Sink.Sink<void, string | Uint8Array, never, StartError>
  readonly write: (input: string | Uint8Array) => Effect.Effect<void, StartError>
  readonly endInput: Effect.Effect<void, StartError>
  readonly signal: (signal: string | number) => Effect.Effect<boolean, RequestError>
  readonly interrupt: Effect.Effect<boolean, RequestError>
  readonly kill: Effect.Effect<boolean, RequestError>
  readonly exit: Effect.Effect<Run, WaitError>
}

/**
 * How a process is started: with `stdin: "open"` it may be given input while it runs, after the command's own. By
 * default it reads the command's input and then its end.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProcessOptions {
  readonly stdin?: "open" | "closed" | undefined
}

/**
 * How an instance is started.
 *
 * - `disposable`: true keeps nothing of what it writes. Default false.
 * - `wait`: how its end is waited for, by default the client's policy. At the deadline `exit` and `image` fail; the
 *   instance goes on until its scope closes.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartOptions extends ProcessOptions {
  readonly disposable?: boolean | undefined
  readonly wait?: WaitPolicy | undefined
}

/**
 * What starting another process can fail with. A command with something that only a new instance can have, such as
 * files or a timeout, gives `RequestRejected`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ExecError = StartError | InputFailed

/**
 * A running instance, as its main process.
 *
 * - `id`: of its operation, by which another program can attach to it.
 * - `events`: those of all its processes, and of the instance itself.
 * - `exec`: starts another process in it. When the scope closes, one that still runs is killed.
 * - `image`: waits for the end and gives the image that the instance leaves behind, whatever its exit code; one that
 *   was disposable gives `NotFound`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Instance extends Process {
  readonly id: OperationId
  readonly exec: (
    command: Command | string,
    options?: ProcessOptions | undefined
  ) => Effect.Effect<Subprocess, ExecError, Scope.Scope>
  readonly image: Effect.Effect<Image, WaitError>
}
