/**
 * The engine behind the API: the handlers of every endpoint.
 *
 * @since 0.1.0
 */
import { createHash, timingSafeEqual } from "node:crypto"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Caller, Permission } from "../api/Account.js"
import { ApiFailure } from "../api/Failure.js"
import { Authorization, ContreeApi } from "../ContreeApi.js"
import * as Uuid from "../internal/uuid.js"
import { accountGroup } from "./server/account.js"
import { notFound } from "./server/answers.js"
import { filesGroup } from "./server/files.js"
import { imagesGroup } from "./server/images.js"
import { inspectGroup } from "./server/inspect.js"
import { instancesGroup } from "./server/instances.js"
import { operationsGroup } from "./server/operations.js"
import { subprocessesGroup } from "./server/subprocesses.js"

const digestOf = (text: string) => createHash("sha256").update(text).digest()

/** Without a token every caller is allowed: the socket's permissions are the check. */
const authorization = (token: Option.Option<Redacted.Redacted>) =>
  Layer.effect(
    Authorization,
    Effect.map(Uuid.make, (tokenId) => {
      const caller = Caller.of({ tokenId, project: "default", permissions: new Set(Permission.literals) })
      return Authorization.of({
        bearer: (given) =>
          Option.match(token, {
            onNone: () => Effect.succeed(caller),
            onSome: (expected) =>
              // Equal lengths, compared in equal time, tell nothing about the token.
              timingSafeEqual(digestOf(Redacted.value(given)), digestOf(Redacted.value(expected)))
                ? Effect.succeed(caller)
                : Effect.fail(new ApiFailure({ status: 401, error: "The bearer token is missing or unknown" }))
          })
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
      filesGroup,
      imagesGroup,
      inspectGroup,
      instancesGroup,
      operationsGroup,
      subprocessesGroup,
      authorization(token)
    ]),
    failures
  )
