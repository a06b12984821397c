import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Either } from "effect"
import * as ImageId from "../../src/ImageId.js"
import type { InvalidImageRef } from "../../src/InvalidImageRef.js"

describe("the types of ImageId", () => {
  it("read ids or say why not", () => {
    expectTypeOf(ImageId.isImageId).toEqualTypeOf<(u: unknown) => u is ImageId.ImageId>()
    expectTypeOf(ImageId.fromString).toEqualTypeOf<(input: string) => Either.Either<ImageId.ImageId, InvalidImageRef>>()
  })
})
