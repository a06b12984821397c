import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Layer } from "effect"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { SpawnRequest } from "../../src/api/Instances.js"
import * as FaultPlan from "../../src/testing/FaultPlan.js"
import * as TestContree from "../../src/testing/TestContree.js"

describe("the types of the test double", () => {
  it("are those of a layer without needs or failures", () => {
    expectTypeOf(TestContree.layer()).toEqualTypeOf<Layer.Layer<ContreeClient | TestContree.TestContree>>()
  })

  it("know the arguments of each method", () => {
    type Calls = ReturnType<typeof spawnCalls>
    const spawnCalls = (double: TestContree.TestContree.Service) => double.callsOf("instances.spawn")
    expectTypeOf<Effect.Effect.Success<Calls>[number]["args"]>().toEqualTypeOf<Readonly<[request: SpawnRequest]>>()
    expectTypeOf<Effect.Effect.Error<Calls>>().toEqualTypeOf<never>()
  })

  it("name the methods of the service and no others", () => {
    expectTypeOf<"operations.events">().toExtend<FaultPlan.Method>()
    expectTypeOf<"policy.wait">().not.toExtend<FaultPlan.Method>()
    expectTypeOf(FaultPlan.none.pipe(FaultPlan.answer("images.list", 503))).toEqualTypeOf<FaultPlan.FaultPlan>()
  })
})
