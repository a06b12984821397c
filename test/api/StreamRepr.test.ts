import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, FastCheck, Schema } from "effect"
import { CapturedStream, encodeBytes, StdinRepr } from "../../src/api/StreamRepr.js"

const bytesOf = (text: string) => new TextEncoder().encode(text)

/** Bytes of every kind; half of them are printable. */
const bytes = FastCheck.oneof(FastCheck.uint8Array({ maxLength: 300 }), FastCheck.asciiString().map(bytesOf))

describe("the bytes of a stream", () => {
  const rows: ReadonlyArray<readonly [what: string, bytes: Uint8Array, value: string, encoding: string]> = [
    ["nothing", bytesOf(""), "", "ascii"],
    ["printable text", bytesOf(" ~Az09"), " ~Az09", "ascii"],
    ["tabs and ends of lines", bytesOf("a\tb\r\n"), "a\tb\r\n", "ascii"],
    ["NUL", Uint8Array.of(0), "AA==", "base64"],
    ["an escape", Uint8Array.of(0x1b), "Gw==", "base64"],
    ["a vertical tab", Uint8Array.of(0x0b), "Cw==", "base64"],
    ["DEL", Uint8Array.of(0x7f), "fw==", "base64"],
    ["the first byte that is not ASCII", Uint8Array.of(0x80), "gA==", "base64"],
    ["UTF-8", bytesOf("é"), "w6k=", "base64"]
  ]
  it.each(rows)("are written as the contract rules: %s", (_what, bytes, value, encoding) => {
    deepStrictEqual<object>(encodeBytes(bytes), { value, encoding })
  })

  it.prop(
    "are written by the rule: ascii if and only if every byte is printable, TAB, LF or CR",
    [bytes],
    ([bytes]) => {
      const plain = [...bytes].every((byte) => (byte >= 0x20 && byte <= 0x7e) || [0x09, 0x0a, 0x0d].includes(byte))
      assert.strictEqual(encodeBytes(bytes).encoding, plain ? "ascii" : "base64")
    }
  )

  it.prop("are read back as they were written", [bytes, FastCheck.boolean()], ([bytes, flag]) => {
    const through = <A, I>(schema: Schema.Schema<A, I>, value: A): A =>
      Schema.decodeUnknownSync(schema)(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(value))))
    deepStrictEqual(through(CapturedStream, { bytes, truncated: flag }), { bytes, truncated: flag })
    deepStrictEqual(through(StdinRepr, { bytes, close: flag }), { bytes, close: flag })
  })
})

describe("CapturedStream", () => {
  const read = Schema.decodeUnknownEither(CapturedStream)

  it.prop(
    "reads text under the name ascii as UTF-8, as official clients send it",
    [FastCheck.fullUnicodeString()],
    ([text]) => {
      deepStrictEqual(
        read({ value: text, encoding: "ascii" }),
        Either.right({ bytes: bytesOf(text), truncated: false })
      )
    }
  )

  it("refuses what is not base64 and says so", () => {
    for (const value of ["%", "a", "AA=A", "===="]) {
      const result = read({ value, encoding: "base64" })
      assert.isTrue(Either.isLeft(result), value)
      if (Either.isLeft(result)) assert.include(result.left.message, '"value" is not base64')
    }
  })

  it.prop(
    "reads any text without throwing",
    [FastCheck.string16bits(), FastCheck.constantFrom("ascii", "base64", "utf-8", undefined)],
    ([value, encoding]) => {
      assert.isTrue(Either.isEither(read({ value, encoding })))
      assert.isTrue(Either.isEither(Schema.decodeUnknownEither(StdinRepr)({ value, encoding })))
    }
  )
})

describe("StdinRepr", () => {
  const read = Schema.decodeUnknownEither(StdinRepr)

  it("ends after its bytes unless it is said to stay open, and knows no `truncated`", () => {
    deepStrictEqual(read({ value: "a", truncated: false }), Either.right({ bytes: bytesOf("a"), close: true }))
    deepStrictEqual(read({ value: "", close: false }), Either.right({ bytes: bytesOf(""), close: false }))
  })

  it("needs a value, and an encoding that exists", () => {
    for (const wrong of [{}, { value: 1 }, { value: "a", encoding: "utf-8" }, null])
      assert.isTrue(Either.isLeft(read(wrong)))
  })
})
