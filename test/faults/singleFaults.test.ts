/** One fault at a time, on each kind of request: which error it is, and how often the request was sent. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Either, Layer, Option, Redacted, Schedule, Schema, type Scope, Stream } from "effect"
import { Sha256 } from "../../src/api/Files.js"
import { OperationId } from "../../src/api/Images.js"
import { ProcessNumber } from "../../src/api/Subprocesses.js"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import type { ContreeConfig } from "../../src/ContreeConfig.js"
import { type ContreeError, isContreeError, retryAfter } from "../../src/ContreeError.js"
import * as Image from "../../src/Image.js"
import { ImageId } from "../../src/ImageId.js"
import { ImageTag } from "../../src/ImageTag.js"
import * as FaultServer from "../fixtures/FaultServer.js"

type Fault = FaultServer.Fault

const failures = 3
const putOffs = 5

const client = (config: Partial<ContreeConfig> = {}) =>
  layerWith({
    baseUrl: FaultServer.baseUrl,
    ...config,
    token: Redacted.make("token-of-the-test"),
    retry: {
      schedule: Schedule.recurs(failures),
      pushback: Schedule.recurs(putOffs),
      budget: { burst: 100_000, perSecond: 1 }
    }
  }).pipe(Layer.provide(FaultServer.httpClient(NodeHttpClient.layer)))

/** Real time and no test services. */
const real = { excludeTestServices: true }

interface Target {
  readonly image: ImageId
  readonly operation: OperationId
}

type Manner = "reads" | "sets" | "streams" | "starts"

const image = Schema.decodeSync(ImageId)
const operation = Schema.decodeSync(OperationId)
const tag = Schema.decodeSync(ImageTag)("app:1")
const main = ProcessNumber.make(1)

/** `reads` have a body whose loss is seen, `sets` have none, `streams` give it on as it comes. */
const calls: Readonly<
  Record<string, readonly [Manner, (service: ContreeClient.Service, target: Target) => Effect.Effect<unknown, unknown>]>
> = {
  whoami: ["reads", ({ account }) => account.whoami],
  "images.list": ["reads", ({ images }) => images.list({})],
  "images.import": ["starts", ({ images }) => images.import({ registry: { url: "docker://a.test/b" } })],
  "images.tag": ["reads", ({ images }, { image }) => images.tag(image, tag)],
  "images.untag": ["sets", ({ images }, { image }) => images.untag(image, tag)],
  "files.list": ["reads", ({ files }) => files.list({})],
  "files.get": ["reads", ({ files }) => files.get(Schema.decodeSync(Sha256)("a".repeat(64)))],
  "files.exists": ["sets", ({ files }) => files.exists(Schema.decodeSync(Sha256)("a".repeat(64)))],
  "files.upload of bytes": ["reads", ({ files }) => files.upload(new Uint8Array(100_000))],
  "files.upload of a stream that can be sent again": [
    "reads",
    ({ files }) => files.upload(Stream.make(new Uint8Array(70_000), new Uint8Array(70_000)), { repeatable: true })
  ],
  "inspect.byId": ["reads", ({ inspect }, { image }) => inspect.byId(image)],
  "inspect.byTag": ["sets", ({ inspect }) => inspect.byTag(tag)],
  "inspect.list": ["reads", ({ inspect }, { image }) => inspect.list(image, "/")],
  "inspect.download": ["streams", ({ inspect }, { image }) => Stream.runDrain(inspect.download(image, "/data"))],
  "inspect.archive": ["streams", ({ inspect }, { image }) => Stream.runDrain(inspect.archive(image, "/data"))],
  "inspect.hasDownload": ["sets", ({ inspect }, { image }) => inspect.hasDownload(image, "/data")],
  "inspect.hasArchive": ["sets", ({ inspect }, { image }) => inspect.hasArchive(image, "/data")],
  "instances.spawn": ["starts", ({ instances }, { image }) => instances.spawn({ image, command: "job 1" })],
  "operations.list": ["reads", ({ operations }) => operations.list({})],
  "operations.get": ["reads", ({ operations }, { operation }) => operations.get(operation)],
  "operations.poll": ["reads", ({ operations }, { operation }) => operations.poll(operation)],
  "operations.cancel": ["sets", ({ operations }, { operation }) => operations.cancel(operation)],
  "subprocesses.start": [
    "starts",
    ({ subprocesses }, { operation }) => subprocesses.start(operation, { command: "job 1" })
  ],
  "subprocesses.get": ["reads", ({ subprocesses }, { operation }) => subprocesses.get(operation, main)],
  "subprocesses.signal": ["sets", ({ subprocesses }, { operation }) => subprocesses.signal(operation, main)],
  "subprocesses.writeStdin": [
    "starts",
    ({ subprocesses }, { operation }) =>
      subprocesses.writeStdin(operation, main, { bytes: new Uint8Array(1), close: false })
  ]
}

/** Calls one method against a service whose answers to it fail, the first `times` of them. */
const facing = (name: string, fault: Fault, times = Number.POSITIVE_INFINITY) =>
  Effect.gen(function* () {
    const call = calls[name]?.[1] ?? (() => Effect.die(name))
    let asked = 0
    const server = yield* FaultServer.make({
      plan: ({ step }) => (step === "call" && ++asked <= times ? fault : FaultServer.none)
    })
    return yield* Effect.gen(function* () {
      const service = yield* ContreeClient
      const id = image(server.images[0]?.id ?? "")
      yield* service.images.tag(id, tag)
      const started = operation(
        yield* service.instances.spawn({
          image: id,
          command: "cat",
          stdin: { bytes: new Uint8Array(0), close: false }
        })
      )
      const result = yield* Effect.either(call(service, { image: id, operation: started })).pipe(server.within("call"))
      const error = Option.filter(Either.getLeft(result), isContreeError)
      return {
        server,
        tag: Either.isRight(result)
          ? "success"
          : Option.match(error, { onNone: () => "other", onSome: ({ _tag }) => _tag }),
        status: Option.getOrUndefined(Option.flatMapNullable(error, ({ status }) => status)),
        error: Option.getOrUndefined(error),
        sent: server.seen.filter(({ step }) => step === "call").length,
        running: server.operations.size - 1
      }
    }).pipe(server.within("before"))
  }).pipe(Effect.scoped)

const status = (status: number, retryAfter?: string): Fault => ({
  _tag: "Status",
  status,
  retryAfter,
  done: false,
  cut: false
})

const reset = (at: "asked" | "head" | "body", framing: "length" | "chunked" = "length", done = true): Fault => ({
  _tag: "Reset",
  at,
  how: "fin",
  framing,
  done
})

type Expected = readonly [tag: ContreeError["_tag"], status: number | undefined, requests: number]

/**
 * Every try fails: after the last one the error is given. What starts work is sent once by the service's own methods;
 * the verbs on top send it again, since they can cancel what an interrupted try has started.
 */
const lasting: ReadonlyArray<
  readonly [what: string, fault: Fault, expected: Readonly<Partial<Record<Manner, Expected>>>]
> = [
  ["no connection", { _tag: "Refused" }, or(["Unavailable", undefined, 1 + failures], ["Unavailable", undefined, 1])],
  [
    "a connection that breaks before the answer",
    reset("asked"),
    or(["Unavailable", undefined, 4], ["OutcomeUnknown", undefined, 1])
  ],
  ["408", status(408), or(["Unavailable", 408, 4], ["OutcomeUnknown", 408, 1])],
  ["410", status(410), or(["Unavailable", 410, 4], ["OutcomeUnknown", 410, 1])],
  ["502", status(502), or(["Unavailable", 502, 4], ["OutcomeUnknown", 502, 1])],
  ["504", status(504), or(["Unavailable", 504, 4], ["OutcomeUnknown", 504, 1])],
  ["503", status(503), or(["Unavailable", 503, 4], ["Unavailable", 503, 1])],
  ["503 that asks for hours", status(503, "9999"), everywhere(["Unavailable", 503, 1])],
  ["500", status(500), everywhere(["Unavailable", 500, 1])],
  ["501", status(501), everywhere(["RequestRejected", 501, 1])],
  ["425", status(425), or(["Unavailable", 425, 1 + putOffs], ["Unavailable", 425, 1])],
  ["429", status(429), or(["RateLimited", 429, 1 + putOffs], ["RateLimited", 429, 1])],
  ["429 with Retry-After: 0", status(429, "0"), or(["RateLimited", 429, 1 + putOffs], ["RateLimited", 429, 1])],
  ["429 that asks for hours", status(429, "9999"), everywhere(["RateLimited", 429, 1])],
  ["400", status(400), everywhere(["RequestRejected", 400, 1])],
  ["401", status(401), everywhere(["Unauthorized", 401, 1])],
  ["403", status(403), everywhere(["Forbidden", 403, 1])],
  ["422", status(422), everywhere(["RequestRejected", 422, 1])]
]

/** The answer is a success, but not all of it comes; only an answer with a body can be so. */
const broken: ReadonlyArray<
  readonly [what: string, fault: Fault, expected: Readonly<Partial<Record<Manner, Expected>>>]
> = (["head", "body"] as const).flatMap((at) =>
  (["length", "chunked"] as const).map(
    (framing) =>
      [
        `a connection that breaks ${at === "head" ? "after the head" : "within the body"} of an answer (${framing})`,
        reset(at, framing),
        {
          reads: ["Unavailable", undefined, 4],
          streams: ["Unavailable", 200, 1],
          starts: ["OutcomeUnknown", undefined, 1]
        }
      ] as const
  )
)

function everywhere(expected: Expected): Readonly<Record<Manner, Expected>> {
  return { reads: expected, sets: expected, streams: expected, starts: expected }
}

function or(otherwise: Expected, starts: Expected): Readonly<Record<Manner, Expected>> {
  return { ...everywhere(otherwise), starts }
}

layer(client(), real)("Each fault of the service is told by its error", (it) => {
  for (const [what, fault, expected] of lasting) {
    it.effect(`${what}, whatever was asked for`, () =>
      Effect.forEach(
        Object.entries(calls),
        ([name, [manner]]) =>
          Effect.map(facing(name, fault), ({ sent, status, tag }) => {
            assert.deepStrictEqual(
              [name, tag, status, sent],
              [name, ...(expected[manner] ?? ["success", undefined, 1])]
            )
          }),
        { concurrency: 4, discard: true }
      )
    )
  }

  for (const [what, fault, expected] of broken) {
    it.effect(`${what}, where there is one`, () =>
      Effect.forEach(
        Object.entries(calls).filter(([name, [manner]]) => expected[manner] !== undefined && !name.includes("stdin")),
        ([name, [manner]]) =>
          name === "files.get" || name === "subprocesses.writeStdin"
            ? Effect.void
            : Effect.map(facing(name, fault), ({ sent, status, tag }) => {
                const [wanted, wantedStatus, requests] = expected[manner] ?? ["success", undefined, 1]
                assert.deepStrictEqual([name, tag, sent], [name, wanted, requests])
                if (wantedStatus !== undefined) assert.strictEqual(status, wantedStatus)
              }),
        { concurrency: 4, discard: true }
      )
    )
  }

  it.effect("a success that is not of the contract, which for what starts work leaves the outcome open", () =>
    Effect.forEach(
      Object.entries(calls).filter(
        ([name, [manner]]) => manner === "reads" || (manner === "starts" && !name.includes("Stdin"))
      ),
      ([name, [manner]]) =>
        name === "files.get"
          ? Effect.void
          : Effect.map(facing(name, { _tag: "Garbage" }), ({ sent, tag }) => {
              assert.deepStrictEqual(
                [name, tag, sent],
                [name, manner === "starts" ? "OutcomeUnknown" : "UnexpectedResponse", 1]
              )
            }),
      { concurrency: 4, discard: true }
    )
  )
})

layer(client(), real)("A fault that passes is not seen", (it) => {
  const passing: ReadonlyArray<readonly [string, Fault, ReadonlyArray<Manner>]> = [
    ["no connection", { _tag: "Refused" }, ["reads", "sets", "streams"]],
    ["425", status(425, "0"), ["reads", "sets", "streams"]],
    ["429", status(429), ["reads", "sets", "streams"]],
    ["503", status(503, "0"), ["reads", "sets", "streams"]],
    ["502", status(502), ["reads", "sets", "streams"]],
    ["a broken connection", reset("asked"), ["reads", "sets", "streams"]],
    ["half an answer", reset("body", "chunked"), ["reads"]]
  ]
  for (const [what, fault, manners] of passing) {
    it.effect(`${what}, twice`, () =>
      Effect.forEach(
        Object.entries(calls).filter(([name, [manner]]) => manners.includes(manner) && name !== "files.get"),
        ([name]) =>
          Effect.map(facing(name, fault, 2), ({ sent, server, tag }) => {
            const redirected = server.seen.some(({ status, step }) => step === "call" && status === 302) ? 1 : 0
            // What an answer that got lost has ended is gone.
            const gone = name === "subprocesses.signal" && tag === "NotFound"
            assert.deepStrictEqual([name, gone ? "success" : tag, sent], [name, "success", 3 + redirected])
          }),
        { concurrency: 4, discard: true }
      )
    )
  }
})

/** A verb that starts work, against a service whose answers to it fail: the first `times`. */
const starting = <A>(
  verb: (image: string) => Effect.Effect<A, unknown, ContreeClient | Scope.Scope>,
  fault: Fault,
  times = Number.POSITIVE_INFINITY
) =>
  Effect.gen(function* () {
    let asked = 0
    const server = yield* FaultServer.make({
      plan: ({ method, path }) =>
        method === "POST" && path !== "/v1/files" && ++asked <= times ? fault : FaultServer.none
    })
    const result = yield* Effect.either(verb(server.images[0]?.id ?? "")).pipe(server.within("verb"))
    return {
      server,
      tag: Either.match(result, {
        onLeft: (error) => (isContreeError(error) ? error._tag : "other"),
        onRight: () => "success"
      }),
      error: Option.getOrUndefined(Option.filter(Either.getLeft(result), isContreeError)),
      sent: server.seen.filter(({ method }) => method === "POST").length,
      running: server.operations.size
    }
  }).pipe(Effect.scoped)

const verbs: Readonly<Record<string, (image: string) => Effect.Effect<unknown, unknown, ContreeClient | Scope.Scope>>> =
  {
    "Image.run": (image) => Image.run(image, "job 1"),
    "Image.importFrom": () => Image.importFrom("docker://registry.test/app:1"),
    "Image.start": (image) => Image.start(image, "job 1")
  }

layer(client(), real)("What starts work", (it) => {
  for (const [name, verb] of Object.entries(verbs)) {
    it.effect(`${name} starts it once after it was put off or found no connection`, () =>
      Effect.forEach(
        [{ _tag: "Refused" } as const, status(429, "0"), status(425)],
        (fault) =>
          Effect.map(starting(verb, fault, 3), ({ running, sent, tag }) => {
            assert.deepStrictEqual([tag, sent, running], ["success", 4, 1])
          }),
        { discard: true }
      )
    )

    it.effect(`${name} gives up where it is put off for ever, and nothing runs`, () =>
      Effect.forEach(
        [
          [{ _tag: "Refused" } as const, "Unavailable", 1 + failures] as const,
          [status(429), "RateLimited", 1 + putOffs] as const,
          [status(425, "0"), "Unavailable", 1 + putOffs] as const,
          [status(429, "9999"), "RateLimited", 1] as const,
          [status(500), "Unavailable", 1] as const,
          [status(503, "0"), "Unavailable", 1] as const
        ],
        ([fault, tag, sent]) =>
          Effect.map(starting(verb, fault), (result) => {
            assert.deepStrictEqual([result.tag, result.sent, result.running], [tag, sent, 0])
          }),
        { discard: true }
      )
    )

    it.effect(`${name} never asks a second time where it may have started`, () =>
      Effect.forEach(
        [
          reset("asked"),
          reset("asked", "length", false),
          reset("head"),
          reset("body", "chunked"),
          { _tag: "Garbage" } as const,
          ...[408, 410, 502, 504].flatMap((code) => [status(code, "0"), { ...status(code), done: true }])
        ],
        (fault) =>
          Effect.map(starting(verb, fault), ({ error, running, sent }) => {
            assert.deepStrictEqual([error?._tag, sent], ["OutcomeUnknown", 1])
            assert.strictEqual(running, "done" in fault && !fault.done ? 0 : 1)
          }),
        { discard: true }
      )
    )
  }

  it.effect("may run when its outcome is unknown, and the error says what to look for", () =>
    Effect.map(facing("instances.spawn", reset("body")), ({ error, running, server }) => {
      assert.strictEqual(running, 1)
      assert.ok(error?._tag === "OutcomeUnknown")
      assert.strictEqual(error.lookFor?.kind, "instance")
      assert.strictEqual(error.lookFor?.of, server.images[0]?.id)
    })
  )
})

layer(client({ requestTimeout: Duration.millis(700) }), real)("A service that is silent", (it) => {
  it.effect("is asked again for what it may be asked twice, and not for what starts work", () =>
    Effect.forEach(
      Object.entries(calls),
      ([name, [manner]]) =>
        Effect.map(facing(name, { _tag: "Silent", done: false }), ({ sent, tag }) => {
          assert.deepStrictEqual(
            [name, tag, sent],
            [name, ...(manner === "starts" ? ["OutcomeUnknown", 1] : ["TimedOut", 1 + failures])]
          )
        }),
      { concurrency: "unbounded", discard: true }
    )
  )
})

layer(client(), real)("How long the service asks to wait", (it) => {
  it.effect("stands in the error when the client gives up, as seconds or as a date", () =>
    Effect.gen(function* () {
      const seconds = yield* facing("whoami", status(429, "9999"))
      assert.deepStrictEqual(
        Option.map(Option.flatMap(Option.fromNullable(seconds.error), retryAfter), Duration.toSeconds),
        Option.some(9999)
      )
      const date = yield* facing("whoami", status(503, new Date(Date.now() + 3_600_000).toUTCString()))
      const asked = Option.flatMap(Option.fromNullable(date.error), retryAfter)
      assert.ok(Option.exists(asked, Duration.between({ minimum: "59 minutes", maximum: "1 hour" })))
      assert.strictEqual(date.sent, 1)
    })
  )

  it.effect("is told by a failure whose body is lost too", () =>
    Effect.map(
      facing("whoami", { _tag: "Status", status: 429, retryAfter: "9999", done: false, cut: true }),
      (result) => {
        assert.deepStrictEqual([result.tag, result.status, result.sent], ["RateLimited", 429, 1])
      }
    )
  )
})
