/**
 * An operation from its start to its result: its place among those that run at once, and what is measured of it.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { KnownKind } from "../api/Operations.js"
import type { ContreeClient } from "../ContreeClient.js"
import type { RequestError } from "../ContreeError.js"
import * as ContreeMetrics from "../ContreeMetrics.js"

const outcome = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string =>
  Exit.match(exit, {
    onSuccess: () => "success",
    onFailure: (cause) =>
      Option.match(Cause.failureOption(cause), {
        onNone: () => (Cause.isInterrupted(cause) ? "interrupted" : "defect"),
        onSome: ({ _tag }) => _tag
      })
  })

const measured =
  (kind: typeof KnownKind.Type) =>
  <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const open = Metric.tagged(ContreeMetrics.operationsInFlight, "kind", kind)
    const duration = Metric.tagged(ContreeMetrics.operationDuration, "kind", kind)
    return Effect.acquireUseRelease(
      Effect.zipRight(Metric.incrementBy(open, 1), Clock.currentTimeMillis),
      () => effect,
      (started, exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.zipRight(
            Metric.incrementBy(open, -1),
            Metric.update(Metric.tagged(duration, "outcome", outcome(exit)), Duration.millis(now - started))
          )
        )
    )
  }

/**
 * Waits until the client may have one more of the kind running, and counts and measures what then happens. It must
 * stand where the fiber can be interrupted.
 */
export const inFlight =
  (client: ContreeClient.Service, kind: typeof KnownKind.Type) =>
  <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | RequestError, R> =>
    Effect.scopedWith((scope) =>
      (kind === "instance" ? client.policy.instanceSlot : client.policy.importSlot).pipe(
        Effect.provideService(Scope.Scope, scope),
        Effect.zipRight(measured(kind)(effect))
      )
    )
