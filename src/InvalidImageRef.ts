/**
 * The one failure of everything that reads an image reference.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The part of a reference that a failure is about; `reference` is the text as a whole.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Part = Schema.Literal(
  "reference",
  "scheme",
  "userinfo",
  "registry",
  "port",
  "repository",
  "tag",
  "digest",
  "uuid",
  "query",
  "fragment"
)

/**
 * The name of a part of a reference.
 *
 * @since 0.1.0
 * @category models
 */
export type Part = typeof Part.Type

/** How much of a long input the message quotes, in characters on each side of the position. */
const QUOTED_AROUND = 80

const excerpt = (input: string, position: number): string => {
  const start = Math.max(0, position - QUOTED_AROUND)
  const end = Math.min(input.length, position + QUOTED_AROUND)
  const quoted = JSON.stringify((start > 0 ? "…" : "") + input.slice(start, end) + (end < input.length ? "…" : ""))
  // JSON leaves what reorders or breaks a line of a terminal or log as it is.
  return quoted.replace(/[\p{C}\u2028\u2029]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`)
}

/**
 * A text that is no image reference, or a reference that cannot be used in the way that was asked for.
 *
 * `input` is the text that was given. What reads as a password or as the value of a query is replaced by `***`,
 * and a text longer than 1,024 characters is cut. `position` is a 0-based offset into `input`, at most its length.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { ImageRef } from "effect-contree"
 *
 * const error = Either.flip(ImageRef.fromString("ubuntu:")).pipe(Either.getOrThrow)
 * // Invalid image reference "ubuntu:", tag at position 7: nothing follows ":". A correct example: "python:3.12-slim"
 * console.log(error.message)
 * ```
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidImageRef extends Schema.TaggedError<InvalidImageRef>("effect-contree/InvalidImageRef")(
  "InvalidImageRef",
  {
    /** The text that was read, without secrets. */
    input: Schema.String,
    /** The part at fault. */
    part: Part,
    /** Where in `input` the fault begins: 0-based, in UTF-16 code units. */
    position: Schema.NonNegativeInt,
    /** What is wrong, as the end of a sentence. */
    reason: Schema.String,
    /** A reference that is correct where the input is not. */
    example: Schema.String
  }
) {
  override get message(): string {
    return (
      `Invalid image reference ${excerpt(this.input, this.position)}, ${this.part} at position ${this.position}: ` +
      `${this.reason}. A correct example: ${JSON.stringify(this.example)}`
    )
  }
}
