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
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Images from "./api/Images.js"
import type { KnownKind, KnownStatus, OperationDetail, OperationStatus, OperationSummary } from "./api/Operations.js"
import { ContreeClient } from "./ContreeClient.js"
import type { RequestError, StartError, WaitError } from "./ContreeError.js"
import * as ContreeError from "./ContreeError.js"
import type { Instance } from "./Instance.js"
import type { InstanceEvent } from "./InstanceEvent.js"
import * as Following from "./internal/following.js"
import { inFlight } from "./internal/inFlight.js"
import * as Instances from "./internal/instance.js"
import type { TimeWindow } from "./internal/listing.js"
import * as Listing from "./internal/listing.js"
import * as Outcome from "./internal/outcome.js"
import { cancelQuietly, startOrEnd, waitOrCancel } from "./internal/waiting.js"
import * as Run from "./Run.js"
import type { WaitPolicy } from "./WaitPolicy.js"

/**
 * The id of an operation: a UUID.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OperationId = Images.OperationId

/**
 * The id of an operation.
 *
 * @since 0.1.0
 * @category models
 */
export type OperationId = Images.OperationId

/**
 * A text is not the id of an operation.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidOperationId extends Schema.TaggedError<InvalidOperationId>("effect-contree/InvalidOperationId")(
  "InvalidOperationId",
  { input: Schema.String }
) {
  override get message(): string {
    return `${JSON.stringify(this.input)} is not the id of an operation, which is a UUID such as 1f0e6679-7425-40de-944b-e07fc1f90ae7`
  }
}

const decodeId = Schema.decodeEither(OperationId)

/**
 * Reads the id of an operation from text, as a program gets it from its arguments or from another one's output.
 *
 * @example
 * ```ts
 * import { Operation } from "effect-contree"
 * import { Either } from "effect"
 *
 * assert.ok(Either.isRight(Operation.idFromString(" 1F0E6679-7425-40de-944b-e07fc1f90ae7\n")))
 * assert.ok(Either.isLeft(Operation.idFromString("latest")))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const idFromString = (input: string): Either.Either<OperationId, InvalidOperationId> =>
  Either.mapLeft(decodeId(input.trim().toLowerCase()), () => new InvalidOperationId({ input }))

/**
 * Tells whether an operation in this state is over.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTerminal: (status: OperationStatus) => boolean = Outcome.isTerminal

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

/**
 * The events of an operation, each once and in order, over as many connections as it takes.
 *
 * - `follow`: go on until the operation is over. Without it the stream gives what the log holds now, all of it when the
 *   operation is over.
 * - `since`: only events with a higher id.
 * - `spid`: only events of that process, 0 for the instance itself.
 *
 * With `follow` the stream ends when the operation is over, mostly with a `Completion`; a cancelled operation may have
 * lost its log, and {@link get} tells how it ended. A connection that breaks, or stands still longer than the client's
 * idle limit, is followed by another one from the last event on, after 100 ms, doubling up to 5 s, or when the server
 * asks for it. It goes on like this as long as the service answers what the operation does; only the service's
 * refusal ends it with an error. An operation without events, such as an import, gives `NotFound`.
 *
 * @example
 * ```ts
 * import { InstanceEvent, Operation } from "effect-contree"
 * import { Console, Stream } from "effect"
 *
 * export const show = (id: Operation.OperationId) =>
 *   Operation.events(id, { follow: true }).pipe(
 *     InstanceEvent.output("stdout"),
 *     InstanceEvent.lines,
 *     Stream.runForEach(Console.log)
 *   )
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const events = (
  id: OperationId,
  options: {
    readonly follow?: boolean | undefined
    readonly since?: number | undefined
    readonly spid?: number | undefined
  } = {}
): Stream.Stream<InstanceEvent, RequestError, ContreeClient> =>
  Stream.unwrap(Effect.map(ContreeClient, (client) => Following.events(client, id, options))).pipe(
    Stream.withSpan("Operation.events", { attributes: { "contree.operation": id } })
  )

/**
 * What a command has written so far, or in the end. Empty where the service does not tell it of a running command.
 *
 * @since 0.1.0
 * @category getters
 */
export const output = Effect.fn("Operation.output")(function* (
  id: OperationId
): Effect.fn.Return<{ readonly stdout: Run.Output; readonly stderr: Run.Output }, RequestError, ContreeClient> {
  const client = yield* ContreeClient
  const { metadata } = yield* client.operations.get(id, { inflight: true })
  const nothing = { bytes: new Uint8Array(0), truncated: false }
  const { stderr, stdout } = Option.getOrElse(
    Option.flatMap(metadata, ({ result }) => result),
    () => ({ stdout: nothing, stderr: nothing })
  )
  return { stdout: new Run.Output(stdout), stderr: new Run.Output(stderr) }
})

/**
 * An instance that another program, or another part of this one, has started: its events are given from the first one
 * on, and followed.
 *
 * The instance is not owned: when the scope closes it goes on. It may be over already; then its log is replayed. The
 * operation of an import gives `RequestRejected`.
 *
 * @example
 * ```ts
 * import { Operation } from "effect-contree"
 * import { Console, Effect, Stream } from "effect"
 *
 * export const watch = (argument: string) =>
 *   Effect.gen(function* () {
 *     const id = yield* Operation.idFromString(argument)
 *     const instance = yield* Operation.attach(id)
 *     yield* Stream.runForEach(instance.stdoutLines, Console.log)
 *     return yield* instance.exit
 *   }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const attach = Effect.fn("Operation.attach")(function* (
  id: OperationId,
  options: { readonly wait?: WaitPolicy | undefined } = {}
): Effect.fn.Return<Instance, RequestError, ContreeClient | Scope.Scope> {
  const client = yield* ContreeClient
  const { kind } = yield* client.operations.get(id)
  if (kind === "image_import") {
    return yield* new ContreeError.RequestRejected({
      request: { method: "GET", path: `/v1/operations/${id}` },
      detail: `Operation ${id} is an import, which has no processes`,
      suggestion: "Wait for it with Operation.wait"
    })
  }
  const { instance } = yield* Instances.make(client, id, options.wait ?? client.policy.wait)
  return instance
})

/**
 * Waits until an operation is over.
 *
 * A service that keeps its answer back is asked again; another one's events are listened to; and where it has none, as
 * of imports, it is looked at as the policy says (by default the client's).
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
 * Waits until all operations are over, and gives the result of each in their order: one that fails does not end the
 * waiting for the others. `concurrency` is how many are waited for at once, by default all; interruption cancels
 * those.
 *
 * @since 0.1.0
 * @category combinators
 */
export const waitAll: {
  (
    options?: WaitAllOptions | undefined
  ): (
    ids: Iterable<OperationId>
  ) => Effect.Effect<ReadonlyArray<Either.Either<OperationDetail, WaitError>>, never, ContreeClient>
  (
    ids: Iterable<OperationId>,
    options?: WaitAllOptions | undefined
  ): Effect.Effect<ReadonlyArray<Either.Either<OperationDetail, WaitError>>, never, ContreeClient>
} = dual(
  (args) => args[0] !== undefined && Symbol.iterator in args[0],
  (
    ids: Iterable<OperationId>,
    options: WaitAllOptions = {}
  ): Effect.Effect<ReadonlyArray<Either.Either<OperationDetail, WaitError>>, never, ContreeClient> =>
    Effect.forEach(ids, (id) => Effect.either(wait(id, options.wait)), {
      concurrency: options.concurrency ?? "unbounded"
    }).pipe(Effect.withSpan("Operation.waitAll"))
)

/**
 * How many operations are waited for at once, and how for each.
 *
 * @since 0.1.0
 * @category models
 */
export interface WaitAllOptions {
  readonly wait?: WaitPolicy | undefined
  readonly concurrency?: number | "unbounded" | undefined
}

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
      const id = yield* startOrEnd(client, start(client), (id) => cancelQuietly(client, id), restore)
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
