/** The handlers of operations and their events. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Caller } from "../../api/Account.js"
import { ApiFailure } from "../../api/Failure.js"
import type { OperationId } from "../../api/Images.js"
import { OperationDetail, OperationSummary, ProcessResult } from "../../api/Operations.js"
import { ContreeApi } from "../../ContreeApi.js"
import { Engine } from "../Engine.js"
import { EventLog } from "../EventLog.js"
import { Instances } from "../Instances.js"
import { OperationStore, type StoredOperation } from "../OperationStore.js"
import { notFound, orInternal, window } from "./answers.js"
import { demand } from "./authorization.js"

const decodeResources = Schema.decodeUnknownOption(
  Schema.Struct({ result: Schema.Struct({ resources: ProcessResult.fields.resources }) })
)

const known = (value: number): Option.Option<number> => (value < 0 ? Option.none() : Option.some(value))

/** What the operation's command consumed, as its result tells. */
const consumptionOf = (operation: StoredOperation) => {
  const resources = Option.map(decodeResources(operation.metadata), ({ result }) => result.resources)
  return {
    consumedCpu: Option.flatMap(resources, ({ systemCpuTime, userCpuTime }) =>
      Option.map(
        Option.zipWith(known(userCpuTime), known(systemCpuTime), (user, system) => user + system),
        Duration.seconds
      )
    ),
    consumedMemory: Option.flatMap(resources, ({ maxRss }) => known(maxRss))
  }
}

const summaryOf = Effect.fnUntraced(function* (operation: StoredOperation) {
  // Strict readers need a duration at all times.
  const now = yield* Clock.currentTimeMillis
  const duration = Option.getOrElse(operation.duration, () =>
    Duration.millis(now - DateTime.toEpochMillis(operation.createdAt))
  )
  return {
    id: operation.id,
    kind: operation.kind,
    status: operation.status,
    error: operation.error,
    createdAt: Option.some(operation.createdAt),
    duration: Option.some(duration),
    imageSize: operation.imageSize,
    ...consumptionOf(operation),
    imageId: operation.imageId,
    resultImageId: operation.resultImageId
  }
})

const encodeResult = Schema.encode(ProcessResult)

const encodeDetail = Schema.encode(OperationDetail)

const isOver = ({ status }: StoredOperation): boolean =>
  status === "SUCCESS" || status === "FAILED" || status === "CANCELLED"

/** An operation older than this is worth another look after a second; of a younger one nothing is said. */
const young = Duration.seconds(2)

/** The answer that shows an operation, with what its command has written so far where that is known. */
const answer = Effect.fnUntraced(function* (
  operation: StoredOperation,
  partial: Option.Option<typeof ProcessResult.Type>
) {
  const detail = new OperationDetail({
    ...(yield* summaryOf(operation)),
    metadata: Option.none(),
    result:
      operation.status === "SUCCESS"
        ? Option.some({ image: operation.resultImageId, tag: operation.resultTag })
        : Option.none()
  })
  // The record has the metadata on the wire's form: the outputs in it are not decoded and encoded again, and an
  // import has no key `result`, by which readers tell the kinds of operations apart.
  const metadata =
    isOver(operation) || Option.isNone(partial)
      ? operation.metadata
      : { ...operation.metadata, result: yield* Effect.orDie(encodeResult(partial.value)) }
  return HttpServerResponse.unsafeJson(
    { ...(yield* Effect.orDie(encodeDetail(detail))), metadata },
    {
      headers:
        isOver(operation) || Option.exists(detail.duration, Duration.lessThan(young)) ? {} : { "retry-after": "1" }
    }
  )
})

/** So long a follower waits for the first event before it is told to come back. */
const firstEvent = Duration.seconds(10)

const notStarted = (error: string) => new ApiFailure({ status: 425, error, retryAfterSeconds: 1 })

/** Its work has ended, and its end could not be recorded. */
const notReady = (id: OperationId) =>
  new ApiFailure({ status: 410, error: `The log of operation ${id} is not ready yet`, retryAfterSeconds: 1 })

/** However long a request prefers to wait. */
const longestWait = Duration.minutes(1)

export const operationsGroup = HttpApiBuilder.group(ContreeApi, "operations", (handlers) =>
  Effect.gen(function* () {
    const engine = yield* Engine
    const operations = yield* OperationStore
    const logs = yield* EventLog
    const instances = yield* Instances
    const closing = yield* Deferred.make<void>()
    // The server does not close before it has answered every request.
    yield* Effect.addFinalizer(() => Deferred.succeed(closing, undefined))
    const existing = (project: string, id: OperationId) =>
      Effect.flatMap(
        operations.get(project, id),
        Option.match({ onNone: () => Effect.fail(notFound(`There is no operation ${id}`)), onSome: Effect.succeed })
      )
    /** The operation when it ends within the time that the request prefers to wait. */
    const endedWithin = (project: string, id: OperationId, wait: Duration.Duration) =>
      Duration.equals(wait, Duration.zero)
        ? Effect.succeedNone
        : engine.ended(project, id).pipe(
            Effect.raceFirst(Effect.as(Deferred.await(closing), Option.none())),
            Effect.timeoutTo({
              duration: Duration.min(wait, longestWait),
              onSuccess: (operation) => operation,
              onTimeout: Option.none<StoredOperation>
            })
          )
    /** What the instance's own command has written so far. */
    const partial = ({ id }: StoredOperation) =>
      Effect.map(
        instances.find(id),
        Option.flatMap((instance) => instance.process(1))
      ).pipe(
        Effect.flatMap(
          Option.match({ onNone: () => Effect.succeedNone, onSome: ({ result }) => Effect.asSome(result) })
        )
      )
    return handlers
      .handle("list", ({ urlParams }) =>
        Effect.all([Caller, window(urlParams)]).pipe(
          Effect.flatMap(([{ project }, window]) =>
            operations.list(project, { ...window, status: urlParams.status, kind: urlParams.kind })
          ),
          Effect.flatMap(
            Effect.forEach((operation) => Effect.map(summaryOf(operation), (summary) => new OperationSummary(summary)))
          ),
          orInternal
        )
      )
      .handleRaw("get", ({ headers, path, urlParams }) =>
        Effect.gen(function* () {
          const { project } = yield* Caller
          const ended =
            headers.prefer === undefined ? Option.none() : yield* endedWithin(project, path.id, headers.prefer)
          const operation = Option.isSome(ended) ? ended.value : yield* existing(project, path.id)
          return yield* answer(operation, urlParams.inflight === true ? yield* partial(operation) : Option.none())
        }).pipe(orInternal)
      )
      .handle("cancel", ({ path }) =>
        orInternal(Effect.flatMap(Caller, ({ project }) => engine.cancel(project, path.id)))
      )
      .handleRaw("events", ({ headers, path, urlParams }) =>
        Effect.gen(function* () {
          if (urlParams.follow === true) yield* demand("spawn", "spawn_disposable")
          const { project } = yield* Caller
          const operation = yield* existing(project, path.id)
          if (!isOver(operation)) {
            const begun = yield* Effect.raceFirst(
              logs.begun(path.id, urlParams.follow === true ? firstEvent : Duration.zero),
              Effect.as(Deferred.await(closing), false)
            )
            if (begun === false) return yield* notStarted(`Operation ${path.id} waits for its turn`)
          }
          // It may have ended in the meantime, and what is not at work is told from its record.
          const now = yield* existing(project, path.id)
          if (!isOver(now) && (yield* logs.begun(path.id, Duration.zero)) === "gone") return yield* notReady(path.id)
          return HttpServerResponse.stream(
            logs.frames(now, {
              // A log is never shown without its end once the operation is over.
              follow: urlParams.follow === true || isOver(now),
              since: headers.lastEventId ?? urlParams.since,
              spid: urlParams.spid
            }),
            { contentType: "text/event-stream", headers: { "cache-control": "no-cache", "x-accel-buffering": "no" } }
          )
        }).pipe(orInternal)
      )
  })
)
