/**
 * Calls of the typed client: each failure as one of ours, and the requests of its endpoints for what it would buffer.
 */
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Started } from "../api/Images.js"
import { ContreeApi } from "../ContreeApi.js"
import type { ContreeConfig } from "../ContreeConfig.js"
import type { RequestError, RequestInfo, StartError } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import { fromJson } from "./compiledDecoding.js"
import type { Scrub } from "./secrets.js"
import { scrub } from "./secrets.js"

/** The contract's shape was not met by an answer. */
export class ResponseShape extends Data.TaggedError("ResponseShape")<{ readonly cause: ParseResult.ParseError }> {}

const isSuccess = (error: unknown): error is HttpClientError.ResponseError =>
  error instanceof HttpClientError.ResponseError && error.response.status >= 200 && error.response.status < 300

/** Where the body does not matter, neither does which of the success statuses it is: older services differ. */
export const orAnySuccess = <E>(error: E): Effect.Effect<void, E> =>
  isSuccess(error) ? Effect.void : Effect.fail(error)

/** A success under another status than the declared one, as older services give it, is read all the same. */
export const orSuccess =
  <A, I>(schema: Schema.Schema<A, I>) =>
  <E>(error: E): Effect.Effect<A, E | HttpClientError.ResponseError | ResponseShape> =>
    isSuccess(error)
      ? Effect.catchTag(HttpClientResponse.schemaBodyJson(schema)(error.response), "ParseError", (cause) =>
          Effect.fail(new ResponseShape({ cause }))
        )
      : Effect.fail(error)

/** The success of an endpoint that is called often, or gives much: its answer is read by a function of its schema. */
export const answerOf = <A, I>(schema: Schema.Schema<A, I>) => {
  const read = fromJson(schema)
  return (
    response: HttpClientResponse.HttpClientResponse
  ): Effect.Effect<A, HttpClientError.ResponseError | ResponseShape> =>
    response.status === 200
      ? Effect.flatMap(response.text, (text) => Either.mapLeft(read(text), (cause) => new ResponseShape({ cause })))
      : Effect.fail(new HttpClientError.ResponseError({ reason: "StatusCode", request: response.request, response }))
}

/** What an older service has started under another success status must be known all the same. */
export const orStarted = orSuccess(Started)

const isRequestError = Schema.is(ContreeError.RequestError)

/**
 * The derived client also names errors that the transport has turned into ours before it could see them. Its own
 * carry the whole request, the token included, so nothing of them but words goes on.
 */
const toRequestError = (request: RequestInfo, error: unknown, scrub: Scrub): RequestError => {
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

/** Turns each failure of a call into one of ours. */
export const toRequestErrors =
  (config: ContreeConfig, request: RequestInfo) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, RequestError, R> =>
    Effect.catchAll(effect, (error) =>
      Effect.flatMap(scrub(config), (scrub) => Effect.fail(toRequestError(request, error, scrub)))
    )

/** A gateway that gives up does not know what its upstream did. */
const mayHaveStarted = (error: RequestError): boolean =>
  (error._tag === "Unavailable" && !error.notStarted && error.status !== 503 && error.status !== 500) ||
  error._tag === "TimedOut" ||
  error._tag === "UnexpectedResponse"

/** Names what may have happened when a request that must not be sent twice got no clear answer. */
export const orOutcomeUnknown =
  (options: {
    readonly kind: NonNullable<ContreeError.OutcomeUnknown["lookFor"]>["kind"]
    readonly of: string
    /** What the request asked for, such as "the command on tag:app". */
    readonly what: string
    readonly done?: "started" | "been written"
  }) =>
  <A, R>(request: Effect.Effect<A, RequestError, R>): Effect.Effect<A, StartError, R> =>
    Effect.flatMap(DateTime.now, (from) =>
      Effect.catchIf(request, mayHaveStarted, (error) =>
        Effect.flatMap(DateTime.now, (to) => {
          const { done = "started", kind, of, what } = options
          const window = `${DateTime.formatIso(from)} and ${DateTime.formatIso(to)}`
          return new ContreeError.OutcomeUnknown({
            request: error.request,
            status: error.status,
            detail: `${error.detail.replace(/\.$/, "")}; ${what} may or may not have ${done}`,
            suggestion:
              kind === "instance" || kind === "image_import"
                ? `Before you start it again, look for it with Operation.stream({ kind: "${kind}" }) among those made between ${window}`
                : `Before you send it again, look at the events of operation ${of} between ${window}`,
            lookFor: { kind, of, from, to },
            cause: error
          })
        })
      )
    )

/** No error, which would look up where it was made. */
class Captured extends Data.TaggedClass("Captured")<{ readonly request: HttpClientRequest.HttpClientRequest }> {}

/**
 * The API with requests instead of answers: a stream is read raw, since the derived client would hold all of it in
 * memory, and its request still comes from the declaration.
 */
export const requests = HttpApiClient.makeWith(ContreeApi, {
  httpClient: HttpClient.makeWith(
    Effect.flatMap((request: HttpClientRequest.HttpClientRequest) => Effect.fail(new Captured({ request }))),
    Effect.succeed<HttpClientRequest.HttpClientRequest>
  )
})

/** The request of a call of {@link requests}. */
export const requestOf = <A, E>(
  call: Effect.Effect<A, E | Captured>
): Effect.Effect<HttpClientRequest.HttpClientRequest, Exclude<E, Captured>> =>
  Effect.matchEffect(call, {
    onSuccess: () => Effect.dieMessage("a request was sent that should only be made"),
    onFailure: (error) =>
      error instanceof Captured ? Effect.succeed(error.request) : Effect.fail(error as Exclude<E, Captured>)
  })
