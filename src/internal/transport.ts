/**
 * One HTTP exchange with the service: headers, time limit, and every failure as a typed error.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { pipe } from "effect/Function"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { FailureBody, failureText } from "../api/Failure.js"
import type { ContreeConfig } from "../ContreeConfig.js"
import { hostedBaseUrl } from "../ContreeConfig.js"
import type { RequestError, RequestInfo } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import * as RetryPolicy from "../RetryPolicy.js"
import * as Redirect from "./redirect.js"

/** Longer texts are pages of a proxy, not the service's words. */
const maxDetail = 2000

const info = (request: HttpClientRequest.HttpClientRequest): RequestInfo => ({
  method: request.method,
  path: Either.match(UrlParams.makeUrl(request.url, [], Option.none()), {
    onLeft: () => request.url,
    onRight: (url) => url.pathname
  })
})

/** `Retry-After` holds whole seconds or an HTTP date. */
const parseRetryAfter = (header: string | undefined, nowMillis: number): Option.Option<Duration.Duration> => {
  if (header === undefined) return Option.none()
  const text = header.trim()
  if (/^\d{1,9}$/.test(text)) return Option.some(Duration.seconds(Number(text)))
  // `Date.parse` alone sees dates in "-5" and "1.5" too.
  const at = text.endsWith("GMT") ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? Option.none() : Option.some(Duration.millis(at - nowMillis))
}

/** How long an answer asks to wait before the next request. */
export const retryAfter = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.map(Clock.currentTimeMillis, (now) => parseRetryAfter(response.headers["retry-after"], now))

const failureDetail = (text: string): string =>
  Schema.decodeUnknownOption(Schema.parseJson(FailureBody))(text).pipe(
    Option.filter((body) => body.error !== undefined),
    Option.match({ onNone: () => text.trim(), onSome: (body) => failureText(body.error) })
  )

/** Further texts that a request carries and that no error may show, beside the client's token. */
export class Secrets extends Context.Reference<Secrets>()("effect-contree/internal/Secrets", {
  defaultValue: (): ReadonlyArray<Redacted.Redacted> => []
}) {}

/** Takes secrets out of a text and cuts it to a bearable length. */
export type Scrub = (text: string) => string

/** A server may echo what it was sent, and errors end up in logs. */
export const scrub = (config: ContreeConfig): Effect.Effect<Scrub> =>
  Effect.map(Secrets, (secrets) => {
    const hidden = [...(config.token === undefined ? [] : [config.token]), ...secrets]
      .map(Redacted.value)
      .filter((secret) => secret !== "")
      // As it is, and as it stands in JSON.
      .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    return (text) => {
      const clean = hidden.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)
      return clean.length > maxDetail ? `${clean.slice(0, maxDetail)}…` : clean
    }
  })

/** Makes the error of an answer with a failure status. */
const fromStatus = (options: {
  readonly request: RequestInfo
  readonly status: number
  readonly detail: string
  readonly retryAfter: Option.Option<Duration.Duration>
}): RequestError => {
  const { request, retryAfter, status } = options
  const detail = options.detail === "" ? `The server answered ${status}` : options.detail
  const fields = { request, status, detail }
  switch (status) {
    case 401:
      return new ContreeError.Unauthorized({
        ...fields,
        suggestion: "Check the token (CONTREE_TOKEN) and, for IAM tokens, the project (CONTREE_PROJECT)"
      })
    case 403:
      return new ContreeError.Forbidden({
        ...fields,
        suggestion: "Check that the token is valid for this project and has the permission (account.whoami lists them)"
      })
    case 404:
      return new ContreeError.NotFound({
        ...fields,
        what: request.path,
        suggestion: "Check the id or tag, and that it belongs to the client's project"
      })
    case 409:
      return new ContreeError.Conflict({ ...fields, suggestion: "Look at the current state and decide again" })
    case 501:
      return new ContreeError.RequestRejected({
        ...fields,
        suggestion: "The service does not offer this; compare its version with this library's"
      })
    case 429:
      return new ContreeError.RateLimited({ ...fields, retryAfter, suggestion: "Run fewer things at once, or wait" })
    case 408:
    case 410:
    case 425:
      return new ContreeError.Unavailable({
        ...fields,
        retryAfter,
        // 425 says that the request was refused because it came too early.
        notStarted: status === 425,
        suggestion: "Try again in a moment"
      })
    default:
      return status >= 500
        ? new ContreeError.Unavailable({ ...fields, retryAfter, suggestion: "Try again; the fault is the server's" })
        : new ContreeError.RequestRejected({ ...fields, suggestion: "Correct the request" })
  }
}

const nodeErrorCode = (u: unknown): string | undefined =>
  typeof u === "object" && u !== null
    ? "code" in u && typeof u.code === "string"
      ? u.code
      : "cause" in u
        ? nodeErrorCode(u.cause)
        : undefined
    : undefined

/** Nothing of the request can have arrived when no connection came about. */
const noConnection = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENOENT", "EACCES", "UND_ERR_CONNECT_TIMEOUT"])

export const fromTransport = (error: HttpClientError.HttpClientError, scrub: Scrub): RequestError => {
  const request = info(error.request)
  if (error._tag === "ResponseError") {
    return new ContreeError.Unavailable({
      request,
      status: error.response.status,
      detail: "The connection broke before the whole answer was there",
      retryAfter: Option.none(),
      suggestion: "Try again, and check the network"
    })
  }
  if (error.reason === "InvalidUrl" || error.reason === "Encode") {
    return new ContreeError.RequestRejected({
      request,
      detail: scrub(error.description ?? error.message),
      suggestion: "Check the base URL and the request's values"
    })
  }
  const code = nodeErrorCode(error.cause)
  return new ContreeError.Unavailable({
    request,
    detail: `The service could not be reached${code === undefined ? "" : ` (${code})`}`,
    retryAfter: Option.none(),
    notStarted: code !== undefined && noConnection.has(code),
    suggestion: "Check the base URL and the network"
  })
}

const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** An answer with its whole body, so that one that stalls or breaks is a fault of the exchange like any other. */
const whole = (
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.ResponseError> =>
  // A failure's status says enough when its body is lost.
  response.status >= 400
    ? Effect.succeed(response)
    : Effect.map(response.arrayBuffer, (body) =>
        HttpClientResponse.fromWeb(
          response.request,
          new Response(bodiless.has(response.status) ? null : body, {
            status: response.status,
            headers: response.headers
          })
        )
      )

/** Repeats an effect by a schedule, as far as its error allows, and not before the server's `Retry-After`. */
export const retrySafely =
  (policy: RetryPolicy.RetryPolicy, method: HttpClientRequest.HttpClientRequest["method"]) =>
  <A, E extends ContreeError.ContreeError, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.retry(
      effect,
      Schedule.identity<E>().pipe(
        Schedule.intersect(policy.schedule),
        Schedule.whileInput((error: E) => RetryPolicy.isSafe(method, error)),
        Schedule.modifyDelay(([error], delay) =>
          Option.match(ContreeError.retryAfter(error), {
            onNone: () => delay,
            onSome: (asked) => Duration.max(asked, delay)
          })
        )
      )
    )

/** What the typed client of the API sends its requests through. */
export type Transport = HttpClient.HttpClient.With<RequestError>

/** A scheme without a host, or one that is not of the web; what has no scheme is a browser's own matter. */
const isForeign = (baseUrl: string): boolean =>
  /^[a-z][a-z0-9+.-]*:/i.test(baseUrl) && !/^https?:\/\/[^/]/i.test(baseUrl)

/** How long one exchange may take. */
export const requestTimeout = (config: ContreeConfig): Duration.Duration =>
  Duration.decode(config.requestTimeout ?? "60 seconds")

/** Whether an answer is given with its whole body, or while its body still comes. */
export type Body = "whole" | "streamed"

/**
 * Prepares a client for the service. The request's time limit is for the whole answer, or for its head where the body
 * is streamed.
 */
export const make = (client: HttpClient.HttpClient, config: ContreeConfig, body: Body = "whole"): Transport => {
  const limit = requestTimeout(config)
  const retry = config.retry ?? RetryPolicy.defaultPolicy
  const baseUrl = (config.baseUrl ?? hostedBaseUrl).replace(/\/+$/, "")

  const failOnStatus = Effect.fnUntraced(function* (
    response: HttpClientResponse.HttpClientResponse,
    request: RequestInfo
  ) {
    if (response.status < 400) return response
    const text = yield* Effect.orElseSucceed(response.text, () => "")
    return yield* Effect.fail(
      fromStatus({
        request,
        status: response.status,
        detail: (yield* scrub(config))(failureDetail(text)),
        retryAfter: yield* retryAfter(response)
      })
    )
  })

  const refuseForeign = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<void, RequestError> =>
    isForeign(baseUrl)
      ? new ContreeError.RequestRejected({
          request: info(request),
          detail: `The base URL ${JSON.stringify(baseUrl)} is not an http or https address`,
          suggestion: 'Give one such as "https://contree.dev"; no request was made'
        })
      : Effect.void

  return client.pipe(
    HttpClient.withTracerPropagation(config.tracePropagation ?? true),
    (client) => Redirect.follow(client, 3),
    body === "whole" ? HttpClient.transformResponse(Effect.flatMap(whole)) : (client) => client,
    HttpClient.mapRequest((request) =>
      pipe(
        request,
        HttpClientRequest.prependUrl(baseUrl),
        HttpClientRequest.acceptJson,
        config.token === undefined ? (request) => request : HttpClientRequest.bearerToken(config.token),
        config.project === undefined ? (request) => request : HttpClientRequest.setHeader("project", config.project)
      )
    ),
    HttpClient.catchAll((error) => Effect.flatMap(scrub(config), (scrub) => Effect.fail(fromTransport(error, scrub)))),
    HttpClient.transform((exchange, request) => {
      const where = info(request)
      const once = refuseForeign(request).pipe(
        Effect.andThen(exchange),
        Effect.flatMap((response) => failOnStatus(response, where)),
        Effect.timeoutFail({
          duration: limit,
          onTimeout: (): RequestError =>
            new ContreeError.TimedOut({
              request: where,
              detail: `No answer within ${Duration.format(limit)}`,
              suggestion: "Try again, or raise requestTimeout",
              limit: "request",
              after: limit
            })
        })
      )
      // A POST is repeated by its caller, who can cancel what an interrupted one started.
      return request.method === "POST" ? once : retrySafely(retry, request.method)(once)
    })
  )
}
