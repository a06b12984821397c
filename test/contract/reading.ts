import { assert, describe } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as ImageId from "../../src/ImageId.js"
import { busybox, failsWith, keep } from "./steps.js"
import type { It } from "./suite.js"

const nobody = Effect.orDie(ImageId.fromString("00000000-0000-4000-8000-000000000003"))

const tree = Effect.flatMap(busybox, (base) =>
  keep(
    base,
    `mkdir -p /data/deep; echo one > /data/one.txt; printf 'Alpha\\nbeta\\nALPHA beta\\n' > /data/words.txt
     echo deep > /data/deep/file.txt; ln -s one.txt /data/link; chmod 640 /data/one.txt; printf 'beta\\000' > /data/binary`
  )
)

const bytesOf = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Stream.runFold(stream, "", (text, bytes) => text + Buffer.from(bytes).toString("latin1"))

export const reading = (it: It) => {
  describe("the files of an image", () => {
    it.effect("are listed with what they are", () =>
      Effect.gen(function* () {
        const { inspect } = yield* ContreeClient
        const { id } = yield* tree
        const items = yield* inspect.list(id, "/data")
        assert.deepStrictEqual(
          items
            .map(({ isDirectory, isRegular, isSymlink, mode, name, target }) =>
              [name, isDirectory, isRegular, isSymlink, (mode & 0o7777).toString(8), target].join(" ")
            )
            .sort(),
          [
            "binary false true false 644 ",
            "deep true false false 755 ",
            "link false false true 777 one.txt",
            "one.txt false true false 640 ",
            "words.txt false true false 644 "
          ]
        )
        const one = items.find(({ name }) => name === "one.txt")
        assert.deepInclude(one, { size: 4, uid: 0, gid: 0, mode: 0o100640 })
        yield* failsWith(inspect.list(id, "/nowhere"), "NotFound")
        yield* failsWith(inspect.list(yield* nobody, "/"), "NotFound")
        assert.strictEqual((yield* failsWith(inspect.list(id, "relative"), "RequestRejected")).status, 400)
      })
    )

    it.effect("are downloaded, links followed; a folder cannot be", () =>
      Effect.gen(function* () {
        const { inspect } = yield* ContreeClient
        const { id } = yield* tree
        assert.strictEqual(yield* bytesOf(inspect.download(id, "/data/one.txt")), "one\n")
        assert.strictEqual(yield* bytesOf(inspect.download(id, "/data/link")), "one\n")
        assert.strictEqual(yield* bytesOf(inspect.download(id, "/data/binary")), "beta\0")
        yield* inspect.hasDownload(id, "/data/one.txt")
        for (const path of ["/nowhere", "/data/one.txt/below"]) {
          yield* failsWith(bytesOf(inspect.download(id, path)), "NotFound")
          yield* failsWith(inspect.hasDownload(id, path), "NotFound")
        }
        assert.strictEqual((yield* failsWith(bytesOf(inspect.download(id, "/data")), "RequestRejected")).status, 422)
        assert.strictEqual((yield* failsWith(inspect.hasDownload(id, "/data"), "RequestRejected")).status, 422)
        yield* failsWith(bytesOf(inspect.download(yield* nobody, "/data")), "NotFound")
      })
    )

    it.effect("are archived as a tar, under the name of what was asked for", () =>
      Effect.gen(function* () {
        const { inspect } = yield* ContreeClient
        const { id } = yield* tree
        const archive = yield* bytesOf(inspect.archive(id, "/data/deep"))
        assert.strictEqual(archive.length % 512, 0)
        assert.strictEqual(archive.slice(257, 262), "ustar")
        assert.include(archive, "deep/file.txt")
        assert.include(archive, "deep\n")
        yield* inspect.hasArchive(id, "/data")
        yield* failsWith(bytesOf(inspect.archive(id, "/nowhere")), "NotFound")
        yield* failsWith(inspect.hasArchive(id, "/nowhere"), "NotFound")
      })
    )

    it.effect("are searched", () =>
      Effect.gen(function* () {
        const { inspect } = yield* ContreeClient
        const { id } = yield* tree
        const found = yield* inspect.grep(id, { pattern: ["beta"], path: ["/data"] })
        assert.deepStrictEqual(
          found.matches.map(({ lineNumber, path, submatches, text, type }) => [
            path,
            lineNumber,
            text,
            type,
            submatches
          ]),
          [
            ["/data/words.txt", 2, "beta\n", "match", [{ text: "beta", start: 0, end: 4 }]],
            ["/data/words.txt", 3, "ALPHA beta\n", "match", [{ text: "beta", start: 6, end: 10 }]]
          ]
        )
        assert.isFalse(found.truncated)
        const lines = (query: Omit<Parameters<typeof inspect.grep>[1], "path">) =>
          Effect.map(inspect.grep(id, { path: ["/data"], ...query }), ({ matches, truncated }) => [
            ...matches.map(({ lineNumber, type }) => `${type} ${lineNumber}`),
            ...(truncated ? ["truncated"] : [])
          ])
        assert.deepStrictEqual(yield* lines({ pattern: ["alpha"] }), [])
        assert.deepStrictEqual(yield* lines({ pattern: ["alpha"], case: "smart" }), ["match 1", "match 3"])
        assert.deepStrictEqual(yield* lines({ pattern: ["^Alpha"], after: 1 }), ["match 1", "context 2"])
        assert.deepStrictEqual(yield* lines({ pattern: ["a"], glob: ["words.*"], maxCount: 1 }), ["match 1"])
        assert.deepStrictEqual(yield* lines({ pattern: ["beta"], maxTotal: 1 }), ["match 2", "truncated"])
        assert.deepStrictEqual(yield* lines({ pattern: ["e"], glob: ["!words.txt", "!deep"] }), ["match 1"])
        yield* failsWith(inspect.grep(yield* nobody, { pattern: ["a"] }), "NotFound")
        assert.strictEqual((yield* failsWith(inspect.grep(id, { pattern: ["(a"] }), "RequestRejected")).status, 400)
        for (const wrong of [{ pattern: [] }, { pattern: ["a"], before: 51 }, { pattern: ["a"], maxTotal: 0 }]) {
          yield* failsWith(inspect.grep(id, wrong), "RequestRejected")
        }
      })
    )
  })
}
