/** What the server answers beside the API: its description, its health, its figures. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { ApiFailure } from "../../api/Failure.js"
import type { AccessToken } from "../AccessToken.js"
import type { Engine } from "../Engine.js"
import type { ImageStore } from "../ImageStore.js"
import type { OperationStore } from "../OperationStore.js"
import type { Scheduler } from "../Scheduler.js"
import { authenticated, check } from "./authorization.js"
import type { Drain } from "./drain.js"
import { respond } from "./failures.js"
import * as Health from "./health.js"
import { metrics } from "./metrics.js"
import { docs, openApi } from "./openapi.js"
import { pathOf } from "./routes.js"

/** Figures of all projects are for whoever may list something. */
const guardedMetrics = (tokens: ReadonlyArray<AccessToken> | undefined) =>
  Effect.gen(function* () {
    if (tokens !== undefined) {
      const { headers } = yield* HttpServerRequest.HttpServerRequest
      const token = yield* authenticated(tokens, /^Bearer (.*)$/i.exec(headers["authorization"] ?? "")?.[1] ?? "")
      yield* check(new Set(token.permissions), ["list"])
    }
    return yield* metrics
  })

/** What the pages are made of. */
export type Needs = Drain | Engine | ImageStore | OperationStore | Scheduler

type Page = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  ApiFailure,
  Needs | HttpServerRequest.HttpServerRequest
>

const pageOf = (path: string, tokens: ReadonlyArray<AccessToken> | undefined): Page | undefined => {
  switch (path) {
    case "/livez":
      return Health.live
    case "/healthz":
    case "/readyz":
      return Health.ready
    case "/metrics":
      return guardedMetrics(tokens)
    case "/openapi.json":
      return Effect.succeed(openApi)
    case "/docs":
      return Effect.sync(docs)
    default:
      return undefined
  }
}

const onlyReads = (path: string, method: string) =>
  respond(new ApiFailure({ status: 405, error: `${path} knows GET, not ${method}` }), { allow: "GET, HEAD" })

export const pages =
  (tokens: ReadonlyArray<AccessToken> | undefined, context: Context.Context<Needs>) =>
  <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E | ApiFailure, R> =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }): HttpApp.Default<E | ApiFailure, R> => {
      const path = pathOf(url)
      const page = pageOf(path, tokens)
      if (page === undefined) return app
      return method === "GET" || method === "HEAD"
        ? Effect.map(Effect.provide(page, context), HttpServerResponse.setHeader("cache-control", "no-store"))
        : Effect.succeed(onlyReads(path, method))
    })
