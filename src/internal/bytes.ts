/**
 * Bytes that come in pieces.
 */

/** Pieces as one; a single piece is given as it is. */
export const concat = (pieces: Iterable<Uint8Array>): Uint8Array => {
  const all = Array.from(pieces)
  if (all.length === 1 && all[0] !== undefined) return all[0]
  const whole = new Uint8Array(all.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of all) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
