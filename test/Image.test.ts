import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Cause, Chunk, DateTime, Duration, Effect, Exit, Fiber, Option, pipe, Schema, Stream, TestClock } from "effect"
import type { RequestError } from "../src/ContreeError.js"
import * as Image from "../src/Image.js"
import { ImageId } from "../src/ImageId.js"
import * as ImageRef from "../src/ImageRef.js"
import type { InvalidImageRef } from "../src/InvalidImageRef.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, on, operationId, record, tag } from "./fixtures/ScriptedService.js"

const byTag = "GET /v1/inspect/"
const byId = `GET /v1/inspect/${image.id}/`
const post = "POST /v1/images/import"
const spawn = "POST /v1/instances"
const poll = `GET /v1/operations/${operationId}`
const found = { [byTag]: Scripted.empty(302, { location: `${image.id}/` }), [byId]: Scripted.json(record()) }
const missing = Scripted.failure(404, "no such image")
const started = Scripted.json({ uuid: operationId }, 201)
const imported = {
  [post]: started,
  [poll]: Scripted.json(
    Scripted.operation("SUCCESS", { kind: "image_import", result: { image: image.id, tag: "ubuntu:latest" } })
  )
}

describe("Image.use", () => {
  it.effect("makes no request and needs no client", () =>
    Effect.gen(function* () {
      for (const input of ["ubuntu:latest", image.id, "docker://ghcr.io/owner/app:1", `tag:${tag}`]) {
        const lazy = yield* Image.use(input)
        deepStrictEqual(lazy.ref, yield* ImageRef.fromString(input))
        deepStrictEqual(yield* Image.use(input, { strict: false }), lazy)
        deepStrictEqual(yield* Image.use(lazy.ref), lazy)
      }
    })
  )

  it.effect("refuses a text that is no reference, without a request", () =>
    Effect.gen(function* () {
      const lazy = yield* Effect.flip(Image.use("ubuntu:"))
      assert.strictEqual(lazy._tag, "InvalidImageRef")
      const { error, service } = yield* on({}, Image.use("ubuntu:", { strict: true }))
      assert.strictEqual(error?._tag, "InvalidImageRef")
      assert.isEmpty(service.requests)
    })
  )

  it.effect("strictly by tag asks for the tag and gives the image under it", () =>
    Effect.gen(function* () {
      for (const input of ["ubuntu:latest", "tag:ubuntu:latest", "docker://docker.io/library/ubuntu:latest"]) {
        const { service, value } = yield* on(found, Image.use(input, { strict: true }))
        deepStrictEqual([value?.id, value?.tag], [image.id, Option.some(tag)])
        deepStrictEqual(value?.createdAt, DateTime.make("2024-01-01T12:00:00Z").pipe(Option.map(DateTime.toUtc)))
        deepStrictEqual(service.log(), [byTag, byId])
        deepStrictEqual(service.requests[0]?.query, { tag })
      }
    })
  )

  it.effect("strictly by UUID asks for the image", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(
        { [byId]: Scripted.json(record({ tag: "other" })) },
        Image.use(image.id.toUpperCase(), { strict: true })
      )
      deepStrictEqual([value?.id, value?.tag], [image.id, Option.some("other")])
      deepStrictEqual(service.log(), [byId])
    })
  )

  it.effect("strictly fails with NotFound that names what is missing", () =>
    Effect.gen(function* () {
      const tagged = yield* on({ [byTag]: missing }, Image.use("ubuntu:latest", { strict: true }))
      assert.strictEqual(tagged.error?._tag, "NotFound")
      assert.include(tagged.error?.message, 'There is no image tag "ubuntu:latest" in this project')
      assert.include(tagged.error?.message, "Image.oci")
      const byUuid = yield* on({ [byId]: missing }, Image.use(image.id, { strict: true }))
      assert.strictEqual(byUuid.error?._tag === "NotFound" ? byUuid.error.what : "", `image ${image.id}`)
    })
  )
})

describe("Image.oci", () => {
  it.effect("gives an image that the service has, and imports nothing", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(found, Image.oci("docker://docker.io/library/ubuntu:latest"))
      assert.strictEqual(value?.id, image.id)
      deepStrictEqual(service.log(), [byTag, byId])
    })
  )

  it.effect("imports an image that the service does not have", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on({ [byTag]: missing, ...imported }, Image.oci("ubuntu:latest"))
      deepStrictEqual([value?.id, value?.tag], [image.id, Option.some("ubuntu:latest")])
      deepStrictEqual(service.log(), [byTag, post, poll])
      deepStrictEqual(service.of(post)[0]?.body, {
        registry: { url: "docker://docker.io/library/ubuntu:latest" },
        tag: "ubuntu:latest"
      })
    })
  )

  it.effect("looks for the tag that it is given, and imports under it", () =>
    Effect.gen(function* () {
      const { service } = yield* on(
        { [byTag]: missing, ...imported },
        Image.oci("ghcr.io/owner/app:1", { tag: "mine:1" })
      )
      deepStrictEqual(service.of(byTag)[0]?.query, { tag: "mine:1" })
      deepStrictEqual(service.of(post)[0]?.body, {
        registry: { url: "docker://ghcr.io/owner/app:1" },
        tag: "mine:1"
      })
    })
  )

  it.effect("imports nothing when the lookup fails in another way", () =>
    Effect.gen(function* () {
      for (const [status, tag] of [
        [500, "Unavailable"],
        [401, "Unauthorized"],
        [400, "RequestRejected"]
      ] as const) {
        const { error, service } = yield* on({ [byTag]: Scripted.failure(status) }, Image.oci("ubuntu:latest"))
        assert.strictEqual(error?._tag, tag)
        deepStrictEqual(service.log(), [byTag])
      }
    })
  )

  it.effect("only looks a UUID up", () =>
    Effect.gen(function* () {
      const present = yield* on(found, Image.oci(image.id))
      assert.strictEqual(present.value?.id, image.id)
      const absent = yield* on({ [byId]: missing }, Image.oci(image.id))
      assert.strictEqual(absent.error?._tag, "NotFound")
      deepStrictEqual(absent.service.log(), [byId])
    })
  )

  it.effect("refuses a tag that cannot be given, without a request", () =>
    Effect.gen(function* () {
      const { error, service } = yield* on({}, Image.oci("ubuntu:latest", { tag: "not a tag" }))
      assert.strictEqual(error?._tag, "InvalidImageRef")
      assert.isEmpty(service.requests)
    })
  )

  it("has the names that users of other tools look for", () => {
    assert.strictEqual(Image.docker, Image.oci)
    assert.strictEqual(Image.podman, Image.oci)
    assert.strictEqual(Image.pullByOci, Image.oci)
  })
})

describe("Image.importFrom", () => {
  it.effect("always starts an import and looks for nothing", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(imported, Image.importFrom("docker://docker.io/library/ubuntu:latest"))
      assert.strictEqual(value?.id, image.id)
      deepStrictEqual(service.log(), [post, poll])
    })
  )

  it.effect("sends the time limit in whole seconds, rounded up", () =>
    Effect.gen(function* () {
      for (const [timeout, seconds] of [
        ["1500 millis", 2],
        ["2 minutes", 120],
        ["0 seconds", 1]
      ] as const) {
        const { service } = yield* on(imported, Image.importFrom("docker://busybox", { timeout }))
        deepStrictEqual(service.of(post)[0]?.body, {
          registry: { url: "docker://docker.io/library/busybox" },
          tag: "busybox",
          timeout: seconds
        })
      }
    })
  )

  it.effect("refuses a UUID, which is in no registry, without a request", () =>
    Effect.gen(function* () {
      const { error, service } = yield* on({}, Image.importFrom(image.id))
      assert.strictEqual(error?._tag, "InvalidImageRef")
      assert.isEmpty(service.requests)
    })
  )

  it.effect("fails with the words of the registry", () =>
    Effect.gen(function* () {
      const { error } = yield* on(
        { [post]: started, [poll]: Scripted.json(Scripted.operation("FAILED", { error: "manifest unknown" })) },
        Image.importFrom("docker://busybox")
      )
      assert.strictEqual(error?._tag, "OperationFailed")
      assert.include(error?.message, "manifest unknown")
    })
  )

  it.effect("takes the image from wherever the operation names it, and fails when it names none", () =>
    Effect.gen(function* () {
      const ends = (fields: object) =>
        on(
          { [post]: started, [poll]: Scripted.json(Scripted.operation("SUCCESS", { ...fields })) },
          Image.importFrom("docker://busybox")
        )
      assert.strictEqual((yield* ends({ result_image_uuid: image.id })).value?.id, image.id)
      assert.strictEqual((yield* ends({ result: { image: image.id } })).value?.id, image.id)
      const { error } = yield* ends({})
      assert.strictEqual(error?._tag, "UnexpectedResponse")
      assert.include(error?.message, "succeeded without an image")
    })
  )
})

describe("a run on an image that nobody has looked at", () => {
  it.effect("names the tag and makes no lookup", () =>
    Effect.gen(function* () {
      const run = Effect.flatMap(Image.use("ubuntu:latest"), Image.run("true", { disposable: true }))
      const { error, service } = yield* on({ [spawn]: missing }, run)
      assert.strictEqual(error?._tag, "NotFound")
      assert.include(error?.message, 'There is no image tag "ubuntu:latest" in this project')
      assert.propertyVal(service.requests[0]?.body, "image", "tag:ubuntu:latest")
      deepStrictEqual(service.log(), [spawn])
    })
  )

  it.effect("names the tag also where the service answers 400 to an unknown one", () =>
    Effect.gen(function* () {
      const { error, service } = yield* on(
        { [spawn]: Scripted.failure(400, "bad image"), [byTag]: missing },
        Image.run("ubuntu:latest", "true")
      )
      assert.strictEqual(error?._tag, "NotFound")
      assert.include(error?.message, 'image tag "ubuntu:latest"')
      deepStrictEqual(service.log(), [spawn, byTag])
    })
  )

  it.effect("keeps the service's own words where the image is there, or cannot be looked up", () =>
    Effect.gen(function* () {
      for (const lookup of [found, { [byTag]: Scripted.failure(500) }]) {
        const { error } = yield* on(
          { [spawn]: Scripted.failure(400, "cwd is not valid"), ...lookup },
          Image.run("ubuntu:latest", "true")
        )
        assert.strictEqual(error?._tag, "RequestRejected")
        assert.include(error?.message, "cwd is not valid")
      }
    })
  )

  it.effect("by its UUID names the UUID", () =>
    Effect.gen(function* () {
      const { error } = yield* on({ [spawn]: missing }, Image.run(image.id, "true"))
      assert.strictEqual(error?._tag === "NotFound" ? error.what : "", `image ${image.id}`)
    })
  )
})

describe("Image.tagAs and Image.untag", () => {
  const patch = `PATCH /v1/images/${image.id}/tag`
  const del = `DELETE /v1/images/${image.id}/tag`

  it.effect("tag an image by its UUID at once, and any other after a lookup", () =>
    Effect.gen(function* () {
      const scripts = { ...found, [patch]: Scripted.json(record({ tag: "older" })) }
      const direct = yield* on(scripts, Image.tagAs(image.id, "mine:1"))
      deepStrictEqual([direct.value?.id, direct.value?.tag], [image.id, Option.some("mine:1")])
      deepStrictEqual(
        direct.service.requests.map(({ body }) => body),
        [{ tag: "mine:1" }]
      )
      const looked = yield* on(scripts, pipe("ubuntu:latest", Image.tagAs("mine:1")))
      deepStrictEqual(looked.service.log(), [byTag, byId, patch])
    })
  )

  it.effect("take one tag away, or all", () =>
    Effect.gen(function* () {
      const scripts = { ...found, [del]: Scripted.empty(204) }
      const one = yield* on(scripts, pipe(image.id, Image.untag("mine:1")))
      deepStrictEqual(
        one.service.requests.map(({ query }) => query),
        [{ tag: "mine:1" }]
      )
      const every = yield* on(scripts, Image.untagAll("ubuntu:latest"))
      deepStrictEqual(every.service.log(), [byTag, byId, del])
      deepStrictEqual(every.service.of(del)[0]?.query, {})
    })
  )

  it.effect("refuse a tag that cannot be given, without a request", () =>
    Effect.gen(function* () {
      for (const verb of [Image.tagAs(image.id, "a b"), Image.untag(image.id, "a b")]) {
        const { error, service } = yield* on<unknown, InvalidImageRef | RequestError>({}, verb)
        assert.strictEqual(error?._tag, "InvalidImageRef")
        assert.isEmpty(service.requests)
      }
    })
  )
})

describe("Image.list and Image.stream", () => {
  const ids = ["1", "2", "3", "4", "5"].map((digit) =>
    Schema.decodeSync(ImageId)(`${digit}c9e6679-7425-40de-944b-e07fc1f90ae7`)
  )
  const rows = ids.map((uuid) => record({ uuid }))

  /** Five images, and `newer` of them come in front after each request. */
  const listing = (newer = 0) =>
    Scripted.make({
      "GET /v1/images": ({ query }, number) => {
        const fresh = Array.from({ length: newer * (number - 1) }, (_, i) =>
          record({ uuid: `${String(i).padStart(8, "a")}-7425-40de-944b-e07fc1f90ae7` })
        )
        const offset = Number(query["offset"])
        return Scripted.json({ images: [...fresh, ...rows].slice(offset, offset + Number(query["limit"])) })
      }
    })
  const listed = (service: Scripted.ScriptedService, options?: Image.ListOptions) =>
    Effect.map(Image.list(options).pipe(Effect.provide(service.layer({ pageSize: 2 }))), (images) =>
      images.map(({ id }) => id)
    )
  const queries = (service: Scripted.ScriptedService) => service.requests.map(({ query }) => query)

  it.effect("give everything, page by page", () =>
    Effect.gen(function* () {
      const service = listing()
      deepStrictEqual(yield* listed(service), ids)
      deepStrictEqual(queries(service), [
        { limit: "2", offset: "0" },
        { limit: "2", offset: "2" },
        { limit: "2", offset: "4" }
      ])
    })
  )

  it.effect("ask for one page more when the last one was full", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        "GET /v1/images": [Scripted.json({ images: rows.slice(0, 2) }), Scripted.json({ images: [] })]
      })
      deepStrictEqual(yield* listed(service), ids.slice(0, 2))
      assert.lengthOf(service.requests, 2)
    })
  )

  it.effect("give as many as wanted and ask for no more", () =>
    Effect.gen(function* () {
      for (const [number, limits] of [
        [1, ["1"]],
        [2, ["2"]],
        [3, ["2", "2"]],
        [9, ["2", "2", "2"]]
      ] as const) {
        const service = listing()
        deepStrictEqual(yield* listed(service, { number }), ids.slice(0, number))
        deepStrictEqual(
          queries(service).map(({ limit }) => limit),
          [...limits]
        )
      }
    })
  )

  it.effect("refuse a number that counts nothing, without a request", () =>
    Effect.gen(function* () {
      for (const number of [0, -1, 2.5, Number.NaN]) {
        const service = listing()
        const error = yield* Effect.flip(listed(service, { number }))
        assert.strictEqual(error._tag, "RequestRejected")
        assert.include(error.message, `${number}`)
        assert.isEmpty(service.requests)
      }
    })
  )

  it.effect("give an image once that slips onto the next page", () =>
    Effect.gen(function* () {
      deepStrictEqual(yield* listed(listing(1)), ids)
      deepStrictEqual(yield* listed(listing(1), { number: 4 }), ids.slice(0, 4))
    })
  )

  it.effect("give an image once also when more than a page of new ones came in front", () =>
    Effect.gen(function* () {
      const seen = yield* listed(listing(3), { number: 12 })
      assert.strictEqual(new Set(seen).size, seen.length)
    })
  )

  it.effect("stop asking when the stream is no longer read", () =>
    Effect.gen(function* () {
      const service = listing()
      const first = yield* Image.stream().pipe(
        Stream.take(1),
        Stream.runCollect,
        Effect.provide(service.layer({ pageSize: 2 }))
      )
      assert.lengthOf(Chunk.toReadonlyArray(first), 1)
      assert.lengthOf(service.requests, 1)
    })
  )

  it.effect("say what is wanted in the contract's words", () =>
    Effect.gen(function* () {
      const noon = DateTime.unsafeMake("2024-01-01T12:00:00.123Z")
      const asked: ReadonlyArray<readonly [Image.ListOptions, Record<string, string>]> = [
        [{ tagged: true }, { tagged: "1" }],
        [{ tagged: false }, {}],
        [{ tagPrefix: "release/" }, { tag: "release/" }],
        [{ kind: "imported" }, { kind: "1" }],
        [{ kind: "run" }, { kind: "0" }],
        [{ since: "24 hours" }, { since: "86400s" }],
        [
          { since: Duration.millis(1500), until: "0 seconds" },
          { since: "2s", until: "0s" }
        ],
        [
          { since: noon, until: noon },
          { since: "2024-01-01T12:00:00.123+00:00", until: "2024-01-01T12:00:00.123+00:00" }
        ]
      ]
      for (const [options, query] of asked) {
        const service = listing()
        yield* listed(service, { ...options, number: 1 })
        deepStrictEqual(queries(service), [{ limit: "1", offset: "0", ...query }])
      }
    })
  )

  it.effect("keep a window that counts back from now where it was, however long the pages take", () =>
    Effect.gen(function* () {
      const slow = Scripted.make({
        "GET /v1/images": ({ query }) =>
          Effect.delay(
            Effect.succeed(Scripted.json({ images: rows.slice(Number(query["offset"]), Number(query["offset"]) + 2) })),
            "10 seconds"
          )
      })
      const fiber = yield* Effect.fork(listed(slow, { since: "1 hour", until: "1 minute" }))
      yield* TestClock.adjust("1 minute")
      deepStrictEqual(yield* Fiber.join(fiber), ids)
      deepStrictEqual(
        queries(slow).map(({ since, until }) => [since, until]),
        [
          ["3600s", "60s"],
          ["3610s", "70s"],
          ["3620s", "80s"]
        ]
      )
    })
  )

  it.effect("fail as the request fails", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        "GET /v1/images": [Scripted.json({ images: rows.slice(0, 2) }), Scripted.failure(500)]
      })
      const given: Array<string> = []
      const exit = yield* Image.stream().pipe(
        Stream.runForEach(({ id }) => Effect.sync(() => given.push(id))),
        Effect.provide(service.layer({ pageSize: 2 })),
        Effect.exit
      )
      deepStrictEqual(given, ids.slice(0, 2))
      assert.strictEqual(
        Exit.isFailure(exit) ? Option.getOrThrow(Cause.failureOption(exit.cause))._tag : "",
        "Unavailable"
      )
    })
  )

  it.effect("read lists of a newer server, and of an image without anything but its id", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        "GET /v1/images": Scripted.json({ images: [{ uuid: ids[0], labels: ["new"] }], next: "x" })
      })
      const [only] = yield* Image.list().pipe(Effect.provide(service.layer()))
      deepStrictEqual([only?.id, only?.tag, only?.createdAt], [ids[0], Option.none(), Option.none()])
    })
  )
})
