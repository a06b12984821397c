/** The operations of the double: how they begin, what they do, and how they end. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberMap from "effect/FiberMap"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import type { ApiFailure } from "../../api/Failure.js"
import { OperationId } from "../../api/Images.js"
import { type KnownKind, type KnownStatus, OperationDetail, type ProcessResult } from "../../api/Operations.js"
import { ProcessNumber } from "../../api/Subprocesses.js"
import type { ImageId } from "../../ImageId.js"
import type { ImageTag } from "../../ImageTag.js"
import * as Uuid from "../../internal/uuid.js"
import * as EventLog from "./eventLog.js"
import type { Instance } from "./instance.js"
import { refuse } from "./refusal.js"

type Result = typeof ProcessResult.Type

interface State {
  readonly status: typeof KnownStatus.Type
  readonly error: Option.Option<string>
  readonly endedAt: Option.Option<number>
  readonly image: Option.Option<ImageId>
  readonly tag: Option.Option<ImageTag>
  readonly result: Option.Option<Result>
}

/** An operation. `log` is what happened in its instance; of an import it is the end alone. */
export interface Operation {
  readonly id: OperationId
  readonly kind: typeof KnownKind.Type
  readonly createdAt: DateTime.Utc
  readonly imageId: Option.Option<ImageId>
  readonly metadata: Readonly<Record<string, unknown>>
  readonly state: Ref.Ref<State>
  readonly log: EventLog.EventLog
  readonly instance: Ref.Ref<Option.Option<Instance>>
  readonly cancelled: Deferred.Deferred<never, Cancelled>
  readonly begun: Deferred.Deferred<void>
  readonly over: Deferred.Deferred<void>
}

/** Somebody cancelled the operation. */
export class Cancelled {
  readonly _tag = "Cancelled"
}

/** The operation could not be done. */
export class Failed {
  readonly _tag = "Failed"
  constructor(readonly message: string) {}
}

/** What a piece of work came to. */
export interface Done {
  readonly image: Option.Option<ImageId>
  readonly tag: Option.Option<ImageTag>
  readonly result: Option.Option<Result>
}

export interface Operations {
  readonly all: Effect.Effect<ReadonlyArray<Operation>>
  /** How many of a kind are not over. */
  readonly open: (kind: Operation["kind"]) => Effect.Effect<number>
  readonly get: (id: OperationId) => Effect.Effect<Operation, ApiFailure>
  readonly begin: (
    fields: Pick<Operation, "kind" | "imageId" | "metadata">,
    work: (operation: Operation) => Effect.Effect<Done, Failed>
  ) => Effect.Effect<OperationId>
  readonly cancel: (id: OperationId) => Effect.Effect<void, ApiFailure>
  /** An operation as the API shows it; with `inflight` with what its command has written so far. */
  readonly show: (operation: Operation, inflight: boolean) => Effect.Effect<OperationDetail>
}

const mainProcess = ProcessNumber.make(1)

const isOver = (status: typeof KnownStatus.Type): boolean =>
  status === "SUCCESS" || status === "FAILED" || status === "CANCELLED"

const nothing = { image: Option.none(), tag: Option.none(), result: Option.none() } as const

/** How an operation ended. */
const outcomeOf = (
  exit: Exit.Exit<Done, Failed | Cancelled>
): Pick<State, "status" | "error" | "image" | "tag" | "result"> =>
  Exit.match(exit, {
    onSuccess: (done) => ({ ...done, status: "SUCCESS" as const, error: Option.none() }),
    onFailure: (cause) => {
      const failure = Cause.failureOption(cause)
      if (Option.isSome(failure) && failure.value._tag === "Cancelled") {
        return { ...nothing, status: "CANCELLED" as const, error: Option.none() }
      }
      const error = Option.match(failure, {
        onSome: (failed) => (failed._tag === "Failed" ? failed.message : failed._tag),
        onNone: () =>
          Cause.isInterruptedOnly(cause)
            ? "The test double was closed before the operation was over"
            : `The command handler died: ${Cause.pretty(cause)}`
      })
      return { ...nothing, status: "FAILED" as const, error: Option.some(error) }
    }
  })

/** Makes the operations; those that run end with the scope. */
export const make: Effect.Effect<Operations, never, Scope.Scope> = Effect.gen(function* () {
  const operations = yield* Ref.make(HashMap.empty<OperationId, Operation>())
  const order = yield* Ref.make<ReadonlyArray<Operation>>([])
  const fibers = yield* FiberMap.make<OperationId>()

  const finish = Effect.fnUntraced(function* (operation: Operation, exit: Exit.Exit<Done, Failed | Cancelled>) {
    const now = yield* Clock.currentTimeMillis
    const outcome = outcomeOf(exit)
    yield* Ref.update(operation.state, (state) => ({ ...state, ...outcome, endedAt: Option.some(now) }))
    yield* operation.log.append({
      _tag: "Completion",
      spid: undefined,
      data: {
        status: outcome.status,
        duration: Duration.millis(now - DateTime.toEpochMillis(operation.createdAt)),
        resultImageId: outcome.image,
        error: outcome.error,
        imageSizeBytes: Option.none()
      }
    })
    yield* Deferred.succeed(operation.begun, undefined)
    yield* Deferred.succeed(operation.over, undefined)
  })

  const begin: Operations["begin"] = Effect.fnUntraced(function* (fields, work) {
    const operation: Operation = {
      ...fields,
      id: OperationId.make(yield* Uuid.make),
      createdAt: DateTime.unsafeMake(yield* Clock.currentTimeMillis),
      state: yield* Ref.make<State>({ ...nothing, status: "PENDING", error: Option.none(), endedAt: Option.none() }),
      log: yield* EventLog.make,
      instance: yield* Ref.make(Option.none<Instance>()),
      cancelled: yield* Deferred.make<never, Cancelled>(),
      begun: yield* Deferred.make<void>(),
      over: yield* Deferred.make<void>()
    }
    yield* Ref.update(operations, HashMap.set(operation.id, operation))
    yield* Ref.update(order, (all) => [...all, operation])
    yield* FiberMap.run(
      fibers,
      operation.id,
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          Effect.exit(restore(Effect.raceFirst(work(operation), Deferred.await(operation.cancelled)))),
          (exit) => finish(operation, exit)
        )
      )
    )
    return operation.id
  })

  const get: Operations["get"] = (id) =>
    Effect.flatMap(Ref.get(operations), (operations) =>
      Effect.mapError(HashMap.get(operations, id), () => refuse(404, `There is no operation ${id}`))
    )

  return {
    all: Ref.get(order),
    open: (kind) =>
      Effect.flatMap(Ref.get(order), (all) =>
        Effect.reduce(all, 0, (open, operation) =>
          operation.kind === kind
            ? Effect.map(Ref.get(operation.state), ({ status }) => (isOver(status) ? open : open + 1))
            : Effect.succeed(open)
        )
      ),
    get,
    begin,
    cancel: Effect.fnUntraced(function* (id) {
      const operation = yield* get(id)
      if (isOver((yield* Ref.get(operation.state)).status)) return yield* refuse(409, `Operation ${id} is over`)
      yield* Deferred.fail(operation.cancelled, new Cancelled())
      yield* Deferred.await(operation.over)
    }),
    show: Effect.fnUntraced(function* (operation, inflight) {
      const now = yield* Clock.currentTimeMillis
      const state = yield* Ref.get(operation.state)
      const instance = yield* Ref.get(operation.instance)
      const partial =
        inflight && state.status === "EXECUTING" && Option.isSome(instance)
          ? yield* instance.value.process(mainProcess).pipe(
              Effect.flatMap((process) => process.state),
              Effect.option
            )
          : Option.none<Result>()
      return new OperationDetail({
        id: operation.id,
        kind: operation.kind,
        status: state.status,
        error: state.error,
        createdAt: Option.some(operation.createdAt),
        duration: Option.some(
          Duration.millis(Option.getOrElse(state.endedAt, () => now) - DateTime.toEpochMillis(operation.createdAt))
        ),
        imageSize: Option.none(),
        consumedCpu: Option.none(),
        consumedMemory: Option.none(),
        imageId: operation.imageId,
        resultImageId: state.image,
        metadata: Option.some({ ...operation.metadata, result: Option.orElse(state.result, () => partial) }),
        result: state.status === "SUCCESS" ? Option.some({ image: state.image, tag: state.tag }) : Option.none()
      })
    })
  }
})
