import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Duration, Effect, Exit, Inspectable, Logger, LogLevel, Option, Redacted, Schema, Tracer } from "effect"
import { inspect } from "node:util"
import { ContreeClient } from "../src/ContreeClient.js"
import * as ContreeError from "../src/ContreeError.js"
import * as Image from "../src/Image.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, operationId, token } from "./fixtures/ScriptedService.js"

const fields = {
  request: { method: "GET", path: "/v1/whoami" },
  status: 418,
  detail: "It broke",
  suggestion: "Mend it"
}

/** One of each class. */
const all: { readonly [T in ContreeError.ContreeError["_tag"]]: ContreeError.ContreeError } = {
  NotFound: new ContreeError.NotFound({ ...fields, what: 'image tag "a:b"' }),
  Unauthorized: new ContreeError.Unauthorized(fields),
  Forbidden: new ContreeError.Forbidden(fields),
  Conflict: new ContreeError.Conflict(fields),
  RequestRejected: new ContreeError.RequestRejected(fields),
  RateLimited: new ContreeError.RateLimited({ ...fields, retryAfter: Option.some(Duration.seconds(3)) }),
  Unavailable: new ContreeError.Unavailable({ ...fields, retryAfter: Option.some(Duration.seconds(4)) }),
  TimedOut: new ContreeError.TimedOut({ ...fields, limit: "request", after: Duration.seconds(1) }),
  OutcomeUnknown: new ContreeError.OutcomeUnknown({ ...fields, cause: new Error("socket") }),
  OperationFailed: new ContreeError.OperationFailed({ ...fields, operationId, kind: "instance" }),
  OperationCancelled: new ContreeError.OperationCancelled({ ...fields, operationId, kind: "instance" }),
  UnexpectedResponse: new ContreeError.UnexpectedResponse(fields),
  InputFailed: new ContreeError.InputFailed({ ...fields, what: "standard input" })
}
const errors = Object.values(all)
const tagsWhere = (test: (error: ContreeError.ContreeError) => boolean) => errors.filter(test).map(({ _tag }) => _tag)

describe("every error", () => {
  it("says in one sentence what happened, where, and what to do", () => {
    for (const error of errors) assert.strictEqual(error.message, "It broke (GET /v1/whoami: 418). Mend it")
  })

  it("leaves out of the sentence what it does not know", () => {
    const { request, status: _, ...rest } = fields
    assert.strictEqual(new ContreeError.Conflict(rest).message, "It broke. Mend it")
    assert.strictEqual(new ContreeError.Conflict({ ...rest, request }).message, "It broke (GET /v1/whoami). Mend it")
  })

  it("is recognised, and nothing else is", () => {
    for (const error of errors) assert.isTrue(ContreeError.isContreeError(error), error._tag)
    for (const other of [new Error("It broke"), { _tag: "NotFound", ...fields }, null, undefined, "NotFound"]) {
      assert.isFalse(ContreeError.isContreeError(other))
    }
  })

  it.effect("survives a way over the wire", () =>
    Effect.gen(function* () {
      for (const error of errors) {
        const sent = yield* Schema.encode(ContreeError.ContreeError)(error)
        const received = yield* Schema.decodeUnknown(ContreeError.ContreeError)(JSON.parse(JSON.stringify(sent)))
        assert.strictEqual(received._tag, error._tag)
        assert.strictEqual(received.message, error.message)
        deepStrictEqual(ContreeError.retryAfter(received), ContreeError.retryAfter(error))
      }
    })
  )
})

describe("the questions to an error", () => {
  it("sort the errors by what a program would do", () => {
    deepStrictEqual(tagsWhere(ContreeError.isAuth), ["Unauthorized", "Forbidden"])
    deepStrictEqual(tagsWhere(ContreeError.isTransient), ["RateLimited", "Unavailable", "TimedOut"])
    const wait = new ContreeError.TimedOut({ ...fields, limit: "wait", after: Duration.seconds(1) })
    assert.isFalse(ContreeError.isTransient(wait))
  })

  it("give the wait that the server asked for", () => {
    const asked = errors.flatMap((error) =>
      Option.match(ContreeError.retryAfter(error), {
        onNone: () => [],
        onSome: (wait) => [[error._tag, Duration.toSeconds(wait)]]
      })
    )
    deepStrictEqual(asked, [
      ["RateLimited", 3],
      ["Unavailable", 4]
    ])
  })
})

/** Everything that can be reached from a value, as text: properties, hidden ones too, keys and bytes. */
const reachable = (root: unknown): string => {
  const seen = new Set<unknown>()
  const texts: Array<string> = []
  const visit = (value: unknown): void => {
    if (typeof value === "string") texts.push(value)
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return
    seen.add(value)
    if (value instanceof Uint8Array || value instanceof ArrayBuffer) texts.push(new TextDecoder().decode(value))
    if (value instanceof Map || value instanceof Set) for (const entry of value) visit(entry)
    for (const key of Reflect.ownKeys(value)) {
      const descriptor = Object.getOwnPropertyDescriptor(value, key)
      if (descriptor !== undefined && "value" in descriptor) visit(descriptor.value)
    }
  }
  visit(root)
  return texts.join("\n")
}

/** Runs an effect under a tracer and a logger that keep everything, and gives all texts in which a secret could hide. */
const everythingSaid = <A, E>(effect: Effect.Effect<A, E, ContreeClient>, service: Scripted.ScriptedService) =>
  Effect.gen(function* () {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        const events: Array<unknown> = []
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          spanId: "s",
          traceId: "t",
          parent,
          context,
          status: { _tag: "Started", startTime },
          attributes,
          links,
          sampled: true,
          kind,
          end: (_endTime, exit) => void events.push(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""),
          attribute: (key, value) => void attributes.set(key, value),
          event: (...event) => void events.push(event),
          addLinks: () => {}
        }
        spans.push(Object.assign(span, { events }))
        return span
      },
      context: (f) => f()
    })
    const logs: Array<unknown> = []
    const logger = Logger.make((entry) => void logs.push(Logger.logfmtLogger.log(entry), Logger.jsonLogger.log(entry)))

    const exit = yield* effect.pipe(
      Effect.tapErrorCause((cause) => Effect.logError("it failed", cause)),
      Effect.provide(service.layer({ project: "project-1" })),
      Effect.exit,
      Effect.withTracer(tracer),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.All)
    )
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    return {
      error,
      spans,
      logs,
      said: [
        String(error),
        error instanceof Error ? `${error.stack}` : "",
        JSON.stringify(error) ?? "",
        Inspectable.toStringUnknown(error),
        inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true }),
        inspect(exit, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
        Exit.isFailure(exit) ? Cause.pretty(exit.cause, { renderErrorCause: true }) : "",
        ContreeError.isContreeError(error)
          ? JSON.stringify(yield* Schema.encode(ContreeError.ContreeError)(error))
          : "",
        reachable(error),
        ...logs.map(String),
        inspect(
          spans.map(({ attributes, name, ...span }) => [name, attributes, "events" in span ? span.events : []]),
          { depth: Number.POSITIVE_INFINITY, maxArrayLength: null, maxStringLength: null }
        )
      ].join("\n")
    }
  })

describe("the token", () => {
  const me = Effect.flatMap(ContreeClient, ({ account }) => account.whoami)
  const spawn = Effect.flatMap(ContreeClient, ({ instances }) => instances.spawn({ command: "true", image: image.id }))
  const echo = `you sent Bearer ${token}`

  const replies: ReadonlyArray<readonly [what: string, reply: Scripted.Reply]> = [
    ["a refusal that repeats it", Scripted.failure(401, echo)],
    ["a refusal with an object that repeats it", Scripted.failure(400, { headers: { authorization: echo } })],
    ["a page that repeats it", Scripted.text(`<pre>${echo}</pre>`, 502)],
    ["a page that repeats it where it is cut", Scripted.text(`${"x".repeat(1990)}${token}`, 502)],
    ["a success of another shape that repeats it", Scripted.json({ token_uuid: 1, permissions: { [echo]: echo } })],
    ["a success that is no JSON and repeats it", Scripted.text(echo, 200)],
    ["a status outside of the contract", Scripted.text(echo, 203)],
    ["a redirect", Scripted.empty(302)],
    ["a connection that breaks", Scripted.broken("ECONNRESET")]
  ]
  it.effect.each(replies)("appears nowhere after %s", ([_what, reply]) =>
    Effect.gen(function* () {
      for (const [route, call] of [
        ["GET /v1/whoami", me],
        ["POST /v1/instances", spawn]
      ] as const) {
        const { error, logs, said, spans } = yield* everythingSaid<unknown, unknown>(
          call,
          Scripted.make({ [route]: reply })
        )
        assert.isTrue(ContreeError.isContreeError(error))
        // The net is spread where things are: the spans and the log of this call are in it.
        assert.include(said, "http.request.header.authorization")
        assert.isNotEmpty(logs)
        assert.isTrue(spans.some(({ name }) => name.startsWith("ContreeClient.")))
        for (const part of [token, token.slice(0, 10)]) assert.notInclude(said, part)
      }
    })
  )

  it.effect("appears nowhere as it stands in JSON either", () =>
    Effect.gen(function* () {
      const odd = 'quote"and\\slash'
      const service = Scripted.make({ "GET /v1/whoami": Scripted.failure(400, { sent: odd }) })
      const error = yield* Effect.flip(me).pipe(Effect.provide(service.layer({ token: Redacted.make(odd) })))
      assert.strictEqual(error.detail, '{"sent":"<redacted>"}')
    })
  )

  it.effect("that is empty leaves the server's words as they are", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "GET /v1/whoami": Scripted.failure(400, "no") })
      const error = yield* Effect.flip(me).pipe(Effect.provide(service.layer({ token: Redacted.make("") })))
      assert.strictEqual(error.detail, "no")
    })
  )
})

describe("the credentials of a registry", () => {
  const password = "p4ssw0rd-of-the-registry"
  const bringIn = Image.importFrom("docker://ghcr.io/owner/app:1", {
    credentials: { username: "user", password: Redacted.make(password) },
    timeout: "10 minutes"
  })
  const post = "POST /v1/images/import"

  it.effect("travel once, with the import", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [post]: Scripted.json({ uuid: operationId }, 201),
        [`GET /v1/operations/${operationId}`]: Scripted.json(
          Scripted.operation("SUCCESS", { kind: "image_import", result: { image: image.id, tag: null } })
        )
      })
      const { said, spans } = yield* everythingSaid(bringIn, service)
      deepStrictEqual(service.of(post)[0]?.body, {
        registry: { url: "docker://ghcr.io/owner/app:1", credentials: { username: "user", password } },
        tag: "ghcr.io/owner/app:1",
        timeout: 600
      })
      assert.strictEqual(JSON.stringify(service.requests).split(password).length, 2)
      assert.isTrue(spans.some(({ name }) => name === "Image.importFrom"))
      assert.notInclude(said, password)
    })
  )

  const replies: ReadonlyArray<readonly [what: string, reply: Scripted.Reply]> = [
    ["a refusal", Scripted.failure(403, "no")],
    ["a refusal that repeats them", Scripted.failure(400, [{ input: { username: "user", password } }])],
    ["an answer of another shape that repeats them", Scripted.json({ uuid: { password } }, 201)],
    ["a gateway's fault", Scripted.text(`upstream got ${password}`, 502)],
    ["a connection that breaks", Scripted.broken("ECONNRESET")]
  ]
  it.effect.each(replies)("appear nowhere after %s", ([_what, reply]) =>
    Effect.gen(function* () {
      const { error, said } = yield* everythingSaid(bringIn, Scripted.make({ [post]: reply }))
      assert.isTrue(ContreeError.isContreeError(error))
      assert.notInclude(said, password)
    })
  )

  it.effect("appear nowhere when the request is refused here", () =>
    Effect.gen(function* () {
      const call = Image.importFrom("docker://ghcr.io/owner/app:1", {
        credentials: { username: "user", password: Redacted.make(password) },
        timeout: Duration.infinity
      })
      const { error, said } = yield* everythingSaid(call, Scripted.make({}))
      assert.isTrue(ContreeError.isContreeError(error))
      assert.notInclude(said, password)
    })
  )
})
