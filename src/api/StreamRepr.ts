/**
 * Bytes of a process's stream inside JSON: plain text where every byte is printable, base64 otherwise.
 *
 * @since 0.1.0
 */
import * as Encoding from "effect/Encoding"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as AST from "effect/SchemaAST"

const utf8 = new TextEncoder()
const latin1 = new TextDecoder("latin1")

/** The contract's rule: `ascii` when every byte is 0x20–0x7E or TAB, LF, CR. */
const isPlain = (bytes: Uint8Array): boolean => {
  for (const byte of bytes) {
    if ((byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) || byte > 0x7e) return false
  }
  return true
}

/**
 * Bytes as the value and the encoding of a stream object.
 *
 * @since 0.1.0
 * @category getters
 */
export const encodeBytes = (bytes: Uint8Array): { readonly value: string; readonly encoding: "ascii" | "base64" } =>
  isPlain(bytes)
    ? { value: latin1.decode(bytes), encoding: "ascii" }
    : { value: Encoding.encodeBase64(bytes), encoding: "base64" }

const decodeBytes = (repr: { readonly value: string; readonly encoding?: string | undefined }, ast: AST.AST) =>
  repr.encoding === "base64"
    ? Either.mapLeft(
        Encoding.decodeBase64(repr.value),
        (error) => new ParseResult.Type(ast, repr.value, `"value" is not base64: ${error.message}`)
      )
    : // Official clients send non-ASCII text under the name "ascii"; it means UTF-8.
      ParseResult.succeed(utf8.encode(repr.value))

/**
 * What was kept of a stream: its first bytes, and whether more were written than kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface CapturedStream {
  readonly bytes: Uint8Array
  readonly truncated: boolean
}

/**
 * {@link CapturedStream} as `{ value, encoding, truncated }`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CapturedStream = Schema.transformOrFail(
  Schema.Struct({
    value: Schema.String,
    encoding: Schema.optional(Schema.String),
    truncated: Schema.optional(Schema.Boolean)
  }),
  Schema.Struct({ bytes: Schema.Uint8ArrayFromSelf, truncated: Schema.Boolean }),
  {
    strict: true,
    decode: (repr, _, ast) =>
      ParseResult.map(decodeBytes(repr, ast), (bytes) => ({ bytes, truncated: repr.truncated ?? false })),
    encode: ({ bytes, truncated }) => ParseResult.succeed({ ...encodeBytes(bytes), truncated })
  }
).annotations({ identifier: "StreamRepr" })

/**
 * Standard input of a spawn request: bytes, and whether the stream ends after them.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StdinRepr = Schema.transformOrFail(
  Schema.Struct({
    value: Schema.String,
    encoding: Schema.optional(Schema.Literal("ascii", "base64")),
    close: Schema.optional(Schema.Boolean)
  }),
  Schema.Struct({ bytes: Schema.Uint8ArrayFromSelf, close: Schema.Boolean }),
  {
    strict: true,
    decode: (repr, _, ast) =>
      ParseResult.map(decodeBytes(repr, ast), (bytes) => ({ bytes, close: repr.close ?? true })),
    encode: ({ bytes, close }) => ParseResult.succeed({ ...encodeBytes(bytes), close })
  }
).annotations({ identifier: "StdinRepr" })

/**
 * A piece of a stream in an event: bytes as `{ value, encoding, truncated }`, where `truncated` is always false.
 *
 * @since 0.1.0
 * @category schemas
 */
export const BytesRepr = Schema.transformOrFail(
  Schema.Struct({
    value: Schema.String,
    encoding: Schema.optional(Schema.String),
    truncated: Schema.optional(Schema.Boolean)
  }),
  Schema.Struct({ bytes: Schema.Uint8ArrayFromSelf }),
  {
    strict: true,
    decode: (repr, _, ast) => ParseResult.map(decodeBytes(repr, ast), (bytes) => ({ bytes })),
    encode: ({ bytes }) => ParseResult.succeed({ ...encodeBytes(bytes), truncated: false })
  }
).annotations({ identifier: "StreamChunk" })
