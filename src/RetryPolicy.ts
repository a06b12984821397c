/**
 * Which requests are repeated after a fault, how often and how far apart.
 *
 * @since 0.1.0
 */
import type * as HttpMethod from "@effect/platform/HttpMethod"
import * as Schedule from "effect/Schedule"
import type { ContreeError } from "./ContreeError.js"
import { isTransient } from "./ContreeError.js"

/**
 * The pauses between two tries of a request, and their number. A `Retry-After` of the server that is longer
 * than the schedule's pause replaces it.
 *
 * Which requests are repeated is not a matter of policy: see {@link isSafe}.
 *
 * @example
 * ```ts
 * import { type RetryPolicy } from "effect-contree"
 * import { Schedule } from "effect"
 *
 * export const patient: RetryPolicy.RetryPolicy = {
 *   schedule: Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(8)))
 * }
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryPolicy {
  readonly schedule: Schedule.Schedule<unknown>
}

/**
 * What the client uses unless it is told otherwise: at most 5 repetitions, 100 ms apart and doubling, with jitter.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultPolicy: RetryPolicy = {
  schedule: Schedule.exponential("100 millis").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(5)))
}

/**
 * Never repeats a request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const never: RetryPolicy = { schedule: Schedule.stop }

const passing: ReadonlySet<number> = new Set([408, 410, 425, 429, 502, 503, 504])

/**
 * Tells whether repeating a request after this failure can do no harm.
 *
 * A request that only reads, or that sets the same state again, may be repeated after every passing fault: no
 * connection, no answer in time, 408, 410, 425, 429, 502, 503 or 504. Another failure of the server, such as 500,
 * is its last word. One that starts work (`POST`) may be repeated only when the answer proves that nothing was
 * started: 429, 425, or a connection that was refused.
 *
 * @since 0.1.0
 * @category guards
 */
export const isSafe = (method: HttpMethod.HttpMethod, error: ContreeError): boolean =>
  method === "POST"
    ? error._tag === "RateLimited" || (error._tag === "Unavailable" && error.notStarted)
    : isTransient(error) && (error.status === undefined || passing.has(error.status))
