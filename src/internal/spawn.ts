/**
 * A command on its way to the service: its input is gathered, its files are uploaded, and its request is made.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { FileId } from "../api/Files.js"
import type { SpawnRequest } from "../api/Instances.js"
import type { ExecRequest } from "../api/Subprocesses.js"
import type * as Command from "../Command.js"
import { ContreeClient } from "../ContreeClient.js"
import * as ContreeError from "../ContreeError.js"
import * as FileUpload from "../FileUpload.js"
import { type Locator, named } from "./imageLocator.js"
import * as Bytes from "./bytes.js"

/** What a request body can be expected to carry. */
const stdinLimitBytes = 8_388_608

const uploadsAtOnce = 4

/** The whole of a command's input. */
export const collectStdin = (
  input: Command.Stdin
): Effect.Effect<Uint8Array, ContreeError.InputFailed | ContreeError.RequestRejected> => {
  if (input instanceof Uint8Array) return Effect.succeed(input)
  return input.pipe(
    Stream.mapError(
      (cause) =>
        new ContreeError.InputFailed({
          what: "standard input",
          detail: `The stream of the command's input failed: ${Predicate.isError(cause) ? cause.message : String(cause)}`,
          suggestion: "The cause is the stream's own error; the command was not started",
          cause
        })
    ),
    Stream.runFoldEffect({ chunks: Chunk.empty<Uint8Array>(), length: 0 }, ({ chunks, length }, bytes) => {
      const total = length + bytes.length
      return total <= stdinLimitBytes
        ? Effect.succeed({ chunks: Chunk.append(chunks, bytes), length: total })
        : new ContreeError.RequestRejected({
            detail: `The command's input is longer than ${stdinLimitBytes} bytes, which one request can hold`,
            suggestion: "Place it as a file with Command.files and read that; the command was not started"
          })
    }),
    Effect.map(({ chunks }) => Bytes.concat(chunks))
  )
}

/** What the files of a command are to the service, once it has them. */
export const placeFiles = (
  files: Command.Command["files"]
): Effect.Effect<NonNullable<SpawnRequest["files"]>, FileUpload.UploadError, ContreeClient> =>
  Effect.forEach(
    Object.entries(files),
    ([path, source]) =>
      FileUpload.upload(source).pipe(
        Effect.mapBoth({
          onFailure: (error) =>
            error._tag === "InputFailed"
              ? new ContreeError.InputFailed({ ...error, what: `the content of ${JSON.stringify(path)}` })
              : error,
          onSuccess: ({ id }) => [path, placement(id, source)] as const
        })
      ),
    { concurrency: uploadsAtOnce }
  ).pipe(Effect.map(Object.fromEntries<ReturnType<typeof placement>>))

const placement = (id: FileId, { gid, mode, uid }: FileUpload.Source) => ({
  id,
  ...given(uid, (uid) => ({ uid })),
  ...given(gid, (gid) => ({ gid })),
  ...given(mode, (mode) => ({ mode }))
})

const given = <A, B extends object>(value: Option.Option<A>, field: (value: A) => B): B | {} =>
  Option.match(value, { onNone: () => ({}), onSome: field })

/** What a process is started with, wherever. What the command leaves open is left out: the contract's defaults hold. */
export const processRequest = (
  command: Command.Command,
  options: {
    readonly stdin: Option.Option<{ readonly bytes: Uint8Array; readonly close: boolean }>
    readonly outputLimitBytes: number
  }
): ExecRequest => {
  const { program } = command
  return {
    ...(program._tag === "Shell"
      ? { command: program.script, shell: true }
      : { command: program.file, args: program.args, shell: false }),
    ...(Object.keys(command.env).length === 0 ? {} : { env: command.env }),
    ...given(command.workingDirectory, (cwd) => ({ cwd })),
    ...given(command.user, (uid) => ({ uid })),
    ...given(command.group, (gid) => ({ gid })),
    ...given(options.stdin, (stdin) => ({ stdin })),
    // Sent always, so that no server can flood the program with a default of its own.
    truncateOutputAt: Option.getOrElse(command.outputLimitBytes, () => options.outputLimitBytes)
  }
}

/** The request of a command on an image. */
export const spawnRequest = (
  locator: Locator,
  command: Command.Command,
  options: {
    readonly disposable: boolean
    readonly stdin: Option.Option<{ readonly bytes: Uint8Array; readonly close: boolean }>
    readonly files: NonNullable<SpawnRequest["files"]>
    readonly outputLimitBytes: number
  }
): SpawnRequest => ({
  ...processRequest(command, options),
  image: named(locator),
  ...(command.preserveEnv ? { preserveEnv: true } : {}),
  ...(command.preserveWorkingDirectory ? { preserveCwd: true } : {}),
  ...given(command.hostname, (hostname) => ({ hostname })),
  disposable: options.disposable,
  ...given(command.timeout, (timeout) => ({ timeout })),
  ...(Object.keys(options.files).length === 0 ? {} : { files: options.files }),
  ...given(command.maxLayerBytes, (maxLayerBytes) => ({ resourcesLimits: { maxLayerBytes } })),
  ...(command.network ? {} : { networking: { enabled: false } })
})

/** The options of a command that belong to a new instance, by the names of their setters. */
export const instanceOptions = (command: Command.Command): ReadonlyArray<string> =>
  Object.entries({
    timeout: Option.isSome(command.timeout),
    files: Object.keys(command.files).length > 0,
    hostname: Option.isSome(command.hostname),
    preserveEnv: command.preserveEnv,
    preserveWorkingDirectory: command.preserveWorkingDirectory,
    maxLayerBytes: Option.isSome(command.maxLayerBytes),
    withoutNetwork: !command.network
  }).flatMap(([name, given]) => (given ? [name] : []))

/** What a process reads at first; an input that stays open is named even where there is nothing yet. */
export const stdinOf = (
  command: Command.Command,
  close: boolean
): Effect.Effect<
  Option.Option<{ readonly bytes: Uint8Array; readonly close: boolean }>,
  ContreeError.InputFailed | ContreeError.RequestRejected
> =>
  Effect.transposeMapOption(
    close ? command.stdin : Option.orElseSome(command.stdin, () => new Uint8Array(0)),
    (input) => Effect.map(collectStdin(input), (bytes) => ({ bytes, close }))
  )

/** Gathers the input, uploads the files, and makes the request of a run; `open` keeps its input open. */
export const prepare = Effect.fnUntraced(function* (
  locator: Locator,
  command: Command.Command,
  disposable: boolean,
  open = false
): Effect.fn.Return<SpawnRequest, FileUpload.UploadError, ContreeClient> {
  const [stdin, files] = yield* Effect.all([stdinOf(command, !open), placeFiles(command.files)], { concurrency: 2 })
  const { policy } = yield* ContreeClient
  return spawnRequest(locator, command, { disposable, stdin, files, outputLimitBytes: policy.outputLimitBytes })
})
