import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Stream } from "effect"
import { createHash } from "node:crypto"
import * as Hasher from "../src/Hasher.js"

const expected = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** The bytes in pieces of these lengths, over and over. */
const cut = (bytes: Uint8Array, lengths: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length] ?? 1
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

describe("Hasher.sha256", () => {
  it.effect("agrees with Node on every length around the borders of its blocks", () =>
    Effect.gen(function* () {
      for (let length = 0; length <= 260; length++) {
        const bytes = Uint8Array.from({ length }, (_, index) => (index * 7 + length) % 256)
        assert.strictEqual(yield* Hasher.sha256(Stream.make(bytes)), expected(bytes), String(length))
      }
    })
  )

  it.effect.prop(
    "does not depend on how the content is cut, nor on where its bytes lie in memory",
    [
      FastCheck.uint8Array({ maxLength: 1000 }),
      FastCheck.array(FastCheck.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 8 })
    ],
    ([bytes, lengths]) =>
      Effect.gen(function* () {
        const pieces = cut(bytes, lengths)
        assert.strictEqual(yield* Hasher.sha256(Stream.fromIterable(pieces)), expected(bytes))
      })
  )

  it.effect("is that of the hasher that is provided", () =>
    Effect.gen(function* () {
      const piece = new Uint8Array(1024)
      const counted: Array<number> = []
      const counting: Hasher.Hasher.Service = {
        sha256: () => ({ update: (bytes) => counted.push(bytes.length), digest: () => "A".repeat(64) })
      }
      const digest = yield* Hasher.sha256(Stream.make(piece, piece)).pipe(
        Effect.provideService(Hasher.Hasher, counting)
      )
      assert.deepStrictEqual([digest, counted], ["a".repeat(64), [1024, 1024]])
    })
  )

  it.effect("fails as the content does", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(Hasher.sha256(Stream.fail("lost"))), "lost")
    })
  )
})
