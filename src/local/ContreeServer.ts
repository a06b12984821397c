/**
 * The engine behind the API: the handlers of every endpoint.
 *
 * @since 0.1.0
 */
import { createHash, timingSafeEqual } from "node:crypto"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { WhoAmI } from "../api/Account.js"
import { ApiFailure } from "../api/Failure.js"
import { ImageRecord, type OperationId } from "../api/Images.js"
import { OperationDetail, OperationMetadata, OperationSummary } from "../api/Operations.js"
import type { TimeBound } from "../api/Timestamp.js"
import { Authorization, ContreeApi } from "../ContreeApi.js"
import type { ImageId } from "../ImageId.js"
import type { DatabaseError } from "./Database.js"
import { Engine } from "./Engine.js"
import { ImageStore, type StoredImage } from "./ImageStore.js"
import * as Uuid from "./internal/uuid.js"
import { OperationStore, type StoredOperation } from "./OperationStore.js"

const toRecord = (image: StoredImage): ImageRecord =>
  new ImageRecord({
    id: image.id,
    tag: image.tag,
    createdAt: Option.some(image.createdAt),
    operationId: Option.some(image.operationId)
  })

const notFound = (error: string) => new ApiFailure({ status: 404, error })

/** A failure of the database is the server's. */
const orInternal = <A, R>(effect: Effect.Effect<A, ApiFailure | DatabaseError, R>): Effect.Effect<A, ApiFailure, R> =>
  Effect.mapError(effect, (error) =>
    error._tag === "DatabaseError" ? new ApiFailure({ status: 500, error: error.message }) : error
  )

const epochMillis = (bound: TimeBound | undefined) =>
  bound === undefined
    ? Effect.succeed(undefined)
    : Duration.isDuration(bound)
      ? Effect.map(Clock.currentTimeMillis, (now) => now - Duration.toMillis(bound))
      : Effect.succeed(DateTime.toEpochMillis(bound))

const window = Effect.fnUntraced(function* (query: {
  readonly limit?: number | undefined
  readonly offset?: number | undefined
  readonly since?: TimeBound | undefined
  readonly until?: TimeBound | undefined
}) {
  return {
    limit: query.limit ?? 100,
    offset: query.offset ?? 0,
    since: yield* epochMillis(query.since),
    until: yield* epochMillis(query.until)
  }
})

const imagesGroup = HttpApiBuilder.group(ContreeApi, "images", (handlers) =>
  Effect.gen(function* () {
    const images = yield* ImageStore
    const engine = yield* Engine
    const existing = (id: ImageId) =>
      Effect.flatMap(
        images.byId(id),
        Option.match({ onNone: () => Effect.fail(notFound(`There is no image ${id}`)), onSome: Effect.succeed })
      )
    return handlers
      .handle("list", ({ urlParams }) =>
        window(urlParams).pipe(
          Effect.flatMap((window) =>
            images.list({
              ...window,
              tagged: urlParams.tagged ?? false,
              tagPrefix: urlParams.tagPrefix,
              id: urlParams.id,
              kind: urlParams.kind
            })
          ),
          Effect.map((images) => ({ images: images.map(toRecord) })),
          orInternal
        )
      )
      .handle("import", ({ payload }) => Effect.map(orInternal(engine.startImport(payload)), started))
      .handle("tag", ({ path, payload }) =>
        existing(path.id).pipe(
          Effect.zipLeft(images.tag(path.id, payload.tag)),
          Effect.map((image) => new ImageRecord({ ...toRecord(image), tag: Option.some(payload.tag) })),
          orInternal
        )
      )
      .handle("untag", ({ path, urlParams }) =>
        existing(path.id).pipe(
          Effect.zipRight(images.untag(path.id, urlParams.tag)),
          Effect.filterOrFail(
            (had) => had,
            () => notFound(`Image ${path.id} does not have the tag ${JSON.stringify(urlParams.tag)}`)
          ),
          Effect.as(HttpServerResponse.empty({ status: 204 })),
          orInternal
        )
      )
  })
)

const inspectGroup = HttpApiBuilder.group(ContreeApi, "inspect", (handlers) =>
  Effect.gen(function* () {
    const images = yield* ImageStore
    return handlers
      .handleRaw("byTag", ({ urlParams }) =>
        images.byTag(urlParams.tag).pipe(
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail(notFound(`There is no image with the tag ${JSON.stringify(urlParams.tag)}`)),
              // Relative, as the hosted service's is: a proxy in front may have put a prefix before the path.
              onSome: (image) =>
                Effect.succeed(HttpServerResponse.empty({ status: 302, headers: { location: `${image.id}/` } }))
            })
          ),
          orInternal
        )
      )
      .handle("byId", ({ path }) =>
        images.byId(path.id).pipe(
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail(notFound(`There is no image ${path.id}`)),
              onSome: (image) => Effect.succeed(toRecord(image))
            })
          ),
          orInternal
        )
      )
  })
)

/** The answer to a request that started an operation: what was asked for with all defaults, and the operation. */
const started = (operation: StoredOperation) =>
  HttpServerResponse.unsafeJson(
    { ...operation.metadata, uuid: operation.id },
    { status: 201, headers: { location: `/v1/operations/${operation.id}` } }
  )

const instancesGroup = HttpApiBuilder.group(ContreeApi, "instances", (handlers) =>
  Effect.map(Engine, (engine) =>
    handlers.handle("spawn", ({ payload }) => Effect.map(orInternal(engine.startRun(payload)), started))
  )
)

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

const operationsGroup = HttpApiBuilder.group(ContreeApi, "operations", (handlers) =>
  Effect.gen(function* () {
    const engine = yield* Engine
    const operations = yield* OperationStore
    const closing = yield* Deferred.make<void>()
    // The server does not close before it has answered every request.
    yield* Effect.addFinalizer(() => Deferred.succeed(closing, undefined))
    /** Keeps the answer back while the operation goes on, as long as the request prefers. */
    const preferred = (id: OperationId, wait: Duration.Duration | undefined) =>
      wait === undefined || Duration.equals(wait, Duration.zero)
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
        window(urlParams).pipe(
          Effect.flatMap((window) => operations.list({ ...window, status: urlParams.status, kind: urlParams.kind })),
          Effect.flatMap(
            Effect.forEach((operation) => Effect.map(summaryOf(operation), (summary) => new OperationSummary(summary)))
          ),
          orInternal
        )
      )
      .handle("get", ({ headers, path }) =>
        preferred(path.id, headers.prefer).pipe(
          Effect.zipRight(operations.get(path.id)),
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail(notFound(`There is no operation ${path.id}`)),
              onSome: detailOf
            })
          ),
          orInternal
        )
      )
      .handle("cancel", ({ path }) => orInternal(engine.cancel(path.id)))
  })
)

const permissions = ["import", "spawn", "spawn_disposable", "list", "cancel", "set_image_tag"]

const accountGroup = HttpApiBuilder.group(ContreeApi, "account", (handlers) =>
  Effect.gen(function* () {
    const { config } = yield* Engine
    const tokenId = yield* Uuid.make
    return handlers.handle("whoami", () =>
      Effect.succeed(
        new WhoAmI({
          tokenId,
          tokenExpiration: Option.none(),
          permissions: Object.fromEntries(permissions.map((name) => [name, true])),
          operationsStat: {},
          limits: {
            instance_max_timeout: config.maxRunTimeoutSeconds,
            images_import_max_timeout: config.maxImportTimeoutSeconds,
            instance_max_concurrency: config.maxConcurrency
          }
        })
      )
    )
  })
)

const digestOf = (text: string) => createHash("sha256").update(text).digest()

/** Without a token every caller is allowed: the socket's permissions are the check. */
const authorization = (token: Option.Option<Redacted.Redacted>) =>
  Layer.succeed(
    Authorization,
    Authorization.of({
      bearer: (given) =>
        Option.match(token, {
          onNone: () => Effect.void,
          onSome: (expected) =>
            // Equal lengths, compared in equal time, tell nothing about the token.
            timingSafeEqual(digestOf(Redacted.value(given)), digestOf(Redacted.value(expected)))
              ? Effect.void
              : Effect.fail(new ApiFailure({ status: 401, error: "The bearer token is missing or unknown" }))
        })
    })
  )

const complaint = (error: HttpApiError.HttpApiDecodeError): string =>
  error.issues.map(({ message, path }) => `${path.map(String).join(".")}: ${message}`).join("; ")

/** Brings the platform's own failures into the contract's shape. */
const failures = HttpApiBuilder.middleware(ContreeApi, (app) =>
  Effect.catchAllCause(app, (cause: Cause.Cause<unknown>) => {
    const error = Cause.squash(cause)
    if (error instanceof ApiFailure) return Effect.fail(error)
    if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
    if (error instanceof HttpApiError.HttpApiDecodeError) {
      return Effect.fail(new ApiFailure({ status: 400, error: complaint(error) }))
    }
    if (error instanceof HttpServerError.RouteNotFound) {
      return Effect.fail(notFound(`There is no endpoint ${error.request.method} ${error.request.url}`))
    }
    if (error instanceof HttpServerError.RequestError) {
      return Effect.fail(new ApiFailure({ status: 400, error: "The request's body could not be read as JSON" }))
    }
    return Effect.zipRight(
      Effect.logError("a request failed", cause),
      Effect.fail(new ApiFailure({ status: 500, error: "The engine failed; its log says why" }))
    )
  })
)

/**
 * The handlers of the API over an engine. With a token, every request must bear it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (token: Option.Option<Redacted.Redacted>) =>
  Layer.mergeAll(
    Layer.provide(HttpApiBuilder.api(ContreeApi), [
      accountGroup,
      imagesGroup,
      inspectGroup,
      instancesGroup,
      operationsGroup,
      authorization(token)
    ]),
    failures
  )
