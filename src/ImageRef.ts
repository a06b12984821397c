/**
 * References to images: whatever can be given where an image is wanted.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Order_ from "effect/Order"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Id from "./ImageId.js"
import { ImageId } from "./ImageId.js"
import * as LocalTag from "./ImageTag.js"
import { ImageTag } from "./ImageTag.js"
import { fault, invalid, schemeOf } from "./internal/referenceFault.js"
import { imageTagFault, uuidFault } from "./internal/referenceGrammar.js"
import { InvalidImageRef } from "./InvalidImageRef.js"
import * as Oci from "./OciReference.js"
import { OciReference } from "./OciReference.js"

export {
  /**
   * The failure of everything here that reads text.
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidImageRef,
  /**
   * An image in a registry, given by its name.
   *
   * @since 0.1.0
   * @category schemas
   */
  OciReference
}

/**
 * An image by its UUID.
 *
 * @since 0.1.0
 * @category schemas
 */
export class Uuid extends Schema.TaggedClass<Uuid>("effect-contree/ImageRef/Uuid")("Uuid", {
  id: ImageId
}) {
  /**
   * The text that {@link fromString} reads back.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return toString(this)
  }
}

/**
 * The image that carries a tag at the time of use.
 *
 * @since 0.1.0
 * @category schemas
 */
export class Tag extends Schema.TaggedClass<Tag>("effect-contree/ImageRef/Tag")("Tag", {
  tag: ImageTag
}) {
  /**
   * The text that {@link fromString} reads back.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return toString(this)
  }
}

/**
 * An image in a registry, given as a URL. `url` is its canonical text, so URLs of the same image are equal.
 *
 * @since 0.1.0
 * @category schemas
 */
export class OciUrl extends Schema.TaggedClass<OciUrl>("effect-contree/ImageRef/OciUrl")("OciUrl", {
  reference: Schema.propertySignature(Oci.OciReferenceFromString).pipe(Schema.fromKey("url"))
}) {
  /**
   * The canonical URL, as in `docker://docker.io/library/python:3.12`.
   *
   * @since 0.1.0
   */
  get url(): string {
    return this.reference.url
  }

  /**
   * The text that {@link fromString} reads back.
   *
   * @since 0.1.0
   */
  override toString(): string {
    return toString(this)
  }
}

/**
 * A reference to an image. References are plain data, compared by value: `Equal.equals`, `Hash`, and usable as keys of
 * a `HashMap`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageRef = Schema.Union(Uuid, Tag, OciUrl, OciReference)

/**
 * One of the four kinds of reference, told apart by `_tag`.
 *
 * @since 0.1.0
 * @category models
 */
export type ImageRef = Uuid | Tag | OciUrl | OciReference

/**
 * What functions that take an image accept: a reference or the text of one.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = ImageRef | string

/**
 * Reads the text of a UUID.
 *
 * @since 0.1.0
 * @category constructors
 */
export const uuid = (input: string): Either.Either<Uuid, InvalidImageRef> =>
  Either.map(Id.fromString(input), (id) => new Uuid({ id }, true))

/**
 * Reads the text of a tag, without `tag:` before it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tag = (input: string): Either.Either<Tag, InvalidImageRef> =>
  Either.map(LocalTag.fromString(input), (tag) => new Tag({ tag }, true))

/**
 * Reads the URL of an image in a registry; `docker://` may be left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ociUrl = (input: string): Either.Either<OciUrl, InvalidImageRef> =>
  Either.map(Oci.fromString(input), (reference) => new OciUrl({ reference }, true))

/**
 * Reads any reference. The first rule that fits decides:
 *
 * 1. a UUID in the canonical form is a {@link Uuid};
 * 2. `tag:` and a tag is a {@link Tag}, whatever else the tag looks like;
 * 3. a URL is an {@link OciUrl}, and has the scheme `docker://`;
 * 4. a text that begins with `//` or has an `@` is an {@link OciReference};
 * 5. what a tag may look like is a {@link Tag}, so `python:3.12` and `ghcr.io/owner/app` are tags until they are
 *    imported ({@link toOci});
 * 6. what is left, such as `[::1]:5000/app`, is an {@link OciReference}, or fails.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { ImageRef } from "effect-contree"
 *
 * console.log(Either.getOrThrow(ImageRef.fromString("myapp:ready"))._tag) // Tag
 * console.log(Either.getOrThrow(ImageRef.fromString("docker://python"))._tag) // OciUrl
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromString = (input: string): Either.Either<ImageRef, InvalidImageRef> => {
  if (uuidFault(input) === undefined) return uuid(input)
  if (input.startsWith(TAG_PREFIX)) {
    const found = imageTagFault(input, TAG_PREFIX.length)
    return found === undefined ? tag(input.slice(TAG_PREFIX.length)) : Either.left(invalid(input, found))
  }
  const scheme = schemeOf(input)
  if (scheme === OCI_PREFIX) return Oci.fromString(input)
  if (scheme !== "") return ociUrl(input)
  if (input.includes("@")) return Oci.fromString(input)
  return Either.orElse(tag(input), (asTag) =>
    // Of two ways to read the text, the one that got further is more likely the one that was meant.
    Either.mapLeft(Oci.fromString(input), (asOci) => (asTag.position > asOci.position ? asTag : asOci))
  )
}

const TAG_PREFIX = "tag:"
const OCI_PREFIX = "//"

/**
 * Takes a reference as it is and reads text by the rules of {@link fromString}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromInput = (input: Input): Either.Either<ImageRef, InvalidImageRef> =>
  typeof input === "string" ? fromString(input) : Either.right(input)

/**
 * The text of a reference, which {@link fromString} reads back to an equal value: a UUID, `tag:…`, `docker://…`, and
 * `//…` for an {@link OciReference}. The first two are also what the ConTree API takes as an image.
 *
 * @since 0.1.0
 * @category getters
 */
export const toString = (self: ImageRef): string => {
  switch (self._tag) {
    case "Uuid":
      return self.id
    case "Tag":
      return TAG_PREFIX + self.tag
    case "OciUrl":
      return self.url
    case "OciReference":
      return `${OCI_PREFIX}${self}`
  }
}

/**
 * A reference as text: decodes whatever {@link fromString} reads and encodes with {@link toString}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageRefFromString = Schema.transformOrFail(Schema.String, Schema.typeSchema(ImageRef), {
  strict: true,
  decode: (input, _, ast) =>
    Either.mapLeft(fromString(input), (error) => new ParseResult.Type(ast, error.input, error.message)),
  encode: (ref) => Either.right(toString(ref))
}).annotations({ identifier: "ImageRefFromString" })

/**
 * Whether a value is a reference.
 *
 * @since 0.1.0
 * @category guards
 */
export const isImageRef: (u: unknown) => u is ImageRef = Schema.is(ImageRef)

/**
 * Whether a reference is a UUID.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUuid = (self: ImageRef): self is Uuid => self._tag === "Uuid"

/**
 * Whether a reference is a tag.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTag = (self: ImageRef): self is Tag => self._tag === "Tag"

/**
 * Whether a reference is the URL of an image in a registry.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOciUrl = (self: ImageRef): self is OciUrl => self._tag === "OciUrl"

/**
 * Whether a reference is the name of an image in a registry.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOciReference = (self: ImageRef): self is OciReference => self._tag === "OciReference"

/**
 * One function for each kind of reference.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { ImageRef } from "effect-contree"
 *
 * const kind = ImageRef.match({
 *   Uuid: ({ id }) => `image ${id}`,
 *   Tag: ({ tag }) => `tag ${tag}`,
 *   OciUrl: ({ url }) => `url ${url}`,
 *   OciReference: ({ repository }) => `repository ${repository}`
 * })
 * console.log(kind(Either.getOrThrow(ImageRef.fromString("python:3.12")))) // tag python:3.12
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const match: {
  <A, B, C, D>(cases: Cases<A, B, C, D>): (self: ImageRef) => A | B | C | D
  <A, B, C, D>(self: ImageRef, cases: Cases<A, B, C, D>): A | B | C | D
} = dual(2, <A, B, C, D>(self: ImageRef, cases: Cases<A, B, C, D>): A | B | C | D => {
  switch (self._tag) {
    case "Uuid":
      return cases.Uuid(self)
    case "Tag":
      return cases.Tag(self)
    case "OciUrl":
      return cases.OciUrl(self)
    case "OciReference":
      return cases.OciReference(self)
  }
})

interface Cases<A, B, C, D> {
  readonly Uuid: (ref: Uuid) => A
  readonly Tag: (ref: Tag) => B
  readonly OciUrl: (ref: OciUrl) => C
  readonly OciReference: (ref: OciReference) => D
}

/**
 * The order of the texts.
 *
 * @since 0.1.0
 * @category combinators
 */
export const Order: Order_.Order<ImageRef> = Order_.mapInput(Order_.string, toString)

/**
 * The image in a registry that a reference names. A tag is read as docker reads such a name; a UUID names an image that
 * is there already and fails.
 *
 * @since 0.1.0
 * @category getters
 */
export const toOci = (self: ImageRef): Either.Either<OciReference, InvalidImageRef> => {
  switch (self._tag) {
    case "Uuid":
      return Either.left(
        invalid(self.id, fault("uuid", 0, "a UUID names an image that exists already and cannot be imported"))
      )
    case "Tag":
      return Oci.fromString(self.tag)
    case "OciUrl":
      return Either.right(self.reference)
    case "OciReference":
      return Either.right(self)
  }
}

/**
 * The ConTree tag under which the image is looked up: the tag itself, or the one that stands for an image of a registry
 * ({@link OciReference.localTag}). A UUID needs none and fails.
 *
 * @since 0.1.0
 * @category getters
 */
export const localTag = (self: ImageRef): Either.Either<ImageTag, InvalidImageRef> => {
  switch (self._tag) {
    case "Uuid":
      return Either.left(invalid(self.id, fault("uuid", 0, "a UUID names an image by itself and stands for no tag")))
    case "Tag":
      return Either.right(self.tag)
    case "OciUrl":
      return self.reference.localTag
    case "OciReference":
      return self.localTag
  }
}
