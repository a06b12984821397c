/** What the log and the figures say of each request. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type { Caller } from "../../api/Account.js"
import * as Uuid from "../../internal/uuid.js"
import { declaredPath, pathOf } from "./routes.js"

/** Whom the request that this fiber answers comes from, once that is known. */
export const currentCaller = FiberRef.unsafeMake(Option.none<Caller["Type"]>())

const total = Metric.counter("contree_http_requests_total", {
  description: "Requests that were answered",
  incremental: true
})

const seconds = Metric.histogram(
  "contree_http_request_duration_seconds",
  MetricBoundaries.fromIterable([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]),
  "Seconds until the answer began"
)

/** A broken path has no name of its own, so that nobody can make the figures grow. */
const routeOf = (url: string) => declaredPath(url) ?? "other"

const reads = (method: string) => method === "GET" || method === "HEAD" || method === "OPTIONS"

const record = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  status: number,
  started: number
) {
  const millis = (yield* Clock.currentTimeMillis) - started
  const route = routeOf(request.url)
  const { method } = request
  yield* Metric.increment(
    Metric.taggedWithLabels(total, [
      MetricLabel.make("method", method),
      MetricLabel.make("route", route),
      MetricLabel.make("status", String(status))
    ])
  )
  yield* Metric.update(Metric.tagged(seconds, "route", route), millis / 1000)
  const caller = yield* FiberRef.get(currentCaller)
  // Looking at operations again and again would fill the log.
  const level = reads(method) && status < 400 ? LogLevel.Debug : status < 500 ? LogLevel.Info : LogLevel.Warning
  yield* Effect.logWithLevel(level, "request").pipe(
    Effect.annotateLogs({
      method,
      path: pathOf(request.url),
      status,
      ms: millis,
      ...Option.match(caller, {
        onNone: () => ({}),
        onSome: ({ project, tokenId }) => ({ token: tokenId, project })
      })
    })
  )
})

/** Gives each request an id, which the answer and every line of the log about it carry. */
export const recorded = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const id = yield* Uuid.make
    const started = yield* Clock.currentTimeMillis
    return yield* app.pipe(
      Effect.map(HttpServerResponse.setHeader("x-request-id", id)),
      Effect.tap(({ status }) => record(request, status, started)),
      // 499 is what servers say where the client has gone.
      Effect.onInterrupt(() => record(request, 499, started)),
      Effect.annotateLogs("request", id)
    )
  })
