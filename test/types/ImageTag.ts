import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Either } from "effect"
import * as ImageTag from "../../src/ImageTag.js"
import type { InvalidImageRef } from "../../src/InvalidImageRef.js"

describe("the types of ImageTag", () => {
  it("read tags or say why not", () => {
    expectTypeOf(ImageTag.maxLength).toEqualTypeOf<number>()
    expectTypeOf(ImageTag.isImageTag).toEqualTypeOf<(u: unknown) => u is ImageTag.ImageTag>()
    expectTypeOf(ImageTag.fromString).toEqualTypeOf<
      (input: string) => Either.Either<ImageTag.ImageTag, InvalidImageRef>
    >()
  })
})
