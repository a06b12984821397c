import { FileSystem } from "@effect/platform"
import type { SqlClient } from "@effect/sql"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Option, Schema, Stream, TestClock } from "effect"
import { createHash } from "node:crypto"
import { FileId, Sha256 } from "../../src/api/Files.js"
import * as Database from "../../src/local/Database.js"
import * as FileStore from "../../src/local/FileStore.js"

const bytes = (text: string) => new TextEncoder().encode(text)
const digestOf = (content: Uint8Array) => Schema.decodeSync(Sha256)(createHash("sha256").update(content).digest("hex"))
const everything = { limit: 100, offset: 0, since: undefined, until: undefined }

const folder = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ prefix: "contree-files-" }))

/** A store opened for the time of the effect, as an engine's start does; the folder's database stays open. */
const during = <A, E, R>(
  directory: string,
  use: (store: FileStore.FileStore.Service) => Effect.Effect<A, E, R>,
  settings: Partial<FileStore.FileStoreOptions> = {}
) => Effect.flatMap(FileStore.make({ directory, maxUploadBytes: 1000, ...settings }), use)

const test = (
  name: string,
  run: (directory: string) => Effect.Effect<void, unknown, FileSystem.FileSystem | SqlClient.SqlClient>
) =>
  it.scoped(name, () =>
    Effect.flatMap(folder, (directory) => Effect.provide(run(directory), Database.layer(directory))).pipe(
      Effect.provide(NodeContext.layer)
    )
  )

const stored = (directory: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return {
      contents: (yield* fs.readDirectory(`${directory}/f`)).filter((name) => name !== "new").sort(),
      receiving: yield* fs.readDirectory(`${directory}/f/new`)
    }
  })

describe("FileStore", () => {
  test("keeps a content under its digest and gives it back by digest and by id", (directory) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      yield* during(directory, (store) =>
        Effect.gen(function* () {
          yield* TestClock.setTime(5000)
          const file = yield* store.upload("p", Stream.make(bytes("hel"), bytes("lo")))
          assert.strictEqual(file.sha256, digestOf(bytes("hello")))
          assert.strictEqual(file.size, 5)
          assert.strictEqual(file.createdAt.epochMillis, 5000)
          assert.strictEqual(yield* fs.readFileString(store.path(file)), "hello")
          assert.deepStrictEqual(yield* store.byDigest("p", file.sha256), Option.some(file))
          assert.deepStrictEqual(yield* store.byId("p", file.id), Option.some(file))
        })
      )
      assert.deepStrictEqual(yield* stored(directory), { contents: [digestOf(bytes("hello"))], receiving: [] })
    }).pipe(Effect.scoped))

  test("keeps an empty content", (directory) =>
    Effect.gen(function* () {
      const file = yield* during(directory, (store) => store.upload("p", Stream.empty))
      assert.strictEqual(file.size, 0)
      assert.strictEqual(file.sha256, digestOf(bytes("")))
    }).pipe(Effect.scoped))

  test("gives the same file for the same content, with the time of the last upload", (directory) =>
    during(directory, (store) =>
      Effect.gen(function* () {
        const first = yield* store.upload("p", Stream.make(bytes("same")))
        yield* TestClock.adjust("1 minute")
        const again = yield* store.upload("p", Stream.make(bytes("sa"), bytes("me")))
        assert.deepStrictEqual({ ...again, updatedAt: first.updatedAt }, { ...first })
        assert.strictEqual(again.updatedAt.epochMillis, 60_000)
        assert.deepStrictEqual(yield* store.list("p", everything), [again])
      })
    ).pipe(Effect.scoped))

  test("shows a project nothing of another's files, also when both have the same content", (directory) =>
    during(directory, (store) =>
      Effect.gen(function* () {
        const mine = yield* store.upload("mine", Stream.make(bytes("content")))
        assert.deepStrictEqual(yield* store.byDigest("theirs", mine.sha256), Option.none())
        assert.deepStrictEqual(yield* store.byId("theirs", mine.id), Option.none())
        assert.deepStrictEqual(yield* store.list("theirs", everything), [])
        const theirs = yield* store.upload("theirs", Stream.make(bytes("content")))
        assert.notStrictEqual(theirs.id, mine.id)
        assert.strictEqual(store.path(theirs), store.path(mine))
        assert.deepStrictEqual(yield* store.list("mine", everything), [mine])
      })
    ).pipe(Effect.scoped))

  test("lists the newest first, by pages and by the time of the first upload", (directory) =>
    during(directory, (store) =>
      Effect.gen(function* () {
        for (const at of [1000, 2000, 3000]) {
          yield* TestClock.setTime(at)
          yield* store.upload("p", Stream.make(bytes(`content of ${at}`)))
        }
        yield* store.upload("p", Stream.make(bytes("content of 1000")))
        const times = (filter: Partial<FileStore.FileFilter>) =>
          Effect.map(store.list("p", { ...everything, ...filter }), (files) =>
            files.map((file) => file.createdAt.epochMillis)
          )
        assert.deepStrictEqual(yield* times({}), [3000, 2000, 1000])
        assert.deepStrictEqual(yield* times({ limit: 1, offset: 1 }), [2000])
        assert.deepStrictEqual(yield* times({ since: 2000 }), [3000, 2000])
        assert.deepStrictEqual(yield* times({ until: 2000 }), [2000, 1000])
      })
    ).pipe(Effect.scoped))

  test("refuses what is larger than one upload may be, at the limit and not below", (directory) =>
    Effect.gen(function* () {
      yield* during(directory, (store) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* store.upload("p", Stream.make(new Uint8Array(1000)))).size, 1000)
          const grown = yield* Effect.flip(store.upload("p", Stream.make(new Uint8Array(900), new Uint8Array(101))))
          assert.include(grown.message, "more than 1000 bytes")
          const announced = yield* Effect.flip(store.upload("p", Stream.die("it must not be read"), 1001))
          assert.include(announced.message, "maxUploadBytes")
        })
      )
      assert.deepStrictEqual(yield* stored(directory), { contents: [digestOf(new Uint8Array(1000))], receiving: [] })
    }).pipe(Effect.scoped))

  test("leaves nothing of an upload that fails or is interrupted", (directory) =>
    during(directory, (store) =>
      Effect.gen(function* () {
        const broken = Stream.concat(Stream.make(bytes("part")), Stream.fail("it broke off"))
        assert.deepStrictEqual(yield* Effect.exit(store.upload("p", broken)), Exit.fail("it broke off"))
        const reached = yield* Deferred.make<void>()
        const hanging = Stream.concat(
          Stream.make(bytes("part")),
          Stream.fromEffect(Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never))
        )
        const fiber = yield* Effect.fork(store.upload("p", hanging))
        yield* Deferred.await(reached)
        assert.lengthOf((yield* stored(directory)).receiving, 1)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* stored(directory), { contents: [], receiving: [] })
        assert.deepStrictEqual(yield* store.list("p", everything), [])
      })
    ).pipe(Effect.scoped))

  test("gives one file to many who upload the same content at once", (directory) =>
    Effect.gen(function* () {
      const files = yield* during(directory, (store) =>
        Effect.all(
          Array.from({ length: 20 }, () => store.upload("p", Stream.make(bytes("at"), bytes("once")))),
          { concurrency: "unbounded" }
        )
      )
      assert.strictEqual(new Set(files.map((file) => file.id)).size, 1)
      assert.lengthOf((yield* stored(directory)).contents, 1)
    }).pipe(Effect.scoped))

  for (const durable of [false, true]) {
    test(`has its files at the next start${durable ? ", when it waits for the disk too" : ""}`, (directory) =>
      Effect.gen(function* () {
        const file = yield* during(directory, (store) => store.upload("p", Stream.make(bytes("kept"))), { durable })
        const [listed] = yield* during(directory, (store) => store.list("p", everything))
        assert.deepStrictEqual(listed, file)
      }).pipe(Effect.scoped))
  }

  test("removes at its start what a killed engine left: a part, and a content that nobody lists", (directory) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* during(directory, (store) => store.upload("p", Stream.make(bytes("kept"))))
      yield* fs.writeFileString(`${directory}/f/new/part`, "par")
      yield* fs.writeFileString(`${directory}/f/${digestOf(bytes("orphan"))}`, "orphan")
      yield* during(directory, () => Effect.void)
      assert.deepStrictEqual(yield* stored(directory), { contents: [file.sha256], receiving: [] })
    }).pipe(Effect.scoped))

  test("no longer lists a file whose content a power failure cut, and heals with the next upload", (directory) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* during(directory, (store) => store.upload("p", Stream.make(bytes("whole"))))
      yield* fs.writeFileString(`${directory}/f/${file.sha256}`, "")
      yield* during(directory, (store) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* store.byDigest("p", file.sha256), Option.none())
          const again = yield* store.upload("p", Stream.make(bytes("whole")))
          assert.strictEqual(yield* fs.readFileString(store.path(again)), "whole")
        })
      )
    }).pipe(Effect.scoped))

  test("says so when the data folder is not writable", (directory) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const error = yield* during(directory, (store) =>
        Effect.zipRight(
          fs.remove(`${directory}/f`, { recursive: true }),
          Effect.flip(store.upload("p", Stream.fromChunk(Chunk.of(bytes("x")))))
        )
      )
      assert.strictEqual(error._tag, "FileStoreError")
      assert.include(error.message, `${directory}/f/new`)
    }).pipe(Effect.scoped))

  test("finds no file by an id that it never gave", (directory) =>
    Effect.gen(function* () {
      const never = FileId.make("00000000-0000-4000-8000-000000000000")
      assert.deepStrictEqual(yield* during(directory, (store) => store.byId("p", never)), Option.none())
    }).pipe(Effect.scoped))
})
