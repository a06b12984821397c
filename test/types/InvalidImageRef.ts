import { describe, expectTypeOf, it } from "@effect/vitest"
import type * as InvalidImageRef from "../../src/InvalidImageRef.js"

describe("the types of InvalidImageRef", () => {
  it("say which part of a text is at fault, and where", () => {
    expectTypeOf<InvalidImageRef.InvalidImageRef>().toExtend<Error>()
    expectTypeOf<InvalidImageRef.InvalidImageRef["part"]>().toEqualTypeOf<InvalidImageRef.Part>()
    expectTypeOf<InvalidImageRef.InvalidImageRef["position"]>().toEqualTypeOf<number>()
  })
})
