import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Either, type Order, pipe } from "effect"
import type { ImageId } from "../../src/ImageId.js"
import * as ImageRef from "../../src/ImageRef.js"
import type { ImageTag } from "../../src/ImageTag.js"
import type { InvalidImageRef } from "../../src/InvalidImageRef.js"

type Ref = ImageRef.ImageRef
type Read<A> = (input: string) => Either.Either<A, InvalidImageRef>
type Part<A> = (self: Ref) => Either.Either<A, InvalidImageRef>
type Guard<A extends Ref> = (self: Ref) => self is A

describe("the types of ImageRef", () => {
  it("read references or say why not", () => {
    expectTypeOf(ImageRef.uuid).toEqualTypeOf<Read<ImageRef.Uuid>>()
    expectTypeOf(ImageRef.tag).toEqualTypeOf<Read<ImageRef.Tag>>()
    expectTypeOf(ImageRef.ociUrl).toEqualTypeOf<Read<ImageRef.OciUrl>>()
    expectTypeOf(ImageRef.fromString).toEqualTypeOf<Read<Ref>>()
    expectTypeOf(ImageRef.fromInput).toEqualTypeOf<(input: ImageRef.Input) => Either.Either<Ref, InvalidImageRef>>()
    expectTypeOf(ImageRef.toOci).toEqualTypeOf<Part<ImageRef.OciReference>>()
    expectTypeOf(ImageRef.localTag).toEqualTypeOf<Part<ImageTag>>()
    expectTypeOf(ImageRef.toString).toEqualTypeOf<(self: Ref) => string>()
  })

  it("tell the kinds of references apart", () => {
    expectTypeOf(ImageRef.isImageRef).toEqualTypeOf<(u: unknown) => u is Ref>()
    expectTypeOf(ImageRef.isUuid).toEqualTypeOf<Guard<ImageRef.Uuid>>()
    expectTypeOf(ImageRef.isTag).toEqualTypeOf<Guard<ImageRef.Tag>>()
    expectTypeOf(ImageRef.isOciUrl).toEqualTypeOf<Guard<ImageRef.OciUrl>>()
    expectTypeOf(ImageRef.isOciReference).toEqualTypeOf<Guard<ImageRef.OciReference>>()
    expectTypeOf(ImageRef.Order).toEqualTypeOf<Order.Order<Ref>>()
  })

  it("give what one of the cases gives, with the reference first or last", () => {
    const cases = {
      Uuid: ({ id }: ImageRef.Uuid) => id,
      Tag: ({ tag }: ImageRef.Tag) => tag.length,
      OciUrl: ({ _tag }: ImageRef.OciUrl) => _tag === "OciUrl",
      OciReference: (ref: ImageRef.OciReference) => ref
    }
    type Given = ImageId | number | boolean | ImageRef.OciReference
    expectTypeOf(ImageRef.match(cases)).toEqualTypeOf<(self: Ref) => Given>()
    const first = (ref: Ref) => ImageRef.match(ref, cases)
    const last = (ref: Ref) => pipe(ref, ImageRef.match(cases))
    expectTypeOf(first).returns.toEqualTypeOf<Given>()
    expectTypeOf(last).returns.toEqualTypeOf<Given>()
    // @ts-expect-error each kind needs its case
    void ImageRef.match({ ...cases, Tag: undefined })
  })
})
