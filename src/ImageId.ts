/**
 * The UUID of an image.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { invalid } from "./internal/referenceFault.js"
import { uuidFault } from "./internal/referenceGrammar.js"
import type { InvalidImageRef } from "./InvalidImageRef.js"

const LowerCase = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
    message: () => "Expected a UUID in lower case",
    arbitrary: () => (fc) => fc.uuid()
  }),
  Schema.brand("effect-contree/ImageId")
)

/**
 * The UUID of an image, in the canonical form and in lower case, so that equal ids are equal strings.
 *
 * The schema decodes the canonical form in any case. Braces, `urn:uuid:` and 32 digits without hyphens are no ids.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageId = Schema.transformOrFail(
  Schema.String.annotations({
    identifier: "ImageId",
    description: "The UUID of an image",
    jsonSchema: { type: "string", format: "uuid" }
  }),
  LowerCase,
  {
    strict: true,
    decode: (input, _, ast) =>
      Either.mapLeft(fromString(input), (error) => new ParseResult.Type(ast, error.input, error.message)),
    encode: (id) => Either.right(id)
  }
)

/**
 * A text that is known to be the UUID of an image, in lower case.
 *
 * @since 0.1.0
 * @category models
 */
export type ImageId = typeof LowerCase.Type

/**
 * Whether a value is the UUID of an image in the form in which this library keeps it: canonical and in lower case.
 *
 * @since 0.1.0
 * @category guards
 */
export const isImageId: (u: unknown) => u is ImageId = Schema.is(ImageId)

/**
 * Reads the canonical form of a UUID, in any case.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { ImageId } from "effect-contree"
 *
 * const id = ImageId.fromString("7C9E6679-7425-40DE-944B-E07FC1F90AE7")
 * console.log(Either.getOrThrow(id)) // 7c9e6679-7425-40de-944b-e07fc1f90ae7
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromString = (input: string): Either.Either<ImageId, InvalidImageRef> => {
  const found = uuidFault(input)
  return found === undefined
    ? Either.right(LowerCase.make(input.toLowerCase(), true))
    : Either.left(invalid(input, found))
}
