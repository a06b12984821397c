/**
 * The result of a command that ran on an image.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { OperationId } from "./api/Images.js"
import type { CapturedStream } from "./api/StreamRepr.js"
import type { Image } from "./Image.js"

const utf8 = new TextDecoder()

/**
 * What was kept of an output stream: its first `bytes`, and whether more was written than kept.
 *
 * @since 0.1.0
 * @category models
 */
export class Output extends Data.Class<CapturedStream> {
  /** The bytes as UTF-8, where each malformed sequence becomes U+FFFD. */
  get text(): string {
    return utf8.decode(this.bytes)
  }
}

/**
 * The result of a command.
 *
 * - `exitCode`: the command's; 128 + n when signal n ended it, as shells report it.
 * - `signal`: the number of the signal that ended it.
 * - `timedOut`: the command's own timeout ran out and it was killed.
 * - `elapsed`: the wall time of the command.
 *
 * A non-zero exit code is a value, not an error; {@link orFail} makes an error of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  readonly _tag: "Run"
  readonly operationId: OperationId
  readonly exitCode: number
  readonly signal: Option.Option<number>
  readonly timedOut: boolean
  readonly stdout: Output
  readonly stderr: Output
  readonly elapsed: Duration.Duration
}

/**
 * The result of a command whose changes were kept: `image` is the file system that it left behind.
 *
 * A command that changed nothing gives the image that it started from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Kept extends Run {
  readonly image: Image
}

/**
 * A command did not succeed: it exited with a non-zero code, was killed, or ran out of time.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommandFailed extends Schema.TaggedError<CommandFailed>("effect-contree/CommandFailed")("CommandFailed", {
  operationId: Schema.String,
  exitCode: Schema.Int,
  signal: Schema.OptionFromUndefinedOr(Schema.Int),
  timedOut: Schema.Boolean,
  /** The last 2000 characters of each stream. */
  stdoutTail: Schema.String,
  stderrTail: Schema.String
}) {
  override get message(): string {
    const how = this.timedOut
      ? "ran out of time"
      : Option.match(this.signal, {
          onNone: () => `exited with code ${this.exitCode}`,
          onSome: (signal) => `was ended by signal ${signal}`
        })
    const tail = this.stderrTail === "" ? this.stdoutTail : this.stderrTail
    return `The command ${how} (operation ${this.operationId})${tail === "" ? "" : `: ${tail.trimEnd()}`}`
  }
}

/**
 * Tells whether a command exited with code 0 within its time.
 *
 * @since 0.1.0
 * @category guards
 */
export const succeeded = (run: Run): boolean => run.exitCode === 0 && !run.timedOut

/**
 * Fails with {@link CommandFailed} unless the command succeeded.
 *
 * @example
 * ```ts
 * import { Image, Run } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const tests = Image.run("node:22", "npm test").pipe(Effect.flatMap(Run.orFail))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const orFail = <R extends Run>(run: R): Effect.Effect<R, CommandFailed> =>
  succeeded(run)
    ? Effect.succeed(run)
    : Effect.fail(
        new CommandFailed({
          operationId: run.operationId,
          exitCode: run.exitCode,
          signal: run.signal,
          timedOut: run.timedOut,
          stdoutTail: run.stdout.text.slice(-2000),
          stderrTail: run.stderr.text.slice(-2000)
        })
      )
