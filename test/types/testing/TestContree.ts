import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Layer, Option, Scope } from "effect"
import type { SpawnRequest } from "../../../src/api/Instances.js"
import type { ContreeClient } from "../../../src/ContreeClient.js"
import type { ImageId } from "../../../src/ImageId.js"
import type { InvalidImageRef } from "../../../src/InvalidImageRef.js"
import type { Invocation } from "../../../src/testing/CommandHandler.js"
import type * as FaultPlan from "../../../src/testing/FaultPlan.js"
import type { FileTree } from "../../../src/testing/FileTree.js"
import * as TestContree from "../../../src/testing/TestContree.js"

type Service = TestContree.TestContree.Service

describe("the types of TestContree", () => {
  it("are those of a layer without needs or failures", () => {
    expectTypeOf(TestContree.layer).toEqualTypeOf<
      (options?: TestContree.Options) => Layer.Layer<ContreeClient | TestContree.TestContree>
    >()
    expectTypeOf(TestContree.make).toEqualTypeOf<
      (
        options?: TestContree.Options | undefined
      ) => Effect.Effect<
        { readonly client: ContreeClient.Service; readonly double: Service },
        InvalidImageRef,
        Scope.Scope
      >
    >()
  })

  it("know the arguments of each method", () => {
    type Calls = ReturnType<typeof spawnCalls>
    const spawnCalls = (double: Service) => double.callsOf("instances.spawn")
    expectTypeOf<Effect.Effect.Success<Calls>[number]["args"]>().toEqualTypeOf<Readonly<[request: SpawnRequest]>>()
    expectTypeOf<Effect.Effect.Error<Calls>>().toEqualTypeOf<never>()
  })

  it("fail only for a name that is none", () => {
    expectTypeOf<Omit<Service, "callsOf">>().toEqualTypeOf<{
      readonly calls: Effect.Effect<ReadonlyArray<TestContree.Call>>
      readonly plan: (faults: FaultPlan.FaultPlan) => Effect.Effect<void>
      readonly publish: (reference: string, image: TestContree.RegistryImage) => Effect.Effect<void, InvalidImageRef>
      readonly addImage: (
        content: TestContree.ImageContent,
        tag?: string | undefined
      ) => Effect.Effect<ImageId, InvalidImageRef>
      readonly files: (image: string) => Effect.Effect<Option.Option<FileTree>>
      readonly running: Effect.Effect<ReadonlyArray<Invocation>>
    }>()
  })
})
