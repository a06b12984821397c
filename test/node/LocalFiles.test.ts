import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Data, Deferred, Effect, Either, Exit, FastCheck, Fiber, Option, pipe, Stream } from "effect"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { type Header, pack } from "tar-stream"
import * as FileUpload from "../../src/FileUpload.js"
import * as Hasher from "../../src/Hasher.js"
import * as Image from "../../src/Image.js"
import * as LocalFiles from "../../src/node/LocalFiles.js"
import * as NodeHasher from "../../src/node/NodeHasher.js"
import * as Scripted from "../fixtures/ScriptedService.js"
import { image } from "../fixtures/ScriptedService.js"

const known = new Image.Image({ id: image.id, tag: Option.none(), createdAt: Option.none() })
const at = (verb: string) => `GET /v1/inspect/${image.id}/${verb}`

/** A new folder that is removed again. */
const folder = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(`${tmpdir()}/contree-local-files-`))),
  (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
)

type Member = Partial<Header> & { readonly name: string; readonly content?: string }

class Broken extends Data.TaggedError("Broken") {}

/** An archive of these members, as tar-stream writes it. */
const archive = (members: ReadonlyArray<Member>): Stream.Stream<Uint8Array, Broken> => {
  const packed = pack()
  for (const { content, ...header } of members) packed.entry(header, content ?? "")
  packed.finalize()
  return Stream.fromAsyncIterable(packed, () => new Broken()).pipe(
    Stream.filter((piece): piece is Uint8Array => piece instanceof Uint8Array)
  )
}

/** Everything below a folder: names with what they are. */
const look = (root: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    fs
      .readdirSync(root, { recursive: true, encoding: "utf8" })
      .sort()
      .map((name) => {
        const path = `${root}/${name}`
        const stat = fs.lstatSync(path)
        if (stat.isSymbolicLink()) return [name, `-> ${fs.readlinkSync(path)}`]
        return [name, stat.isDirectory() ? "folder" : fs.readFileSync(path, "utf8")]
      })
  )

const provide = Effect.provide(NodeContext.layer)

describe("LocalFiles.file and directory", () => {
  const project = Effect.tap(folder, (root) =>
    Effect.sync(() => {
      fs.mkdirSync(`${root}/src/deep`, { recursive: true })
      fs.mkdirSync(`${root}/node_modules/x`, { recursive: true })
      fs.mkdirSync(`${root}/empty`)
      fs.writeFileSync(`${root}/run.sh`, "#!/bin/sh\n", { mode: 0o755 })
      fs.writeFileSync(`${root}/src/a.ts`, "a", { mode: 0o640 })
      fs.writeFileSync(`${root}/src/deep/b.ts`, "b")
      fs.writeFileSync(`${root}/src/deep/b.log`, "log")
      fs.writeFileSync(`${root}/node_modules/x/index.js`, "x")
      fs.symlinkSync("src/a.ts", `${root}/link`)
      fs.symlinkSync("src", `${root}/folder-link`)
    })
  )

  it.scoped("keep the content and the permission bits of a file, and read it as a stream", () =>
    Effect.gen(function* () {
      const root = yield* project
      const source = yield* LocalFiles.file(`${root}/run.sh`)
      deepStrictEqual([source.mode, source.content._tag], [Option.some(0o755), "Stream"])
      const other = yield* LocalFiles.file(`${root}/run.sh`, { mode: 0o600, uid: 7 })
      deepStrictEqual([other.mode, other.uid, other.gid], [Option.some(0o600), Option.some(7), Option.none()])
      const bytes = source.content._tag === "Stream" ? source.content.stream : Stream.empty
      const digest = yield* Hasher.sha256(bytes)
      assert.strictEqual(digest, yield* Hasher.sha256(bytes).pipe(Effect.provide(NodeHasher.layer)))
      assert.strictEqual(digest, yield* Hasher.sha256(Stream.make(fs.readFileSync(`${root}/run.sh`))))
    }).pipe(provide)
  )

  it.scoped("give the files of a tree by the paths that they get", () =>
    Effect.gen(function* () {
      const root = yield* project
      const all = yield* LocalFiles.directory(root)
      deepStrictEqual(Object.keys(all), [
        "/link",
        "/node_modules/x/index.js",
        "/run.sh",
        "/src/a.ts",
        "/src/deep/b.log",
        "/src/deep/b.ts"
      ])
      deepStrictEqual([all["/src/a.ts"]?.mode, all["/link"]?.mode], [Option.some(0o640), Option.some(0o640)])
      const some = yield* LocalFiles.directory(`${root}/`, {
        at: "/app/",
        include: ["*.ts", "link"],
        exclude: ["node_modules", "/src/a.ts"],
        links: "skip",
        gid: 5
      })
      deepStrictEqual(Object.keys(some), ["/app/src/deep/b.ts"])
      deepStrictEqual(some["/app/src/deep/b.ts"]?.gid, Option.some(5))
    }).pipe(provide)
  )

  it.scoped("fail on what is not there, is no file, or leads out of the folder", () =>
    Effect.gen(function* () {
      const root = yield* project
      fs.mkdirSync(`${root}/out`)
      fs.symlinkSync("/etc/hostname", `${root}/out/leak`)
      fs.mkdirSync(`${root}/broken`)
      fs.symlinkSync("nowhere", `${root}/broken/link`)
      const failures = yield* Effect.all([
        Effect.flip(LocalFiles.file(`${root}/none`)),
        Effect.flip(LocalFiles.file(`${root}/src`)),
        Effect.flip(LocalFiles.directory(`${root}/none`)),
        Effect.flip(LocalFiles.directory(`${root}/out`)),
        Effect.flip(LocalFiles.directory(`${root}/broken`))
      ])
      for (const failure of failures) assert.strictEqual(failure._tag, "LocalFileError")
      assert.include(failures[3].message, "leads out of")
      deepStrictEqual(yield* LocalFiles.directory(`${root}/broken`, { links: "skip" }), {})
    }).pipe(provide)
  )

  it.scoped("say when a file changed while it was uploaded", () =>
    Effect.gen(function* () {
      const root = yield* folder
      fs.writeFileSync(`${root}/log`, "one")
      const source = yield* LocalFiles.file(`${root}/log`)
      const digest = (text: string | Uint8Array) => createHash("sha256").update(text).digest("hex")
      const service = Scripted.make({
        [`GET /v1/files/${digest("one")}`]: Effect.sync(() => {
          fs.appendFileSync(`${root}/log`, "more")
          return Scripted.failure(404)
        }),
        "POST /v1/files": ({ body }) =>
          Scripted.json(
            { uuid: image.id, sha256: digest(body instanceof Uint8Array ? body : assert.fail("no body")), size: 7 },
            201
          )
      })
      const error = yield* Effect.flip(FileUpload.upload(source).pipe(Effect.provide(service.layer())))
      assert.strictEqual(error._tag, "InputFailed")
      assert.include(error.message, digest("onemore"))
    }).pipe(provide)
  )
})

describe("LocalFiles.download", () => {
  const serving = (reply: Scripted.Reply) => Effect.provide(Scripted.make({ [at("download")]: reply }).layer())
  const content = () => new Response("content")

  it.scoped("writes a file under the name that it is given, or its own in a folder, and gives the path", () =>
    Effect.gen(function* () {
      const root = yield* folder
      fs.writeFileSync(`${root}/old`, "old")
      assert.strictEqual(yield* LocalFiles.download(known, "/app/out.txt", `${root}/new`), `${root}/new`)
      assert.strictEqual(yield* pipe(known, LocalFiles.download("/app/out.txt", root)), `${root}/out.txt`)
      assert.strictEqual(yield* LocalFiles.download(known, "/app/out.txt", `${root}/old`), `${root}/old`)
      deepStrictEqual(look(root), { new: "content", "out.txt": "content", old: "content" })
    }).pipe(serving(content()), provide)
  )

  const faults: ReadonlyArray<readonly [what: string, reply: () => Scripted.Reply, tag: string]> = [
    ["is not there", () => Scripted.failure(404), "NotFound"],
    ["is a folder", () => Scripted.failure(422), "RequestRejected"],
    [
      "breaks off",
      () =>
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode("half")),
            pull: (controller) => controller.error(new Error("reset"))
          })
        ),
      "Unavailable"
    ]
  ]
  it.scoped.each(faults)("leaves nothing of a file that %s, and what was there as it was", ([_what, reply, tag]) =>
    Effect.gen(function* () {
      const root = yield* folder
      fs.writeFileSync(`${root}/old`, "old")
      for (const target of ["old", "new"]) {
        const error = yield* Effect.flip(LocalFiles.download(known, "/a", `${root}/${target}`))
        assert.strictEqual(error._tag, tag)
      }
      deepStrictEqual(look(root), { old: "old" })
    }).pipe(serving(reply()), provide)
  )

  it.scoped("leaves nothing when it is interrupted", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const begun = yield* Deferred.make<void>()
      const endless = new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode("half"))
        })
      )
      const service = Scripted.make({ [at("download")]: Effect.as(Deferred.succeed(begun, undefined), endless) })
      const fiber = yield* Effect.fork(
        LocalFiles.download(known, "/a", `${root}/new`).pipe(Effect.provide(service.layer()))
      )
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      deepStrictEqual(look(root), {})
    }).pipe(provide)
  )

  it.scoped("fails when the folder is not there", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const error = yield* Effect.flip(LocalFiles.download(known, "/a", `${root}/none/new`))
      assert.strictEqual(error._tag, "LocalFileError")
    }).pipe(serving(content()), provide)
  )
})

describe("LocalFiles.unpack", () => {
  /** Unpacks beside a file that hostile archives aim at, and says what is left. */
  const unpacked = (members: ReadonlyArray<Member>, options?: LocalFiles.ExtractOptions) =>
    Effect.gen(function* () {
      const root = yield* folder
      fs.writeFileSync(`${root}/victim`, "untouched")
      const result = yield* Effect.either(LocalFiles.unpack(archive(members), `${root}/out`, options))
      const { victim, ...left } = look(root)
      assert.strictEqual(victim, "untouched")
      return { result, left }
    }).pipe(Effect.scoped, provide)

  it.effect("gives files, folders, links and their modes", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const mtime = new Date(1_600_000_000_000)
      const told = yield* LocalFiles.unpack(
        archive([
          { name: "d", type: "directory", mode: 0o555 },
          { name: "d/run", content: "#!", mode: 0o4755, mtime },
          { name: "./d/sub/deep", content: "implied folder" },
          { name: "again", content: "first" },
          { name: "again", content: "second" },
          { name: "hard", type: "link", linkname: "d/run" },
          { name: "d/up", type: "symlink", linkname: "../again" },
          { name: "down", type: "symlink", linkname: "./d/sub" },
          { name: "empty", content: "" }
        ]),
        `${root}/out`
      )
      deepStrictEqual(look(`${root}/out`), {
        again: "second",
        d: "folder",
        "d/run": "#!",
        "d/sub": "folder",
        "d/sub/deep": "implied folder",
        "d/up": "-> ../again",
        down: "-> ./d/sub",
        // The listing follows links to folders.
        "down/deep": "implied folder",
        empty: "",
        hard: "#!"
      })
      deepStrictEqual(told, { files: 5, directories: 1, links: 3, bytes: 27, leftOut: [] })
      const run = fs.statSync(`${root}/out/d/run`)
      deepStrictEqual([run.mode & 0o7777, run.mtimeMs, run.nlink], [0o755, mtime.getTime(), 2])
      assert.strictEqual(fs.statSync(`${root}/out/d`).mode & 0o777, 0o755)
    }).pipe(Effect.scoped, provide)
  )

  const refused: ReadonlyArray<readonly [what: string, members: ReadonlyArray<Member>]> = [
    ["a name that climbs", [{ name: "../victim", content: "x" }]],
    ["a name that climbs later", [{ name: "a/../../victim", content: "x" }]],
    ["a name that climbs to where it was", [{ name: "a/../b", content: "x" }]],
    ["an absolute name", [{ name: "/tmp/victim", content: "x" }]],
    ["a folder that climbs", [{ name: "../evil", type: "directory" }]],
    ["no name", [{ name: ".", content: "x" }]],
    [
      "a file below a link",
      [
        { name: "d", type: "directory" },
        { name: "l", type: "symlink", linkname: "d" },
        { name: "l/x", content: "x" }
      ]
    ],
    [
      "a file below a file",
      [
        { name: "f", content: "x" },
        { name: "f/x", content: "x" }
      ]
    ],
    [
      "a folder in the place of a link",
      [
        { name: "l", type: "symlink", linkname: "." },
        { name: "l", type: "directory" }
      ]
    ],
    [
      "a file in the place of a folder",
      [
        { name: "d", type: "directory" },
        { name: "d", content: "x" }
      ]
    ]
  ]
  it.effect.each(refused)("refuses %s and leaves nothing", ([_what, members]) =>
    Effect.gen(function* () {
      const { left, result } = yield* unpacked([{ name: "good", content: "good" }, ...members])
      assert.strictEqual(result._tag === "Left" && "reason" in result.left ? result.left.reason : result, "UnsafeName")
      deepStrictEqual(left, {})
    })
  )

  const leftOut: ReadonlyArray<readonly [what: string, member: Member]> = [
    ["an absolute link", { name: "l", type: "symlink", linkname: "/etc" }],
    ["a link that climbs out", { name: "l", type: "symlink", linkname: ".." }],
    ["a link that climbs out of a folder", { name: "d/l", type: "symlink", linkname: "../../victim" }],
    ["a link that climbs after it has descended", { name: "l", type: "symlink", linkname: "d/../x" }],
    ["an empty link", { name: "l", type: "symlink", linkname: "" }],
    ["another name of a file outside", { name: "l", type: "link", linkname: "../victim" }],
    ["another name of a file by its absolute name", { name: "l", type: "link", linkname: "/etc/passwd" }],
    ["another name of a file that is not there", { name: "l", type: "link", linkname: "none" }],
    ["another name of itself", { name: "l", type: "link", linkname: "l" }],
    ["another name of a folder", { name: "l", type: "link", linkname: "d" }],
    ["a device", { name: "l", type: "character-device", devmajor: 1, devminor: 3 }],
    ["a disk", { name: "l", type: "block-device", devmajor: 8, devminor: 0 }],
    ["a pipe", { name: "l", type: "fifo" }]
  ]
  it.effect.each(leftOut)("leaves out %s, and says so", ([_what, member]) =>
    Effect.gen(function* () {
      const { left, result } = yield* unpacked([
        { name: "d", type: "directory" },
        member,
        { name: "good", content: "good" }
      ])
      deepStrictEqual(left, { out: "folder", "out/d": "folder", "out/good": "good" })
      deepStrictEqual(result._tag === "Right" ? result.right.leftOut.map(({ path }) => path) : result, [member.name])
    })
  )

  it.effect("does not follow a link that stands where a file is to be written", () =>
    Effect.gen(function* () {
      const { left } = yield* unpacked([
        { name: "a", content: "a" },
        { name: "l", type: "symlink", linkname: "a" },
        { name: "l", content: "own" },
        { name: "h", type: "link", linkname: "a" },
        { name: "h", content: "own too" }
      ])
      deepStrictEqual(left, { out: "folder", "out/a": "a", "out/h": "own too", "out/l": "own" })
    })
  )

  it.effect("refuses what is larger than allowed, and what is no archive", () =>
    Effect.gen(function* () {
      const members = [
        { name: "a", content: "12345" },
        { name: "b", content: "6" }
      ]
      for (const [options, ok] of [
        [{ maxBytes: 6, maxEntries: 2 }, true],
        [{ maxBytes: 5 }, false],
        [{ maxEntries: 1 }, false]
      ] as const) {
        const { left, result } = yield* unpacked(members, options)
        assert.strictEqual(
          result._tag === "Left" && "reason" in result.left ? result.left.reason : ok,
          ok || "TooLarge"
        )
        if (!ok) deepStrictEqual(left, {})
      }
    })
  )

  const broken: ReadonlyArray<
    readonly [what: string, archive: Stream.Stream<Uint8Array, Broken>, matches: (error: unknown) => boolean]
  > = [
    [
      "no archive",
      Stream.make(new Uint8Array(2048).fill(65)),
      (error) => typeof error === "object" && error !== null && "reason" in error && error.reason === "Malformed"
    ],
    [
      "an archive that is cut",
      archive([{ name: "a", content: "x".repeat(5000) }]).pipe(
        Stream.orDie,
        Stream.mapConcat((bytes) => bytes),
        Stream.take(2000),
        Stream.grouped(100),
        Stream.map((chunk) => Uint8Array.from(chunk))
      ),
      (error) => typeof error === "object" && error !== null && "reason" in error && error.reason === "Malformed"
    ],
    [
      "a stream that fails",
      Stream.concat(
        archive([{ name: "a", content: "x" }]).pipe(Stream.orDie, Stream.take(1)),
        Stream.fail(new Broken())
      ),
      (error) => error instanceof Broken
    ]
  ]
  it.scoped.each(broken)("leaves nothing of %s", ([_what, bytes, matches]) =>
    Effect.gen(function* () {
      const root = yield* folder
      const error = yield* Effect.flip(LocalFiles.unpack(bytes, `${root}/out`))
      assert.isTrue(matches(error), String(error))
      deepStrictEqual(look(root), {})
    }).pipe(provide)
  )

  it.scoped("leaves nothing when it is interrupted", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const begun = yield* Deferred.make<void>()
      const members = Array.from({ length: 50 }, (_, index) => ({ name: `d${index}/f`, content: "x" }))
      const endless = archive(members).pipe(
        Stream.orDie,
        Stream.tap(() => Deferred.succeed(begun, undefined)),
        Stream.concat(Stream.never)
      )
      const fiber = yield* Effect.fork(LocalFiles.unpack(endless, `${root}/out`))
      yield* Deferred.await(begun)
      yield* Effect.repeatN(Effect.yieldNow(), 5)
      yield* Fiber.interrupt(fiber)
      deepStrictEqual(look(root), {})
    }).pipe(provide)
  )

  it.scoped("fills an empty folder and refuses one that is not", () =>
    Effect.gen(function* () {
      const root = yield* folder
      fs.mkdirSync(`${root}/out`)
      const bytes = archive([{ name: "a", content: "x" }])
      yield* LocalFiles.unpack(bytes, `${root}/out`)
      const error = yield* Effect.flip(LocalFiles.unpack(bytes, `${root}/out`))
      assert.include(String(error), "not empty")
      deepStrictEqual(look(root), { out: "folder", "out/a": "x" })
    }).pipe(provide)
  )

  const part = FastCheck.constantFrom("a", "b", "..", ".", "", "c")
  const name = FastCheck.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"))
  const member: FastCheck.Arbitrary<Member> = FastCheck.oneof(
    FastCheck.record({ name, content: FastCheck.constant("pwned") }),
    FastCheck.record({ name, type: FastCheck.constant("directory" as const) }),
    FastCheck.record({
      name,
      type: FastCheck.constantFrom("symlink" as const, "link" as const),
      linkname: FastCheck.oneof(name, FastCheck.constantFrom("/victim", "../victim", "../..", "/"))
    })
  )
  it.effect.prop(
    "writes nothing outside of the folder, whatever the archive holds, and no link leads out of it",
    [FastCheck.array(member, { maxLength: 10 })],
    ([members]) =>
      Effect.gen(function* () {
        const root = yield* folder
        fs.mkdirSync(`${root}/inner`)
        fs.writeFileSync(`${root}/victim`, "untouched")
        fs.writeFileSync(`${root}/inner/victim`, "untouched")
        const exit = yield* Effect.exit(LocalFiles.unpack(archive(members), `${root}/inner/out`))
        deepStrictEqual(fs.readdirSync(`${root}/inner`).sort(), Exit.isSuccess(exit) ? ["out", "victim"] : ["victim"])
        for (const victim of ["victim", "inner/victim"]) {
          assert.strictEqual(fs.readFileSync(`${root}/${victim}`, "utf8"), "untouched")
        }
        if (Exit.isSuccess(exit)) {
          for (const path of fs.readdirSync(`${root}/inner/out`, { recursive: true, encoding: "utf8" })) {
            // What a link leads to, through all links on its way; one that leads nowhere or in a circle is harmless.
            const real = Either.try(() => fs.realpathSync(`${root}/inner/out/${path}`))
            if (Either.isRight(real)) assert.isTrue(`${real.right}/`.startsWith(`${root}/inner/out/`), real.right)
            else assert.match(String(real.left), /ENOENT|ELOOP|ENOTDIR/)
          }
        }
      }).pipe(Effect.scoped, provide),
    { fastCheck: { numRuns: 300 } }
  )
})

describe("LocalFiles.extract", () => {
  it.scoped("leaves the archived folder's own name out, and keeps that of a file", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const reply = (members: ReadonlyArray<Member>) =>
        Effect.map(
          Stream.runCollect(Stream.orDie(archive(members))),
          (chunks) => new Response(Buffer.concat([...chunks]))
        )
      const service = Scripted.make({
        [at("archive")]: ({ query }) =>
          reply(
            query["path"] === "/etc/"
              ? [
                  { name: "etc/", type: "directory" },
                  { name: "etc/hosts", content: "h" },
                  { name: "etc/etc", content: "e" },
                  { name: "etc/same", type: "link", linkname: "etc/hosts" }
                ]
              : query["path"] === "/"
                ? [{ name: "etc/hosts", content: "h" }]
                : [{ name: "hosts", content: "h" }]
          )
      })
      yield* Effect.gen(function* () {
        yield* LocalFiles.extract(known, "/etc/", `${root}/etc`)
        yield* pipe(known, LocalFiles.extract("/etc/hosts", `${root}/file`))
        yield* LocalFiles.extract(known, "/", `${root}/all`)
      }).pipe(Effect.provide(service.layer()))
      deepStrictEqual(look(root), {
        all: "folder",
        "all/etc": "folder",
        "all/etc/hosts": "h",
        etc: "folder",
        "etc/etc": "e",
        "etc/hosts": "h",
        "etc/same": "h",
        file: "folder",
        "file/hosts": "h"
      })
    }).pipe(provide)
  )
})
