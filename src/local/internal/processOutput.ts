/**
 * What becomes of a stream of a process: its first bytes are kept for the result, and go to the log as they come.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CapturedStream } from "../../api/StreamRepr.js"
import type { EventBody, OperationLog } from "../EventLog.js"

export interface ProcessStream {
  /** Takes bytes in the order of the calls. */
  readonly take: (bytes: Uint8Array) => Effect.Effect<void>
  /** Says in the log how much was left out, if anything was. */
  readonly end: Effect.Effect<void>
  /** What has been kept so far. */
  readonly captured: () => CapturedStream
}

/** An event holds no more than this. */
const PIECE_BYTES = 8 * 1024

export const make = (
  name: "stdin" | "stdout" | "stderr",
  spid: number,
  limit: number,
  log: OperationLog
): ProcessStream => {
  const kept: Array<Uint8Array> = []
  let size = 0
  let dropped = 0
  const event = (bytes: Uint8Array): EventBody =>
    name === "stdin"
      ? { _tag: "Stdin", spid, data: { bytes } }
      : { _tag: name === "stdout" ? "Stdout" : "Stderr", spid, data: { bytes } }
  return {
    take: (bytes) =>
      Effect.suspend(() => {
        const part = bytes.subarray(0, Math.max(0, limit - size))
        dropped += bytes.length - part.length
        if (part.length === 0) return Effect.void
        kept.push(part)
        size += part.length
        const events: Array<EventBody> = []
        for (let start = 0; start < part.length; start += PIECE_BYTES) {
          events.push(event(part.subarray(start, start + PIECE_BYTES)))
        }
        return log.append(events)
      }),
    end: Effect.suspend(() =>
      dropped === 0
        ? Effect.void
        : log.append([{ _tag: "Truncated", spid, data: { stream: name, bytesEmitted: size, bytesDropped: dropped } }])
    ),
    captured: () => ({ bytes: new Uint8Array(Buffer.concat(kept)), truncated: dropped > 0 })
  }
}

/** Reads a stream to its end, so that the process is never held up by it. */
export const drain = <E>(from: Stream.Stream<Uint8Array, E>, into: ProcessStream): Effect.Effect<void, E> =>
  Effect.zipRight(Stream.runForEach(from, into.take), into.end)
