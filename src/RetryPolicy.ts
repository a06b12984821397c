/**
 * Which requests are repeated after a fault, how often and how far apart.
 *
 * @since 0.1.0
 */
import type * as HttpMethod from "@effect/platform/HttpMethod"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type { ContreeError } from "./ContreeError.js"
import { isTransient } from "./ContreeError.js"

/**
 * The pauses between two tries of a request, and their number.
 *
 * - `schedule`: after a failure of the server or the network.
 * - `pushback`: after 425 and 429, by which a server that is well puts a request off; counted apart from failures.
 *   Default: as `schedule`.
 * - `patience`: a `Retry-After` that is longer than the schedule's pause replaces it, up to this duration. A server
 *   that asks for more is not waited for: its error is given, with the time in `retryAfter`. Default 2 minutes.
 * - `budget`: how many repetitions all fibers of the client have together, see {@link RetryBudget}. Default
 *   {@link defaultBudget}.
 *
 * Which requests are repeated is not a matter of policy: see {@link isSafe}.
 *
 * @example
 * ```ts
 * import { type RetryPolicy } from "effect-contree"
 * import { Schedule } from "effect"
 *
 * export const patient: RetryPolicy.RetryPolicy = {
 *   schedule: Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(8))),
 *   patience: "10 minutes"
 * }
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryPolicy {
  readonly schedule: Schedule.Schedule<unknown>
  readonly pushback?: Schedule.Schedule<unknown> | undefined
  readonly patience?: Duration.DurationInput | undefined
  readonly budget?: BudgetOptions | undefined
}

/**
 * The size of a budget: `burst` repetitions at once, and `perSecond` more each second up to that number.
 *
 * @since 0.1.0
 * @category models
 */
export interface BudgetOptions {
  readonly burst: number
  readonly perSecond: number
}

/**
 * 100 repetitions at once, then 10 in a second.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaultBudget: BudgetOptions = { burst: 100, perSecond: 10 }

/**
 * How long a `Retry-After` may be unless a policy says otherwise: 2 minutes.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaultPatience: Duration.DurationInput = "2 minutes"

/**
 * The repetitions that all fibers of one client share, so that many of them do not storm a server that fails. When
 * none is left a failure is given at once instead of being repeated. Requests that a server puts off take nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryBudget {
  /** Takes one repetition; `false` says that none is left now. */
  readonly take: Effect.Effect<boolean>
}

/**
 * Makes a budget that is full, and refills by the `Clock`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeBudget = Effect.fnUntraced(function* (
  options: BudgetOptions = defaultBudget
): Effect.fn.Return<RetryBudget> {
  const state = yield* Ref.make({ left: options.burst, at: yield* Clock.currentTimeMillis })
  return {
    take: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Ref.modify(state, ({ at, left }) => {
        const refilled = Math.min(options.burst, left + (Math.max(0, now - at) / 1000) * options.perSecond)
        return refilled >= 1 ? [true, { left: refilled - 1, at: now }] : [false, { left: refilled, at: now }]
      })
    )
  }
})

/**
 * As {@link defaultPolicy}, with another number of repetitions after failures.
 *
 * @since 0.1.0
 * @category constructors
 */
export const upTo = (repetitions: number): RetryPolicy => ({
  schedule: Schedule.exponential("100 millis").pipe(
    Schedule.union(Schedule.spaced("30 seconds")),
    Schedule.jittered,
    Schedule.intersect(Schedule.recurs(repetitions))
  ),
  pushback: Schedule.exponential("250 millis", 1.5).pipe(
    Schedule.union(Schedule.spaced("10 seconds")),
    Schedule.jittered,
    Schedule.upTo("2 minutes")
  )
})

/**
 * What the client uses unless it is told otherwise: at most 5 repetitions, 100 ms apart and doubling up to 30 s, with
 * jitter. A request that is put off is sent again after 250 ms, growing by half up to 10 s, for 2 minutes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultPolicy: RetryPolicy = upTo(5)

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
    : // An answer that broke off has a status of success.
      isTransient(error) && (error.status === undefined || error.status < 400 || passing.has(error.status))
