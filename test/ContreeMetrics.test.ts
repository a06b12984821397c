import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Fiber, HashMap, Layer, Logger, LogLevel, Metric, Option, Schedule, TestClock, Tracer } from "effect"
import { ContreeClient } from "../src/ContreeClient.js"
import * as ContreeMetrics from "../src/ContreeMetrics.js"
import * as Image from "../src/Image.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, operationId, record } from "./fixtures/ScriptedService.js"

const route = `GET /v1/inspect/${image.id}/`
const byId = Effect.flatMap(ContreeClient, ({ inspect }) => inspect.byId(image.id))
const policy = { schedule: Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(2)) }

const onClock = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.fork(effect).pipe(
    Effect.tap(() => TestClock.adjust("30 seconds")),
    Effect.flatMap(Fiber.join)
  )

const requestsOf = (method: string, status: string) =>
  Effect.map(
    Metric.value(Metric.tagged(Metric.tagged(ContreeMetrics.requests, "method", method), "status", status)),
    ({ count }) => count
  )

describe("the metrics of a client", () => {
  it.effect("count each request by method and status, each repetition by its reason, and the time of both", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [route]: [Scripted.failure(503), Scripted.broken("ECONNRESET"), Scripted.json(record())]
      })
      const retriesOf = (reason: string) =>
        Effect.map(
          Metric.value(Metric.tagged(Metric.tagged(ContreeMetrics.retries, "method", "GET"), "reason", reason)),
          ({ count }) => count
        )
      const read = Effect.all([
        requestsOf("GET", "503"),
        requestsOf("GET", "none"),
        requestsOf("GET", "200"),
        retriesOf("503"),
        retriesOf("Unavailable"),
        Effect.map(Metric.value(Metric.tagged(ContreeMetrics.requestDuration, "method", "GET")), ({ count }) => count)
      ])
      const before = yield* read
      yield* onClock(byId.pipe(Effect.provide(service.layer({ retry: policy }))))
      const after = yield* read
      deepStrictEqual(
        after.map((count, index) => count - (before[index] ?? 0)),
        [1, 1, 1, 1, 1, 3]
      )
    })
  )

  it.effect("measure operations by kind and outcome", () =>
    Effect.gen(function* () {
      const durations = (outcome: string) =>
        Metric.value(
          Metric.tagged(Metric.tagged(ContreeMetrics.operationDuration, "kind", "image_import"), "outcome", outcome)
        )
      const look = (status: string, fields = {}) => Scripted.json(Scripted.operation(status, fields))
      for (const [outcome, last] of [
        ["success", look("SUCCESS", { result: { image: image.id, tag: null } })],
        ["OperationFailed", look("FAILED", { error: "no" })]
      ] as const) {
        const before = yield* durations(outcome)
        const service = Scripted.make({
          "POST /v1/images/import": Scripted.json({ uuid: operationId }, 201),
          [`GET /v1/operations/${operationId}`]: [look("EXECUTING"), last],
          [route]: Scripted.json(record())
        })
        yield* onClock(Effect.either(Image.importFrom("docker://busybox")).pipe(Effect.provide(service.layer())))
        const after = yield* durations(outcome)
        deepStrictEqual([after.count - before.count, after.sum - before.sum], [1, 1000])
      }
    })
  )
})

describe("what a client tells of a repetition", () => {
  it.effect("is a debug message with the request and the error", () =>
    Effect.gen(function* () {
      const told: Array<Record<string, unknown>> = []
      const logger = Logger.make(({ annotations, logLevel, message }) => {
        told.push({
          level: logLevel.label,
          message: String(message),
          ...Object.fromEntries(HashMap.toEntries(annotations))
        })
      })
      const service = Scripted.make({ [route]: [Scripted.failure(503, "busy"), Scripted.json(record())] })
      yield* onClock(
        byId.pipe(
          Effect.provide(Layer.merge(service.layer({ retry: policy }), Logger.replace(Logger.defaultLogger, logger))),
          Logger.withMinimumLogLevel(LogLevel.Debug)
        )
      )
      deepStrictEqual(told, [
        {
          level: "DEBUG",
          message: "Sent again: busy",
          "contree.error": "Unavailable",
          "contree.request": `GET /v1/inspect/${image.id}/`
        }
      ])
    })
  )
})

describe("the spans of a client", () => {
  it.effect("are those of HTTP beneath and of ConTree above", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        context: (f) => f(),
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          const span: Tracer.Span = {
            _tag: "Span",
            spanId: String(spans.length),
            traceId: "trace",
            name,
            parent,
            context,
            links: [...links],
            kind,
            sampled: true,
            status: { _tag: "Started", startTime },
            attributes,
            end: () => {},
            attribute: (key, value) => void attributes.set(key, value),
            event: () => {},
            addLinks: () => {}
          }
          spans.push(span)
          return span
        }
      })
      yield* byId.pipe(
        Effect.provide(Scripted.make({ [route]: Scripted.json(record()) }).layer()),
        Effect.withTracer(tracer)
      )
      const [above, beneath] = spans
      deepStrictEqual([above?.name, above?.attributes.get("contree.image")], ["ContreeClient.inspect.byId", image.id])
      assert.strictEqual(beneath?.name, "http.client GET")
      assert.strictEqual(
        Option.map(beneath?.parent ?? Option.none(), ({ spanId }) => spanId).pipe(Option.getOrUndefined),
        "0"
      )
      deepStrictEqual(
        ["http.request.method", "http.response.status_code", "url.path"].map((key) => beneath?.attributes.get(key)),
        ["GET", 200, `/v1/inspect/${image.id}/`]
      )
    })
  )
})
