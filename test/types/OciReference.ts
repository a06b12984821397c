import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Either } from "effect"
import type { ImageTag } from "../../src/ImageTag.js"
import type { InvalidImageRef } from "../../src/InvalidImageRef.js"
import * as OciReference from "../../src/OciReference.js"
import type { Dual } from "./Dual.js"

type Ref = OciReference.OciReference
type Read<A> = Either.Either<A, InvalidImageRef>

describe("the types of OciReference", () => {
  it("read and change references or say why not", () => {
    expectTypeOf(OciReference.fromString).toEqualTypeOf<(input: string) => Read<Ref>>()
    expectTypeOf(OciReference.withTag).toEqualTypeOf<Dual<Ref, [tag: string], Read<Ref>>>()
    expectTypeOf(OciReference.withDigest).toEqualTypeOf<Dual<Ref, [digest: string], Read<Ref>>>()
    expectTypeOf<Ref["localTag"]>().toEqualTypeOf<Read<ImageTag>>()
  })
})
