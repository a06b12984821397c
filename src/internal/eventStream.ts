/**
 * The event stream's frames: server-sent events, decoded as they arrive.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { InstanceEvent } from "../api/Events.js"

/**
 * One frame: an event, a sign of life, or the server's word that its stream broke.
 */
export type EventFrame =
  | { readonly _tag: "Event"; readonly event: InstanceEvent }
  | { readonly _tag: "Keepalive" }
  | { readonly _tag: "Broken"; readonly detail: string }
  /** A frame that is no event of the contract; it is skipped and said in the log. */
  | { readonly _tag: "Malformed"; readonly detail: string }

const decodeEvent = Schema.decodeUnknownEither(Schema.parseJson(InstanceEvent))

const keepalive: EventFrame = { _tag: "Keepalive" }

/** Reads the lines of one stream; frames are given at their blank line. */
export class FrameReader {
  private event = ""
  private data: Array<string> = []
  private commented = false

  /** Takes a line without its end; gives the frame that it completes. */
  line(text: string): Option.Option<EventFrame> {
    if (text === "") return this.end()
    if (text.startsWith(":")) {
      this.commented = true
      return Option.none()
    }
    const colon = text.indexOf(":")
    const field = colon < 0 ? text : text.slice(0, colon)
    const value = colon < 0 ? "" : text.slice(text[colon + 1] === " " ? colon + 2 : colon + 1)
    if (field === "event") this.event = value
    else if (field === "data") this.data.push(value)
    return Option.none()
  }

  private end(): Option.Option<EventFrame> {
    const { commented, data, event } = this
    this.event = ""
    this.data = []
    this.commented = false
    if (data.length === 0) return commented ? Option.some(keepalive) : Option.none()
    const text = data.join("\n")
    if (event === "sse_error") return Option.some({ _tag: "Broken", detail: text })
    return Option.some(
      Either.match(decodeEvent(text), {
        onLeft: (error): EventFrame => ({ _tag: "Malformed", detail: error.message }),
        onRight: (event): EventFrame => ({ _tag: "Event", event })
      })
    )
  }
}

/** The frames of a response's body. */
export const frames = <E>(body: Stream.Stream<Uint8Array, E>): Stream.Stream<EventFrame, E> =>
  Stream.suspend(() => {
    const reader = new FrameReader()
    return body.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.filterMap((line) => reader.line(line))
    )
  })
