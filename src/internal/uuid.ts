/**
 * New UUIDs from the `Random` service, so that a test can steer them.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

/** A random UUID (version 4, RFC 9562). */
export const make: Effect.Effect<string> = Effect.gen(function* () {
  const word = Random.nextIntBetween(0, 0x1_0000_0000)
  const [a, b, c, d] = [yield* word, yield* word, yield* word, yield* word]
  return [
    hex(a, 8),
    hex(b >>> 16, 4),
    hex((b & 0x0fff) | 0x4000, 4),
    hex(((c >>> 16) & 0x3fff) | 0x8000, 4),
    hex(c & 0xffff, 4) + hex(d, 8)
  ].join("-")
})
