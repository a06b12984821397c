/**
 * The event stream's frames: server-sent events, decoded as they arrive.
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { InstanceEvent } from "../api/Events.js"
import * as Events from "../api/Events.js"
import type { RequestInfo } from "../ContreeError.js"
import { UnexpectedResponse } from "../ContreeError.js"

/**
 * One frame: an event, a sign of life, or the server's word about its stream.
 *
 * - `Broken`: the stream breaks off; it goes on after the last event.
 * - `Reconnect`: how long to wait before the next connection.
 * - `Malformed`: what is no event of the contract.
 */
export type EventFrame =
  | { readonly _tag: "Event"; readonly event: InstanceEvent }
  | { readonly _tag: "Keepalive" }
  | { readonly _tag: "Broken"; readonly detail: string }
  | { readonly _tag: "Reconnect"; readonly after: Duration.Duration }
  | { readonly _tag: "Malformed"; readonly detail: string }

/** Frames above this size are refused, in UTF-16 units; the size at which other clients refuse them too. */
export const maxFrame = 4 * 1024 * 1024

const keepalive: EventFrame = { _tag: "Keepalive" }

const malformed = (detail: string): EventFrame => ({ _tag: "Malformed", detail })

const toFrame = (data: string): EventFrame => {
  try {
    const json: unknown = JSON.parse(data)
    const piece = Events.pieceFromJson(json)
    if (piece !== undefined) return { _tag: "Event", event: piece }
    const event = Events.fromJson(json)
    return Either.isRight(event) ? { _tag: "Event", event: event.right } : malformed(event.left.message)
  } catch (error) {
    return malformed(String(error))
  }
}

const digits = /^\d{1,9}$/

/** Where the value of a field begins: after its colon, and after one space if there is one. */
const valueAt = (text: string, start: number, end: number): number =>
  start < end && text.charCodeAt(start) === 0x20 ? start + 1 : start

/**
 * Reads one stream by the rules of the WHATWG: lines end with LF, CR or CRLF wherever chunks are cut, a frame is given
 * at its blank line, and one that the stream's end cuts is none.
 */
export class FrameReader {
  private readonly decoder = new TextDecoder()
  /** The start of a line whose end has not come. */
  private pending: Array<string> = []
  private pendingLength = 0
  /** A line ended with CR, so an LF that comes next belongs to it. */
  private afterReturn = false
  private event = ""
  private data: string | undefined = undefined
  private commented = false

  /** Takes a piece of the body and adds the frames that it completes; false says that a frame is too large. */
  read(bytes: Uint8Array, frames: Array<EventFrame>): boolean {
    const text = this.withPlainEnds(this.decoder.decode(bytes, { stream: true }))
    let start = 0
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      if (this.pendingLength > 0) {
        const line = this.takePending() + text.slice(start, end)
        if (!this.line(line, 0, line.length, frames)) return false
      } else if (!this.line(text, start, end, frames)) return false
      start = end + 1
    }
    if (start < text.length) {
      this.pending.push(text.slice(start))
      this.pendingLength += text.length - start
    }
    return this.pendingLength + (this.data?.length ?? 0) <= maxFrame
  }

  private takePending(): string {
    const text = this.pending.join("")
    this.pending = []
    this.pendingLength = 0
    return text
  }

  /** Every line's end as LF. A CR at the cut ends its line at once. */
  private withPlainEnds(text: string): string {
    if (text === "") return text
    const whole = this.afterReturn && text.startsWith("\n") ? text.slice(1) : text
    this.afterReturn = text.endsWith("\r")
    return whole.includes("\r") ? whole.replaceAll(/\r\n?/g, "\n") : whole
  }

  /** Takes the line of a text from `start` to `end`; false says that its frame is too large. */
  private line(text: string, start: number, end: number, frames: Array<EventFrame>): boolean {
    if (start === end) {
      this.end(frames)
      return true
    }
    // The number of an event stands in its data too.
    if (text.startsWith("id:", start)) return true
    if (text.startsWith("data:", start)) {
      const value = text.slice(valueAt(text, start + 5, end), end)
      this.data = this.data === undefined ? value : `${this.data}\n${value}`
      return this.data.length <= maxFrame
    }
    if (text.startsWith("event:", start)) this.event = text.slice(valueAt(text, start + 6, end), end)
    else if (text.startsWith(":", start)) this.commented = true
    else if (text.startsWith("retry:", start)) {
      const value = text.slice(valueAt(text, start + 6, end), end)
      if (digits.test(value)) frames.push({ _tag: "Reconnect", after: Duration.millis(Number(value)) })
    } else if (end - start === 4 && text.startsWith("data", start)) {
      this.data = this.data === undefined ? "" : `${this.data}\n`
    }
    return end - start <= maxFrame
  }

  private end(frames: Array<EventFrame>): void {
    if (this.data !== undefined) {
      frames.push(this.event === "sse_error" ? { _tag: "Broken", detail: this.data } : toFrame(this.data))
    } else if (this.commented) frames.push(keepalive)
    this.event = ""
    this.data = undefined
    this.commented = false
  }
}

const tooLarge = (request: RequestInfo) =>
  new UnexpectedResponse({
    request,
    status: 200,
    detail: `The event stream has a frame of more than ${maxFrame} characters`,
    suggestion: "Check that the base URL is that of a ConTree service"
  })

/** The frames of a response's body; one that is too large is refused before the rest of it is taken. */
export const frames =
  (request: RequestInfo) =>
  <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<EventFrame, E | UnexpectedResponse> =>
    Stream.suspend(() => {
      const reader = new FrameReader()
      return Stream.mapChunksEffect(body, (pieces) => {
        const read: Array<EventFrame> = []
        for (const piece of pieces) if (!reader.read(piece, read)) return Either.left(tooLarge(request))
        return Either.right(Chunk.unsafeFromArray(read))
      })
    })
