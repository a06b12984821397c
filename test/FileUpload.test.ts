import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Deferred, Effect, Equal, Fiber, Hash, Option, pipe, Schedule, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { Sha256 } from "../src/api/Files.js"
import * as Command from "../src/Command.js"
import * as FileUpload from "../src/FileUpload.js"
import * as Image from "../src/Image.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, on, operationId } from "./fixtures/ScriptedService.js"

const bytesOf = (text: string) => new TextEncoder().encode(text)
const digestOf = (content: string | Uint8Array) =>
  Schema.decodeSync(Sha256)(createHash("sha256").update(content).digest("hex"))
const idOf = (digest: string) =>
  `${digest.slice(0, 8)}-${digest.slice(8, 12)}-4${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`

const record = (content: string, fields: object = {}) => {
  const sha256 = digestOf(content)
  return {
    uuid: idOf(sha256),
    sha256,
    size: content.length,
    created_at: "2024-01-01T12:00:00+00:00",
    updated_at: null,
    ...fields
  }
}
const post = "POST /v1/files"
const get = (content: string) => `GET /v1/files/${digestOf(content)}`
const absent = Scripted.failure(404, "no such file")
/** Keeps what it is sent, and knows these contents already. */
const storage = (missing: ReadonlyArray<string>, present: ReadonlyArray<string> = []) => ({
  ...Object.fromEntries(missing.map((content) => [get(content), absent])),
  ...Object.fromEntries(present.map((content) => [get(content), Scripted.json(record(content))])),
  [post]: ({ body }: Scripted.Request) => {
    const content = body instanceof Uint8Array ? body : assert.fail("no body")
    const sha256 = digestOf(content)
    return Scripted.json({ uuid: idOf(sha256), sha256, size: content.length }, 201)
  }
})
const sent = (service: Scripted.ScriptedService) =>
  service.of(post).map(({ body }) => (body instanceof Uint8Array ? new TextDecoder().decode(body) : undefined))
/** A stream of this text that counts how often it is run. */
const counted = (text: string) => {
  const counter = { runs: 0 }
  const stream = Stream.suspend(() => {
    counter.runs++
    return Stream.fromIterable([...text].map(bytesOf))
  })
  return { counter, stream }
}

describe("FileUpload.upload", () => {
  const inputs: ReadonlyArray<readonly [what: string, input: FileUpload.Input]> = [
    ["a text", "hé"],
    ["bytes", bytesOf("hé")],
    ["a stream", Stream.make(bytesOf("h"), bytesOf("é"))],
    ["a source", FileUpload.fromText("hé")]
  ]
  it.effect.each(inputs)("sends %s that the service lacks", ([_what, input]) =>
    Effect.gen(function* () {
      const { error, service, value } = yield* on(storage(["hé"]), FileUpload.upload(input))
      assert.isUndefined(error)
      deepStrictEqual(sent(service), ["hé"])
      deepStrictEqual([value?.sha256, value?.id, value?.size], [digestOf("hé"), idOf(digestOf("hé")), Option.some(3)])
      deepStrictEqual(service.log(), [get("hé"), post])
    })
  )

  it.effect("sends nothing that the service has", () =>
    Effect.gen(function* () {
      const { counter, stream } = counted("there")
      const { service, value } = yield* on(storage([], ["there"]), FileUpload.upload(stream))
      assert.strictEqual(value?.id, idOf(digestOf("there")))
      deepStrictEqual(service.log(), [get("there")])
      assert.strictEqual(counter.runs, 1)
    })
  )

  it.effect("takes a digest's word, and then runs a stream only to send it", () =>
    Effect.gen(function* () {
      const { counter, stream } = counted("known")
      const source = FileUpload.fromStream(stream, { sha256: digestOf("known") })
      const { service } = yield* on(storage(["known"]), FileUpload.upload(source))
      deepStrictEqual(sent(service), ["known"])
      assert.strictEqual(counter.runs, 1)
    })
  )

  it.effect("makes no request for a file that is uploaded already", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(
        storage(["x"]),
        Effect.flatMap(FileUpload.upload("x"), (file) => FileUpload.upload(FileUpload.fromUploaded(file)))
      )
      assert.strictEqual(value?.sha256, digestOf("x"))
      assert.lengthOf(service.requests, 2)
    })
  )

  it.effect("sends a content once, however many fibers ask for it, and remembers it", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(
        storage(["same", "other"]),
        Effect.gen(function* () {
          const files = yield* Effect.forEach(
            Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? "same" : bytesOf("same"))),
            (input) => FileUpload.upload(input),
            { concurrency: "unbounded" }
          )
          yield* FileUpload.upload("same")
          yield* FileUpload.upload("other")
          return new Set(files.map(({ id }) => id)).size
        })
      )
      assert.strictEqual(value, 1)
      deepStrictEqual(sent(service), ["same", "other"])
      assert.lengthOf(service.of(get("same")), 1)
    })
  )

  it.effect("remembers for each client alone", () =>
    Effect.gen(function* () {
      for (const _ of [1, 2]) {
        const { service } = yield* on(storage(["same"]), FileUpload.upload("same"))
        deepStrictEqual(sent(service), ["same"])
      }
    })
  )

  it.effect("goes on for the others when one of them is interrupted", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<Response>()
      const service = Scripted.make({
        [get("x")]: Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(gate))
      })
      yield* Effect.gen(function* () {
        const first = yield* Effect.fork(FileUpload.upload("x"))
        yield* Deferred.await(asked)
        const second = yield* Effect.fork(FileUpload.upload("x"))
        yield* Effect.repeatN(Effect.yieldNow(), 50)
        yield* Fiber.interrupt(first)
        yield* Deferred.succeed(gate, Scripted.json(record("x")))
        assert.strictEqual((yield* Fiber.join(second)).sha256, digestOf("x"))
      }).pipe(Effect.provide(service.layer()))
      assert.lengthOf(service.requests, 1)
    })
  )

  it.effect("forgets a failure", () =>
    Effect.gen(function* () {
      const { value } = yield* on(
        { ...storage([]), [get("x")]: [Scripted.failure(403), absent] },
        Effect.gen(function* () {
          const error = yield* Effect.flip(FileUpload.upload("x"))
          return [error._tag, (yield* FileUpload.upload("x")).sha256]
        })
      )
      deepStrictEqual(value, ["Forbidden", digestOf("x")])
    })
  )

  it.live("is repeated after a passing fault, streams too", () =>
    Effect.gen(function* () {
      const { counter, stream } = counted("again")
      const service = Scripted.make({
        [get("again")]: absent,
        [post]: [
          Scripted.failure(503),
          Scripted.broken("ECONNRESET"),
          Scripted.json({ uuid: idOf(digestOf("again")), sha256: digestOf("again"), size: 5 }, 201)
        ]
      })
      const file = yield* FileUpload.upload(stream).pipe(
        Effect.provide(service.layer({ retry: { schedule: Schedule.recurs(3) } }))
      )
      assert.strictEqual(file.sha256, digestOf("again"))
      deepStrictEqual(sent(service), ["again", "again", "again"])
      assert.strictEqual(counter.runs, 4)
    })
  )

  it.effect("fails with InputFailed when the stream fails, before or while it is sent", () =>
    Effect.gen(function* () {
      const boom = new Error("disk on fire")
      const before = yield* on({}, FileUpload.upload(Stream.fail(boom)))
      let runs = 0
      const second = Stream.suspend(() => (runs++ === 0 ? Stream.make(bytesOf("a")) : Stream.fail(boom)))
      const while_ = yield* on(storage(["a"]), FileUpload.upload(second))
      for (const { error } of [before, while_]) {
        assert.strictEqual(error?._tag, "InputFailed")
        assert.include(error?.message, "disk on fire")
        assert.strictEqual(error?._tag === "InputFailed" ? error.cause : undefined, boom)
      }
      assert.isEmpty(before.service.requests)
    })
  )

  it.effect("tries its own stream when the one that it waited for broke", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let runs = 0
      const broken = Stream.suspend(() =>
        runs++ === 0
          ? Stream.make(bytesOf("x"))
          : Stream.fromEffect(Deferred.await(gate)).pipe(Stream.flatMap(() => Stream.fail("gone")))
      )
      const { value } = yield* on(
        storage(["x"]),
        Effect.gen(function* () {
          const first = yield* Effect.fork(Effect.flip(FileUpload.upload(broken)))
          yield* Effect.repeatN(Effect.yieldNow(), 200)
          const second = yield* Effect.fork(FileUpload.upload("x"))
          yield* Effect.repeatN(Effect.yieldNow(), 200)
          yield* Deferred.succeed(gate, undefined)
          return [(yield* Fiber.join(first))._tag, (yield* Fiber.join(second)).sha256]
        })
      )
      deepStrictEqual(value, ["InputFailed", digestOf("x")])
    })
  )

  it.effect("says that a content changed between its two readings", () =>
    Effect.gen(function* () {
      let runs = 0
      const { error } = yield* on(
        storage(["0"]),
        FileUpload.upload(Stream.suspend(() => Stream.make(bytesOf(String(runs++)))))
      )
      assert.strictEqual(error?._tag, "InputFailed")
      assert.include(error?.message, "changed")
    })
  )

  it.effect("tells its progress", () =>
    Effect.gen(function* () {
      const told: Array<FileUpload.Progress> = []
      const onProgress = (progress: FileUpload.Progress) => Effect.sync(() => void told.push(progress))
      yield* on(storage(["abc"]), FileUpload.upload(counted("abc").stream, { onProgress }))
      deepStrictEqual(told, [
        ...[1, 2, 3].map((bytes) => ({ phase: "hashing" as const, bytes })),
        ...[1, 2, 3].map((bytes) => ({ phase: "sending" as const, bytes }))
      ])
      told.length = 0
      yield* on(storage(["abc"]), pipe("abc", FileUpload.upload({ onProgress })))
      deepStrictEqual(told, [
        { phase: "hashing", bytes: 3 },
        { phase: "sending", bytes: 3 }
      ])
    })
  )
})

describe("FileUpload.get, exists and list", () => {
  it.effect("find a file by its digest in either case", () =>
    Effect.gen(function* () {
      const upper = digestOf("x").toUpperCase()
      const found = yield* on({ [get("x")]: Scripted.json(record("x", { size: -1 })) }, FileUpload.get(upper))
      deepStrictEqual([found.value?.sha256, found.value?.size], [digestOf("x"), Option.none()])
      assert.isTrue(Option.isSome(found.value?.createdAt ?? Option.none()))
      const head = `HEAD /v1/files/${digestOf("x")}`
      assert.isTrue((yield* on({ [head]: Scripted.empty(200) }, FileUpload.exists(upper))).value)
      assert.isFalse((yield* on({ [head]: Scripted.empty(404) }, FileUpload.exists(upper))).value)
    })
  )

  it.effect("name what is missing, and refuse what is no digest without a request", () =>
    Effect.gen(function* () {
      const { error } = yield* on({ [get("x")]: absent }, FileUpload.get(digestOf("x")))
      assert.strictEqual(error?._tag === "NotFound" ? error.what : error, `the file with the digest ${digestOf("x")}`)
      for (const ask of [Effect.asVoid(FileUpload.get("abc")), Effect.asVoid(FileUpload.exists(""))]) {
        const refused = yield* on({}, ask)
        assert.strictEqual(refused.error?._tag, "RequestRejected")
        assert.isEmpty(refused.service.requests)
      }
    })
  )

  it.effect("follow the pages of a listing", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        "GET /v1/files": ({ query }) =>
          Scripted.json({ files: query["offset"] === "0" ? [record("a"), record("b")] : [record("c")] })
      })
      const files = yield* FileUpload.list({ since: "15 minutes" }).pipe(
        Stream.runCollect,
        Effect.provide(service.layer({ pageSize: 2 }))
      )
      deepStrictEqual(
        Chunk.toReadonlyArray(files).map(({ sha256 }) => sha256),
        ["a", "b", "c"].map(digestOf)
      )
      assert.strictEqual(service.requests[0]?.query["since"], "900s")
    })
  )
})

describe("sources", () => {
  it("are equal when they say the same", () => {
    const stream = Stream.make(bytesOf("x"))
    const pairs: ReadonlyArray<readonly [FileUpload.Source, FileUpload.Source]> = [
      [FileUpload.make("x"), FileUpload.fromText("x")],
      [FileUpload.make(bytesOf("x")), FileUpload.fromBytes(bytesOf("x"))],
      [FileUpload.make(stream), FileUpload.fromStream(stream)],
      [FileUpload.mode("x", 0o755), FileUpload.fromText("x", { mode: 0o755 })],
      [
        FileUpload.owner("x", { uid: 1 }).pipe(FileUpload.owner({ gid: 2 })),
        FileUpload.fromText("x", { uid: 1, gid: 2 })
      ]
    ]
    for (const [a, b] of pairs) {
      assert.isTrue(Equal.equals(a, b))
      assert.strictEqual(Hash.hash(a), Hash.hash(b))
    }
  })

  it("differ when any part differs", () => {
    const stream = () => FileUpload.make(Stream.make(bytesOf("x")))
    const sources = [
      FileUpload.make("x"),
      FileUpload.make("y"),
      FileUpload.make(bytesOf("x")),
      FileUpload.make(bytesOf("y")),
      stream(),
      stream(),
      FileUpload.mode("x", 0),
      FileUpload.owner("x", { uid: 0 }),
      FileUpload.owner("x", { gid: 0 })
    ]
    sources.forEach((a, i) => sources.forEach((b, j) => assert.strictEqual(Equal.equals(a, b), i === j, `${i} ${j}`)))
    assert.isFalse(Equal.equals(sources[0], "x"))
  })
})

describe("the files of a command", () => {
  const spawn = "POST /v1/instances"
  const done = {
    [spawn]: Scripted.json({ uuid: operationId }, 201),
    [`GET /v1/operations/${operationId}`]: Scripted.json(
      Scripted.operation("SUCCESS", {
        metadata: { result: { state: { exit_code: 0, signal: -1 } } },
        result: { image: image.id, tag: null }
      })
    )
  }
  const command = Command.shell("x").pipe(
    Command.files({ "/a": "one", "/b": FileUpload.fromText("two", { mode: 0o4755, uid: 1, gid: 2 }), "/c": "gone" }),
    Command.files({ "/c": bytesOf("one") })
  )

  it.effect("are uploaded once each and placed by their paths when the run starts", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on({ ...done, ...storage(["one", "two"]) }, Image.run(image.id, command))
      assert.strictEqual(value?.exitCode, 0)
      deepStrictEqual([...sent(service)].sort(), ["one", "two"])
      const [request] = service.of(spawn)
      assert.deepNestedPropertyVal(request?.body, "files", {
        "/a": { uuid: idOf(digestOf("one")) },
        "/b": { uuid: idOf(digestOf("two")), mode: "4755", uid: 1, gid: 2 },
        "/c": { uuid: idOf(digestOf("one")) }
      })
      assert.strictEqual(service.log().indexOf(`${spawn}`), 4)
    })
  )

  it.effect("that cannot be read are named, and nothing is started", () =>
    Effect.gen(function* () {
      const { error, service } = yield* on(
        done,
        Image.run(image.id, Command.files(Command.shell("x"), { "/data.csv": Stream.fail("no") }))
      )
      assert.strictEqual(error?._tag === "InputFailed" ? error.what : error, 'the content of "/data.csv"')
      assert.isEmpty(service.of(spawn))
    })
  )

  it.effect("can be applied alone, which gives an image", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(
        { ...done, ...storage(["one"]) },
        pipe(image.id, Image.applyFiles({ "/a": "one" }))
      )
      assert.strictEqual(value?.id, image.id)
      assert.deepInclude(service.of(spawn)[0]?.body, { command: ":", shell: true, disposable: false })
      const again = yield* on({ ...done, ...storage(["one"]) }, Image.applyFiles(image.id, { "/a": "one" }))
      deepStrictEqual(again.service.of(spawn)[0]?.body, service.of(spawn)[0]?.body)
    })
  )
})
