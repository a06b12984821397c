import { describe, expectTypeOf, it } from "@effect/vitest"
import type { ConfigError, Layer } from "effect"
import type { ContreeClient } from "../../../src/ContreeClient.js"
import type { EngineError } from "../../../src/local/EngineError.js"
import * as LocalContree from "../../../src/local/LocalContree.js"

type Engine = Layer.Layer<ContreeClient, EngineError | ConfigError.ConfigError>

describe("the types of LocalContree", () => {
  it("are layers that need nothing and may not start", () => {
    expectTypeOf(LocalContree.layerWith).toEqualTypeOf<(options: LocalContree.Options) => Engine>()
    expectTypeOf(LocalContree.layer).toEqualTypeOf<Engine>()
  })
})
