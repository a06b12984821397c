import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Effect, type Scope, Stream } from "effect"
import type { Sha256 } from "../../src/api/Files.js"
import * as Hasher from "../../src/Hasher.js"

describe("the types of Hasher", () => {
  it("give a digest what its stream fails with and needs, and no more", () => {
    const content: Stream.Stream<Uint8Array, "disk", Scope.Scope> = Stream.fail("disk" as const)
    expectTypeOf(Hasher.sha256(content)).toEqualTypeOf<Effect.Effect<Sha256, "disk", Scope.Scope>>()
    expectTypeOf(Hasher.sha256(Stream.empty)).toEqualTypeOf<Effect.Effect<Sha256>>()
  })
})
