import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration, Option } from "effect"
import type { EventResources } from "../../src/api/Events.js"
import type { ProcessResources } from "../../src/api/Operations.js"
import * as ResourceUsage from "../../src/ResourceUsage.js"

describe("the types of ResourceUsage", () => {
  it("are durations and numbers that may be unknown", () => {
    expectTypeOf(ResourceUsage.fromProcessResources).toEqualTypeOf<
      (resources: typeof ProcessResources.Type) => ResourceUsage.ResourceUsage
    >()
    expectTypeOf(ResourceUsage.fromEventResources).toEqualTypeOf<
      (resources: typeof EventResources.Type, elapsed?: Option.Option<Duration.Duration>) => ResourceUsage.ResourceUsage
    >()
    expectTypeOf<ResourceUsage.ResourceUsage["cpuTime"]>().toEqualTypeOf<Option.Option<Duration.Duration>>()
  })
})
