/**
 * Operations: the server's record of each import and each run, from its start to its result.
 *
 * @example
 * ```ts
 * import { Operation } from "effect-contree"
 * import { Stream } from "effect"
 *
 * // The imports of the last hour that did not work, with the server's reasons.
 * export const failedImports = Operation.stream({ kind: "image_import", status: "FAILED", since: "1 hour" }).pipe(
 *   Stream.map(({ error, id }) => ({ id, error }))
 * )
 * ```
 *
 * @since 0.1.0
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
import type * as Stream from "effect/Stream"
import { OperationId } from "./api/Images.js"
import type { KnownKind, KnownStatus, OperationDetail, OperationStatus, OperationSummary } from "./api/Operations.js"
import { ContreeClient } from "./ContreeClient.js"
import type { RequestError, StartError, WaitError } from "./ContreeError.js"
import * as ContreeError from "./ContreeError.js"
import { inFlight } from "./internal/inFlight.js"
import type { TimeWindow } from "./internal/listing.js"
import * as Listing from "./internal/listing.js"
import { retrySafely } from "./internal/repeating.js"
import type { WaitPolicy } from "./WaitPolicy.js"

/**
 * Tells whether an operation in this state is over.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTerminal = (status: OperationStatus): boolean =>
  status === "SUCCESS" || status === "FAILED" || status === "CANCELLED"

/**
 * Gives an operation with all that is known of it.
 *
 * @since 0.1.0
 * @category getters
 */
export const get = Effect.fn("Operation.get")(function* (id: OperationId) {
  const client = yield* ContreeClient
  return yield* client.operations.get(id)
})

/**
 * Which operations a listing gives: all, or those of a kind, state and time of creation.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions extends TimeWindow {
  readonly kind?: typeof KnownKind.Type | undefined
  readonly status?: typeof KnownStatus.Type | undefined
}

/**
 * The operations of the project, newest first, fetched page by page as they are consumed.
 *
 * @since 0.1.0
 * @category getters
 */
export const stream = (options: ListOptions = {}): Stream.Stream<OperationSummary, RequestError, ContreeClient> =>
  Listing.stream({
    name: "Operation.stream",
    window: options,
    number: undefined,
    page: (client, page) => client.operations.list({ ...page, kind: options.kind, status: options.status }),
    id: (operation) => operation.id
  })

/**
 * Cancels an operation and what it runs. `false` says that it was over already.
 *
 * @since 0.1.0
 * @category combinators
 */
export const cancel = Effect.fn("Operation.cancel")(function* (id: OperationId) {
  const client = yield* ContreeClient
  return yield* client.operations.cancel(id)
})

/** How long a cleanup may take before the interrupted fiber goes on without it. */
const cleanupLimit = Duration.seconds(10)

/** How long a wait that ran out may still look for what the command has written. */
const partialOutputLimit = Duration.seconds(5)

/** A cleanup runs where nothing can be interrupted; without `interruptible` the limit would wait for it too. */
const withinLimit = <A, E>(cleanup: Effect.Effect<A, E>) => Effect.timeout(Effect.interruptible(cleanup), cleanupLimit)

const cancelQuietly = (client: ContreeClient.Service, id: OperationId): Effect.Effect<void> =>
  withinLimit(client.operations.cancel(id)).pipe(Effect.ignoreLogged)

const untilOver = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  id: OperationId,
  policy: WaitPolicy
): Effect.fn.Return<OperationDetail, WaitError> {
  const limit = Duration.decode(policy.deadline)
  const started = yield* Clock.currentTimeMillis
  const timedOut = (after: Duration.Duration): WaitError =>
    new ContreeError.TimedOut({
      detail: `Operation ${id} was not over after ${Duration.format(after)}; it was cancelled`,
      suggestion: "Raise the deadline of the wait policy, or give the command a timeout",
      limit: "wait",
      after,
      operationId: id
    })

  const [{ operation }] = yield* client.operations.poll(id).pipe(
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
  const over = {
    operationId: id,
    kind: operation.kind,
    request: { method: "GET", path: `/v1/operations/${id}` }
  }
  switch (operation.status) {
    case "SUCCESS":
      return operation
    case "FAILED":
      return yield* new ContreeError.OperationFailed({
        ...over,
        detail: Option.getOrElse(operation.error, () => `Operation ${id} failed; the server gave no reason`),
        suggestion: "The message is the server's; what was asked for stands in the operation's metadata"
      })
    case "CANCELLED":
      return yield* new ContreeError.OperationCancelled({
        ...over,
        detail: `Operation ${id} was cancelled`,
        suggestion: "Somebody else cancelled it; start it again if it is still wanted"
      })
    default:
      return yield* timedOut(Duration.millis((yield* Clock.currentTimeMillis) - started))
  }
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

/** Whatever else ends a wait leaves an operation behind that nobody waits for. */
const isOver = <A>(exit: Exit.Exit<A, WaitError>): boolean =>
  Exit.match(exit, {
    onSuccess: () => true,
    onFailure: (cause) =>
      Option.exists(
        Cause.failureOption(cause),
        (error) => error._tag === "OperationFailed" || error._tag === "OperationCancelled"
      )
  })

const waitOrCancel = (
  client: ContreeClient.Service,
  id: OperationId,
  policy: WaitPolicy,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<OperationDetail, WaitError> =>
  Effect.onExit(
    restore(Effect.catchTag(untilOver(client, id, policy), "TimedOut", withPartialOutput(client))),
    (exit) => (isOver(exit) ? Effect.void : cancelQuietly(client, id))
  )

/**
 * Waits until an operation is over, looking at it as the policy says (by default the client's).
 *
 * A wait that ends in any other way cancels the operation: interruption, the deadline, a service that stays
 * out of reach.
 *
 * @since 0.1.0
 * @category combinators
 */
export const wait = Effect.fn("Operation.wait")(function* (
  id: OperationId,
  policy?: WaitPolicy | undefined
): Effect.fn.Return<OperationDetail, WaitError, ContreeClient> {
  const client = yield* ContreeClient
  yield* Effect.annotateCurrentSpan("contree.operation", id)
  return yield* Effect.uninterruptibleMask((restore) => waitOrCancel(client, id, policy ?? client.policy.wait, restore))
})

/**
 * Sends the request that starts an operation. The request goes on when the fiber is interrupted, so that what
 * it starts is known and can be cancelled.
 */
const startOrCancel = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  start: Effect.Effect<OperationId, StartError>,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
) {
  const requests = yield* Ref.make(Option.none<Fiber.RuntimeFiber<OperationId, StartError>>())
  const attempt = Effect.uninterruptibleMask((restore) =>
    Effect.interruptible(start).pipe(
      Effect.forkDaemon,
      Effect.tap((fiber) => Ref.set(requests, Option.some(fiber))),
      Effect.flatMap((fiber) => restore(Fiber.join(fiber)))
    )
  )
  const cancelLast = Effect.flatMap(
    Ref.get(requests),
    Option.match({
      onNone: () => Effect.void,
      onSome: (fiber) =>
        withinLimit(Fiber.join(fiber)).pipe(
          Effect.matchEffect({
            onFailure: () => Fiber.interruptFork(fiber),
            onSuccess: (id) => cancelQuietly(client, id)
          })
        )
    })
  )
  return yield* restore(retrySafely(client.policy, "POST")(attempt)).pipe(Effect.onInterrupt(() => cancelLast))
})

/**
 * Starts an operation of a kind and waits until it is over. Nothing that was started is left running when the fiber is
 * interrupted, also between the request and its answer. Where the client may have only so many of the kind running at
 * once, it first waits for its turn.
 *
 * @since 0.1.0
 * @category combinators
 */
export const perform = Effect.fnUntraced(function* (
  kind: typeof KnownKind.Type,
  start: (client: ContreeClient.Service) => Effect.Effect<OperationId, StartError>,
  policy?: WaitPolicy | undefined
): Effect.fn.Return<OperationDetail, StartError | WaitError, ContreeClient> {
  const client = yield* ContreeClient
  const started = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const id = yield* startOrCancel(client, start(client), restore)
      yield* Effect.annotateCurrentSpan("contree.operation", id)
      return yield* Effect.annotateLogs(
        waitOrCancel(client, id, policy ?? client.policy.wait, restore),
        "contree.operation",
        id
      )
    })
  )
  return yield* inFlight(client, kind)(started)
})
