import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Config } from "effect"
import * as ContreeConfig from "../../src/ContreeConfig.js"

describe("the types of ContreeConfig", () => {
  it("are a Config and its plain values", () => {
    expectTypeOf(ContreeConfig.fromEnvironment).toEqualTypeOf<Config.Config<ContreeConfig.ContreeConfig>>()
    expectTypeOf(ContreeConfig.sendsProject).toEqualTypeOf<(config: ContreeConfig.ContreeConfig) => boolean>()
    expectTypeOf(ContreeConfig.hostedBaseUrl).toBeString()
    expectTypeOf(ContreeConfig.defaultOutputLimitBytes).toBeNumber()
    expectTypeOf(ContreeConfig.names).toEqualTypeOf<{
      readonly token: readonly ["CONTREE_TOKEN", "NEBIUS_API_KEY"]
      readonly baseUrl: readonly ["CONTREE_URL", "CONTREE_BASE_URL"]
      readonly project: readonly ["CONTREE_PROJECT", "NEBIUS_PROJECT_ID", "NEBIUS_AI_PROJECT"]
      readonly auth: readonly ["CONTREE_AUTH"]
    }>()
  })
})
