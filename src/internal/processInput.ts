/**
 * Standard input of a process that runs.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Sink from "effect/Sink"
import type { OperationId } from "../api/Images.js"
import type { ProcessNumber } from "../api/Subprocesses.js"
import type { ContreeClient } from "../ContreeClient.js"
import type { StartError } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import { retrySafely } from "./repeating.js"
import * as Bytes from "./bytes.js"

/** What one request carries. */
const maxPiece = 512 * 1024

const utf8 = new TextEncoder()
const toBytes = (input: string | Uint8Array): Uint8Array => (typeof input === "string" ? utf8.encode(input) : input)

/** The process that should have read the input is gone, which is as certain as that its input is closed. */
const closedWhenGone = (error: StartError): StartError =>
  error.status === 410
    ? new ContreeError.Conflict({
        request: error.request,
        status: 410,
        detail: "The instance has ended; the input was not read",
        suggestion: "Look at the result of the process"
      })
    : error

export interface ProcessInput {
  readonly stdin: Sink.Sink<void, string | Uint8Array, never, StartError>
  readonly write: (input: string | Uint8Array) => Effect.Effect<void, StartError>
  readonly endInput: Effect.Effect<void, StartError>
}

/** What several fibers write goes out one piece after the other. */
export const make = (client: ContreeClient.Service, id: OperationId, spid: ProcessNumber): ProcessInput => {
  const turns = Effect.unsafeMakeSemaphore(1)
  const send = (bytes: Uint8Array, close: boolean): Effect.Effect<void, StartError> =>
    retrySafely(
      client.policy,
      "POST"
    )(client.subprocesses.writeStdin(id, spid, { bytes, close })).pipe(Effect.mapError(closedWhenGone))
  const write = (bytes: Uint8Array): Effect.Effect<void, StartError> =>
    Effect.forEach(
      Array.from({ length: Math.ceil(bytes.length / maxPiece) }, (_, index) =>
        bytes.subarray(index * maxPiece, (index + 1) * maxPiece)
      ),
      (piece) => send(piece, false),
      { discard: true }
    ).pipe(turns.withPermits(1))
  const endInput = turns.withPermits(1)(send(new Uint8Array(0), true))
  return {
    stdin: Sink.forEachChunk((pieces: Chunk.Chunk<string | Uint8Array>) =>
      write(Bytes.concat(Chunk.map(pieces, toBytes)))
    ).pipe(Sink.mapEffect(() => endInput)),
    write: (input) => write(toBytes(input)),
    endInput
  }
}
