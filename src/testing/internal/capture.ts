/** The first bytes of a stream, and how many more there were. */
import type { CapturedStream } from "../../api/StreamRepr.js"
import * as Bytes from "../../internal/bytes.js"

export interface Capture {
  /** Takes a piece; gives what of it is kept. */
  readonly take: (piece: Uint8Array) => Uint8Array
  readonly captured: () => CapturedStream
  readonly counts: () => { readonly kept: number; readonly dropped: number }
}

export const makeCapture = (limit: number): Capture => {
  const pieces: Array<Uint8Array> = []
  let kept = 0
  let dropped = 0
  return {
    take: (piece) => {
      const part = piece.slice(0, limit - kept)
      kept += part.length
      dropped += piece.length - part.length
      if (part.length > 0) pieces.push(part)
      return part
    },
    captured: () => ({ bytes: Bytes.concat(pieces), truncated: dropped > 0 }),
    counts: () => ({ kept, dropped })
  }
}
