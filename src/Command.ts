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
import type * as Stream from "effect/Stream"
import * as FileUpload from "./FileUpload.js"

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
 * What a command reads from its standard input.
 *
 * @since 0.1.0
 * @category models
 */
export type Stdin = Uint8Array | Stream.Stream<Uint8Array, unknown>

/**
 * A command: what is executed, and under which conditions. Commands that say the same are equal (`Equal.equals`);
 * streams are equal to themselves only.
 *
 * - `env`: variables on top of the image's (shell commands) or alone (executables); `null` removes one.
 * - `preserveEnv`: `env` is saved into the image that a kept run makes.
 * - `workingDirectory`: absolute; created when it is missing. None: the image's own, else `/`.
 * - `preserveWorkingDirectory`: it is saved into the image that a kept run makes.
 * - `user`, `group`: the numbers that the command runs under, default 0 and 0.
 * - `hostname`: what the command sees as its machine's name, at most 64 characters.
 * - `stdin`: what the command reads; without it the command sees the end of input at once.
 * - `timeout`: how long the server lets the command run before it kills it. None: the server's default.
 * - `outputLimitBytes`: how much of stdout, and of stderr, is kept; at most 10 MiB, default 1 MiB.
 * - `files`: what is placed into the file system before the command starts, by absolute path.
 * - `maxLayerBytes`: how much the command may write to its file system. None: the server's default.
 * - `network`: false for a command without a network.
 *
 * @since 0.1.0
 * @category models
 */
export class Command extends Pipeable.Class(
  Data.TaggedClass("Command")<{
    readonly program: Program
    readonly env: Readonly<Record<string, string | null>>
    readonly preserveEnv: boolean
    readonly workingDirectory: Option.Option<string>
    readonly preserveWorkingDirectory: boolean
    readonly user: Option.Option<number>
    readonly group: Option.Option<number>
    readonly hostname: Option.Option<string>
    readonly stdin: Option.Option<Stdin>
    readonly timeout: Option.Option<Duration.Duration>
    readonly outputLimitBytes: Option.Option<number>
    readonly files: Readonly<Record<string, FileUpload.Source>>
    readonly maxLayerBytes: Option.Option<number>
    readonly network: boolean
  }>
) {
  /** @internal */
  [Equal.symbol](that: unknown): boolean {
    return (
      isCommand(that) &&
      canonical(this) === canonical(that) &&
      streamOf(this) === streamOf(that) &&
      Object.entries(this.files).every(([path, source]) => Equal.equals(source, that.files[path]))
    )
  }

  /** @internal */
  [Hash.symbol](): number {
    return Hash.string(canonical(this))
  }
}

/** A text that two commands have in common when they say the same, but for their streams and files. */
const canonical = ({ env, files, stdin, timeout, ...rest }: Command): string =>
  JSON.stringify([
    rest,
    Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1)),
    Object.keys(files).sort(),
    Option.map(stdin, (input) => (input instanceof Uint8Array ? Encoding.encodeBase64(input) : "stream")),
    Option.map(timeout, Duration.toHrTime)
  ])

const streamOf = ({ stdin }: Command) =>
  Option.getOrUndefined(Option.filter(stdin, (input) => !(input instanceof Uint8Array)))

const make = (program: Program): Command =>
  new Command({
    program,
    env: {},
    preserveEnv: false,
    workingDirectory: Option.none(),
    preserveWorkingDirectory: false,
    user: Option.none(),
    group: Option.none(),
    hostname: Option.none(),
    stdin: Option.none(),
    timeout: Option.none(),
    outputLimitBytes: Option.none(),
    files: {},
    maxLayerBytes: Option.none(),
    network: true
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

/**
 * Saves the variables of `env` into the image that a kept run makes, where later commands find them.
 *
 * @since 0.1.0
 * @category combinators
 */
export const preserveEnv = (self: Command): Command => new Command({ ...self, preserveEnv: true })

/**
 * Saves the directory in which the command starts into the image that a kept run makes, where later commands start.
 *
 * @since 0.1.0
 * @category combinators
 */
export const preserveWorkingDirectory = (self: Command): Command =>
  new Command({ ...self, preserveWorkingDirectory: true })

/**
 * Sets the number of the user that the command runs as; 0 is root.
 *
 * @since 0.1.0
 * @category combinators
 */
export const user: {
  (uid: number): (self: Command) => Command
  (self: Command, uid: number): Command
} = dual(2, (self: Command, uid: number): Command => new Command({ ...self, user: Option.some(uid) }))

/**
 * Sets the number of the group that the command runs as.
 *
 * @since 0.1.0
 * @category combinators
 */
export const group: {
  (gid: number): (self: Command) => Command
  (self: Command, gid: number): Command
} = dual(2, (self: Command, gid: number): Command => new Command({ ...self, group: Option.some(gid) }))

/**
 * Sets the name that the command sees as its machine's, at most 64 characters.
 *
 * @since 0.1.0
 * @category combinators
 */
export const hostname: {
  (name: string): (self: Command) => Command
  (self: Command, name: string): Command
} = dual(2, (self: Command, name: string): Command => new Command({ ...self, hostname: Option.some(name) }))

/**
 * Places files into the file system before the command starts, by absolute path. Later calls add to earlier ones.
 *
 * Text and bytes are contents, never names of local files; see `LocalFiles` of `effect-contree/node` for those. What
 * the service lacks is uploaded when the run starts, four at a time.
 *
 * @example
 * ```ts
 * import { Command, FileUpload } from "effect-contree"
 *
 * export const test = Command.shell("cd /app && ./run.sh").pipe(
 *   Command.files({
 *     "/app/input.json": JSON.stringify({ size: 3 }),
 *     "/app/run.sh": FileUpload.fromText("#!/bin/sh\nwc -c input.json\n", { mode: 0o755 })
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const files: {
  (sources: Readonly<Record<string, FileUpload.Input>>): (self: Command) => Command
  (self: Command, sources: Readonly<Record<string, FileUpload.Input>>): Command
} = dual(
  2,
  (self: Command, sources: Readonly<Record<string, FileUpload.Input>>): Command =>
    new Command({
      ...self,
      files: {
        ...self.files,
        ...Object.fromEntries(Object.entries(sources).map(([path, input]) => [path, FileUpload.make(input)]))
      }
    })
)

/**
 * Sets how many bytes the command may write to its file system.
 *
 * @since 0.1.0
 * @category combinators
 */
export const maxLayerBytes: {
  (bytes: number): (self: Command) => Command
  (self: Command, bytes: number): Command
} = dual(2, (self: Command, bytes: number): Command => new Command({ ...self, maxLayerBytes: Option.some(bytes) }))

/**
 * Runs the command without a network.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withoutNetwork = (self: Command): Command => new Command({ ...self, network: false })

const utf8 = new TextEncoder()

/**
 * Sets what the command reads from its standard input; text is sent as UTF-8.
 *
 * A run sends the whole of it in one request, so a stream is collected when the run starts: at most 8 MiB, else the
 * run fails with `RequestRejected`. Larger input is a file of {@link files}, or the standard input of a live instance.
 *
 * @since 0.1.0
 * @category combinators
 */
export const stdin: {
  (input: string | Stdin): (self: Command) => Command
  (self: Command, input: string | Stdin): Command
} = dual(
  2,
  (self: Command, input: string | Stdin): Command =>
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
