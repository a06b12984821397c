/**
 * Repetition of requests: by the client's policy, within the budget that all its fibers share.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as ContreeError from "../ContreeError.js"
import * as ContreeMetrics from "../ContreeMetrics.js"
import * as RetryPolicy from "../RetryPolicy.js"

/** How a client repeats requests: part of its `policy`. */
export interface Repetition {
  readonly retry: RetryPolicy.RetryPolicy
  readonly retryBudget: RetryPolicy.RetryBudget
}

const toldOf = (error: ContreeError.ContreeError) =>
  Effect.logDebug(`Sent again: ${error.detail}`).pipe(
    Effect.annotateLogs({
      "contree.error": error._tag,
      ...(error.request === undefined ? {} : { "contree.request": `${error.request.method} ${error.request.path}` })
    }),
    Effect.zipRight(
      Metric.increment(
        Metric.tagged(
          Metric.tagged(ContreeMetrics.retries, "method", error.request?.method ?? "unknown"),
          "reason",
          error.status === undefined ? error._tag : String(error.status)
        )
      )
    )
  )

/**
 * Repeats an effect as far as its error allows, not before the server's `Retry-After`. What the server only puts off
 * (425, 429) is counted apart from failures and takes nothing from their budget. `possible` may forbid a repetition that
 * the error would allow.
 */
export const retrySafely =
  (
    { retry, retryBudget }: Repetition,
    method: Parameters<typeof RetryPolicy.isSafe>[0],
    possible: () => boolean = () => true
  ) =>
  <A, E extends ContreeError.ContreeError, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const mayRepeat = (error: E): boolean =>
      RetryPolicy.isSafe(method, error) &&
      possible() &&
      Option.match(ContreeError.retryAfter(error), {
        onNone: () => true,
        onSome: Duration.lessThanOrEqualTo(retry.patience ?? RetryPolicy.defaultPatience)
      })
    const by = (pauses: Schedule.Schedule<unknown>, applies: (error: E) => boolean, allowed: Effect.Effect<boolean>) =>
      Schedule.identity<E>().pipe(
        Schedule.intersect(pauses),
        Schedule.whileInput((error: E) => applies(error) && mayRepeat(error)),
        Schedule.whileInputEffect((error: E) =>
          Effect.tap(allowed, (allowed) => Effect.when(toldOf(error), () => allowed))
        ),
        Schedule.modifyDelay(([error], delay) =>
          Option.match(ContreeError.retryAfter(error), {
            onNone: () => delay,
            onSome: (asked) => Duration.max(asked, delay)
          })
        )
      )
    const repeated = (attempt: Effect.Effect<A, E, R>) =>
      attempt.pipe(
        Effect.retry(by(retry.pushback ?? retry.schedule, ContreeError.isPutOff, Effect.succeed(true))),
        Effect.retry(by(retry.schedule, (error) => !ContreeError.isPutOff(error), retryBudget.take))
      )
    // Most attempts succeed, and need none of it.
    return Effect.catchAll(effect, (first) => {
      let failed = false
      return repeated(
        Effect.suspend(() => {
          if (failed) return effect
          failed = true
          return Effect.fail(first)
        })
      )
    })
  }
