/**
 * The service: one typed Effect for each endpoint of the API.
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { WhoAmI } from "./api/Account.js"
import { type ImageKind, type ImageRecord, type ImportRequest, type OperationId, Started } from "./api/Images.js"
import type { SpawnRequest } from "./api/Instances.js"
import type { KnownKind, KnownStatus, OperationDetail, OperationSummary } from "./api/Operations.js"
import type { TimeBound } from "./api/Timestamp.js"
import { ContreeApi } from "./ContreeApi.js"
import * as ContreeConfig from "./ContreeConfig.js"
import type { RequestError, RequestInfo, StartError } from "./ContreeError.js"
import * as ContreeError from "./ContreeError.js"
import type { ImageId } from "./ImageId.js"
import type { ImageTag } from "./ImageTag.js"
import * as Transport from "./internal/transport.js"
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
    readonly inspect: {
      /** The image that has a tag. */
      readonly byTag: (tag: ImageTag) => Effect.Effect<ImageRecord, RequestError>
      /** The image with an id. */
      readonly byId: (id: ImageId) => Effect.Effect<ImageRecord, RequestError>
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
      /** An operation with all that is known of it. */
      readonly get: (id: OperationId) => Effect.Effect<OperationDetail, RequestError>
      /**
       * As `get`, with the server's advice when to look again. A server that can answers only when the operation is
       * over, or after some seconds; another one answers at once.
       */
      readonly poll: (id: OperationId) => Effect.Effect<Poll, RequestError>
      /** Cancels an operation; `false` says that it was over already. */
      readonly cancel: (id: OperationId) => Effect.Effect<boolean, RequestError>
    }
    /** The settings that the verbs on top of the service follow. */
    readonly policy: {
      readonly wait: WaitPolicy.WaitPolicy
      readonly retry: RetryPolicy.RetryPolicy
      readonly pageSize: number
    }
  }
}

const isSuccess = (error: unknown): error is HttpClientError.ResponseError =>
  error instanceof HttpClientError.ResponseError && error.response.status >= 200 && error.response.status < 300

/** Where the body does not matter, neither does which of the success statuses it is: older services differ. */
const orAnySuccess = <E>(error: E): Effect.Effect<void, E> => (isSuccess(error) ? Effect.void : Effect.fail(error))

class ResponseShape extends Data.TaggedError("ResponseShape")<{ readonly cause: ParseResult.ParseError }> {}

/** What an older service has started under another success status must be known all the same. */
const orStarted = <E>(
  error: E
): Effect.Effect<typeof Started.Type, E | HttpClientError.ResponseError | ResponseShape> =>
  isSuccess(error)
    ? Effect.catchTag(HttpClientResponse.schemaBodyJson(Started)(error.response), "ParseError", (cause) =>
        Effect.fail(new ResponseShape({ cause }))
      )
    : Effect.fail(error)

const isRequestError = Schema.is(ContreeError.RequestError)

/**
 * The derived client also names errors that the transport has turned into ours before it could see them. Its own
 * carry the whole request, the token included, so nothing of them but words goes on.
 */
const toRequestError = (request: RequestInfo, error: unknown, scrub: Transport.Scrub): RequestError => {
  if (isRequestError(error)) return error
  if (ParseResult.isParseError(error)) {
    return new ContreeError.RequestRejected({
      request,
      detail: scrub(error.message),
      suggestion: "Correct the option that the message names; no request was made"
    })
  }
  const status = error instanceof HttpClientError.ResponseError ? error.response.status : undefined
  return new ContreeError.UnexpectedResponse({
    request,
    status,
    detail: scrub(
      error instanceof ResponseShape
        ? `The answer does not have the shape of the contract: ${error.cause.message}`
        : "The answer has a status that the contract does not give it"
    ),
    suggestion: "Check that the base URL is that of a ConTree service, and for a newer version of this library"
  })
}

/** A gateway that gives up does not know what its upstream did. */
const mayHaveStarted = (error: RequestError): boolean =>
  (error._tag === "Unavailable" && !error.notStarted && error.status !== 503 && error.status !== 500) ||
  error._tag === "TimedOut" ||
  error._tag === "UnexpectedResponse"

const outcomeUnknown =
  (what: string) =>
  (error: RequestError): StartError =>
    mayHaveStarted(error)
      ? new ContreeError.OutcomeUnknown({
          request: error.request,
          status: error.status,
          detail: `${error.detail}; ${what} may or may not have started`,
          suggestion: "Look for it with Operation.stream before starting it again",
          cause: error
        })
      : error

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
  const api = yield* HttpApiClient.makeWith(ContreeApi, {
    httpClient: Transport.make(yield* HttpClient.HttpClient, config),
    transformResponse: Effect.mapError((error) =>
      ParseResult.isParseError(error) ? new ResponseShape({ cause: error }) : error
    )
  })
  const call = <A, E>(name: string, request: RequestInfo, effect: Effect.Effect<A, E>) =>
    effect.pipe(
      Effect.catchAll((error) =>
        Effect.flatMap(Transport.scrub(config), (scrub) => Effect.fail(toRequestError(request, error, scrub)))
      ),
      Effect.withSpan(`ContreeClient.${name}`)
    )

  const look = (id: OperationId, headers: { readonly prefer?: Duration.Duration }) =>
    call(
      "operations.get",
      { method: "GET", path: `/v1/operations/${id}` },
      api.operations.get({ path: { id }, urlParams: {}, headers, withResponse: true })
    )
  // A server that keeps its answer back must not look like one that does not answer.
  const wait = Duration.min(longestWait, Duration.times(Transport.requestTimeout(config), 0.5))
  const waiting =
    config.longPolling !== false && Duration.greaterThanOrEqualTo(wait, Duration.seconds(1)) ? { prefer: wait } : {}

  return {
    account: {
      whoami: call("account.whoami", { method: "GET", path: "/v1/whoami" }, api.account.whoami({}))
    },
    images: {
      list: (query) =>
        call(
          "images.list",
          { method: "GET", path: "/v1/images" },
          Effect.map(api.images.list({ urlParams: query }), ({ images }) => images)
        ),
      import: (request) =>
        call(
          "images.import",
          { method: "POST", path: "/v1/images/import" },
          Effect.catchAll(api.images.import({ payload: request }), orStarted)
        ).pipe(
          Effect.provideService(
            Transport.Secrets,
            request.registry.credentials === undefined ? [] : [request.registry.credentials.password]
          ),
          Effect.mapBoth({
            onFailure: outcomeUnknown(`the import of ${request.registry.url}`),
            onSuccess: ({ operationId }) => operationId
          })
        ),
      tag: (id, tag) =>
        call(
          "images.tag",
          { method: "PATCH", path: `/v1/images/${id}/tag` },
          api.images.tag({ path: { id }, payload: { tag } })
        ),
      untag: (id, tag) =>
        call(
          "images.untag",
          { method: "DELETE", path: `/v1/images/${id}/tag` },
          Effect.catchAll(api.images.untag({ path: { id }, urlParams: { tag } }), orAnySuccess)
        )
    },
    inspect: {
      byTag: (tag) =>
        call("inspect.byTag", { method: "GET", path: "/v1/inspect/" }, api.inspect.byTag({ urlParams: { tag } })),
      byId: (id) =>
        call("inspect.byId", { method: "GET", path: `/v1/inspect/${id}/` }, api.inspect.byId({ path: { id } }))
    },
    instances: {
      spawn: (request) =>
        call(
          "instances.spawn",
          { method: "POST", path: "/v1/instances" },
          Effect.catchAll(api.instances.spawn({ payload: request }), orStarted)
        ).pipe(
          Effect.mapBoth({
            onFailure: outcomeUnknown(`the command on ${request.image}`),
            onSuccess: ({ operationId }) => operationId
          })
        )
    },
    operations: {
      list: (query) =>
        call("operations.list", { method: "GET", path: "/v1/operations" }, api.operations.list({ urlParams: query })),
      get: (id) => Effect.map(look(id, {}), ([operation]) => operation),
      poll: (id) =>
        Effect.flatMap(look(id, waiting), ([operation, response]) =>
          Effect.map(Transport.retryAfter(response), (retryAfter) => ({ operation, retryAfter }))
        ),
      cancel: (id) =>
        call(
          "operations.cancel",
          { method: "DELETE", path: `/v1/operations/${id}` },
          Effect.as(Effect.catchAll(api.operations.cancel({ path: { id } }), orAnySuccess), true)
        ).pipe(Effect.catchTag("Conflict", () => Effect.succeed(false)))
    },
    policy: {
      wait: config.wait ?? WaitPolicy.defaultPolicy,
      retry: config.retry ?? RetryPolicy.defaultPolicy,
      pageSize: config.pageSize ?? 100
    }
  }
})

/**
 * The service with explicit settings.
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
