import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration, Schedule } from "effect"
import * as WaitPolicy from "../../src/WaitPolicy.js"

describe("the types of WaitPolicy", () => {
  it("are schedules that need nothing", () => {
    expectTypeOf(WaitPolicy.growing).toEqualTypeOf<
      (options: {
        readonly first: Duration.DurationInput
        readonly factor?: number | undefined
        readonly cap: Duration.DurationInput
      }) => Schedule.Schedule<unknown>
    >()
    expectTypeOf(WaitPolicy.defaultPolicy).toEqualTypeOf<WaitPolicy.WaitPolicy>()
  })
})
