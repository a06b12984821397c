/**
 * The tag of an image in a ConTree project.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { invalid } from "./internal/referenceFault.js"
import { imageTagFault, MAX_IMAGE_TAG_LENGTH } from "./internal/referenceGrammar.js"
import type { InvalidImageRef } from "./InvalidImageRef.js"

/**
 * The greatest length of a tag, in characters.
 *
 * @since 0.1.0
 * @category models
 */
export const maxLength: number = MAX_IMAGE_TAG_LENGTH

/**
 * The tag of an image: 1 to 256 ASCII characters, case-sensitive. It begins with a letter or digit, goes on with
 * letters, digits, "_" and "-", and may be divided by single ":", "/" and ".", so that names as container users write
 * them are tags: `myapp:ready`, `ghcr.io/owner/image:1.0`, `localhost:5000/app`.
 *
 * A project has each tag at most once; giving it to another image moves it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageTag = Schema.String.pipe(
  Schema.maxLength(maxLength, { message: ({ actual }) => messageFor(actual) }),
  Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9_-]*(?:[:/.][A-Za-z0-9_-]+)*$/, {
    message: ({ actual }) => messageFor(actual),
    arbitrary: () => (fc) =>
      fc.oneof(
        {
          weight: 9,
          arbitrary: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,8}(?:[:/.][A-Za-z0-9_-]{1,8}){0,4}$/)
        },
        // What only an explicit `tag:` can tell from something else, and the greatest length.
        { weight: 1, arbitrary: fc.oneof(fc.uuid(), fc.constant("tag:x"), fc.constant("x".repeat(maxLength))) }
      )
  }),
  Schema.brand("effect-contree/ImageTag", {
    identifier: "ImageTag",
    title: "ImageTag",
    description: "The tag of an image, unique in its project and case-sensitive"
  })
)

/**
 * A text that is known to be a tag.
 *
 * @since 0.1.0
 * @category models
 */
export type ImageTag = typeof ImageTag.Type

const messageFor = (actual: unknown): string =>
  typeof actual === "string"
    ? Either.match(fromString(actual), { onLeft: (error) => error.message, onRight: () => "" })
    : "Expected an image tag"

/**
 * Whether a value is a tag.
 *
 * @since 0.1.0
 * @category guards
 */
export const isImageTag: (u: unknown) => u is ImageTag = Schema.is(ImageTag)

/**
 * Reads a tag. Nothing is normalised: tags that differ in case are different tags.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { ImageTag } from "effect-contree"
 *
 * console.log(Either.isRight(ImageTag.fromString("myapp:ready"))) // true
 * console.log(Either.isRight(ImageTag.fromString("myapp:"))) // false
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromString = (input: string): Either.Either<ImageTag, InvalidImageRef> => {
  const found = imageTagFault(input)
  return found === undefined ? Either.right(ImageTag.make(input, true)) : Either.left(invalid(input, found))
}
