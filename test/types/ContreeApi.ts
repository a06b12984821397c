import type { HttpApi } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import type * as ContreeApi from "../../src/ContreeApi.js"

describe("the types of ContreeApi", () => {
  it("declare an API that can be derived from", () => {
    expectTypeOf<typeof ContreeApi.ContreeApi>().toExtend<HttpApi.HttpApi.Any>()
  })
})
