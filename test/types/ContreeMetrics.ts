import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration, Metric, MetricKeyType, MetricState } from "effect"
import * as ContreeMetrics from "../../src/ContreeMetrics.js"

type Timer = Metric.Metric<MetricKeyType.MetricKeyType.Histogram, Duration.Duration, MetricState.MetricState.Histogram>

describe("the types of ContreeMetrics", () => {
  it("are counters of numbers and timers of durations", () => {
    expectTypeOf(ContreeMetrics.requests).toEqualTypeOf<Metric.Metric.Counter<number>>()
    expectTypeOf(ContreeMetrics.retries).toEqualTypeOf<Metric.Metric.Counter<number>>()
    expectTypeOf(ContreeMetrics.operationsInFlight).toEqualTypeOf<Metric.Metric.Counter<number>>()
    expectTypeOf(ContreeMetrics.requestDuration).toEqualTypeOf<Timer>()
    expectTypeOf(ContreeMetrics.operationDuration).toEqualTypeOf<Timer>()
  })
})
