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
import type * as Command from "../Command.js"
import { ContreeClient } from "../ContreeClient.js"
import * as ContreeError from "../ContreeError.js"
import * as FileUpload from "../FileUpload.js"
import { type Locator, named } from "./imageLocator.js"

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
    Effect.map(({ chunks, length }) => {
      const whole = new Uint8Array(length)
      let at = 0
      for (const chunk of chunks) {
        whole.set(chunk, at)
        at += chunk.length
      }
      return whole
    })
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

/** The request of a command: what it leaves open is left out, so that the contract's defaults hold. */
export const spawnRequest = (
  locator: Locator,
  command: Command.Command,
  options: {
    readonly disposable: boolean
    readonly stdin: Option.Option<{ readonly bytes: Uint8Array; readonly close: boolean }>
    readonly files: NonNullable<SpawnRequest["files"]>
    readonly outputLimitBytes: number
  }
): SpawnRequest => {
  const { program } = command
  return {
    image: named(locator),
    ...(program._tag === "Shell"
      ? { command: program.script, shell: true }
      : { command: program.file, args: program.args, shell: false }),
    ...(Object.keys(command.env).length === 0 ? {} : { env: command.env }),
    ...(command.preserveEnv ? { preserveEnv: true } : {}),
    ...given(command.workingDirectory, (cwd) => ({ cwd })),
    ...(command.preserveWorkingDirectory ? { preserveCwd: true } : {}),
    ...given(command.user, (uid) => ({ uid })),
    ...given(command.group, (gid) => ({ gid })),
    ...given(command.hostname, (hostname) => ({ hostname })),
    disposable: options.disposable,
    ...given(options.stdin, (stdin) => ({ stdin })),
    ...given(command.timeout, (timeout) => ({ timeout })),
    ...(Object.keys(options.files).length === 0 ? {} : { files: options.files }),
    ...given(command.maxLayerBytes, (maxLayerBytes) => ({ resourcesLimits: { maxLayerBytes } })),
    ...(command.network ? {} : { networking: { enabled: false } }),
    // Sent always, so that no server can flood the program with a default of its own.
    truncateOutputAt: Option.getOrElse(command.outputLimitBytes, () => options.outputLimitBytes)
  }
}

/** Gathers the input, uploads the files, and makes the request of a run that is one request. */
export const prepare = Effect.fnUntraced(function* (
  locator: Locator,
  command: Command.Command,
  disposable: boolean
): Effect.fn.Return<SpawnRequest, FileUpload.UploadError, ContreeClient> {
  const [stdin, files] = yield* Effect.all(
    [
      Effect.transposeMapOption(command.stdin, (input) =>
        Effect.map(collectStdin(input), (bytes) => ({ bytes, close: true }))
      ),
      placeFiles(command.files)
    ],
    { concurrency: 2 }
  )
  const { policy } = yield* ContreeClient
  return spawnRequest(locator, command, { disposable, stdin, files, outputLimitBytes: policy.outputLimitBytes })
})
