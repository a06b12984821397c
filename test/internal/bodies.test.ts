import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Option, Schedule, Stream, TestClock } from "effect"
import { createHash } from "node:crypto"
import type { IncomingMessage } from "node:http"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import type { ContreeConfig } from "../../src/ContreeConfig.js"
import type { ContreeError, RequestError } from "../../src/ContreeError.js"
import * as RetryPolicy from "../../src/RetryPolicy.js"
import { listening } from "../fixtures/HttpListener.js"
import * as Scripted from "../fixtures/ScriptedService.js"
import { image, operationId } from "../fixtures/ScriptedService.js"

type AnyStream = Stream.Stream<unknown, RequestError, ContreeClient>

const download = Stream.unwrap(Effect.map(ContreeClient, ({ inspect }) => inspect.download(image.id, "/f")))
const archive = Stream.unwrap(Effect.map(ContreeClient, ({ inspect }) => inspect.archive(image.id, "/f")))
const events = Stream.unwrap(Effect.map(ContreeClient, ({ operations }) => operations.events(operationId)))

const downloads = `GET /v1/inspect/${image.id}/download`
const streams: ReadonlyArray<readonly [what: string, route: string, stream: AnyStream]> = [
  ["a download", downloads, download],
  ["an archive", `GET /v1/inspect/${image.id}/archive`, archive],
  ["an event stream", `GET /v1/operations/${operationId}/events`, events]
]

/** A body that a test gives piece by piece, and that has no end. */
const openBody = () => {
  const opened: Array<ReadableStreamDefaultController<Uint8Array>> = []
  const answer = Effect.sync(() => {
    const response = new Response(
      new ReadableStream<Uint8Array>({ start: (controller) => void opened.push(controller) })
    )
    // The service copies its answers, and a copied body cannot be cancelled before its copy is.
    return Object.assign(response, { clone: () => response })
  })
  return { answer, give: (bytes: Uint8Array) => Effect.promise(async () => opened.at(-1)?.enqueue(bytes)) }
}

const bytes = (length: number) => new Uint8Array(length).fill(7)

const timedOut = (error: ContreeError) =>
  error._tag === "TimedOut" ? [error.limit, Duration.toMillis(error.after)] : error

describe("a body that comes as a stream", () => {
  it.effect.each(streams)("may take as long as it moves: %s", ([_what, route, stream]) =>
    Effect.gen(function* () {
      const body = openBody()
      const service = Scripted.make({ [route]: body.answer })
      const fiber = yield* stream.pipe(Stream.runDrain, Effect.provide(service.layer()), Effect.fork)
      yield* TestClock.adjust("0 millis")
      for (let minute = 0; minute < 10; minute++) {
        yield* body.give(new TextEncoder().encode(": keepalive\n\n"))
        yield* TestClock.adjust("50 seconds")
      }
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect.each(streams)(
    "that stands still ends with the idle limit, not with its end: %s",
    ([_what, route, stream]) =>
      Effect.gen(function* () {
        for (const [idleLimit, millis] of [
          [undefined, 60_000],
          ["5 seconds", 5000]
        ] as const) {
          const body = openBody()
          const service = Scripted.make({ [route]: body.answer })
          const fiber = yield* stream.pipe(
            Stream.runDrain,
            Effect.flip,
            Effect.provide(service.layer({ idleLimit })),
            Effect.fork
          )
          yield* TestClock.adjust("0 millis")
          yield* body.give(bytes(3))
          yield* TestClock.adjust(millis - 1)
          assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
          yield* TestClock.adjust(1)
          deepStrictEqual<unknown>(timedOut(yield* Fiber.join(fiber)), ["idle", millis])
        }
      })
  )

  it.effect("that is shorter than announced is a failure", () =>
    Effect.gen(function* () {
      const length = (value: string) => ({ "content-length": value })
      const rows: ReadonlyArray<readonly [Response, came: number, complete: boolean]> = [
        [new Response(bytes(9), { headers: length("10") }), 9, false],
        [new Response(null, { headers: length("1") }), 0, false],
        [new Response(bytes(10), { headers: length("10") }), 10, true],
        [new Response(bytes(0), { headers: length("0") }), 0, true],
        // What is unpacked on the way has another length.
        [new Response(bytes(9), { headers: { ...length("10"), "content-encoding": "gzip" } }), 9, true],
        [new Response(bytes(9)), 9, true]
      ]
      for (const [reply, expected, complete] of rows) {
        let came = 0
        const exit = yield* download.pipe(
          Stream.runForEach((chunk) => Effect.sync(() => (came += chunk.byteLength))),
          Effect.provide(Scripted.make({ [downloads]: reply }).layer()),
          Effect.exit
        )
        assert.strictEqual(came, expected)
        assert.strictEqual(Exit.isSuccess(exit), complete)
        if (Exit.isFailure(exit))
          assert.include(String(exit.cause), `${expected} of ${reply.headers.get("content-length")}`)
      }
    })
  )

  it.effect("and was counted in one run is counted anew in the next", () =>
    Effect.gen(function* () {
      const reply = new Response(bytes(10), { headers: { "content-length": "10" } })
      const size = yield* Effect.flatMap(ContreeClient, ({ inspect }) => {
        const stream = inspect.download(image.id, "/f")
        return Effect.zip(Stream.runCollect(stream), Stream.runCollect(stream))
      }).pipe(Effect.provide(Scripted.make({ [downloads]: reply }).layer()))
      assert.deepStrictEqual(
        size.map((chunks) => chunks.length),
        [1, 1]
      )
    })
  )

  it.effect("has the request's limit for its head", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [downloads]: Scripted.silence })
      const fiber = yield* download.pipe(
        Stream.runDrain,
        Effect.flip,
        Effect.provide(service.layer({ requestTimeout: "3 seconds" })),
        Effect.fork
      )
      yield* TestClock.adjust("3 seconds")
      deepStrictEqual<unknown>(timedOut(yield* Fiber.join(fiber)), ["request", 3000])
    })
  )
})

describe("an answer that is shorter than announced", () => {
  it.effect("is a fault of the exchange, and read again where that is safe", () =>
    Effect.gen(function* () {
      const full = JSON.stringify(Scripted.record())
      const short = new Response(full.slice(0, -9), {
        headers: { "content-type": "application/json", "content-length": String(full.length) }
      })
      const route = `GET /v1/inspect/${image.id}/`
      const byId = Effect.flatMap(ContreeClient, ({ inspect }) => inspect.byId(image.id))
      const error = yield* Effect.flip(byId).pipe(Effect.provide(Scripted.make({ [route]: short }).layer()))
      assert.strictEqual(error._tag, "Unavailable")
      const service = Scripted.make({ [route]: [short, Scripted.json(Scripted.record())] })
      const again = yield* byId.pipe(
        Effect.provide(service.layer({ retry: RetryPolicy.upTo(1) })),
        Effect.fork,
        Effect.tap(() => TestClock.adjust("1 minute")),
        Effect.flatMap(Fiber.join)
      )
      assert.strictEqual(again.id, image.id)
    })
  )

  it.effect("leaves open whether a run started", () =>
    Effect.gen(function* () {
      const short = new Response("{", { status: 201, headers: { "content-length": "60" } })
      const error = yield* Effect.flatMap(ContreeClient, ({ instances }) =>
        Effect.flip(instances.spawn({ command: "true", image: image.id }))
      ).pipe(Effect.provide(Scripted.make({ "POST /v1/instances": short }).layer()))
      assert.strictEqual(error._tag, "OutcomeUnknown")
    })
  )
})

/** Reads a request to its end. */
const withContent = (request: IncomingMessage, then: (content: Uint8Array) => void): void => {
  const chunks: Array<Uint8Array> = []
  request.on("data", (chunk: Uint8Array) => chunks.push(chunk))
  request.on("end", () => then(Buffer.concat(chunks)))
}

const receipt = (content: Uint8Array) =>
  JSON.stringify({
    uuid: "1f0e6679-7425-40de-944b-e07fc1f90ae7",
    sha256: createHash("sha256").update(content).digest("hex"),
    size: content.byteLength
  })

const clients = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici],
  ["node:http", NodeHttpClient.layer]
] as const

describe.each(clients)("an upload with %s", (_name, client) => {
  const over = (baseUrl: string, config: Partial<ContreeConfig> = {}) =>
    Layer.provide(layerWith({ baseUrl, retry: RetryPolicy.never, ...config }), client)

  const upload = <E>(
    content: Uint8Array | Stream.Stream<Uint8Array, E>,
    options?: { readonly repeatable?: boolean | undefined }
  ) => Effect.flatMap(ContreeClient, ({ files }) => files.upload(content, options))

  const again = { schedule: Schedule.recurs(2) }

  /** Breaks the connection of each upload until the given one, which it receives. */
  const breaking = (until: number) =>
    Effect.gen(function* () {
      let uploads = 0
      const server = yield* listening((request, response) => {
        uploads++
        if (uploads < until) {
          request.once("data", () => request.socket.destroy())
        } else {
          withContent(request, (content) => {
            response.writeHead(201, { "content-type": "application/json" }).end(receipt(content))
          })
        }
      })
      return { url: server.url, uploads: () => uploads }
    })

  const twice = Stream.make(bytes(70_000), bytes(5))
  const digest = createHash("sha256").update(bytes(70_005)).digest("hex")

  it.scoped("of bytes, or of a stream that gives the same again, is sent again after a broken connection", () =>
    Effect.gen(function* () {
      for (const content of [upload(bytes(70_005)), upload(twice, { repeatable: true })]) {
        const server = yield* breaking(3)
        const { sha256, size } = yield* content.pipe(Effect.provide(over(server.url, { retry: again })))
        deepStrictEqual<unknown>([sha256, size, server.uploads()], [digest, 70_005, 3])
      }
    })
  )

  it.scoped("of a stream that may be read only once is not sent again once it was begun", () =>
    Effect.gen(function* () {
      const server = yield* breaking(3)
      const error = yield* Effect.flip(upload(twice)).pipe(Effect.provide(over(server.url, { retry: again })))
      deepStrictEqual([error._tag, server.uploads()], ["Unavailable", 1])
    })
  )

  it.scoped("of a stream that fails is that failure, and is not sent again", () =>
    Effect.gen(function* () {
      const server = yield* breaking(1)
      const failing = Stream.concat(Stream.make(bytes(10)), Stream.fail("disk" as const))
      const error = yield* Effect.flip(upload(failing, { repeatable: true })).pipe(
        Effect.provide(over(server.url, { retry: again }))
      )
      assert.strictEqual(error, "disk")
    })
  )

  it.scoped("may take as long as its stream moves, and then has the request's limit", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const server = yield* listening((request) => {
        withContent(request, () => Deferred.unsafeDone(arrived, Effect.void))
      })
      const slow = Stream.range(1, 20).pipe(
        Stream.map(() => bytes(1000)),
        Stream.rechunk(1),
        Stream.schedule(Schedule.spaced("50 seconds"))
      )
      const fiber = yield* upload(slow).pipe(Effect.flip, Effect.provide(over(server.url)), Effect.fork)
      for (let step = 0; step < 20; step++) {
        yield* TestClock.adjust("50 seconds")
        // The socket is real: give it its turn.
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      yield* Deferred.await(arrived)
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("61 seconds")
      deepStrictEqual<unknown>(timedOut(yield* Fiber.join(fiber)), ["request", 60_000])
    })
  )
})

describe("an upload", () => {
  const uploading = "POST /v1/files"
  const upload = (content: Uint8Array | Stream.Stream<Uint8Array>) =>
    Effect.flatMap(ContreeClient, ({ files }) => files.upload(content))

  it.effect("of bytes has a second more for each 128 KiB", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [uploading]: Scripted.silence })
      const fiber = yield* upload(new TextEncoder().encode(JSON.stringify("x".repeat(10 * 128 * 1024)))).pipe(
        Effect.flip,
        Effect.provide(service.layer()),
        Effect.fork
      )
      yield* TestClock.adjust("69 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 second")
      deepStrictEqual<unknown>(timedOut(yield* Fiber.join(fiber)), ["request", 70_000])
    })
  )

  it.effect("of a stream that stands still ends with the idle limit", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [uploading]: Scripted.silence })
      const fiber = yield* upload(Stream.never).pipe(
        Effect.flip,
        Effect.provide(service.layer({ idleLimit: "7 seconds" })),
        Effect.fork
      )
      yield* TestClock.adjust("7 seconds")
      deepStrictEqual<unknown>(timedOut(yield* Fiber.join(fiber)), ["idle", 7000])
    })
  )

  it.effect("of a stream has the request's limit once it is out, however long it might have stood still", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [uploading]: Scripted.silence })
      const fiber = yield* upload(Stream.make(new Uint8Array(10))).pipe(
        Effect.flip,
        Effect.provide(service.layer({ requestTimeout: "7 seconds", idleLimit: "10 minutes" })),
        Effect.fork
      )
      yield* TestClock.adjust("7 seconds")
      deepStrictEqual<unknown>(timedOut(yield* Fiber.join(fiber)), ["request", 7000])
    })
  )
})
