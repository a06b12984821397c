import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { ConfigProvider, Deferred, Duration, Effect, Fiber, Layer, Option, Redacted, TestClock } from "effect"
import { ContreeClient, layer as layerFromEnvironment, layerWith } from "../src/ContreeClient.js"
import type { ContreeConfig } from "../src/ContreeConfig.js"
import * as ContreeError from "../src/ContreeError.js"
import * as RetryPolicy from "../src/RetryPolicy.js"
import { listening } from "./fixtures/HttpListener.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, operationId, record, tag } from "./fixtures/ScriptedService.js"

const whoami = { token_uuid: "t", token_expiration: null, permissions: { list: true }, operations_stat: {} }

const me = Effect.flatMap(ContreeClient, (client) => client.account.whoami)
const spawn = Effect.flatMap(ContreeClient, (client) => client.instances.spawn({ command: "true", image: image.id }))
const importBusybox = Effect.flatMap(ContreeClient, (client) =>
  client.images.import({ registry: { url: "docker://docker.io/library/busybox:latest" } })
)

/** The failure of `whoami` when the service answers it so. */
const failureOf = (reply: Scripted.Reply, config?: Partial<ContreeConfig>) =>
  Effect.flip(me).pipe(Effect.provide(Scripted.make({ "GET /v1/whoami": reply }).layer(config)))

describe("every request", () => {
  it.effect("carries the bearer token, the project and the wish for JSON, under the path prefix of the base URL", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "GET /sandboxes/v1/whoami": Scripted.json(whoami) })
      const caller = yield* me.pipe(
        Effect.provide(service.layer({ baseUrl: "http://contree.test/sandboxes//", project: "project-1" }))
      )
      assert.strictEqual(caller.tokenId, "t")
      const [request] = service.requests
      assert.strictEqual(request?.headers["authorization"], `Bearer ${Scripted.token}`)
      assert.strictEqual(request?.headers["project"], "project-1")
      assert.strictEqual(request?.headers["accept"], "application/json")
    })
  )

  it.effect("has neither an authorization nor a project where there is none", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "GET /v1/whoami": Scripted.json(whoami) })
      yield* me.pipe(Effect.provide(service.layer({ token: undefined })))
      assert.notProperty(service.requests[0]?.headers, "authorization")
      assert.notProperty(service.requests[0]?.headers, "project")
    })
  )

  it.effect("carries the trace of the program unless that is turned off", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "GET /v1/whoami": Scripted.json(whoami) })
      yield* me.pipe(Effect.provide(service.layer()))
      yield* me.pipe(Effect.provide(service.layer({ tracePropagation: false })))
      assert.property(service.requests[0]?.headers, "traceparent")
      assert.notProperty(service.requests[1]?.headers, "traceparent")
      assert.notProperty(service.requests[1]?.headers, "b3")
    })
  )
})

describe("the endpoints", () => {
  it.effect("send what the contract says and give the program's own types", () =>
    Effect.gen(function* () {
      const started = Scripted.json({ uuid: operationId }, 201)
      const service = Scripted.make({
        "GET /v1/whoami": Scripted.json({
          ...whoami,
          token_expiration: 1_700_000_000,
          limits: { instance_max_timeout: 600 }
        }),
        "GET /v1/images": Scripted.json({ images: [record()] }),
        "POST /v1/images/import": started,
        [`PATCH /v1/images/${image.id}/tag`]: Scripted.json(record()),
        [`DELETE /v1/images/${image.id}/tag`]: Scripted.empty(204),
        "GET /v1/inspect/": Scripted.json(record()),
        [`GET /v1/inspect/${image.id}/`]: Scripted.json(record()),
        "POST /v1/instances": started,
        "GET /v1/operations": Scripted.json([Scripted.operation("EXECUTING")]),
        [`GET /v1/operations/${operationId}`]: Scripted.json(Scripted.operation("EXECUTING"), 200, {
          "retry-after": "7"
        }),
        [`DELETE /v1/operations/${operationId}`]: Scripted.empty(202)
      })
      yield* Effect.gen(function* () {
        const client = yield* ContreeClient
        const { limits, tokenExpiration } = yield* client.account.whoami
        deepStrictEqual([tokenExpiration, limits], [Option.some(1_700_000_000), { instance_max_timeout: 600 }])
        deepStrictEqual(
          (yield* client.images.list({ id: image.id, tagged: false, limit: 1, offset: 2 })).map(({ id }) => id),
          [image.id]
        )
        assert.strictEqual(
          yield* client.images.import({ registry: { url: "docker://docker.io/library/busybox" }, tag }),
          operationId
        )
        assert.strictEqual((yield* client.images.tag(image.id, tag)).id, image.id)
        yield* client.images.untag(image.id, tag)
        yield* client.images.untag(image.id)
        assert.strictEqual((yield* client.inspect.byTag(tag)).id, image.id)
        assert.strictEqual((yield* client.inspect.byId(image.id)).id, image.id)
        assert.strictEqual(yield* client.instances.spawn({ command: "true", image: image.id }), operationId)
        assert.strictEqual(
          (yield* client.operations.list({ status: "EXECUTING", kind: "instance" }))[0]?.status,
          "EXECUTING"
        )
        assert.strictEqual((yield* client.operations.get(operationId)).id, operationId)
        deepStrictEqual((yield* client.operations.poll(operationId)).retryAfter, Option.some(Duration.seconds(7)))
        assert.isTrue(yield* client.operations.cancel(operationId))
      }).pipe(Effect.provide(service.layer()))

      const query = (route: string) => service.of(route).map(({ query }) => query)
      const body = (route: string) => service.of(route).map(({ body }) => body)
      deepStrictEqual(query("GET /v1/images"), [{ uuid: image.id, tagged: "0", limit: "1", offset: "2" }])
      deepStrictEqual(query("GET /v1/inspect/"), [{ tag }])
      deepStrictEqual(query("GET /v1/operations"), [{ status: "EXECUTING", kind: "instance" }])
      deepStrictEqual(query(`DELETE /v1/images/${image.id}/tag`), [{ tag }, {}])
      deepStrictEqual(body(`PATCH /v1/images/${image.id}/tag`), [{ tag }])
      deepStrictEqual(body("POST /v1/images/import"), [
        { registry: { url: "docker://docker.io/library/busybox" }, tag }
      ])
      deepStrictEqual(body("POST /v1/instances"), [{ command: "true", image: image.id }])
    })
  )

  it.effect("take any success status where the body says nothing, as older services differ", () =>
    Effect.gen(function* () {
      for (const reply of [
        Scripted.json(record()),
        Scripted.empty(200),
        Scripted.empty(204),
        Scripted.text("ok", 202)
      ]) {
        const service = Scripted.make({
          [`DELETE /v1/images/${image.id}/tag`]: reply,
          [`DELETE /v1/operations/${operationId}`]: reply
        })
        yield* Effect.gen(function* () {
          const client = yield* ContreeClient
          yield* client.images.untag(image.id)
          assert.isTrue(yield* client.operations.cancel(operationId))
        }).pipe(Effect.provide(service.layer()))
      }
    })
  )

  it.effect("take any success status of a start, as its operation runs", () =>
    Effect.gen(function* () {
      for (const status of [200, 201, 202]) {
        const started = Scripted.json({ uuid: operationId }, status)
        const service = Scripted.make({ "POST /v1/instances": started, "POST /v1/images/import": started })
        assert.strictEqual(yield* spawn.pipe(Effect.provide(service.layer())), operationId)
        assert.strictEqual(yield* importBusybox.pipe(Effect.provide(service.layer())), operationId)
      }
    })
  )

  it.effect("refuse a value out of its bounds before any request", () =>
    Effect.gen(function* () {
      const service = Scripted.make({})
      const refused: ReadonlyArray<Effect.Effect<unknown, ContreeError.ContreeError, ContreeClient>> = [
        Effect.flatMap(ContreeClient, ({ images }) => images.list({ limit: 1001 })),
        Effect.flatMap(ContreeClient, ({ images }) => images.list({ limit: 0 })),
        Effect.flatMap(ContreeClient, ({ operations }) => operations.list({ offset: -1 })),
        Effect.flatMap(ContreeClient, ({ images }) => images.list({ since: Duration.infinity })),
        Effect.flatMap(ContreeClient, ({ instances }) =>
          instances.spawn({ command: "true", image: image.id, truncateOutputAt: 10_485_761 })
        ),
        Effect.flatMap(ContreeClient, ({ instances }) =>
          instances.spawn({ command: "true", image: image.id, cwd: "relative" })
        ),
        Effect.flatMap(ContreeClient, ({ instances }) =>
          instances.spawn({ command: "true", image: image.id, timeout: Duration.infinity })
        )
      ]
      for (const call of refused) {
        const error = yield* Effect.flip(call).pipe(Effect.provide(service.layer()))
        assert.strictEqual(error._tag, "RequestRejected")
        assert.include(error.message, "no request was made")
      }
      assert.isEmpty(service.requests)
    })
  )
})

describe("a failure status", () => {
  const rows: ReadonlyArray<readonly [status: number, tag: ContreeError.ContreeError["_tag"]]> = [
    [400, "RequestRejected"],
    [401, "Unauthorized"],
    [403, "Forbidden"],
    [404, "NotFound"],
    [408, "Unavailable"],
    [409, "Conflict"],
    [410, "Unavailable"],
    [413, "RequestRejected"],
    [418, "RequestRejected"],
    [422, "RequestRejected"],
    [425, "Unavailable"],
    [429, "RateLimited"],
    [500, "Unavailable"],
    [501, "RequestRejected"],
    [502, "Unavailable"],
    [503, "Unavailable"],
    [504, "Unavailable"],
    [507, "Unavailable"],
    [599, "Unavailable"]
  ]
  it.effect.each(rows)("%d is %s, with the request, the status and the server's words", ([status, tag]) =>
    Effect.gen(function* () {
      const error = yield* failureOf(Scripted.failure(status, "the words of the server"))
      assert.strictEqual(error._tag, tag)
      deepStrictEqual(error.request, { method: "GET", path: "/v1/whoami" })
      assert.strictEqual(error.status, status)
      assert.strictEqual(error.detail, "the words of the server")
      assert.isTrue(error.message.startsWith(`the words of the server (GET /v1/whoami: ${status}). `), error.message)
      assert.isNotEmpty(error.suggestion)
    })
  )

  const bodies: ReadonlyArray<readonly [what: string, reply: Response, detail: string]> = [
    ["text", Scripted.failure(400, "bad limit"), "bad limit"],
    ["an object", Scripted.failure(400, { limit: ["too big"] }), '{"limit":["too big"]}'],
    ["a list", Scripted.failure(422, [{ loc: ["limit"], msg: "too big" }]), '[{"loc":["limit"],"msg":"too big"}]'],
    ["null", Scripted.failure(400, null), "null"],
    ["no key `error`", Scripted.json({ message: "no" }, 400), '{"message":"no"}'],
    ["JSON that is no object", Scripted.json("no", 400), '"no"'],
    ["broken JSON", Scripted.text('{"error": "cu', 502), '{"error": "cu'],
    ["plain text", Scripted.text("  upstream connect error\n", 503), "upstream connect error"],
    ["nothing", Scripted.empty(500), "The server answered 500"],
    ["blanks", Scripted.text(" \n ", 500), "The server answered 500"],
    ["an empty text", Scripted.failure(400, ""), "The server answered 400"]
  ]
  it.effect.each(bodies)("says what the server said where the body has %s", ([_what, reply, detail]) =>
    Effect.map(failureOf(reply), (error) => assert.strictEqual(error.detail, detail))
  )

  it.effect("with a whole page of a proxy gives the beginning of it", () =>
    Effect.gen(function* () {
      const error = yield* failureOf(Scripted.text(`<html>${"x".repeat(100_000)}</html>`, 502))
      assert.strictEqual(error.detail.length, 2001)
      assert.isTrue(error.detail.endsWith("x…"))
    })
  )

  const waits: ReadonlyArray<readonly [header: string, seconds: number | undefined]> = [
    ["0", 0],
    ["120", 120],
    [" 5 ", 5],
    ["Thu, 01 Jan 1970 00:02:30 GMT", 150],
    ["Thu, 01 Jan 1970 00:00:01 GMT", 0],
    ["Thursday, 01-Jan-70 00:02:30 GMT", 150],
    ["soon", undefined],
    ["soon, GMT", undefined],
    ["", undefined],
    ["1.5", undefined],
    ["-5", undefined]
  ]
  it.effect.each(waits)("with `Retry-After: %s` asks for %s seconds", ([header, seconds]) =>
    Effect.gen(function* () {
      yield* TestClock.adjust("10 seconds")
      const now = header.endsWith("GMT") ? 10 : 0
      for (const status of [429, 503, 425, 410]) {
        const error = yield* failureOf(Scripted.failure(status, "later", { "retry-after": header }))
        deepStrictEqual(
          ContreeError.retryAfter(error),
          seconds === undefined ? Option.none() : Option.some(Duration.seconds(Math.max(0, seconds - now)))
        )
      }
    })
  )
})

describe("an answer with another shape", () => {
  const rows: ReadonlyArray<readonly [what: string, reply: Response, says: string]> = [
    ["JSON of something else", Scripted.json({ hello: "world" }), "token_uuid"],
    ["a page", Scripted.text("<html>Welcome</html>", 200), "shape"],
    ["nothing", Scripted.empty(200), "shape"],
    ["a success status that the contract does not give it", Scripted.json(whoami, 203), "203"],
    ["a redirect to nowhere", Scripted.empty(302), "302"],
    ["an unchanged answer", Scripted.empty(304), "304"]
  ]
  it.effect.each(rows)("is unexpected: %s", ([_what, reply, says]) =>
    Effect.gen(function* () {
      const error = yield* failureOf(reply)
      assert.strictEqual(error._tag, "UnexpectedResponse")
      deepStrictEqual(error.request, { method: "GET", path: "/v1/whoami" })
      assert.include(error.message, says)
    })
  )

  it.effect("of a start leaves open whether it started", () =>
    Effect.gen(function* () {
      for (const reply of [Scripted.json({ id: 1 }, 201), Scripted.text("<html>", 200), Scripted.empty(201)]) {
        const service = Scripted.make({ "POST /v1/instances": reply })
        const error = yield* Effect.flip(spawn).pipe(Effect.provide(service.layer()))
        assert.strictEqual(error._tag, "OutcomeUnknown")
      }
    })
  )
})

describe("the redirect of a lookup by tag", () => {
  const byTag = Effect.flatMap(ContreeClient, ({ inspect }) => inspect.byTag(tag))
  const found = { [`GET /v1/inspect/${image.id}/`]: Scripted.json(record()) }

  for (const [kind, location] of [
    ["relative", `${image.id}/`],
    ["of the path", `/v1/inspect/${image.id}/`],
    ["absolute", `${Scripted.baseUrl}/v1/inspect/${image.id}/`]
  ]) {
    it.effect(`is followed when it is ${kind}, with the token and without the query`, () =>
      Effect.gen(function* () {
        const service = Scripted.make({
          "GET /v1/inspect/": Scripted.empty(302, { location: `${location}` }),
          ...found
        })
        assert.strictEqual((yield* byTag.pipe(Effect.provide(service.layer()))).id, image.id)
        const [, second] = service.requests
        assert.strictEqual(second?.headers["authorization"], `Bearer ${Scripted.token}`)
        deepStrictEqual(second?.query, {})
      })
    )
  }

  it.effect("to another host is not followed, as the token is for this one", () =>
    Effect.gen(function* () {
      for (const location of [
        "http://evil.test/v1/whoami",
        "//evil.test/",
        "https://contree.test/",
        "http://contree.test:81/"
      ]) {
        const service = Scripted.make({ "GET /v1/inspect/": Scripted.empty(302, { location }) })
        const error = yield* Effect.flip(byTag).pipe(Effect.provide(service.layer()))
        assert.strictEqual(error._tag, "UnexpectedResponse")
        deepStrictEqual(service.log(), ["GET /v1/inspect/"])
      }
    })
  )

  it.effect("that leads in a circle or is no address ends in a typed error", () =>
    Effect.gen(function* () {
      for (const [location, requests] of [
        ["/v1/inspect/", 4],
        ["http://[", 1]
      ] as const) {
        const service = Scripted.make({ "GET /v1/inspect/": Scripted.empty(302, { location }) })
        const error = yield* Effect.flip(byTag).pipe(Effect.provide(service.layer()))
        deepStrictEqual([error._tag, error.status], ["UnexpectedResponse", 302])
        assert.lengthOf(service.requests, requests)
      }
    })
  )

  it.effect("is never followed by a request that starts work", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "POST /v1/instances": Scripted.empty(307, { location: "/v1/instances" }) })
      const error = yield* Effect.flip(spawn).pipe(Effect.provide(service.layer()))
      assert.strictEqual(error._tag, "OutcomeUnknown")
      assert.lengthOf(service.requests, 1)
    })
  )
})

describe("a request that starts work", () => {
  const starts = [
    ["POST /v1/instances", spawn],
    ["POST /v1/images/import", importBusybox]
  ] as const

  const rows: ReadonlyArray<readonly [what: string, reply: Scripted.Reply, tag: ContreeError.ContreeError["_tag"]]> = [
    ["a gateway that lost its upstream", Scripted.failure(502), "OutcomeUnknown"],
    ["a gateway that waited too long", Scripted.failure(504), "OutcomeUnknown"],
    ["a connection that was reset", Scripted.broken("ECONNRESET"), "OutcomeUnknown"],
    ["a fault of the network without a code", Scripted.broken(), "OutcomeUnknown"],
    ["a server that failed", Scripted.failure(500), "Unavailable"],
    ["a server that has no room", Scripted.failure(503), "Unavailable"],
    ["a server that does not have the feature", Scripted.failure(501), "RequestRejected"],
    ["a refusal", Scripted.failure(403), "Forbidden"]
  ]
  it.effect.each(rows)("is sent once and not repeated after %s", ([_what, reply, tag]) =>
    Effect.gen(function* () {
      for (const [route, start] of starts) {
        const service = Scripted.make({ [route]: reply })
        const error = yield* Effect.flip(start).pipe(
          Effect.provide(service.layer({ retry: RetryPolicy.defaultPolicy }))
        )
        assert.strictEqual(error._tag, tag)
        assert.lengthOf(service.requests, 1)
        if (error._tag === "OutcomeUnknown") {
          assert.include(error.message, "may or may not have started")
          assert.include(error.message, "Operation.stream")
          deepStrictEqual(error.request, { method: "POST", path: route.slice(5) })
        }
      }
    })
  )

  it.effect("and has no answer in time leaves open whether it started", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "POST /v1/instances": Scripted.silence })
      const fiber = yield* Effect.fork(
        Effect.flip(spawn).pipe(Effect.provide(service.layer({ requestTimeout: "5 seconds" })))
      )
      yield* TestClock.adjust("5 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "OutcomeUnknown")
      assert.include(error.detail, "No answer within 5s")
      assert.lengthOf(service.requests, 1)
    })
  )
})

describe("a request without an answer", () => {
  it.effect("fails when its time is over, by default after a minute", () =>
    Effect.gen(function* () {
      for (const [requestTimeout, millis] of [
        ["2 seconds", 2000],
        [undefined, 60_000]
      ] as const) {
        const service = Scripted.make({ "GET /v1/whoami": Scripted.silence })
        const fiber = yield* Effect.fork(Effect.flip(me).pipe(Effect.provide(service.layer({ requestTimeout }))))
        yield* TestClock.adjust(millis - 1)
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* TestClock.adjust(1)
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error._tag, "TimedOut")
        if (error._tag === "TimedOut") {
          assert.strictEqual(error.limit, "request")
          deepStrictEqual(error.after, Duration.millis(millis))
          deepStrictEqual(error.request, { method: "GET", path: "/v1/whoami" })
        }
      }
    })
  )
})

describe("the address of the service", () => {
  it.effect("that is no URL is refused", () =>
    Effect.gen(function* () {
      for (const baseUrl of [
        "localhost:8080",
        "http://",
        "https:///sandboxes",
        "ftp://contree.test",
        "no address",
        ""
      ]) {
        const service = Scripted.make({})
        const error = yield* Effect.flip(me).pipe(Effect.provide(service.layer({ baseUrl })))
        assert.strictEqual(error._tag, "RequestRejected")
        assert.include(error.message, "base URL")
        assert.isEmpty(service.requests)
      }
    })
  )
})

describe("over real sockets", () => {
  const clients = [
    ["fetch", FetchHttpClient.layer],
    ["undici", NodeHttpClient.layerUndici],
    ["node:http", NodeHttpClient.layer]
  ] as const

  for (const [name, client] of clients) {
    const over = (baseUrl: string, config: Partial<ContreeConfig> = {}) =>
      Layer.provide(
        layerWith({ baseUrl, retry: RetryPolicy.never, token: Redacted.make(Scripted.token), ...config }),
        client
      )

    describe(`with ${name}`, () => {
      it.scoped("a lookup by tag follows the redirect, and a cancel and a spawn are understood", () =>
        Effect.gen(function* () {
          const seen: Array<string> = []
          const server = yield* listening((request, response) => {
            seen.push(`${request.method} ${request.url} ${request.headers.authorization}`)
            request.resume()
            if (request.method === "POST") {
              response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ uuid: operationId }))
            } else if (request.method === "DELETE") response.writeHead(202).end()
            else if (request.url === `/v1/inspect/?tag=${encodeURIComponent(tag)}`) {
              response.writeHead(302, { location: `${image.id}/` }).end()
            } else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(record()))
          })
          yield* Effect.gen(function* () {
            const client = yield* ContreeClient
            assert.strictEqual((yield* client.inspect.byTag(tag)).id, image.id)
            assert.strictEqual(yield* client.instances.spawn({ command: "true", image: image.id }), operationId)
            assert.isTrue(yield* client.operations.cancel(operationId))
          }).pipe(Effect.provide(over(server.url)))
          deepStrictEqual(seen, [
            `GET /v1/inspect/?tag=${encodeURIComponent(tag)} Bearer ${Scripted.token}`,
            `GET /v1/inspect/${image.id}/ Bearer ${Scripted.token}`,
            `POST /v1/instances Bearer ${Scripted.token}`,
            `DELETE /v1/operations/${operationId} Bearer ${Scripted.token}`
          ])
        })
      )

      it.scoped("a refused connection proves that nothing started", () =>
        Effect.gen(function* () {
          const server = yield* listening(() => {})
          server.close()
          const error = yield* Effect.flip(spawn).pipe(Effect.provide(over(server.url)))
          assert.strictEqual(error._tag, "Unavailable")
          if (error._tag === "Unavailable") assert.isTrue(error.notStarted)
          assert.include(error.message, "ECONNREFUSED")
        })
      )

      it.scoped("a connection that breaks after the request leaves the outcome open", () =>
        Effect.gen(function* () {
          let requests = 0
          const server = yield* listening((request) => {
            requests++
            request.socket.destroy()
          })
          const error = yield* Effect.flip(spawn).pipe(
            Effect.provide(over(server.url, { retry: RetryPolicy.defaultPolicy }))
          )
          deepStrictEqual([error._tag, requests], ["OutcomeUnknown", 1])
          const reading = yield* Effect.flip(me).pipe(Effect.provide(over(server.url)))
          assert.strictEqual(reading._tag, "Unavailable")
        })
      )

      it.scoped("a body that breaks off is a fault of the connection", () =>
        Effect.gen(function* () {
          const server = yield* listening((request, response) => {
            response.writeHead(200, { "content-type": "application/json", "content-length": "1000" })
            response.write('{"token_uuid":', () => request.socket.destroy())
          })
          const error = yield* Effect.flip(me).pipe(Effect.provide(over(server.url)))
          assert.strictEqual(error._tag, "Unavailable")
          const started = yield* Effect.flip(spawn).pipe(Effect.provide(over(server.url)))
          assert.strictEqual(started._tag, "OutcomeUnknown")
        })
      )

      it.scoped("a body that stalls counts against the time of the request", () =>
        Effect.gen(function* () {
          const stalled = yield* Deferred.make<void>()
          const server = yield* listening((_request, response) => {
            response.writeHead(200, { "content-type": "application/json" })
            response.write('{"token_uuid":', () => Deferred.unsafeDone(stalled, Effect.void))
          })
          const fiber = yield* Effect.fork(Effect.flip(me).pipe(Effect.provide(over(server.url))))
          yield* Deferred.await(stalled)
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* Fiber.join(fiber))._tag, "TimedOut")
        })
      )
    })
  }
})

describe("ContreeClient.layer", () => {
  it.scoped("needs nothing but the environment", () =>
    Effect.gen(function* () {
      const server = yield* listening((request, response) => {
        const answer = { ...whoami, token_uuid: request.headers.authorization, permissions: {} }
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer))
      })
      const environment = ConfigProvider.fromMap(
        new Map([
          ["CONTREE_TOKEN", "abc"],
          ["CONTREE_URL", server.url]
        ])
      )
      const { tokenId } = yield* me.pipe(Effect.provide(layerFromEnvironment), Effect.withConfigProvider(environment))
      assert.strictEqual(tokenId, "Bearer abc")
    })
  )
})
