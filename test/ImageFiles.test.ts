import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, DateTime, Effect, Option, pipe, Stream } from "effect"
import type { ContreeClient } from "../src/ContreeClient.js"
import * as Image from "../src/Image.js"
import * as ImageFiles from "../src/ImageFiles.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, on, record } from "./fixtures/ScriptedService.js"

const byTag = "GET /v1/inspect/"
const byId = `GET /v1/inspect/${image.id}/`
const at = (verb: string, method = "GET") => `${method} /v1/inspect/${image.id}/${verb}`
const found = { [byTag]: Scripted.empty(302, { location: `${image.id}/` }), [byId]: Scripted.json(record()) }
const known = new Image.Image({ id: image.id, tag: Option.none(), createdAt: Option.none() })

const item = (path: string, fields: object = {}) => ({
  path,
  size: 12,
  owner: "root",
  group: 0,
  uid: 0,
  gid: 0,
  mode: 0o100644,
  mtime: 1_700_000_000,
  nlink: 1,
  is_dir: false,
  is_regular: true,
  is_symlink: false,
  is_socket: false,
  is_fifo: false,
  symlink_to: "",
  ...fields
})
const folder = (path: string) => item(path, { mode: 0o40755, is_dir: true, is_regular: false })
const link = (path: string, target: string) =>
  item(path, { mode: 0o120777, is_regular: false, is_symlink: true, symlink_to: target })

/** Answers listings from a tree. */
const tree =
  (folders: Readonly<Record<string, ReadonlyArray<object>>>) =>
  ({ query }: Scripted.Request): Scripted.Reply => {
    const files = folders[query["path"] ?? ""]
    return files === undefined ? Scripted.failure(404, "no such path") : Scripted.json({ path: query["path"], files })
  }

const body = (...chunks: ReadonlyArray<string>) =>
  new Response(
    new ReadableStream({
      start: (controller) => {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
        controller.close()
      }
    })
  )

describe("ImageFiles.list", () => {
  it.effect("gives typed entries with their full paths", () =>
    Effect.gen(function* () {
      const listing = tree({
        "/etc": [
          item("motd", { mode: 0o104755, owner: 1000 }),
          folder("ssl"),
          link("localtime", "/usr/share/zoneinfo/UTC"),
          item("log", { is_regular: false, is_socket: true }),
          item("pipe", { is_regular: false, is_fifo: true }),
          item("null", { is_regular: false })
        ]
      })
      const { value } = yield* on({ [at("list")]: listing }, ImageFiles.list(known, "/etc"))
      deepStrictEqual(
        value?.map(({ kind, path }) => [path, kind]),
        [
          ["/etc/motd", "file"],
          ["/etc/ssl", "directory"],
          ["/etc/localtime", "symlink"],
          ["/etc/log", "socket"],
          ["/etc/pipe", "fifo"],
          ["/etc/null", "other"]
        ]
      )
      const motd = value?.[0]
      deepStrictEqual(
        [motd?.name, motd?.mode, motd?.size, motd?.owner, motd?.group, motd?.links, motd?.target],
        ["motd", 0o4755, 12, "1000", "0", 1, Option.none()]
      )
      deepStrictEqual(motd?.modifiedAt, DateTime.unsafeMake(1_700_000_000_000))
      deepStrictEqual(value?.[2]?.target, Option.some("/usr/share/zoneinfo/UTC"))
    })
  )

  it.effect("joins the names of the root and of folders with a slash at their end", () =>
    Effect.gen(function* () {
      for (const path of ["/", "/etc/"]) {
        const { value } = yield* on({ [at("list")]: tree({ [path]: [item("a")] }) }, ImageFiles.list(known, path))
        assert.strictEqual(value?.[0]?.path, `${path}a`)
      }
    })
  )

  it.effect("says what is missing", () =>
    Effect.gen(function* () {
      const { error } = yield* on({ [at("list")]: tree({}) }, ImageFiles.list(known, "/nowhere"))
      assert.strictEqual(error?._tag === "NotFound" ? error.what : error, `"/nowhere" in image ${image.id}`)
    })
  )
})

describe("every reading verb", () => {
  const verbs: ReadonlyArray<
    readonly [
      name: string,
      read: (
        image: Image.Input,
        path: string
      ) => Effect.Effect<unknown, ImageFiles.ReadError | ImageFiles.FileTooLarge, ContreeClient>,
      piped: (
        image: Image.Input,
        path: string
      ) => Effect.Effect<unknown, ImageFiles.ReadError | ImageFiles.FileTooLarge, ContreeClient>
    ]
  > = [
    ["list", ImageFiles.list, (image, path) => pipe(image, ImageFiles.list(path))],
    ["exists", ImageFiles.exists, (image, path) => pipe(image, ImageFiles.exists(path))],
    ["stat", ImageFiles.stat, (image, path) => pipe(image, ImageFiles.stat(path))],
    ["readBytes", ImageFiles.readBytes, (image, path) => pipe(image, ImageFiles.readBytes(path))],
    ["readText", ImageFiles.readText, (image, path) => pipe(image, ImageFiles.readText(path))],
    [
      "stream",
      (image, path) => Stream.runDrain(ImageFiles.stream(image, path)),
      (image, path) => Stream.runDrain(pipe(image, ImageFiles.stream(path)))
    ],
    [
      "archive",
      (image, path) => Stream.runDrain(ImageFiles.archive(image, path)),
      (image, path) => Stream.runDrain(pipe(image, ImageFiles.archive(path)))
    ],
    [
      "walk",
      (image, path) => Stream.runDrain(ImageFiles.walk(image, path)),
      (image, path) => Stream.runDrain(pipe(image, ImageFiles.walk(path, { concurrency: 2 })))
    ],
    [
      "grep",
      (image, path) => ImageFiles.grep(image, "x", { paths: path }),
      (image, path) => pipe(image, ImageFiles.grep(["x"], { paths: [path] }))
    ]
  ]
  const answers = {
    [at("list")]: tree({ "/": [item("a"), item("b")], "/a": [item("b")] }),
    [at("archive", "HEAD")]: Scripted.empty(200),
    [at("download")]: body("a"),
    [at("archive")]: body("a"),
    [at("grep")]: Scripted.json({ path: "/", patterns: ["x"], truncated: false, matches: [] })
  }

  it.effect.each(verbs)("%s takes whatever names an image, and looks a name up once", ([_name, read, piped]) =>
    Effect.gen(function* () {
      for (const verb of [read, piped]) {
        const direct = yield* on(answers, verb(known, "/a"))
        assert.isUndefined(direct.error)
        assert.notInclude(direct.service.log(), byId)
        for (const input of ["ubuntu:latest", yield* Image.use("ubuntu:latest")]) {
          const { error, service } = yield* on({ ...found, ...answers }, verb(input, "/a"))
          assert.isUndefined(error)
          deepStrictEqual(service.log(), [byTag, byId, ...direct.service.log()])
        }
      }
    })
  )

  it.effect.each(verbs)("%s refuses a path that is not absolute, without a request", ([_name, read]) =>
    Effect.gen(function* () {
      for (const path of ["", "etc", "./etc", "/a\0b"]) {
        const { error, service } = yield* on({}, read("ubuntu:latest", path))
        assert.strictEqual(error?._tag, "RequestRejected", path)
        assert.isEmpty(service.requests)
      }
    })
  )

  it.effect.each(verbs)("%s fails when there is no such image", ([_name, read]) =>
    Effect.gen(function* () {
      const { error } = yield* on({ [byTag]: Scripted.failure(404) }, read("ubuntu:latest", "/a"))
      assert.strictEqual(error?._tag === "NotFound" ? error.what : error, 'image tag "ubuntu:latest"')
    })
  )

  it.effect("reads one image by one look-up when its reference is resolved first", () =>
    Effect.gen(function* () {
      const { service } = yield* on(
        { ...found, ...answers },
        Effect.gen(function* () {
          const image = yield* Image.resolve(yield* Image.use("ubuntu:latest"))
          yield* ImageFiles.list(image, "/a")
          yield* ImageFiles.exists(image, "/a")
          yield* ImageFiles.readText(image, "/a")
          assert.strictEqual(yield* Image.resolve(image), image)
        })
      )
      assert.lengthOf(service.of(byTag), 1)
      assert.lengthOf(service.of(byId), 1)
    })
  )
})

describe("ImageFiles.exists", () => {
  const head = at("archive", "HEAD")
  const exists = ImageFiles.exists(known, "/a")

  it.effect("is true of what can be archived, and of what has another type", () =>
    Effect.gen(function* () {
      assert.isTrue((yield* on({ [head]: Scripted.empty(200) }, exists)).value)
      assert.isTrue((yield* on({ [head]: Scripted.empty(422) }, exists)).value)
    })
  )

  it.effect("is false of a missing path, and a failure for a missing image", () =>
    Effect.gen(function* () {
      const absent = { [head]: Scripted.empty(404) }
      assert.isFalse((yield* on({ ...absent, ...found }, exists)).value)
      const { error } = yield* on({ ...absent, [byId]: Scripted.failure(404) }, exists)
      assert.strictEqual(error?._tag === "NotFound" ? error.what : error, `image ${image.id}`)
    })
  )

  it.effect("fails in other ways as requests do", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* on({ [head]: Scripted.empty(400) }, exists)).error?._tag, "RequestRejected")
      assert.strictEqual((yield* on({ [head]: Scripted.empty(403) }, exists)).error?._tag, "Forbidden")
    })
  )
})

describe("ImageFiles.stat", () => {
  const listing = { [at("list")]: tree({ "/": [folder("etc")], "/etc": [link("os", "x")] }) }

  it.effect("gives the entry from its folder", () =>
    Effect.gen(function* () {
      for (const [path, kind] of [
        ["/etc", "directory"],
        ["/etc/", "directory"],
        ["/etc/os", "symlink"]
      ] as const) {
        assert.strictEqual((yield* on(listing, ImageFiles.stat(known, path))).value?.kind, kind)
      }
    })
  )

  it.effect("says what is missing, and that the root is in no folder", () =>
    Effect.gen(function* () {
      for (const path of ["/etc/none", "/none/x"]) {
        const { error } = yield* on(listing, ImageFiles.stat(known, path))
        assert.strictEqual(error?._tag === "NotFound" ? error.what : error, `"${path}" in image ${image.id}`)
      }
      assert.strictEqual((yield* on(listing, ImageFiles.stat(known, "/"))).error?._tag, "RequestRejected")
    })
  )
})

describe("ImageFiles.readText and readBytes", () => {
  it.effect("give the whole content, whatever pieces it came in", () =>
    Effect.gen(function* () {
      const scripts = { [at("download")]: body("h\u00e9", "llo", "") }
      assert.strictEqual((yield* on(scripts, ImageFiles.readText(known, "/a"))).value, "h\u00e9llo")
      deepStrictEqual(
        (yield* on(scripts, ImageFiles.readBytes(known, "/a"))).value,
        new TextEncoder().encode("h\u00e9llo")
      )
      deepStrictEqual(
        (yield* on({ [at("download")]: body() }, ImageFiles.readBytes(known, "/a"))).value,
        new Uint8Array(0)
      )
    })
  )

  it.effect("refuse a file that is larger than asked for, and name path, limit and size", () =>
    Effect.gen(function* () {
      const scripts = { [at("download")]: body("12345", "6"), [at("list")]: tree({ "/": [item("a", { size: 6 })] }) }
      assert.strictEqual((yield* on(scripts, ImageFiles.readText(known, "/a", { maxBytes: 6 }))).value, "123456")
      const { error } = yield* on(scripts, ImageFiles.readText(known, "/a", { maxBytes: 5 }))
      assert.instanceOf(error, ImageFiles.FileTooLarge)
      if (error instanceof ImageFiles.FileTooLarge) {
        deepStrictEqual([error.path, error.limitBytes, error.size], ["/a", 5, Option.some(6)])
        assert.include(error.message, "6 bytes")
      }
      const piped = yield* on(scripts, pipe(known, ImageFiles.readBytes("/a", { maxBytes: 5 })))
      assert.strictEqual(piped.error?._tag, "FileTooLarge")
    })
  )

  it.effect("say so also where the size cannot be found out", () =>
    Effect.gen(function* () {
      for (const folders of [{}, { "/": [link("a", "long/target")] }]) {
        const { error } = yield* on(
          { [at("download")]: body("123456"), [at("list")]: tree(folders) },
          ImageFiles.readBytes(known, "/a", { maxBytes: 5 })
        )
        deepStrictEqual(error?._tag === "FileTooLarge" ? error.size : error, Option.none())
      }
    })
  )

  it.effect("fail when the connection breaks off", () =>
    Effect.gen(function* () {
      const broken = new Response(
        new ReadableStream({
          pull: (controller) => controller.error(new Error("reset"))
        })
      )
      const { error } = yield* on({ [at("download")]: broken }, ImageFiles.readBytes(known, "/a"))
      assert.strictEqual(error?._tag, "Unavailable")
    })
  )

  it.effect("say when the path is a folder", () =>
    Effect.gen(function* () {
      const { error } = yield* on(
        { [at("download")]: Scripted.failure(422, "is a directory") },
        ImageFiles.readText(known, "/etc")
      )
      assert.strictEqual(error?._tag === "RequestRejected" ? error.status : error, 422)
    })
  )
})

describe("ImageFiles.walk", () => {
  const listing = {
    [at("list")]: tree({
      "/": [folder("a"), folder("b"), item("f"), link("loop", "/")],
      "/a": [folder("x"), item("1")],
      "/a/x": [item("2")],
      "/b": []
    })
  }
  const paths = (options?: ImageFiles.WalkOptions) =>
    Effect.map(
      on(listing, Stream.runCollect(ImageFiles.walk(known, "/", options))),
      ({ error, service, value }) =>
        ({
          error,
          asked: service.requests.map(({ query }) => query["path"]),
          found: Chunk.toReadonlyArray(value ?? Chunk.empty()).map(({ path }) => path)
        }) as const
    )

  it.effect("gives every entry once, folders before what they hold, and follows no link", () =>
    Effect.gen(function* () {
      for (const concurrency of [1, 2, 8]) {
        const { asked, found } = yield* paths({ concurrency })
        deepStrictEqual([...found].sort(), ["/a", "/a/1", "/a/x", "/a/x/2", "/b", "/f", "/loop"])
        deepStrictEqual([...asked].sort(), ["/", "/a", "/a/x", "/b"])
        assert.isBelow(found.indexOf("/a"), found.indexOf("/a/x"))
        assert.isBelow(found.indexOf("/a/x"), found.indexOf("/a/x/2"))
      }
    })
  )

  it.effect("enters only the folders that it is told to", () =>
    Effect.gen(function* () {
      const { asked, found } = yield* paths({ descend: ({ name }) => name !== "a" })
      deepStrictEqual(asked, ["/", "/b"])
      assert.include(found, "/a")
    })
  )

  it.effect("asks for no more than is consumed", () =>
    Effect.gen(function* () {
      const { service } = yield* on(listing, ImageFiles.walk(known, "/").pipe(Stream.take(2), Stream.runDrain))
      assert.lengthOf(service.requests, 1)
    })
  )
})

describe("ImageFiles.grep", () => {
  const match = {
    path: "/app/a.ts",
    line_number: 3,
    absolute_offset: 40,
    line_text: "// TODO\n",
    line_bytes: 8,
    submatches: [{ text: "TODO", start: 3, end: 7 }],
    type: "match"
  }

  it.effect("says what it looks for and gives typed matches", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(
        { [at("grep")]: Scripted.json({ path: "/app", patterns: ["TODO"], truncated: true, matches: [match] }) },
        ImageFiles.grep(known, ["TODO", "FIXME"], {
          paths: ["/app", "/lib"],
          globs: ["*.ts", "!dist/**"],
          case: "smart",
          before: 1,
          after: 0,
          maxPerFile: 5,
          maxTotal: 10
        })
      )
      deepStrictEqual(service.requests[0]?.parameters, [
        ["pattern", "TODO"],
        ["pattern", "FIXME"],
        ["path", "/app"],
        ["path", "/lib"],
        ["glob", "*.ts"],
        ["glob", "!dist/**"],
        ["max_count", "5"],
        ["max_total", "10"],
        ["case", "smart"],
        ["before", "1"],
        ["after", "0"]
      ])
      assert.isTrue(value?.truncated)
      deepStrictEqual(value?.matches, [
        {
          path: "/app/a.ts",
          lineNumber: 3,
          absoluteOffset: 40,
          text: "// TODO\n",
          lineBytes: 8,
          submatches: [{ text: "TODO", start: 3, end: 7 }],
          type: "match"
        }
      ])
    })
  )

  it.effect("refuses what is out of bounds without a request", () =>
    Effect.gen(function* () {
      for (const ask of [
        ImageFiles.grep(known, []),
        ImageFiles.grep(known, ""),
        ImageFiles.grep(known, "x", { before: 51 }),
        ImageFiles.grep(known, "x", { maxTotal: 0 }),
        ImageFiles.grep(known, "x", { paths: "relative" })
      ]) {
        const { error, service } = yield* on({}, ask)
        assert.strictEqual(error?._tag, "RequestRejected")
        assert.isEmpty(service.requests)
      }
    })
  )
})
