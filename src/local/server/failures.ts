/** Every failure in the contract's shape, the platform's own ones too. */
import * as HttpApiError from "@effect/platform/HttpApiError"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { ApiFailure } from "../../api/Failure.js"
import { methodsOf, pathOf } from "./routes.js"

/** What a client may do again is worth a second's wait, unless the failure knows better. */
const retryLater: ReadonlyMap<number, number> = new Map([
  [410, 1],
  [425, 1],
  [429, 1],
  [503, 1]
])

/** A failure as a response; `headers` are added to those that its status asks for. */
export const respond = (failure: ApiFailure, headers: Readonly<Record<string, string>> = {}) => {
  const { error, status } = failure
  const retryAfter = failure.retryAfterSeconds ?? retryLater.get(status)
  return HttpServerResponse.unsafeJson(
    { error, status },
    {
      status,
      headers: {
        ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
        ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
        ...headers
      }
    }
  )
}

const complaint = (error: HttpApiError.HttpApiDecodeError): string =>
  error.issues.map(({ message, path }) => `${path.map(String).join(".")}: ${message}`).join("; ")

const noRoute = ({ method, url }: HttpServerRequest.HttpServerRequest) => {
  const methods = methodsOf(url)
  if (methods.includes(method)) {
    return respond(new ApiFailure({ status: 400, error: "The path is not well encoded" }))
  }
  return methods.length === 0
    ? respond(new ApiFailure({ status: 404, error: `There is no endpoint ${method} ${pathOf(url)}` }))
    : respond(new ApiFailure({ status: 405, error: `${pathOf(url)} knows ${methods.join(", ")}, not ${method}` }), {
        allow: methods.join(", ")
      })
}

const ofCause = (cause: Cause.Cause<unknown>) => {
  const error = Cause.squash(cause)
  if (error instanceof ApiFailure) return Effect.succeed(respond(error))
  if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
  if (error instanceof HttpApiError.HttpApiDecodeError) {
    return Effect.succeed(respond(new ApiFailure({ status: 400, error: complaint(error) })))
  }
  if (error instanceof HttpServerError.RouteNotFound) return Effect.succeed(noRoute(error.request))
  if (error instanceof HttpServerError.RequestError) {
    // The rest of a body that is too large is not read: the connection ends with the answer.
    return Effect.succeed(
      error.cause instanceof ApiFailure
        ? respond(error.cause, error.cause.status === 413 ? { connection: "close" } : {})
        : respond(new ApiFailure({ status: 400, error: "The request's body could not be read as JSON" }))
    )
  }
  return Effect.as(
    Effect.logError("a request failed", cause),
    respond(new ApiFailure({ status: 500, error: "The engine failed; its log says why" }))
  )
}

/** Answers with what went wrong. */
export const failures = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<never, R> =>
  Effect.catchAllCause(app, ofCause)
