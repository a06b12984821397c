/**
 * The engine behind the API: the handlers of every endpoint.
 *
 * @since 0.1.0
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ApiFailure } from "../api/Failure.js"
import { ContreeApi } from "../ContreeApi.js"
import type { AccessToken } from "./AccessToken.js"
import { accountGroup } from "./server/account.js"
import { notFound } from "./server/answers.js"
import { authorization } from "./server/authorization.js"
import { filesGroup } from "./server/files.js"
import { imagesGroup } from "./server/images.js"
import { inspectGroup } from "./server/inspect.js"
import { instancesGroup } from "./server/instances.js"
import { operationsGroup } from "./server/operations.js"
import { redirects } from "./server/redirects.js"
import { subprocessesGroup } from "./server/subprocesses.js"

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
 * Settings of the server.
 *
 * - `tokens`: every request must bear one of them. Without this every caller is allowed: the permissions of the socket
 *   are the check.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly tokens: ReadonlyArray<AccessToken> | undefined
}

/**
 * The handlers of the API over an engine.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options) =>
  Layer.mergeAll(
    HttpApiBuilder.api(ContreeApi).pipe(
      Layer.provide([
        accountGroup,
        filesGroup,
        imagesGroup,
        inspectGroup,
        instancesGroup,
        operationsGroup,
        subprocessesGroup
      ]),
      Layer.provide(authorization(options.tokens))
    ),
    redirects,
    failures
  )
