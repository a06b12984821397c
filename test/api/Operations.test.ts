import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { DateTime, Duration, Either, FastCheck, Option, Schema } from "effect"
import { ImageRecord } from "../../src/api/Images.js"
import { OperationDetail, OperationSummary, ProcessResult } from "../../src/api/Operations.js"
import { encodeBytes } from "../../src/api/StreamRepr.js"
import { image, operation, operationId, record } from "../fixtures/ScriptedService.js"

/** Anything that can come out of a JSON parser. */
const anyJson = FastCheck.jsonValue().map((value) => value as unknown)

const whole = { ...operation("SUCCESS"), image_size: 10, consumed_cpu: 0.5, consumed_memory: 7 }
const process = {
  resources: { elapsed_time: 1.5, max_rss: 10, cost: 0.25 },
  state: { exit_code: 3, signal: -1, timed_out: false },
  stdout: { value: "a", encoding: "ascii", truncated: true },
  stderr: { value: "/w==", encoding: "base64" }
}

/** A column that a service may leave out, and may set to null. */
const column = <A>(value: FastCheck.Arbitrary<A>) => FastCheck.option(value)
const seconds = FastCheck.nat(1e9).map((micros) => micros / 1e6)
const instant = FastCheck.date({ min: new Date(0), max: new Date("9999-12-31T23:59:59.999Z") }).map((at) =>
  at.toISOString()
)
const size = FastCheck.nat()

const wireImage = FastCheck.record(
  {
    uuid: FastCheck.uuid(),
    tag: column(FastCheck.string()),
    created_at: column(instant),
    operation_uuid: column(FastCheck.uuid()),
    news: FastCheck.jsonValue()
  },
  { requiredKeys: ["uuid"] }
)
const summary = {
  uuid: FastCheck.uuid(),
  kind: FastCheck.oneof(FastCheck.constantFrom("instance", "image_import"), FastCheck.string()),
  status: FastCheck.oneof(FastCheck.constantFrom("PENDING", "SUCCESS"), FastCheck.string()),
  error: column(FastCheck.string()),
  created_at: column(instant),
  duration: column(seconds),
  image_size: column(size),
  consumed_cpu: column(seconds),
  consumed_memory: column(size),
  image_uuid: column(FastCheck.uuid()),
  result_image_uuid: column(FastCheck.uuid()),
  news: FastCheck.jsonValue()
}
const required = { requiredKeys: ["uuid", "kind", "status"] } satisfies { requiredKeys: Array<keyof typeof summary> }
const stream = FastCheck.uint8Array().map((bytes) => ({ ...encodeBytes(bytes), truncated: bytes.length > 5 }))
const wireProcess = FastCheck.record(
  {
    resources: column(FastCheck.dictionary(FastCheck.constantFrom("elapsed_time", "max_rss", "swaps"), size)),
    state: FastCheck.record(
      {
        exit_code: column(size),
        signal: column(size),
        timed_out: FastCheck.boolean(),
        pid: size,
        stopped: FastCheck.boolean()
      },
      { requiredKeys: [] }
    ),
    stdout: column(stream),
    stderr: column(stream)
  },
  { requiredKeys: ["state"] }
)
const wireSummary = FastCheck.record(summary, required)
const wireDetail = FastCheck.record(
  {
    ...summary,
    metadata: column(
      FastCheck.record({ command: FastCheck.string(), result: column(wireProcess) }, { requiredKeys: [] })
    ),
    result: column(
      FastCheck.record({ image: column(FastCheck.uuid()), tag: column(FastCheck.string()) }, { requiredKeys: [] })
    )
  },
  required
)

/** What was read from the wire is the same after a way over it. */
const survives = <A, I>(schema: Schema.Schema<A, I>, wire: unknown): void => {
  const value = Schema.decodeUnknownSync(schema)(wire)
  const again: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(schema)(value)))
  deepStrictEqual(Schema.decodeUnknownSync(schema)(again), value)
}

describe("ImageRecord", () => {
  const read = Schema.decodeUnknownEither(ImageRecord)

  it("is read with everything, with nulls, with nothing but its id, and with keys of a newer server", () => {
    const full = Either.getOrThrow(read(record({ tag: "a:b", operation_uuid: operationId, labels: {} })))
    deepStrictEqual([full.id, full.tag, full.operationId], [image.id, Option.some("a:b"), Option.some(operationId)])
    for (const bare of [{ uuid: image.id }, { uuid: image.id, tag: null, created_at: null, operation_uuid: null }]) {
      const { createdAt, operationId, tag } = Either.getOrThrow(read(bare))
      deepStrictEqual([createdAt, operationId, tag], [Option.none(), Option.none(), Option.none()])
    }
  })

  it("keeps a tag that this version would not give", () => {
    deepStrictEqual(Either.getOrThrow(read(record({ tag: "odd tag!" }))).tag, Option.some("odd tag!"))
  })

  it("is refused without an id", () => {
    for (const wrong of [{}, { uuid: "x" }, { uuid: null }, []]) assert.isTrue(Either.isLeft(read(wrong)))
  })

  it.prop("survives a way over the wire", [wireImage], ([wire]) => {
    survives(ImageRecord, wire)
  })
})

describe("operations", () => {
  const read = Schema.decodeUnknownEither(OperationDetail)

  it("are read into the program's own types", () => {
    const detail = Either.getOrThrow(
      read({
        ...whole,
        duration: 2.5,
        error: "e",
        metadata: { command: "ls", result: process },
        result: { image: image.id, tag: "t" }
      })
    )
    deepStrictEqual(detail.duration, Option.some(Duration.millis(2500)))
    deepStrictEqual(detail.createdAt, Option.map(DateTime.make("2024-01-01T12:00:00Z"), DateTime.toUtc))
    deepStrictEqual(detail.consumedCpu, Option.some(Duration.millis(500)))
    deepStrictEqual([detail.imageSize, detail.consumedMemory], [Option.some(10), Option.some(7)])
    deepStrictEqual(detail.result, Option.some({ image: Option.some(image.id), tag: Option.some("t") }))
    const metadata = Option.getOrThrow(detail.metadata)
    assert.strictEqual(metadata["command"], "ls")
    const result = Option.getOrThrow(metadata.result)
    deepStrictEqual([result.state.exitCode, result.state.signal, result.state.coreDump], [3, -1, false])
    deepStrictEqual([result.resources.maxRss, result.resources.swaps], [10, -1])
    deepStrictEqual([result.stdout.truncated, [...result.stderr.bytes]], [true, [255]])
  })

  it("are read with nothing but what they must have, and with keys of a newer server", () => {
    const bare = Either.getOrThrow(read({ uuid: operationId, kind: "instance", status: "PENDING", session_key: "x" }))
    deepStrictEqual([bare.metadata, bare.result, bare.error], [Option.none(), Option.none(), Option.none()])
  })

  it("keep a state and a kind that this version does not know", () => {
    const wire = { ...whole, status: "HIBERNATING", kind: "build" }
    for (const { kind, status } of [
      Schema.decodeUnknownSync(OperationDetail)(wire),
      Schema.decodeUnknownSync(OperationSummary)(wire)
    ]) {
      deepStrictEqual([status, kind], ["HIBERNATING", "build"])
    }
  })

  it("say null where they know nothing, because strict readers need the keys", () => {
    const written = Schema.encodeSync(OperationDetail)(Schema.decodeUnknownSync(OperationDetail)(operation("PENDING")))
    for (const key of ["error", "duration", "image_size", "result_image_uuid", "metadata", "result"]) {
      assert.propertyVal(written, key, null)
    }
    const withResult = Schema.decodeUnknownSync(OperationDetail)({ ...whole, result: {}, metadata: { command: "x" } })
    assert.deepInclude(Schema.encodeSync(OperationDetail)(withResult), {
      result: { image: null, tag: null },
      metadata: { command: "x", result: null }
    })
  })

  it("of a process that still runs have neither exit code nor signal, and anything may be missing", () => {
    const readResult = Schema.decodeUnknownEither(ProcessResult)
    const { resources, stderr, stdout } = Either.getOrThrow(readResult({ state: {}, resources: null, stdout: null }))
    deepStrictEqual([resources.elapsedTime, stdout.bytes.length, stderr.bytes.length], [-1, 0, 0])
    for (const partial of [{}, { resources: {} }, { state: null }]) {
      const { state } = Either.getOrThrow(readResult(partial))
      assert.deepInclude(state, { exitCode: -1, signal: -1, timedOut: false })
    }
    for (const wrong of [{ state: 1 }, { state: { exit_code: "0" } }, []]) {
      assert.isTrue(Either.isLeft(readResult(wrong)))
    }
  })

  it.prop("survive a way over the wire", [wireSummary, wireDetail, wireProcess], ([summary, detail, process]) => {
    survives(OperationSummary, summary)
    survives(OperationDetail, detail)
    survives(ProcessResult, process)
  })

  it.prop(
    "are read from any JSON without throwing",
    [anyJson, FastCheck.constantFrom("result", "metadata", "status")],
    ([value, key]) => {
      assert.isTrue(Either.isEither(read(value)))
      assert.isTrue(Either.isEither(read({ ...whole, [key]: value })))
      assert.isTrue(Either.isEither(read({ ...whole, metadata: { result: { ...process, state: value } } })))
    }
  )
})
