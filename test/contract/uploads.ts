import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { Sha256 } from "../../src/api/Files.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import { failsWith } from "./steps.js"
import type { It } from "./suite.js"

const digestOf = (bytes: Uint8Array) => Schema.decodeSync(Sha256)(createHash("sha256").update(bytes).digest("hex"))
const fresh = Effect.sync(() => Uint8Array.from(randomBytes(3000)))

export const uploads = (it: It) => {
  describe("an uploaded file", () => {
    it.effect("is known by the digest of its content, whether it came as bytes or in chunks", () =>
      Effect.gen(function* () {
        const { files } = yield* ContreeClient
        const [bytes, streamed] = [yield* fresh, yield* fresh]
        assert.isFalse(yield* files.exists(digestOf(bytes)))
        yield* failsWith(files.get(digestOf(bytes)), "NotFound")

        const receipt = yield* files.upload(bytes)
        assert.deepStrictEqual([receipt.sha256, receipt.size], [digestOf(bytes), 3000])
        assert.isTrue(yield* files.exists(digestOf(bytes)))
        const record = yield* files.get(digestOf(bytes))
        assert.deepStrictEqual([record.id, record.sha256, record.size], [receipt.id, receipt.sha256, 3000])

        const chunks = Stream.make(streamed.slice(0, 1), streamed.slice(1, 2000), streamed.slice(2000))
        assert.strictEqual((yield* files.upload(chunks)).sha256, digestOf(streamed))
        assert.strictEqual((yield* files.upload(new Uint8Array(0))).size, 0)
      })
    )

    it.effect("that is uploaded again is the same file, and newer", () =>
      Effect.gen(function* () {
        const { files } = yield* ContreeClient
        const bytes = yield* fresh
        const first = yield* files.upload(bytes)
        const before = yield* files.get(first.sha256)
        yield* Effect.sleep("5 millis")
        assert.strictEqual((yield* files.upload(bytes)).id, first.id)
        const after = yield* files.get(first.sha256)
        assert.deepStrictEqual(after.createdAt, before.createdAt)
        assert.isAbove(
          Number(Option.getOrThrow(after.updatedAt).epochMillis),
          Number(Option.getOrThrow(before.updatedAt).epochMillis)
        )
      })
    )

    it.effect("of which nothing is left when its stream fails", () =>
      Effect.gen(function* () {
        const { files } = yield* ContreeClient
        const bytes = yield* fresh
        const broken = Stream.concat(Stream.make(bytes), Stream.fail("the disk is gone" as const))
        assert.strictEqual(yield* Effect.flip(files.upload(broken)), "the disk is gone")
        assert.isFalse(yield* files.exists(digestOf(bytes)))
      })
    )

    it.effect("is listed, the newest first, in pages and windows of time", () =>
      Effect.gen(function* () {
        const { files } = yield* ContreeClient
        const made: Array<string> = []
        for (let index = 0; index < 3; index++) {
          made.unshift((yield* files.upload(yield* fresh)).id)
          yield* Effect.sleep("3 millis")
        }
        const idsOf = (query: Parameters<typeof files.list>[0]) =>
          Effect.map(files.list(query), (files) => files.map(({ id }): string => id))
        assert.deepStrictEqual(yield* idsOf({ limit: 3 }), made)
        assert.deepStrictEqual(yield* idsOf({ limit: 1, offset: 1 }), made.slice(1, 2))
        const second = (yield* files.list({ limit: 1, offset: 1 }))[0]
        assert.isDefined(second)
        const at = Option.getOrThrow(second.createdAt)
        assert.deepStrictEqual(yield* idsOf({ since: at, limit: 3 }), made.slice(0, 2))
        assert.strictEqual((yield* idsOf({ until: at, limit: 1 }))[0], made[1])
        for (const limit of [0, 1001]) yield* failsWith(files.list({ limit }), "RequestRejected")
        yield* failsWith(files.list({ offset: -1 }), "RequestRejected")
      })
    )
  })
}
