/**
 * A command to run on an image, as data.
 *
 * @example
 * ```ts
 * import { Command } from "effect-contree"
 *
 * const branch = "feature/it's mine"
 *
 * export const build = Command.sh`git checkout ${branch} && make`.pipe(
 *   Command.env({ CI: "1" }),
 *   Command.workingDirectory("/src"),
 *   Command.timeout("10 minutes")
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Encoding from "effect/Encoding"
import * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"

/**
 * What is executed: text for the image's shell, or an executable with its arguments.
 *
 * @since 0.1.0
 * @category models
 */
export type Program = Data.TaggedEnum<{
  Shell: { readonly script: string }
  Executable: { readonly file: string; readonly args: ReadonlyArray<string> }
}>

const Program = Data.taggedEnum<Program>()

/**
 * A command: what is executed, and under which conditions. Commands that say the same are equal (`Equal.equals`).
 *
 * - `env`: variables on top of the image's (shell commands) or alone (executables); `null` removes one.
 * - `workingDirectory`: absolute; created when it is missing. None: the image's own, else `/`.
 * - `stdin`: what the command reads; without it the command sees the end of input at once.
 * - `timeout`: how long the server lets the command run before it kills it. None: the server's default.
 * - `outputLimitBytes`: how much of stdout, and of stderr, is kept; at most 10 MiB, default 1 MiB.
 *
 * @since 0.1.0
 * @category models
 */
export class Command extends Pipeable.Class(
  Data.TaggedClass("Command")<{
    readonly program: Program
    readonly env: Readonly<Record<string, string | null>>
    readonly workingDirectory: Option.Option<string>
    readonly stdin: Option.Option<Uint8Array>
    readonly timeout: Option.Option<Duration.Duration>
    readonly outputLimitBytes: Option.Option<number>
  }>
) {
  /** @internal */
  [Equal.symbol](that: unknown): boolean {
    return isCommand(that) && canonical(this) === canonical(that)
  }

  /** @internal */
  [Hash.symbol](): number {
    return Hash.string(canonical(this))
  }
}

/** A text that two commands have in common when they say the same. */
const canonical = ({ env, outputLimitBytes, program, stdin, timeout, workingDirectory }: Command): string =>
  JSON.stringify([
    program,
    Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1)),
    workingDirectory,
    Option.map(stdin, Encoding.encodeBase64),
    Option.map(timeout, Duration.toHrTime),
    outputLimitBytes
  ])

const make = (program: Program): Command =>
  new Command({
    program,
    env: {},
    workingDirectory: Option.none(),
    stdin: Option.none(),
    timeout: Option.none(),
    outputLimitBytes: Option.none()
  })

/**
 * A command from text that the image's shell interprets (`sh -c`, or the image's `$SHELL`).
 *
 * @since 0.1.0
 * @category constructors
 */
export const shell = (script: string): Command => make(Program.Shell({ script }))

/**
 * A command from an executable and its arguments; no shell takes part.
 *
 * @since 0.1.0
 * @category constructors
 */
export const exec = (file: string, ...args: ReadonlyArray<string>): Command => make(Program.Executable({ file, args }))

/**
 * Quotes a text so that a POSIX shell reads it as one word.
 *
 * @since 0.1.0
 * @category combinators
 */
export const quote = (text: string): string =>
  /^[\w%+,./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/**
 * A shell command as a template: each value becomes one quoted word, a list of values one word each.
 *
 * @example
 * ```ts
 * import { Command } from "effect-contree"
 *
 * const files = ["a file.txt", "b.txt"]
 *
 * // wc -l 'a file.txt' b.txt
 * export const count = Command.sh`wc -l ${files}`
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const sh = (
  strings: TemplateStringsArray,
  ...values: ReadonlyArray<string | number | ReadonlyArray<string | number>>
): Command =>
  shell(
    strings.reduce((script, text, index) => {
      const value = values[index - 1]
      return script + (typeof value === "object" ? value : [value]).map((word) => quote(String(word))).join(" ") + text
    })
  )

/**
 * Sets environment variables; `null` removes one that the image sets. Later calls add to earlier ones.
 *
 * @since 0.1.0
 * @category combinators
 */
export const env: {
  (variables: Readonly<Record<string, string | null>>): (self: Command) => Command
  (self: Command, variables: Readonly<Record<string, string | null>>): Command
} = dual(
  2,
  (self: Command, variables: Readonly<Record<string, string | null>>): Command =>
    new Command({ ...self, env: { ...self.env, ...variables } })
)

/**
 * Sets the directory in which the command starts: an absolute path, created when it is missing.
 *
 * @since 0.1.0
 * @category combinators
 */
export const workingDirectory: {
  (path: string): (self: Command) => Command
  (self: Command, path: string): Command
} = dual(2, (self: Command, path: string): Command => new Command({ ...self, workingDirectory: Option.some(path) }))

const utf8 = new TextEncoder()

/**
 * Sets what the command reads from its standard input; text is sent as UTF-8.
 *
 * @since 0.1.0
 * @category combinators
 */
export const stdin: {
  (input: string | Uint8Array): (self: Command) => Command
  (self: Command, input: string | Uint8Array): Command
} = dual(
  2,
  (self: Command, input: string | Uint8Array): Command =>
    new Command({ ...self, stdin: Option.some(typeof input === "string" ? utf8.encode(input) : input) })
)

/**
 * Sets how long the server lets the command run before it kills it. Whole seconds, rounded up.
 *
 * The result of a killed command has `timedOut: true` and what was written until then.
 *
 * @since 0.1.0
 * @category combinators
 */
export const timeout: {
  (duration: Duration.DurationInput): (self: Command) => Command
  (self: Command, duration: Duration.DurationInput): Command
} = dual(
  2,
  (self: Command, duration: Duration.DurationInput): Command =>
    new Command({ ...self, timeout: Option.some(Duration.decode(duration)) })
)

/**
 * Sets how many bytes of stdout, and of stderr, are kept: 0 to 10485760.
 *
 * @since 0.1.0
 * @category combinators
 */
export const outputLimitBytes: {
  (bytes: number): (self: Command) => Command
  (self: Command, bytes: number): Command
} = dual(2, (self: Command, bytes: number): Command => new Command({ ...self, outputLimitBytes: Option.some(bytes) }))

/**
 * Tells whether a value is a command.
 *
 * @since 0.1.0
 * @category guards
 */
export const isCommand = (u: unknown): u is Command => u instanceof Command
