/**
 * Waiting for the end of an operation: by a look that the server holds back, by its events, or by looking again.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { OperationId } from "../api/Images.js"
import type { OperationDetail } from "../api/Operations.js"
import type { ContreeClient } from "../ContreeClient.js"
import type { RequestError, StartError, WaitError } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import type { WaitPolicy } from "../WaitPolicy.js"
import { isTerminal, verdict } from "./outcome.js"
import { retrySafely } from "./repeating.js"

/** How long a cleanup may take before the interrupted fiber goes on without it. */
const cleanupLimit = Duration.seconds(10)

/** How long a wait that ran out may still look for what the command has written. */
const partialOutputLimit = Duration.seconds(5)

/** A cleanup runs where nothing can be interrupted; without `interruptible` the limit would wait for it too. */
export const withinLimit = <A, E>(cleanup: Effect.Effect<A, E>) =>
  Effect.timeout(Effect.interruptible(cleanup), cleanupLimit)

export const cancelQuietly = (client: ContreeClient.Service, id: OperationId): Effect.Effect<void> =>
  withinLimit(client.operations.cancel(id)).pipe(Effect.ignoreLogged)

/** A server that answers later than this with an operation that goes on has kept its answer back. */
const heldMillis = 500

/** What cannot change while the operation runs: the service has no events for it, or not for this caller. */
const isRefusal = (error: RequestError): boolean =>
  error._tag === "NotFound" || !(ContreeError.isTransient(error) || error._tag === "Unauthorized")

/**
 * Reads events until there is news of the end, or the connection breaks. Those of the instance itself are enough, and
 * do not bring all its output.
 */
const news = (
  client: ContreeClient.Service,
  id: OperationId,
  position: { last: number | undefined }
): Effect.Effect<{ readonly refused: boolean; readonly asked: Option.Option<Duration.Duration> }> =>
  client.operations.events(id, { follow: true, spid: 0, lastEventId: position.last }).pipe(
    Stream.tap((frame) =>
      Effect.sync(() => {
        if (frame._tag === "Event") position.last = Math.max(frame.event.id, position.last ?? 0)
      })
    ),
    Stream.takeUntil(
      (frame) => frame._tag === "Broken" || (frame._tag === "Event" && frame.event._tag === "Completion")
    ),
    Stream.runDrain,
    Effect.match({
      onFailure: (error) => ({ refused: isRefusal(error), asked: ContreeError.retryAfter(error) }),
      onSuccess: () => ({ refused: false, asked: Option.none() })
    })
  )

const longer = (a: Option.Option<Duration.Duration>, b: Option.Option<Duration.Duration>) =>
  Option.match(a, {
    onNone: () => b,
    onSome: (a) => Option.some(Option.match(b, { onNone: () => a, onSome: (b) => Duration.max(a, b) }))
  })

/**
 * One step of a wait, to be repeated by its schedule. The first looks decide how the wait goes on: a server that keeps
 * its answer back is asked again, another one is listened to, and one that has no events is polled.
 */
const steps = (client: ContreeClient.Service, id: OperationId): Effect.Effect<ContreeClient.Poll, RequestError> => {
  const position: { last: number | undefined } = { last: undefined }
  let mode: "unknown" | "looking" | "listening" = "unknown"
  // Not `Effect.timed`: pauses with jitter are fractions of a millisecond, at which a `TestClock` has no nanoseconds.
  const look = Effect.gen(function* () {
    const asked = yield* Clock.currentTimeMillis
    const poll = yield* client.operations.poll(id)
    return [(yield* Clock.currentTimeMillis) - asked, poll] as const
  })
  return Effect.gen(function* () {
    const [took, poll] = yield* look
    if (isTerminal(poll.operation.status)) return poll
    if (mode === "unknown" && poll.operation.kind === "image_import") mode = "looking"
    // One that has held a look back will hold the next one too.
    if (mode === "looking" || took >= heldMillis) return poll
    const { asked, refused } = yield* news(client, id, position)
    mode = refused ? "looking" : "listening"
    if (refused) return poll
    const [, after] = yield* look
    return { ...after, retryAfter: longer(asked, after.retryAfter) }
  })
}

const until = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  id: OperationId,
  policy: WaitPolicy,
  consequence: string
): Effect.fn.Return<OperationDetail, WaitError> {
  const limit = Duration.decode(policy.deadline)
  const started = yield* Clock.currentTimeMillis
  const timedOut = (after: Duration.Duration): WaitError =>
    new ContreeError.TimedOut({
      detail: `Operation ${id} was not over after ${Duration.format(after)}; ${consequence}`,
      suggestion: "Raise the deadline of the wait policy, or give the command a timeout",
      limit: "wait",
      after,
      operationId: id
    })

  const [{ operation }] = yield* steps(client, id).pipe(
    Effect.repeat(
      Schedule.identity<ContreeClient.Poll>().pipe(
        Schedule.intersect(policy.schedule),
        Schedule.whileInput(({ operation }: ContreeClient.Poll) => !isTerminal(operation.status)),
        Schedule.modifyDelay(([{ retryAfter }], delay) =>
          Option.match(retryAfter, { onNone: () => delay, onSome: (asked) => Duration.max(asked, delay) })
        )
      )
    ),
    Effect.timeoutFail({ duration: limit, onTimeout: () => timedOut(limit) })
  )
  return yield* Option.match(verdict(operation), {
    onNone: () =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.fail(timedOut(Duration.millis(now - started)))),
    onSome: (result) => result
  })
})

/** What was written until the wait's deadline is worth having, and gone once the operation is cancelled. */
const withPartialOutput =
  (client: ContreeClient.Service) =>
  (error: ContreeError.TimedOut): Effect.Effect<never, ContreeError.TimedOut> =>
    error.limit !== "wait" || error.operationId === undefined
      ? Effect.fail(error)
      : client.operations.get(OperationId.make(error.operationId), { inflight: true }).pipe(
          Effect.timeoutOption(partialOutputLimit),
          Effect.orElseSucceed(Option.none<OperationDetail>),
          Effect.flatMap((operation) =>
            Effect.fail(
              new ContreeError.TimedOut({
                ...error,
                partial: Option.getOrUndefined(
                  operation.pipe(
                    Option.flatMap(({ metadata }) => metadata),
                    Option.flatMap(({ result }) => result),
                    Option.map(({ stderr, stdout }) => ({ stdout, stderr }))
                  )
                )
              })
            )
          )
        )

/** Waits until an operation is over. `consequence` is what its error says of a wait that runs out. */
export const untilOver = (
  client: ContreeClient.Service,
  id: OperationId,
  policy: WaitPolicy,
  consequence: string
): Effect.Effect<OperationDetail, WaitError> =>
  Effect.catchTag(until(client, id, policy, consequence), "TimedOut", withPartialOutput(client))

/** Whatever else ends a wait leaves an operation behind that nobody waits for. */
export const isOver = <A>(exit: Exit.Exit<A, WaitError>): boolean =>
  Exit.match(exit, {
    onSuccess: () => true,
    onFailure: (cause) =>
      Option.exists(
        Cause.failureOption(cause),
        (error) => error._tag === "OperationFailed" || error._tag === "OperationCancelled"
      )
  })

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** Waits until an operation is over, and cancels it when the wait ends in any other way. */
export const waitOrCancel = (
  client: ContreeClient.Service,
  id: OperationId,
  policy: WaitPolicy,
  restore: Restore
): Effect.Effect<OperationDetail, WaitError> =>
  Effect.onExit(restore(untilOver(client, id, policy, "it was cancelled")), (exit) =>
    isOver(exit) ? Effect.void : cancelQuietly(client, id)
  )

/**
 * Sends the request that starts something. The request goes on when the fiber is interrupted, so that what it starts is
 * known and can be ended by `end`.
 */
export const startOrEnd = Effect.fnUntraced(function* <A>(
  client: ContreeClient.Service,
  start: Effect.Effect<A, StartError>,
  end: (started: A) => Effect.Effect<void>,
  restore: Restore
) {
  const requests = yield* Ref.make(Option.none<Fiber.RuntimeFiber<A, StartError>>())
  const attempt = Effect.uninterruptibleMask((restore) =>
    Effect.interruptible(start).pipe(
      Effect.forkDaemon,
      Effect.tap((fiber) => Ref.set(requests, Option.some(fiber))),
      Effect.flatMap((fiber) => restore(Fiber.join(fiber)))
    )
  )
  const endLast = Effect.flatMap(
    Ref.get(requests),
    Option.match({
      onNone: () => Effect.void,
      onSome: (fiber) =>
        withinLimit(Fiber.join(fiber)).pipe(
          Effect.matchEffect({ onFailure: () => Fiber.interruptFork(fiber), onSuccess: end })
        )
    })
  )
  return yield* restore(retrySafely(client.policy, "POST")(attempt)).pipe(Effect.onInterrupt(() => endLast))
})
