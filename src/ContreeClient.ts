/**
 * The service: one typed Effect for each endpoint of the API.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { WhoAmI } from "./api/Account.js"
import { type FileRecord, type Sha256, UploadReceipt } from "./api/Files.js"
import { type ImageKind, ImageList, type ImageRecord, type ImportRequest, type OperationId } from "./api/Images.js"
import { DirectoryListing, type FileItem, type GrepQuery, GrepResult } from "./api/Inspect.js"
import type { SpawnRequest } from "./api/Instances.js"
import {
  type KnownKind,
  type KnownStatus,
  OperationDetail,
  OperationList,
  type OperationSummary,
  type ProcessResult
} from "./api/Operations.js"
import { type ExecRequest, ProcessNumber } from "./api/Subprocesses.js"
import type { TimeBound } from "./api/Timestamp.js"
import { ContreeApi } from "./ContreeApi.js"
import * as ContreeConfig from "./ContreeConfig.js"
import type { RequestError, RequestInfo, StartError } from "./ContreeError.js"
import type { ImageId } from "./ImageId.js"
import type { ImageTag } from "./ImageTag.js"
import * as Admission from "./internal/admission.js"
import * as Bodies from "./internal/bodies.js"
import * as Call from "./internal/call.js"
import type { EventFrame } from "./internal/eventStream.js"
import * as EventStream from "./internal/eventStream.js"
import * as Faults from "./internal/faults.js"
import type { Repetition } from "./internal/repeating.js"
import { scrub, Secrets, withoutUserInfo } from "./internal/secrets.js"
import * as Transport from "./internal/transport.js"
import * as Upload from "./internal/upload.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as WaitPolicy from "./WaitPolicy.js"

/**
 * One page of a listing: at most `limit` rows after the first `offset`, newest first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Page {
  readonly limit?: number | undefined
  readonly offset?: number | undefined
  readonly since?: TimeBound | undefined
  readonly until?: TimeBound | undefined
}

/**
 * The service: one typed Effect for each endpoint of the API.
 *
 * Programs mostly use the verbs of `Image` and `Operation`, which add waiting, cancellation and paging.
 *
 * @example
 * ```ts
 * import { ContreeClient } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const myPermissions = Effect.gen(function* () {
 *   const client = yield* ContreeClient.ContreeClient
 *   const { permissions } = yield* client.account.whoami
 *   return permissions
 * })
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class ContreeClient extends Context.Tag("effect-contree/ContreeClient")<
  ContreeClient,
  ContreeClient.Service
>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace ContreeClient {
  /**
   * An operation, and how long the server asks to wait before the next look at it.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Poll {
    readonly operation: OperationDetail
    readonly retryAfter: Option.Option<Duration.Duration>
  }

  /**
   * The methods of the service, grouped as the API's endpoints are.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly account: {
      /** The caller's token, permissions and limits. */
      readonly whoami: Effect.Effect<WhoAmI, RequestError>
    }
    readonly images: {
      /** One page of images, newest first. */
      readonly list: (
        query: Page & {
          readonly tagged?: boolean | undefined
          readonly tagPrefix?: string | undefined
          readonly id?: ImageId | undefined
          readonly kind?: ImageKind | undefined
        }
      ) => Effect.Effect<ReadonlyArray<ImageRecord>, RequestError>
      /** Starts an import; the answer is its operation. */
      readonly import: (request: typeof ImportRequest.Type) => Effect.Effect<OperationId, StartError>
      /** Gives an image a tag; another image that has the tag loses it. */
      readonly tag: (id: ImageId, tag: ImageTag) => Effect.Effect<ImageRecord, RequestError>
      /** Takes one tag from an image, or all of them. */
      readonly untag: (id: ImageId, tag?: ImageTag | undefined) => Effect.Effect<void, RequestError>
    }
    readonly files: {
      /** One page of uploaded files, newest first. */
      readonly list: (query: Page) => Effect.Effect<ReadonlyArray<FileRecord>, RequestError>
      /** The file with a content of this digest. */
      readonly get: (sha256: Sha256) => Effect.Effect<FileRecord, RequestError>
      /** Whether a content of this digest was uploaded. */
      readonly exists: (sha256: Sha256) => Effect.Effect<boolean, RequestError>
      /**
       * Uploads a content. A stream is sent as it comes, in chunks; one that fails is a failure of the upload.
       *
       * An upload sets the same state again, so it is repeated after a passing fault. A stream is so only while nothing
       * of it was taken, or with `repeatable`, which promises that it gives the same bytes each time it is run.
       */
      readonly upload: <E = never>(
        content: Uint8Array | Stream.Stream<Uint8Array, E>,
        options?: { readonly repeatable?: boolean | undefined } | undefined
      ) => Effect.Effect<UploadReceipt, RequestError | E>
    }
    readonly inspect: {
      /** The image that has a tag. */
      readonly byTag: (tag: ImageTag) => Effect.Effect<ImageRecord, RequestError>
      /** The image with an id. */
      readonly byId: (id: ImageId) => Effect.Effect<ImageRecord, RequestError>
      /** What a folder of an image holds. */
      readonly list: (id: ImageId, path: string) => Effect.Effect<ReadonlyArray<FileItem>, RequestError>
      /** The content of a file of an image. */
      readonly download: (id: ImageId, path: string) => Stream.Stream<Uint8Array, RequestError>
      /** Fails as `download` would, and fetches nothing. */
      readonly hasDownload: (id: ImageId, path: string) => Effect.Effect<void, RequestError>
      /** A file or folder of an image as a POSIX tar archive. */
      readonly archive: (id: ImageId, path: string) => Stream.Stream<Uint8Array, RequestError>
      /** Fails as `archive` would, and fetches nothing. */
      readonly hasArchive: (id: ImageId, path: string) => Effect.Effect<void, RequestError>
      /** Searches the files of an image. */
      readonly grep: (id: ImageId, query: typeof GrepQuery.Type) => Effect.Effect<typeof GrepResult.Type, RequestError>
    }
    readonly instances: {
      /** Starts a command on an image; the answer is its operation. */
      readonly spawn: (request: SpawnRequest) => Effect.Effect<OperationId, StartError>
    }
    readonly operations: {
      /** One page of operations, newest first. */
      readonly list: (
        query: Page & {
          readonly status?: typeof KnownStatus.Type | undefined
          readonly kind?: typeof KnownKind.Type | undefined
        }
      ) => Effect.Effect<ReadonlyArray<OperationSummary>, RequestError>
      /** An operation with all that is known of it; with `inflight` also what a running command has written so far. */
      readonly get: (
        id: OperationId,
        options?: { readonly inflight?: boolean | undefined } | undefined
      ) => Effect.Effect<OperationDetail, RequestError>
      /**
       * As `get`, with the server's advice when to look again. A server that can answers only when the operation is
       * over, or after some seconds; another one answers at once.
       */
      readonly poll: (id: OperationId) => Effect.Effect<Poll, RequestError>
      /** Cancels an operation; `false` says that it was over already. */
      readonly cancel: (id: OperationId) => Effect.Effect<boolean, RequestError>
      /**
       * The frames of one connection to the event stream: with `follow` until the operation is over, else what the log
       * holds so far. `since` leaves out events up to that id, and `lastEventId` too, which wins; `spid` those of other
       * processes. The end of the frames says nothing about the operation, and no fault is repeated: see
       * `Operation.events`.
       */
      readonly events: (
        id: OperationId,
        options?:
          | {
              readonly follow?: boolean | undefined
              readonly since?: number | undefined
              readonly spid?: number | undefined
              readonly lastEventId?: number | undefined
            }
          | undefined
      ) => Stream.Stream<EventFrame, RequestError>
    }
    readonly subprocesses: {
      /** Starts a process in a running instance. */
      readonly start: (id: OperationId, request: ExecRequest) => Effect.Effect<ProcessNumber, StartError>
      /** How a process stands; while it runs, exit code and signal are -1. */
      readonly get: (id: OperationId, spid: ProcessNumber) => Effect.Effect<typeof ProcessResult.Type, RequestError>
      /** Sends a signal to a process and its group, default `KILL`. */
      readonly signal: (
        id: OperationId,
        spid: ProcessNumber,
        signal?: string | number | undefined
      ) => Effect.Effect<void, RequestError>
      /** Writes to the standard input of a process, and ends it with `close`. */
      readonly writeStdin: (
        id: OperationId,
        spid: ProcessNumber,
        input: { readonly bytes: Uint8Array; readonly close: boolean }
      ) => Effect.Effect<void, StartError>
    }
    /** The settings that the verbs on top of the service follow. */
    readonly policy: {
      readonly wait: WaitPolicy.WaitPolicy
      readonly retry: RetryPolicy.RetryPolicy
      /** What all fibers of this client may repeat together. */
      readonly retryBudget: RetryPolicy.RetryBudget
      readonly pageSize: number
      /** How much of stdout, and of stderr, a run keeps unless its command says otherwise. */
      readonly outputLimitBytes: number
      /** How long a stream may stand still. */
      readonly idleLimit: Duration.Duration
      /**
       * A place among the instances that this client may have running at once: waits until one is free and keeps it
       * until the scope closes. Take it where the fiber can be interrupted, before the request that starts the work.
       */
      readonly instanceSlot: Effect.Effect<void, RequestError, Scope.Scope>
      /** The same for imports. */
      readonly importSlot: Effect.Effect<void, RequestError, Scope.Scope>
    }
  }
}

const operationOf = Call.answerOf(OperationDetail)
const operationsOf = Call.answerOf(OperationList)
const directoryOf = Call.answerOf(DirectoryListing)
const matchesOf = Call.answerOf(GrepResult)
const imagesOf = Call.answerOf(ImageList)

/** Proxies cut a connection on which nothing comes for a minute, some earlier. */
const longestWait = Duration.seconds(20)

/**
 * Makes the service over an `HttpClient`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  config: ContreeConfig.ContreeConfig
): Effect.fn.Return<ContreeClient.Service, never, HttpClient.HttpClient> {
  const http = yield* HttpClient.HttpClient
  const retry = config.retry ?? RetryPolicy.defaultPolicy
  const repetition: Repetition = { retry, retryBudget: yield* RetryPolicy.makeBudget(retry.budget) }
  const whole = Transport.make(http, config, repetition)
  // Whoever is interrupted before the first piece has no body yet that could be closed: the exchange ends with a scope.
  const scoped = HttpClient.withScope(http)
  const streaming = Transport.make(scoped, config, repetition, "streamed")
  // Who follows events decides by the operation's state whether a connection is worth another.
  const following = Transport.make(scoped, config, { ...repetition, retry: RetryPolicy.never }, "streamed")
  const idleLimit = Transport.idleLimit(config)
  const requests = yield* Call.requests
  const api = yield* HttpApiClient.makeWith(ContreeApi, {
    httpClient: whole,
    transformResponse: Effect.mapError((error) =>
      ParseResult.isParseError(error) ? new Call.ResponseShape({ cause: error }) : error
    )
  })
  const call = <A, E>(
    name: string,
    request: RequestInfo,
    effect: Effect.Effect<A, E>,
    attributes: Readonly<Record<string, unknown>> = {}
  ) =>
    effect.pipe(
      Call.toRequestErrors(config, request),
      // Its place in the code would always be this one.
      Effect.withSpan(`ContreeClient.${name}`, { attributes, captureStackTrace: false })
    )

  /** The body of an answer as it comes. A body that breaks off is a failure, never an end. */
  const streamOf = <A, E, E2>(
    name: string,
    where: RequestInfo,
    request: Effect.Effect<HttpClientRequest.HttpClientRequest, E2>,
    read: (body: Stream.Stream<Uint8Array, RequestError>) => Stream.Stream<A, E>,
    attributes: Readonly<Record<string, unknown>>,
    transport: Transport.Transport<Scope.Scope> = streaming
  ) =>
    Stream.unwrapScoped(
      Effect.gen(function* () {
        const response = yield* Effect.flatMap(request, (request) => transport.execute(request)).pipe(
          Call.toRequestErrors(config, where)
        )
        return read(Bodies.arriving({ response, request: where, idleLimit, scrub: yield* scrub(config) }))
      })
    ).pipe(Stream.withSpan(`ContreeClient.${name}`, { attributes }))

  const send = <E>(request: Effect.Effect<unknown, E>) => Effect.flatMap(Call.requestOf(request), whole.execute)
  const look = (id: OperationId, headers: { readonly prefer?: Duration.Duration }, inflight?: boolean | undefined) =>
    call(
      "operations.get",
      { method: "GET", path: `/v1/operations/${id}` },
      Effect.flatMap(
        send(requests.operations.get({ path: { id }, urlParams: inflight === true ? { inflight } : {}, headers })),
        (response) => Effect.map(operationOf(response), (operation) => [operation, response] as const)
      ),
      { "contree.operation": id }
    )
  const uploadTo: RequestInfo = { method: "POST", path: "/v1/files" }
  const upload = <E>(content: Upload.Content<E>, repeatable: boolean): Effect.Effect<UploadReceipt, RequestError | E> =>
    Call.requestOf(requests.files.upload({ payload: new Uint8Array(0) })).pipe(
      Call.toRequestErrors(config, uploadTo),
      Effect.flatMap((request) =>
        Upload.send({
          content,
          repeatable,
          repetition,
          request,
          exchange: (request) =>
            Effect.flatMap(whole.execute(request), HttpClientResponse.schemaBodyJson(UploadReceipt)).pipe(
              Effect.catchTag("ParseError", (cause) => new Call.ResponseShape({ cause })),
              Call.toRequestErrors(config, uploadTo)
            )
        })
      ),
      Effect.withSpan("ContreeClient.files.upload")
    )
  // A server that keeps its answer back must not look like one that does not answer.
  const wait = Duration.min(longestWait, Duration.times(Transport.requestTimeout(config), 0.5))
  const waiting =
    config.longPolling !== false && Duration.greaterThanOrEqualTo(wait, Duration.seconds(1)) ? { prefer: wait } : {}

  const whoami = call("account.whoami", { method: "GET", path: "/v1/whoami" }, api.account.whoami({}))
  const limitOf = (name: string) => Effect.map(whoami, ({ limits }) => limits?.[name])

  return {
    account: { whoami },
    files: {
      list: (query) =>
        call(
          "files.list",
          { method: "GET", path: "/v1/files" },
          Effect.map(api.files.list({ urlParams: query }), (answer) => ("files" in answer ? answer.files : [answer]))
        ),
      get: (sha256) =>
        call("files.get", { method: "GET", path: `/v1/files/${sha256}` }, api.files.get({ path: { sha256 } }), {
          "contree.sha256": sha256
        }),
      exists: (sha256) =>
        call(
          "files.exists",
          { method: "HEAD", path: `/v1/files/${sha256}` },
          Effect.as(Effect.catchAll(api.files.exists({ path: { sha256 } }), Call.orAnySuccess), true),
          { "contree.sha256": sha256 }
        ).pipe(Effect.catchTag("NotFound", () => Effect.succeed(false))),
      upload: <E>(
        content: Uint8Array | Stream.Stream<Uint8Array, E>,
        options?: { readonly repeatable?: boolean | undefined }
      ) => upload(content, options?.repeatable ?? content instanceof Uint8Array)
    },
    images: {
      list: (query) =>
        call(
          "images.list",
          { method: "GET", path: "/v1/images" },
          Effect.map(Effect.flatMap(send(requests.images.list({ urlParams: query })), imagesOf), ({ images }) => images)
        ),
      import: (request) =>
        call(
          "images.import",
          { method: "POST", path: "/v1/images/import" },
          Effect.catchAll(api.images.import({ payload: request }), Call.orStarted),
          { "contree.import.url": withoutUserInfo(request.registry.url) }
        ).pipe(
          Effect.provideService(
            Secrets,
            request.registry.credentials === undefined ? [] : [request.registry.credentials.password]
          ),
          Call.orOutcomeUnknown({
            kind: "image_import",
            of: withoutUserInfo(request.registry.url),
            what: `the import of ${withoutUserInfo(request.registry.url)}`
          }),
          Effect.map(({ operationId }) => operationId)
        ),
      tag: (id, tag) =>
        call(
          "images.tag",
          { method: "PATCH", path: `/v1/images/${id}/tag` },
          api.images.tag({ path: { id }, payload: { tag } }),
          { "contree.image": id, "contree.tag": tag }
        ),
      untag: (id, tag) =>
        call(
          "images.untag",
          { method: "DELETE", path: `/v1/images/${id}/tag` },
          Effect.catchAll(api.images.untag({ path: { id }, urlParams: { tag } }), Call.orAnySuccess),
          { "contree.image": id, "contree.tag": tag }
        )
    },
    inspect: {
      byTag: (tag) =>
        call("inspect.byTag", { method: "GET", path: "/v1/inspect/" }, api.inspect.byTag({ urlParams: { tag } }), {
          "contree.tag": tag
        }),
      byId: (id) =>
        call("inspect.byId", { method: "GET", path: `/v1/inspect/${id}/` }, api.inspect.byId({ path: { id } }), {
          "contree.image": id
        }),
      list: (id, path) =>
        call(
          "inspect.list",
          { method: "GET", path: `/v1/inspect/${id}/list` },
          Effect.map(
            Effect.flatMap(send(requests.inspect.list({ path: { id }, urlParams: { path } })), directoryOf),
            ({ files }) => files
          ),
          { "contree.image": id, "contree.path": path }
        ),
      download: (id, path) =>
        streamOf(
          "inspect.download",
          { method: "GET", path: `/v1/inspect/${id}/download` },
          Call.requestOf(requests.inspect.download({ path: { id }, urlParams: { path } })),
          (body) => body,
          { "contree.image": id, "contree.path": path }
        ),
      hasDownload: (id, path) =>
        call(
          "inspect.hasDownload",
          { method: "HEAD", path: `/v1/inspect/${id}/download` },
          Effect.catchAll(api.inspect.hasDownload({ path: { id }, urlParams: { path } }), Call.orAnySuccess),
          { "contree.image": id, "contree.path": path }
        ),
      archive: (id, path) =>
        streamOf(
          "inspect.archive",
          { method: "GET", path: `/v1/inspect/${id}/archive` },
          Call.requestOf(requests.inspect.archive({ path: { id }, urlParams: { path } })),
          (body) => body,
          { "contree.image": id, "contree.path": path }
        ),
      hasArchive: (id, path) =>
        call(
          "inspect.hasArchive",
          { method: "HEAD", path: `/v1/inspect/${id}/archive` },
          Effect.catchAll(api.inspect.hasArchive({ path: { id }, urlParams: { path } }), Call.orAnySuccess),
          { "contree.image": id, "contree.path": path }
        ),
      grep: (id, query) =>
        call(
          "inspect.grep",
          { method: "GET", path: `/v1/inspect/${id}/grep` },
          Effect.flatMap(send(requests.inspect.grep({ path: { id }, urlParams: query })), matchesOf),
          { "contree.image": id }
        )
    },
    instances: {
      spawn: (request) =>
        call(
          "instances.spawn",
          { method: "POST", path: "/v1/instances" },
          Effect.catchAll(api.instances.spawn({ payload: request }), Call.orStarted),
          { "contree.image": request.image }
        ).pipe(
          Call.orOutcomeUnknown({
            kind: "instance",
            of: request.image,
            what: `the command on ${request.image}`
          }),
          Effect.map(({ operationId }) => operationId)
        )
    },
    operations: {
      list: (query) =>
        call(
          "operations.list",
          { method: "GET", path: "/v1/operations" },
          Effect.flatMap(send(requests.operations.list({ urlParams: query })), operationsOf)
        ),
      get: (id, options) => Effect.map(look(id, {}, options?.inflight), ([operation]) => operation),
      poll: (id) =>
        Effect.flatMap(look(id, waiting), ([operation, response]) =>
          Effect.map(Faults.retryAfter(response), (retryAfter) => ({ operation, retryAfter }))
        ),
      cancel: (id) =>
        call(
          "operations.cancel",
          { method: "DELETE", path: `/v1/operations/${id}` },
          Effect.as(Effect.catchAll(api.operations.cancel({ path: { id } }), Call.orAnySuccess), true),
          { "contree.operation": id }
        ).pipe(Effect.catchTag("Conflict", () => Effect.succeed(false))),
      events: (id, options = {}) =>
        streamOf(
          "operations.events",
          { method: "GET", path: `/v1/operations/${id}/events` },
          Call.requestOf(
            requests.operations.events({
              path: { id },
              urlParams: { follow: options.follow, since: options.since, spid: options.spid },
              headers: { lastEventId: options.lastEventId }
            })
          ).pipe(Effect.map(HttpClientRequest.setHeader("accept", "text/event-stream"))),
          EventStream.frames({ method: "GET", path: `/v1/operations/${id}/events` }),
          { "contree.operation": id },
          following
        )
    },
    subprocesses: {
      start: (id, request) =>
        call(
          "subprocesses.start",
          { method: "POST", path: `/v1/operations/${id}/subprocesses` },
          Effect.catchAll(
            api.subprocesses.start({ path: { id }, payload: request }),
            Call.orSuccess(Schema.Struct({ spid: ProcessNumber }))
          ),
          { "contree.operation": id }
        ).pipe(
          Call.orOutcomeUnknown({ kind: "subprocess", of: id, what: `the process in ${id}` }),
          Effect.map(({ spid }) => spid)
        ),
      get: (id, spid) =>
        call(
          "subprocesses.get",
          { method: "GET", path: `/v1/operations/${id}/subprocesses/${spid}` },
          api.subprocesses.get({ path: { id, spid } }),
          { "contree.operation": id, "contree.spid": spid }
        ),
      signal: (id, spid, signal) =>
        call(
          "subprocesses.signal",
          { method: "DELETE", path: `/v1/operations/${id}/subprocesses/${spid}` },
          Effect.catchAll(
            api.subprocesses.signal({
              path: { id, spid },
              urlParams: { signal: signal === undefined ? undefined : String(signal) }
            }),
            Call.orAnySuccess
          ),
          { "contree.operation": id, "contree.spid": spid }
        ),
      writeStdin: (id, spid, input) =>
        call(
          "subprocesses.writeStdin",
          { method: "POST", path: `/v1/operations/${id}/subprocesses/${spid}/stdin` },
          Effect.catchAll(api.subprocesses.writeStdin({ path: { id, spid }, payload: input }), Call.orAnySuccess),
          { "contree.operation": id, "contree.spid": spid }
        ).pipe(
          Call.orOutcomeUnknown({
            kind: "stdin",
            of: id,
            what: `the input for process ${spid} of ${id}`,
            done: "been written"
          })
        )
    },
    policy: {
      wait: config.wait ?? WaitPolicy.defaultPolicy,
      ...repetition,
      pageSize: config.pageSize ?? 100,
      outputLimitBytes: config.outputLimitBytes ?? ContreeConfig.defaultOutputLimitBytes,
      idleLimit,
      instanceSlot: yield* Admission.slot(config.instanceConcurrency, limitOf("instance_max_concurrency")),
      importSlot: yield* Admission.slot(config.importConcurrency, limitOf("images_import_max_concurrency"))
    }
  }
})

/**
 * The service with explicit settings.
 *
 * In a browser give `baseUrl` and `token` here, since a page has no environment, and `FetchHttpClient.layer`. A service
 * of another origin must allow the page's: `effect-contree serve --cors-origin https://app.example`. One that allows no
 * headers beyond its own needs `tracePropagation: false` (`traceparent`, `b3`) and `longPolling: false` (`Prefer`). A
 * token in a page is known to whoever opens it. An upload of a `Stream` is held in memory there, as browsers do not
 * send one over HTTP/1.1.
 *
 * @example
 * ```ts
 * import { FetchHttpClient } from "@effect/platform"
 * import { ContreeClient } from "effect-contree"
 * import { Layer, Redacted } from "effect"
 *
 * export const MyContree = ContreeClient.layerWith({
 *   baseUrl: "http://127.0.0.1:8080",
 *   token: Redacted.make("secret")
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  config: ContreeConfig.ContreeConfig
): Layer.Layer<ContreeClient, never, HttpClient.HttpClient> => Layer.effect(ContreeClient, make(config))

/**
 * The service with settings from `Config`, by default those of `ContreeConfig.fromEnvironment`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  config: Config.Config.Wrap<ContreeConfig.ContreeConfig> = ContreeConfig.fromEnvironment
): Layer.Layer<ContreeClient, ConfigError.ConfigError, HttpClient.HttpClient> =>
  Layer.effect(ContreeClient, Effect.flatMap(Config.unwrap(config), make))

/**
 * The hosted service in one line: settings from the environment, requests by the platform's `fetch`.
 *
 * @example
 * ```ts
 * import { ContreeClient, Image } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const program = Image.list({ number: 5 }).pipe(Effect.provide(ContreeClient.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ContreeClient, ConfigError.ConfigError> = Layer.provide(
  layerConfig(),
  FetchHttpClient.layer
)
