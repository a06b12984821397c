import type { HttpMethod } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration, Effect } from "effect"
import type { ContreeError } from "../../src/ContreeError.js"
import * as RetryPolicy from "../../src/RetryPolicy.js"

describe("the types of RetryPolicy", () => {
  it("are plain policies, and a budget that nothing is needed for", () => {
    expectTypeOf(RetryPolicy.makeBudget).toEqualTypeOf<
      (options?: RetryPolicy.BudgetOptions | undefined) => Effect.Effect<RetryPolicy.RetryBudget>
    >()
    expectTypeOf<RetryPolicy.RetryBudget["take"]>().toEqualTypeOf<Effect.Effect<boolean>>()
    expectTypeOf(RetryPolicy.upTo).toEqualTypeOf<(repetitions: number) => RetryPolicy.RetryPolicy>()
    expectTypeOf(RetryPolicy.defaultPolicy).toEqualTypeOf<RetryPolicy.RetryPolicy>()
    expectTypeOf(RetryPolicy.never).toEqualTypeOf<RetryPolicy.RetryPolicy>()
    expectTypeOf(RetryPolicy.defaultBudget).toEqualTypeOf<RetryPolicy.BudgetOptions>()
    expectTypeOf(RetryPolicy.defaultPatience).toEqualTypeOf<Duration.DurationInput>()
    expectTypeOf(RetryPolicy.isSafe).toEqualTypeOf<(method: HttpMethod.HttpMethod, error: ContreeError) => boolean>()
  })
})
