/**
 * One HTTP exchange with the service: headers, limits on its time, and every failure as a typed error.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { pipe } from "effect/Function"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import type { ContreeConfig } from "../ContreeConfig.js"
import { hostedBaseUrl, sendsProject } from "../ContreeConfig.js"
import type { RequestError, RequestInfo } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import * as ContreeMetrics from "../ContreeMetrics.js"
import * as Bodies from "./bodies.js"
import * as Faults from "./faults.js"
import * as Redirect from "./redirect.js"
import type { Repetition } from "./repeating.js"
import { retrySafely } from "./repeating.js"
import { scrub } from "./secrets.js"

/** What the typed client of the API sends its requests through. */
export type Transport<R = never> = HttpClient.HttpClient.With<RequestError, R>

/** A scheme without a host, or one that is not of the web; what has no scheme is a browser's own matter. */
const isForeign = (baseUrl: string): boolean =>
  /^[a-z][a-z0-9+.-]*:/i.test(baseUrl) && !/^https?:\/\/[^/]/i.test(baseUrl)

/** Why no request can be made with these settings. Neither a token nor a password may stand in the reason. */
const unusable = (config: ContreeConfig): { readonly detail: string; readonly suggestion: string } | undefined => {
  const baseUrl = config.baseUrl ?? hostedBaseUrl
  if (/\/\/[^/?#]*@/.test(baseUrl)) {
    return {
      detail: "The base URL holds a name or password, which would be seen in traces",
      suggestion: "Give the credentials as the token; no request was made"
    }
  }
  if (isForeign(baseUrl.replace(/\/+$/, ""))) {
    return {
      detail: `The base URL ${JSON.stringify(baseUrl)} is not an http or https address`,
      suggestion: 'Give one such as "https://contree.dev"; no request was made'
    }
  }
  if (config.token !== undefined && !/^[\x21-\x7e]*$/.test(Redacted.value(config.token))) {
    return {
      detail: "The token has blanks, line ends or other characters that a header cannot carry",
      suggestion: "Check how the token was read; no request was made"
    }
  }
  return undefined
}

/** How long one exchange may take. */
export const requestTimeout = (config: ContreeConfig): Duration.Duration =>
  Duration.decode(config.requestTimeout ?? "60 seconds")

/** How long a stream may stand still. */
export const idleLimit = (config: ContreeConfig): Duration.Duration => Duration.decode(config.idleLimit ?? "60 seconds")

/** Looking up a metric by its tags costs more than counting, and there are few of them. */
const metricsOf = () => {
  const requests = new Map<string, typeof ContreeMetrics.requests>()
  const durations = new Map<string, typeof ContreeMetrics.requestDuration>()
  const remembered = <A>(all: Map<string, A>, key: string, make: () => A): A => {
    const known = all.get(key) ?? make()
    all.set(key, known)
    return known
  }
  return {
    requests: (method: string, status: string) =>
      remembered(requests, `${method} ${status}`, () =>
        Metric.tagged(Metric.tagged(ContreeMetrics.requests, "method", method), "status", status)
      ),
    duration: (method: string) =>
      remembered(durations, method, () => Metric.tagged(ContreeMetrics.requestDuration, "method", method))
  }
}

const counted = <E, R>(client: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> => {
  const metrics = metricsOf()
  return HttpClient.transform(client, (exchange, { method }) =>
    Effect.flatMap(Clock.currentTimeMillis, (started) =>
      Effect.onExit(exchange, (exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const status = Exit.isSuccess(exit) ? String(exit.value.status) : "none"
          return Effect.zipRight(
            Metric.increment(metrics.requests(method, status)),
            Metric.update(metrics.duration(method), Duration.millis(now - started))
          )
        })
      )
    )
  )
}

const nobodyTraces: Tracer.Tracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * The platform makes a span of each exchange. Where no tracer was given nobody sees it, and it costs as much as all the
 * rest of the exchange; then the trace headers are those of the span around it.
 */
const traced = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  propagate: boolean
): HttpClient.HttpClient.With<E, R> => {
  const seen = HttpClient.withTracerPropagation(client, propagate)
  const unseen = HttpClient.withTracerDisabledWhen(client, () => true)
  return HttpClient.makeWith(
    Effect.flatMap((request: HttpClientRequest.HttpClientRequest) =>
      Effect.withFiberRuntime<HttpClientResponse.HttpClientResponse, E, R>(({ currentSpan, currentTracer }) =>
        currentTracer !== nobodyTraces
          ? seen.execute(request)
          : unseen.execute(
              propagate && currentSpan?._tag === "Span"
                ? HttpClientRequest.setHeaders(request, HttpTraceContext.toHeaders(currentSpan))
                : request
            )
      )
    ),
    Effect.succeed<HttpClientRequest.HttpClientRequest>
  )
}

/** Whether an answer is given with its whole body, or while its body still comes. */
export type Body = "whole" | "streamed"

/**
 * Prepares a client for the service. The request's time limit is for the whole answer, or for its head where the body
 * is streamed.
 */
export const make = <R>(
  client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
  config: ContreeConfig,
  repetition: Repetition,
  body: Body = "whole"
): Transport<R> => {
  const limits = { requestTimeout: requestTimeout(config), idleLimit: idleLimit(config) }
  const baseUrl = (config.baseUrl ?? hostedBaseUrl).replace(/\/+$/, "")
  const obstacle = unusable(config)
  const project = sendsProject(config) ? config.project : undefined

  const exchange = client.pipe(
    (client) => traced(client, config.tracePropagation ?? true),
    counted,
    (client) => Redirect.follow(client, 3),
    HttpClient.mapRequest((request) =>
      pipe(
        request,
        HttpClientRequest.prependUrl(baseUrl),
        (request) => (request.headers["accept"] === undefined ? HttpClientRequest.acceptJson(request) : request),
        config.token === undefined ? (request) => request : HttpClientRequest.bearerToken(config.token),
        project === undefined ? (request) => request : HttpClientRequest.setHeader("project", project)
      )
    )
  )

  const fromResponse = Effect.fnUntraced(function* (
    response: HttpClientResponse.HttpClientResponse,
    where: RequestInfo
  ) {
    if (response.status < 400) return body === "whole" ? yield* Bodies.whole(response, where) : response
    // A failure's status says enough when its body is lost.
    const text = yield* Effect.orElseSucceed(response.text, () => "")
    return yield* Effect.fail(
      Faults.fromStatus({
        request: where,
        status: response.status,
        detail: (yield* scrub(config))(Faults.failureDetail(text)),
        retryAfter: yield* Faults.retryAfter(response)
      })
    )
  })

  const send = (request: HttpClientRequest.HttpClientRequest, where: RequestInfo) =>
    exchange.execute(request).pipe(
      Effect.flatMap((response) => fromResponse(response, where)),
      Effect.catchTags({
        RequestError: (error) =>
          Effect.flatMap(scrub(config), (scrub) => Effect.fail(Faults.fromTransport(error, scrub))),
        ResponseError: (error) =>
          Effect.flatMap(scrub(config), (scrub) => Effect.fail(Faults.fromTransport(error, scrub)))
      })
    )

  return HttpClient.makeWith(
    Effect.flatMap((request: HttpClientRequest.HttpClientRequest) => {
      const where = Faults.info(request)
      if (obstacle !== undefined) return new ContreeError.RequestRejected({ request: where, ...obstacle })
      const once = Bodies.withinLimits({ request, where, ...limits, send: (request) => send(request, where) })
      // A POST is repeated by its caller, who can cancel what an interrupted one started.
      return request.method === "POST" ? once : retrySafely(repetition, request.method)(once)
    }),
    Effect.succeed<HttpClientRequest.HttpClientRequest>
  )
}
