/**
 * How a program waits for an operation: the pauses between two looks, and how long at most.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"

/**
 * How a program waits for an operation.
 *
 * - `schedule`: the pauses between two looks at the operation. A look itself may take up to 20 seconds at a server that
 *   keeps its answer back until there is news. A `Retry-After` of the server that is longer
 *   than the schedule's pause replaces it. When the schedule ends, the wait ends as at its deadline.
 * - `deadline`: how long the wait may take at most, counted from its start; then the operation is cancelled
 *   and the wait fails with `TimedOut`.
 *
 * @since 0.1.0
 * @category models
 */
export interface WaitPolicy {
  readonly schedule: Schedule.Schedule<unknown>
  readonly deadline: Duration.DurationInput
}

/**
 * Pauses that grow by a factor from `first` up to `cap`, with jitter.
 *
 * @example
 * ```ts
 * import { WaitPolicy } from "effect-contree"
 *
 * export const patient: WaitPolicy.WaitPolicy = {
 *   schedule: WaitPolicy.growing({ first: "1 second", factor: 2, cap: "30 seconds" }),
 *   deadline: "1 hour"
 * }
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const growing = (options: {
  readonly first: Duration.DurationInput
  readonly factor?: number | undefined
  readonly cap: Duration.DurationInput
}): Schedule.Schedule<unknown> =>
  Schedule.exponential(options.first, options.factor ?? 1.5).pipe(
    Schedule.union(Schedule.spaced(options.cap)),
    Schedule.jittered
  )

/**
 * What the client uses unless it is told otherwise: 20 ms growing by half up to 5 s, for 20 minutes at most.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultPolicy: WaitPolicy = {
  schedule: growing({ first: "20 millis", cap: "5 seconds" }),
  deadline: "20 minutes"
}
