import { describe, expectTypeOf, it } from "@effect/vitest"
import type { EngineError } from "../../../src/local/EngineError.js"

describe("the types of EngineError", () => {
  it("say what is wrong and what to do", () => {
    expectTypeOf<Pick<EngineError, "detail" | "suggestion">>().toEqualTypeOf<{
      readonly detail: string
      readonly suggestion: string
    }>()
  })
})
