/**
 * The result of a command that ran on an image.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { OperationId } from "./api/Images.js"
import type { ProcessResult } from "./api/Operations.js"
import type { CapturedStream } from "./api/StreamRepr.js"
import type { TimedOut } from "./ContreeError.js"
import type { Image } from "./Image.js"
import { signalName } from "./internal/signalNames.js"
import * as ResourceUsage from "./ResourceUsage.js"

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
 * - `signal`: the number of the signal that ended it, and `signalName` its name, such as `SIGKILL`.
 * - `timedOut`: the command's own timeout ran out and it was killed.
 * - `elapsed`: the wall time of the command.
 * - `resources`: what it consumed.
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
  readonly signalName: Option.Option<string>
  readonly timedOut: boolean
  readonly stdout: Output
  readonly stderr: Output
  readonly elapsed: Duration.Duration
  readonly resources: ResourceUsage.ResourceUsage
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
 * Reads a run from what an operation says of its main process.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromProcessResult = (
  operationId: OperationId,
  { resources, state, stderr, stdout }: typeof ProcessResult.Type,
  duration: Option.Option<Duration.Duration> = Option.none()
): Run => {
  const usage = ResourceUsage.fromProcessResources(resources)
  const signal = state.signal > 0 ? Option.some(state.signal) : Option.none<number>()
  return {
    _tag: "Run",
    operationId,
    exitCode: state.exitCode >= 0 ? state.exitCode : 128 + Math.max(0, state.signal),
    signal,
    signalName: Option.map(signal, signalName),
    timedOut: state.timedOut,
    stdout: new Output(stdout),
    stderr: new Output(stderr),
    elapsed: usage.elapsed.pipe(
      Option.orElse(() => duration),
      Option.getOrElse(() => Duration.zero)
    ),
    resources: usage
  }
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
          onSome: (signal) => `was ended by ${signalName(signal)}`
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

/**
 * What a command had written when the wait for it ran out, where the server could tell.
 *
 * @example
 * ```ts
 * import { Image, Run } from "effect-contree"
 * import { Console, Effect, Option } from "effect"
 *
 * export const program = Image.run("node:22", "npm test").pipe(
 *   Effect.tapErrorTag("TimedOut", (error) =>
 *     Option.match(Run.partialOutput(error), {
 *       onNone: () => Effect.void,
 *       onSome: ({ stdout }) => Console.error(Run.tail(stdout, 2000))
 *     })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const partialOutput = (error: TimedOut): Option.Option<{ readonly stdout: Output; readonly stderr: Output }> =>
  Option.map(Option.fromNullable(error.partial), ({ stderr, stdout }) => ({
    stdout: new Output(stdout),
    stderr: new Output(stderr)
  }))

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80

/** The first position at or before `at` where no character is cut. */
const before = (bytes: Uint8Array, at: number): number => {
  let end = at
  while (end > 0 && end > at - 3 && isContinuation(bytes[end])) end--
  return isContinuation(bytes[end]) ? at : end
}

/** The first position at or after `at` where no character is cut. */
const after = (bytes: Uint8Array, at: number): number => {
  let start = at
  while (start < at + 3 && isContinuation(bytes[start])) start++
  return isContinuation(bytes[start]) ? at : start
}

const part = (bytes: Uint8Array, from: number, to: number): string => utf8.decode(bytes.subarray(from, to))

const limitMark = (output: Output): string =>
  output.truncated ? `\n[the output went on; only its first ${output.bytes.length} bytes were kept]` : ""

const size = (bytes: number): number => Math.max(0, Math.floor(bytes))

/**
 * The first bytes of an output as text, and a line that says how many were left out.
 *
 * No character is cut, so the text may be up to 3 bytes shorter than asked for.
 *
 * @since 0.1.0
 * @category getters
 */
export const head: {
  (bytes: number): (output: Output) => string
  (output: Output, bytes: number): string
} = dual(2, (output: Output, bytes: number): string => excerpt(output, { head: bytes, tail: 0 }))

/**
 * The last bytes of an output as text, after a line that says how many were left out.
 *
 * @since 0.1.0
 * @category getters
 */
export const tail: {
  (bytes: number): (output: Output) => string
  (output: Output, bytes: number): string
} = dual(2, (output: Output, bytes: number): string => excerpt(output, { head: 0, tail: bytes }))

/**
 * The beginning and the end of an output as text, and between them a line that says how many bytes were left out:
 * what fits into the context of a language model. A last line says when the service kept only a part.
 *
 * @example
 * ```ts
 * import { Run } from "effect-contree"
 *
 * const output = new Run.Output({ bytes: new TextEncoder().encode("0123456789"), truncated: false })
 *
 * assert.strictEqual(Run.excerpt(output, { head: 2, tail: 3 }), "01\n[5 bytes left out]\n789")
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const excerpt: {
  (options: { readonly head: number; readonly tail: number }): (output: Output) => string
  (output: Output, options: { readonly head: number; readonly tail: number }): string
} = dual(2, (output: Output, options: { readonly head: number; readonly tail: number }): string => {
  const { bytes } = output
  if (size(options.head) + size(options.tail) >= bytes.length) return output.text + limitMark(output)
  const end = before(bytes, size(options.head))
  const start = Math.max(end, after(bytes, bytes.length - size(options.tail)))
  const mark = `[${start - end} bytes left out]`
  return [part(bytes, 0, end), mark, part(bytes, start, bytes.length)]
    .filter((text) => text !== "")
    .join("\n")
    .concat(limitMark(output))
})
