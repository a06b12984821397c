import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Config, Effect, Either } from "effect"
import * as EngineConfig from "../../../src/local/EngineConfig.js"
import type { EngineError } from "../../../src/local/EngineError.js"

describe("the types of EngineConfig", () => {
  it("fill in settings, read them, or say what is wrong with them", () => {
    expectTypeOf(EngineConfig.make).toEqualTypeOf<
      (options: EngineConfig.EngineOptions) => Effect.Effect<EngineConfig.EngineConfig, EngineError>
    >()
    expectTypeOf(EngineConfig.mirrorsFromStrings).toEqualTypeOf<
      (texts: ReadonlyArray<string>) => Either.Either<ReadonlyArray<typeof EngineConfig.Mirror.Type>, string>
    >()
    expectTypeOf(EngineConfig.defaultDataDirectory).toEqualTypeOf<Config.Config<string>>()
    expectTypeOf(EngineConfig.defaultDockerConfig).toEqualTypeOf<Config.Config<string>>()
    expectTypeOf(EngineConfig.fromEnvironment).toEqualTypeOf<Config.Config<EngineConfig.EngineOptions>>()
  })
})
