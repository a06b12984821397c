/** The handlers of operations and their events. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Caller } from "../../api/Account.js"
import type { OperationId } from "../../api/Images.js"
import { OperationDetail, OperationMetadata, OperationSummary } from "../../api/Operations.js"
import { ContreeApi } from "../../ContreeApi.js"
import { Engine } from "../Engine.js"
import { OperationStore, type StoredOperation } from "../OperationStore.js"
import { notFound, notYet, orInternal, window } from "./answers.js"
import { demand } from "./authorization.js"

const decodeMetadata = Schema.decodeUnknown(OperationMetadata)

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
    consumedCpu: Option.none(),
    consumedMemory: Option.none(),
    imageId: operation.imageId,
    resultImageId: operation.resultImageId
  }
})

const detailOf = Effect.fnUntraced(function* (operation: StoredOperation) {
  const metadata = yield* Effect.orDie(decodeMetadata(operation.metadata))
  return new OperationDetail({
    ...(yield* summaryOf(operation)),
    metadata: Option.some(metadata),
    result:
      operation.status === "SUCCESS"
        ? Option.some({ image: operation.resultImageId, tag: operation.resultTag })
        : Option.none()
  })
})

/** However long a request prefers to wait. */
const longestWait = Duration.minutes(1)

export const operationsGroup = HttpApiBuilder.group(ContreeApi, "operations", (handlers) =>
  Effect.gen(function* () {
    const engine = yield* Engine
    const operations = yield* OperationStore
    const closing = yield* Deferred.make<void>()
    // The server does not close before it has answered every request.
    yield* Effect.addFinalizer(() => Deferred.succeed(closing, undefined))
    const existing = (project: string, id: OperationId) =>
      Effect.flatMap(
        operations.get(project, id),
        Option.match({ onNone: () => Effect.fail(notFound(`There is no operation ${id}`)), onSome: Effect.succeed })
      )
    /** Keeps the answer back while the operation goes on, as long as the request prefers. */
    const preferred = (id: OperationId, wait: Duration.Duration) =>
      Duration.equals(wait, Duration.zero)
        ? Effect.void
        : engine
            .ended(id)
            .pipe(
              Effect.raceFirst(Deferred.await(closing)),
              Effect.timeout(Duration.min(wait, longestWait)),
              Effect.ignore
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
      .handle("get", ({ headers, path }) =>
        Effect.gen(function* () {
          const { project } = yield* Caller
          const known = yield* existing(project, path.id)
          return yield* detailOf(
            headers.prefer === undefined || Option.isSome(known.duration)
              ? known
              : yield* Effect.zipRight(preferred(path.id, headers.prefer), existing(project, path.id))
          )
        }).pipe(orInternal)
      )
      .handle("cancel", ({ path }) =>
        orInternal(Effect.flatMap(Caller, ({ project }) => engine.cancel(project, path.id)))
      )
      .handle("events", ({ urlParams }) =>
        Effect.zipRight(urlParams.follow === true ? demand("spawn", "spawn_disposable") : Effect.void, notYet)
      )
  })
)
