import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration } from "effect"
import type { FailureStatus } from "../../../src/api/Failure.js"
import type { StartError } from "../../../src/ContreeError.js"
import * as FaultPlan from "../../../src/testing/FaultPlan.js"
import type { Dual } from "../Dual.js"

type Plan<Args extends ReadonlyArray<unknown>> = Dual<FaultPlan.FaultPlan, Args, FaultPlan.FaultPlan>
type Method = FaultPlan.Method
type When = FaultPlan.When | undefined

describe("the types of FaultPlan", () => {
  it("plan faults, with the plan first or last", () => {
    expectTypeOf(FaultPlan.none).toEqualTypeOf<FaultPlan.FaultPlan>()
    expectTypeOf(FaultPlan.add).toEqualTypeOf<Plan<[method: Method, fault: FaultPlan.Fault, when?: When]>>()
    expectTypeOf(FaultPlan.fail).toEqualTypeOf<Plan<[method: Method, error: StartError, when?: When]>>()
    expectTypeOf(FaultPlan.answer).toEqualTypeOf<
      Plan<[method: Method, status: FailureStatus, options?: FaultPlan.AnswerOptions | undefined]>
    >()
    expectTypeOf(FaultPlan.delay).toEqualTypeOf<Plan<[method: Method, duration: Duration.DurationInput, when?: When]>>()
    expectTypeOf(FaultPlan.loseAnswer).toEqualTypeOf<Plan<[method: Method, when?: When]>>()
    expectTypeOf(FaultPlan.breakOff).toEqualTypeOf<Plan<[method: FaultPlan.StreamMethod, after: number, when?: When]>>()
    expectTypeOf(FaultPlan.faultsOf).toEqualTypeOf<
      (self: FaultPlan.FaultPlan, method: Method, call: number) => ReadonlyArray<FaultPlan.Fault>
    >()
    expectTypeOf(FaultPlan.Fault.Delay).returns.toEqualTypeOf<Extract<FaultPlan.Fault, { readonly _tag: "Delay" }>>()
  })

  it("name the methods of the service and no others", () => {
    expectTypeOf<"operations.events">().toExtend<Method>()
    expectTypeOf<"policy.wait">().not.toExtend<Method>()
    expectTypeOf<FaultPlan.StreamMethod>().toEqualTypeOf<"inspect.download" | "inspect.archive" | "operations.events">()
  })
})
