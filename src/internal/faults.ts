/**
 * Faults of an exchange with the service as the client's errors: by status, or by what happened to the connection.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { FailureBody, failureText } from "../api/Failure.js"
import type { RequestError, RequestInfo } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import type { Scrub } from "./secrets.js"

/** A path alone needs no parsing, which is costly where it fails, as it does outside a browser. */
const plainPath = /^\/[\w\-./]*$/

/** What an error says of its request: no query, no header. */
export const info = (request: HttpClientRequest.HttpClientRequest): RequestInfo => ({
  method: request.method,
  path: plainPath.test(request.url) ? request.url : pathOf(request.url)
})

const pathOf = (address: string): string =>
  Either.match(UrlParams.makeUrl(address, [], Option.none()), {
    onLeft: () => address,
    onRight: (url) => url.pathname
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

/** The words of a failure's body. */
export const failureDetail = (text: string): string =>
  Schema.decodeUnknownOption(Schema.parseJson(FailureBody))(text).pipe(
    Option.filter((body) => body.error !== undefined),
    Option.match({ onNone: () => text.trim(), onSome: (body) => failureText(body.error) })
  )

/** Makes the error of an answer with a failure status. */
export const fromStatus = (options: {
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
