/**
 * What a client counts and measures. The values are Effect metrics: any exporter of `Metric` sees them, and a test
 * reads them with `Metric.value`.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"

/** From a millisecond to about a minute. */
const upToMinutes = MetricBoundaries.exponential({ start: 1, factor: 2, count: 17 })

/** From 10 ms to about three hours. */
const upToHours = MetricBoundaries.exponential({ start: 10, factor: 2, count: 21 })

/**
 * Requests that were sent, each repetition and each redirect that was followed too. Tags: `method`, and `status`: the
 * answer's, or `none` where no answer came.
 *
 * @since 0.1.0
 * @category getters
 */
export const requests = Metric.counter("contree_client_requests", {
  description: "Requests to the service",
  incremental: true
})

/**
 * Requests that were sent again. Tags: `method`, and `reason`: the status, or the error's name where there was none.
 *
 * @since 0.1.0
 * @category getters
 */
export const retries = Metric.counter("contree_client_retries", {
  description: "Repetitions of requests to the service",
  incremental: true
})

/**
 * How long a request took until its answer was there, in milliseconds. Tag: `method`.
 *
 * @since 0.1.0
 * @category getters
 */
export const requestDuration = Metric.timerWithBoundaries(
  "contree_client_request_duration",
  upToMinutes.values,
  "Duration of requests to the service"
)

/**
 * Operations that this program waits for now. Tag: `kind`.
 *
 * @since 0.1.0
 * @category getters
 */
export const operationsInFlight = Metric.counter("contree_client_operations_in_flight", {
  description: "Operations that are waited for"
})

/**
 * How long operations took, from the request that starts them to their result, in milliseconds. Tags: `kind`, and
 * `outcome`: `success`, or the error's name, or `interrupted`.
 *
 * @since 0.1.0
 * @category getters
 */
export const operationDuration = Metric.timerWithBoundaries(
  "contree_client_operation_duration",
  upToHours.values,
  "Duration of operations"
)
