import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, FastCheck as fc } from "effect"
import * as Events from "../../src/api/Events.js"
import { encodeBytes } from "../../src/api/StreamRepr.js"

const anyOf = <A>(...values: ReadonlyArray<A>) => fc.constantFrom(...values)

/** Nearly right output: what the wire may hold, and what it may not. */
const nearly = fc.record(
  {
    id: fc.oneof(fc.nat(), anyOf<unknown>(-1, 1.5, "1", null, Number.MAX_SAFE_INTEGER)),
    ts: fc.oneof(
      fc
        .date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true })
        .map((at) => at.toISOString().replace("Z", "123456Z")),
      anyOf<unknown>(
        "2024-01-01T12:00:00Z",
        "2024-02-30T12:00:00.5Z",
        "2024-01-01",
        "yesterday",
        "2024-13-01T00:00:00Z",
        5,
        " 2024-01-01T12:00:00.000000001z"
      )
    ),
    type: anyOf<unknown>("stdout", "stderr", "stdin", "stdout", "toString", 3),
    spid: fc.oneof(fc.nat(9), anyOf<unknown>(undefined, null, "1", -3)),
    data: fc.oneof(
      fc.uint8Array().map((bytes) => ({ ...encodeBytes(bytes), truncated: false })),
      fc.record({
        value: fc.oneof(
          fc.string({ unit: "binary" }),
          anyOf<unknown>("QQ==", "QR==", "QQ=", "Q", "=QQ=", "QUJD\n", "a-_b", "", null)
        ),
        encoding: anyOf<unknown>("ascii", "base64", "utf-8", undefined, null),
        truncated: anyOf<unknown>(true, false, undefined, null, "no")
      }),
      anyOf<unknown>(null, [], "x")
    )
  },
  { requiredKeys: [] }
)

const bySchema = (json: unknown) => Either.getOrUndefined(Events.fromJson(json))

describe("reading output without the schema", () => {
  it("gives what the schema gives, or leaves it to the schema", () => {
    let pieces = 0
    fc.assert(
      fc.property(nearly, (json) => {
        const piece = Events.pieceFromJson(json)
        if (piece === undefined) return
        pieces++
        deepStrictEqual(piece, bySchema(json))
      }),
      { numRuns: 5000 }
    )
    assert.isAbove(pieces, 50)
  })

  it("is done for all that a service sends, so that the schema's cost is not paid", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(), (bytes, id) => {
        const json = {
          id,
          ts: "2024-01-01T12:00:00.123456789Z",
          type: "stderr",
          spid: 2,
          data: { ...encodeBytes(bytes), truncated: false }
        }
        const piece = Events.pieceFromJson(json)
        deepStrictEqual(piece, bySchema(json))
        assert.isTrue(piece?._tag === "Stderr" && Buffer.from(bytes).equals(piece.data.bytes))
      })
    )
  })

  it("gives pieces that do not overwrite each other", () => {
    const texts = Array.from({ length: 3000 }, (_, index) => `line ${index} é`.slice(0, 5 + (index % 9)))
    const pieces = texts.map((value, id) =>
      Events.pieceFromJson({
        id,
        ts: "2024-01-01T12:00:00Z",
        type: "stdout",
        spid: 1,
        data:
          id % 2 === 0
            ? { value, encoding: "ascii" }
            : { value: Buffer.from(value).toString("base64"), encoding: "base64" }
      })
    )
    deepStrictEqual(
      pieces.map((piece) => (piece?._tag === "Stdout" ? new TextDecoder().decode(piece.data.bytes) : "")),
      texts
    )
  })
})
