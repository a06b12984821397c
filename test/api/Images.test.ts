import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Either, Redacted, Schema } from "effect"
import { ImageQuery, ImportRequest } from "../../src/api/Images.js"
import { SpawnRequest } from "../../src/api/Instances.js"
import { image } from "../fixtures/ScriptedService.js"

describe("ImageQuery", () => {
  const read = Schema.decodeUnknownEither(ImageQuery)

  it("reads what clients send", () => {
    deepStrictEqual(
      Either.getOrThrow(
        read({ limit: "1000", offset: "0", tagged: "1", tag: "ubuntu", uuid: image.id, kind: "1", since: "2h" })
      ),
      {
        limit: 1000,
        offset: 0,
        tagged: true,
        tagPrefix: "ubuntu",
        id: image.id,
        kind: "imported",
        since: Duration.hours(2)
      }
    )
    deepStrictEqual(Either.getOrThrow(read({})), {})
  })

  it("takes a flag as on unless it is 0", () => {
    for (const [tagged, on] of [
      ["1", true],
      ["", true],
      ["true", true],
      ["0", false]
    ] as const) {
      deepStrictEqual(Either.getOrThrow(read({ tagged })), { tagged: on })
    }
  })

  it.each([
    { limit: "0" },
    { limit: "1001" },
    { limit: "1.5" },
    { limit: "ten" },
    { offset: "-1" },
    { offset: "0.5" },
    { uuid: "x" },
    { kind: "2" },
    { since: "soon" }
  ])("refuses %j", (query) => {
    assert.isTrue(Either.isLeft(read(query)))
  })
})

describe("ImportRequest", () => {
  const read = Schema.decodeUnknownEither(ImportRequest)

  it("hides the password as soon as it is read", () => {
    const body = { registry: { url: "docker://a", credentials: { username: "u", password: "very-secret" } } }
    const request = Either.getOrThrow(read(body))
    assert.notInclude(JSON.stringify(request), "very-secret")
    assert.strictEqual(Redacted.value(request.registry.credentials?.password ?? Redacted.make("")), "very-secret")
    deepStrictEqual<object>(Schema.encodeSync(ImportRequest)(request), body)
  })

  it("reads null as absent and ignores what it does not know", () => {
    deepStrictEqual(
      Either.getOrThrow(
        read({ registry: { url: "docker://a", credentials: null }, tag: null, timeout: null, extra: 1 })
      ),
      { registry: { url: "docker://a" } }
    )
  })

  it("refuses a body without a registry, a tag that cannot be given, and a time that is no number", () => {
    const registry = { url: "docker://a" }
    for (const wrong of [{}, { registry: "docker://a" }, { registry, tag: "a b" }, { registry, timeout: "9" }]) {
      assert.isTrue(Either.isLeft(read(wrong)), JSON.stringify(wrong))
    }
  })
})

describe("SpawnRequest", () => {
  const read = Schema.decodeUnknownEither(SpawnRequest)
  const least = { command: "true", image: image.id }

  it("reads what official clients send, null as absent", () => {
    const request = Either.getOrThrow(
      read({
        ...least,
        args: [],
        env: { A: "1", B: null },
        preserve_env: true,
        cwd: "",
        uid: 0,
        hostname: "linuxkit",
        timeout: 60,
        truncate_output_at: 65_535,
        stdin: { value: "", encoding: "ascii", truncated: false },
        files: null,
        networking: null,
        resources_limits: { max_layer_bytes: 1 }
      })
    )
    deepStrictEqual(request.env, { A: "1", B: null })
    deepStrictEqual(request.timeout, Duration.minutes(1))
    deepStrictEqual([request.cwd, request.uid, request.preserveEnv, request.truncateOutputAt], ["", 0, true, 65_535])
    assert.notProperty(request, "files")
  })

  it.each([
    { command: "" },
    { cwd: "a/b" },
    { cwd: "/a\0" },
    { uid: -1 },
    { gid: 4_294_967_295 },
    { truncate_output_at: -1 },
    { truncate_output_at: 10_485_761 },
    { truncate_output_at: 1.5 },
    { env: { A: 1 } },
    { args: "a" },
    { shell: "true" },
    { hostname: "x".repeat(65) },
    { stdin: "text" }
  ])("refuses %j", (fields) => {
    assert.isTrue(Either.isLeft(read({ ...least, ...fields })))
  })
})
