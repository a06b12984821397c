import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Layer } from "effect"
import * as NodeHasher from "../../../src/node/NodeHasher.js"

describe("the types of NodeHasher", () => {
  it("are a layer that replaces a default", () => {
    expectTypeOf(NodeHasher.layer).toEqualTypeOf<Layer.Layer<never>>()
  })
})
