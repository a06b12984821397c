/**
 * The frames of an event log as they stand in its file and go to its followers: server-sent events, whole.
 */
import * as Bytes from "../../internal/bytes.js"

const BLANK_LINE = new Uint8Array([0x0a, 0x0a])
const text = new TextEncoder()

/** A sign of life. */
export const keepalive = text.encode(": keepalive\n\n")

/** The frame that says that the stream broke; it has no id, so that a reader comes back after the last event. */
export const broken = (detail: string): Uint8Array =>
  text.encode(`: the stream ends here\nevent: sse_error\ndata: ${detail.replaceAll(/\s+/g, " ")}\n\n`)

/** The frame of an event, as text. */
export const frame = (event: { readonly id: number; readonly type: string }): string =>
  `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

const endOf = (bytes: Uint8Array, from: number): number =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(BLANK_LINE, from)

const header = (frame: Uint8Array) => {
  const [, id = "-1", type = ""] =
    /^id: (\d+)\nevent: (\S*)\n/.exec(Buffer.from(frame.subarray(0, 100)).toString("latin1")) ?? []
  return { id: Number(id), type }
}

const spidOf = (frame: Uint8Array): number | undefined => {
  const all = Buffer.from(frame).toString("utf8")
  const data: unknown = JSON.parse(all.slice(all.indexOf("\ndata: ") + "\ndata: ".length))
  return typeof data === "object" && data !== null && "spid" in data && typeof data.spid === "number"
    ? data.spid
    : undefined
}

/** Which events are asked for: those after `since`, and those of one process or of none. */
export interface Selection {
  readonly since: number | undefined
  readonly spid: number | undefined
}

/** What is left of a log's bytes, which come in pieces of any size, when only some events are asked for. */
export const select = ({ since, spid }: Selection): ((bytes: Uint8Array) => Uint8Array) => {
  let late = since === undefined
  let rest = new Uint8Array(0)
  return (bytes) => {
    if (late && spid === undefined && rest.length === 0) return bytes
    const all = rest.length === 0 ? bytes : Bytes.concat([rest, bytes])
    const wanted: Array<Uint8Array> = []
    let start = 0
    for (let end = endOf(all, start); end >= 0; end = endOf(all, start)) {
      const frame = all.subarray(start, end)
      late ||= header(frame).id > (since ?? -1)
      if (late && (spid === undefined || (spidOf(frame) ?? spid) === spid)) wanted.push(all.subarray(start, end + 2))
      start = end + 2
    }
    rest = all.slice(start)
    return wanted.length === 0 ? new Uint8Array(0) : Bytes.concat(wanted)
  }
}

/** The last whole frame of the end of a log, and how many bytes after it are no frame. */
export const last = (
  tail: Uint8Array
): { readonly id: number; readonly type: string; readonly torn: number } | undefined => {
  const buffer = Buffer.from(tail.buffer, tail.byteOffset, tail.length)
  const end = buffer.lastIndexOf(BLANK_LINE)
  if (end < 0) return undefined
  const before = end === 0 ? -1 : buffer.lastIndexOf(BLANK_LINE, end - 1)
  return { ...header(tail.subarray(before < 0 ? 0 : before + 2, end)), torn: tail.length - end - 2 }
}
