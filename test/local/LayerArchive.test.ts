import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, type Scope, Stream } from "effect"
import * as fc from "effect/FastCheck"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as nodeFs from "node:fs"
import { gzipSync } from "node:zlib"
import * as tar from "tar-stream"
import * as LayerArchive from "../../src/local/LayerArchive.js"
import type { LayerArchiveError, LayerArchiveErrorReason } from "../../src/local/LayerArchiveError.js"
import * as FileTree from "../fixtures/FileTree.js"

type Header = Parameters<ReturnType<typeof tar.pack>["entry"]>[0]
type Entry = Header & { readonly content?: string | Uint8Array | undefined }

const time = new Date("2024-05-06T07:08:09Z")

const pack = (entries: ReadonlyArray<Entry>): Effect.Effect<Uint8Array> =>
  Effect.promise(async () => {
    const archive = tar.pack()
    for (const { content, ...header } of entries) {
      // tar-stream takes a mode of 0 for "not given", and masks the bit above the permissions away.
      const full: Header = {
        type: "file",
        mtime: time,
        ...header,
        mode: 0o10000 | (header.mode ?? (header.type === "directory" ? 0o755 : 0o644))
      }
      if (content === undefined) archive.entry(full)
      else archive.entry(full, Buffer.from(content as string))
    }
    archive.finalize()
    const pieces: Array<Uint8Array> = []
    for await (const piece of archive as AsyncIterable<Uint8Array>) pieces.push(piece)
    return Buffer.concat(pieces)
  })

const file = (name: string, content = name): Entry => ({ name, content })
const directory = (name: string): Entry => ({ name, type: "directory" })
const symlink = (name: string, linkname: string): Entry => ({ name, type: "symlink", linkname })
const link = (name: string, linkname: string): Entry => ({ name, type: "link", linkname })

/** A folder to fill, with a sibling that nothing may reach. */
const place = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-layers-" })
  const root = `${directory}/root`
  const outside = `${directory}/outside`
  yield* fs.makeDirectory(root)
  yield* fs.makeDirectory(outside)
  yield* fs.makeDirectory(`${directory}/temporary`)
  yield* fs.writeFileString(`${outside}/secret`, "secret")
  const mtime = nodeFs.statSync(outside).mtimeMs
  const untouched = Effect.sync(() => {
    assert.deepStrictEqual(nodeFs.readdirSync(directory).sort(), ["outside", "root", "temporary"])
    assert.deepStrictEqual(nodeFs.readdirSync(outside), ["secret"])
    assert.strictEqual(nodeFs.readFileSync(`${outside}/secret`, "utf8"), "secret")
    assert.strictEqual(nodeFs.statSync(outside).mtimeMs, mtime)
    assert.deepStrictEqual(nodeFs.readdirSync(`${directory}/temporary`), [])
  })
  return { directory, root, outside, temporary: `${directory}/temporary`, untouched }
})

const openAt = (
  { root, temporary }: { readonly root: string; readonly temporary: string },
  options?: Partial<LayerArchive.Options>
) => LayerArchive.open({ into: root, temporary, idShift: 0, ownership: "full", ...options })

const inPieces = (bytes: Uint8Array, size = 1000) =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, i * size + size))
  )

/** Applies layers and gives the tree that they come to. */
const unpack = (layers: ReadonlyArray<ReadonlyArray<Entry> | Uint8Array>, options?: Partial<LayerArchive.Options>) =>
  Effect.gen(function* () {
    const here = yield* place
    const unpacked = yield* Effect.gen(function* () {
      const archive = yield* openAt(here, options)
      for (const [number, layer] of layers.entries()) {
        const bytes = layer instanceof Uint8Array ? layer : yield* pack(layer)
        yield* archive.apply(inPieces(bytes), { name: `number ${number}` })
      }
      return yield* archive.finish
    }).pipe(Effect.scoped, Effect.ensuring(here.untouched))
    return { ...here, unpacked, tree: yield* FileTree.ofDirectory(here.root, { idShift: options?.idShift }) }
  })

const brief = (tree: FileTree.FileTree) =>
  Object.fromEntries(
    tree.map(({ linkTarget, path, type }) => [path, linkTarget === undefined ? type : `-> ${linkTarget}`])
  )

const failsWith = <A, E, R>(
  effect: Effect.Effect<A, E | LayerArchiveError, R>,
  reason: LayerArchiveErrorReason,
  ...words: ReadonlyArray<string>
) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
    const failure = error as Partial<LayerArchiveError> | undefined
    assert.strictEqual(failure?._tag, "LayerArchiveError", String(error))
    assert.strictEqual(failure?.reason, reason, failure?.message)
    for (const word of words) assert.include(failure?.message, word)
  })

const scoped = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, FileSystem.FileSystem | NodeContext.NodeContext | Scope.Scope>,
  timeout?: number
) => it.scopedLive(name, () => Effect.provide(effect, NodeContext.layer), timeout)

describe("LayerArchive unpacks", () => {
  scoped(
    "files, folders, links and fifos with their modes, owners and times",
    Effect.gen(function* () {
      const entries: ReadonlyArray<Entry> = [
        { ...directory("./"), mode: 0o711, uid: 3, gid: 4 },
        { ...directory("./bin/"), mode: 0o1777, uid: 5, gid: 6 },
        { ...file("./bin/su", "su"), mode: 0o4755, uid: 7, gid: 8 },
        { ...file("./bin/large", "x".repeat(3_000_000)), mode: 0o640, uid: 9 },
        { ...directory("closed"), mode: 0 },
        file("closed/inside"),
        { ...symlink("escape", "/etc/passwd"), uid: 11, gid: 12 },
        link("bin/again", "bin/su"),
        { name: "pipe", type: "fifo", mode: 0o620, uid: 13 },
        { ...file("tenths"), pax: { mtime: "1600000000.25" } },
        { ...file("ids"), pax: { uid: "3000000", gid: "4000000" } },
        { name: "dev/null", type: "character-device", devmajor: 1, devminor: 3 },
        { ...file("ping"), pax: { "SCHILY.xattr.security.capability": "x" } },
        file("empty", "")
      ]
      const { root, tree, unpacked } = yield* unpack([entries], { idShift: 100000 })
      const found = Object.fromEntries(tree.map(({ path, ...entry }) => [path, entry]))
      const mtime = time.getTime() / 1000
      const inner = nodeFs.statSync(root)
      assert.deepStrictEqual([inner.mode & 0o7777, inner.uid, inner.gid], [0o711, 100003, 100004])
      assert.deepInclude(found["bin"], { mode: "1777", uid: 5, gid: 6, mtime })
      assert.deepInclude(found["bin/su"], { mode: "4755", uid: 7, gid: 8, mtime, size: 2 })
      assert.deepInclude(found["bin/large"], { mode: "640", uid: 9, size: 3_000_000, mtime })
      assert.deepInclude(found["closed"], { mode: "0", mtime })
      assert.deepInclude(found["escape"], { linkTarget: "/etc/passwd", uid: 11, gid: 12, mtime })
      assert.deepInclude(found["pipe"], { type: "fifo", mode: "620", uid: 13, mtime })
      assert.deepInclude(found["ids"], { uid: 3000000, gid: 4000000 })
      assert.strictEqual(nodeFs.statSync(`${root}/bin/su`).ino, nodeFs.statSync(`${root}/bin/again`).ino)
      assert.strictEqual(nodeFs.statSync(`${root}/tenths`).mtimeMs, 1600000000250)
      assert.isUndefined(found["dev/null"])
      assert.deepStrictEqual(unpacked, {
        sizeBytes: 2 + 3_000_000 + 13 + 6 + 3 + 4,
        entries: entries.length,
        devices: 1,
        withAttributes: 1
      })
    })
  )

  scoped(
    "plain, gzip and zstd archives alike, whatever pieces they come in",
    Effect.gen(function* () {
      const plain = yield* pack([file("a"), file("b", "b".repeat(500_000))])
      const zstd = execFileSync("zstd", ["-q", "-c"], { input: plain })
      const members = Buffer.concat([gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))])
      for (const bytes of [
        plain,
        gzipSync(plain),
        members,
        zstd,
        Buffer.concat([Buffer.from("502a4d1804000000abcdabcd".slice(0, 24), "hex"), zstd])
      ]) {
        for (const size of [1, 7, 100_000]) {
          if (size === 1 && bytes === plain) continue
          const here = yield* place
          yield* Effect.scoped(
            Effect.flatMap(openAt(here), (archive) => archive.apply(inPieces(bytes, size), { name: "l" }))
          )
          assert.strictEqual(nodeFs.readFileSync(`${here.root}/b`, "utf8"), "b".repeat(500_000))
        }
      }
    }),
    30_000
  )

  scoped(
    "names of any length and script, bytes that are no UTF-8, and archives without a magic number",
    Effect.gen(function* () {
      const long = `${"d".repeat(120)}/${"e".repeat(120)}/${"ü".repeat(60)}`
      const { root } = yield* unpack([[file(long), file("日本語 🎉"), file("line\nbreak"), file(" -rf ")]])
      for (const name of [long, "日本語 🎉", "line\nbreak", " -rf "]) {
        assert.strictEqual(nodeFs.readFileSync(`${root}/${name}`, "utf8"), name)
      }
      const bytes = Buffer.from(yield* pack([file("latin-X")]))
      bytes.write("\xe9", bytes.indexOf("X"), "latin1")
      bytes.fill(0, 257, 265)
      bytes.fill(" ", 148, 156)
      const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0)
      bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
      const other = yield* unpack([bytes])
      assert.deepStrictEqual(nodeFs.readdirSync(other.root, { encoding: "latin1" }), ["latin-\xe9"])
    })
  )

  scoped(
    "large files as they are, though they are written while the archive is read",
    Effect.gen(function* () {
      const entries = Array.from({ length: 60 }, (_, i) =>
        file(`large-${i}`, String(i % 10).repeat(262_145 + i * 3000))
      )
      const { tree } = yield* unpack([gzipSync(yield* pack(entries), { level: 1 })])
      assert.deepStrictEqual(
        tree.map(({ mode, mtime, path, sha256, size }) => ({ path, mode, mtime, size, sha256 })),
        entries
          .map(({ content = "", name }) => ({
            path: name,
            mode: "644",
            mtime: time.getTime() / 1000,
            size: content.length,
            sha256: createHash("sha256").update(content).digest("hex")
          }))
          .sort((a, b) => (a.path < b.path ? -1 : 1))
      )
    })
  )

  scoped(
    "the last of several entries of one name, whatever kind each has",
    Effect.gen(function* () {
      const { root, tree } = yield* unpack([
        [
          file("a", "first"),
          file("a", "second"),
          directory("b"),
          file("b/inside"),
          file("b"),
          file("c"),
          directory("c"),
          file("c/inside"),
          symlink("d", "a"),
          file("d", "not through the link"),
          symlink("e", "c"),
          directory("e"),
          file("f"),
          symlink("f", "a"),
          directory("g"),
          file("g/kept"),
          directory("g"),
          link("h", "a"),
          file("h", "its own"),
          { name: "i", type: "fifo" },
          file("i", "no fifo"),
          directory("j"),
          { name: "j/fifo", type: "fifo" },
          file("j"),
          file("k/l"),
          file("k"),
          file("m"),
          file("m/n")
        ]
      ])
      assert.deepStrictEqual(brief(tree), {
        a: "file",
        b: "file",
        c: "directory",
        "c/inside": "file",
        d: "file",
        e: "directory",
        f: "-> a",
        g: "directory",
        "g/kept": "file",
        h: "file",
        i: "file",
        j: "file",
        k: "file",
        m: "directory",
        "m/n": "file"
      })
      assert.strictEqual(nodeFs.readFileSync(`${root}/a`, "utf8"), "second")
      assert.strictEqual(nodeFs.readFileSync(`${root}/d`, "utf8"), "not through the link")
    })
  )

  scoped(
    "whiteouts, which hide lower layers and never their own",
    Effect.gen(function* () {
      const { tree } = yield* unpack([
        [
          file("a"),
          directory("b"),
          file("b/c"),
          file("b/d"),
          file("e/f"),
          symlink("g", "a"),
          file("h/old"),
          file("i"),
          file("keep")
        ],
        [
          file(".wh.a", ""),
          file("b/new"),
          file(".wh.b", ""),
          file("e/.wh.f", ""),
          file(".wh.g", ""),
          file("h/new"),
          file("h/.wh..wh..opq", ""),
          file("i", "new"),
          file(".wh.i", ""),
          file(".wh.missing", ""),
          file("missing/.wh.x", ""),
          file(".wh..wh.plnk/1.2", ""),
          file(".wh..wh.aufs", "")
        ]
      ])
      assert.deepStrictEqual(brief(tree), {
        b: "directory",
        "b/new": "file",
        e: "directory",
        h: "directory",
        "h/new": "file",
        i: "file",
        keep: "file"
      })
    })
  )

  scoped(
    "files behind links of lower layers where the image would have them",
    Effect.gen(function* () {
      const { tree } = yield* unpack([
        [
          directory("usr/bin"),
          symlink("bin", "usr/bin"),
          symlink("var/run", "/run"),
          symlink("climbs", "../../../usr"),
          symlink("lib", "usr/lib")
        ],
        [
          file("bin/tool"),
          file("var/run/pid"),
          file("climbs/share"),
          link("tool", "bin/tool"),
          file("lib/made"),
          file("bin/.wh.gone", "")
        ]
      ])
      assert.deepStrictEqual(brief(tree), {
        bin: "-> usr/bin",
        climbs: "-> ../../../usr",
        lib: "-> usr/lib",
        run: "directory",
        "run/pid": "file",
        tool: "file",
        usr: "directory",
        "usr/bin": "directory",
        "usr/bin/tool": "file",
        "usr/lib": "directory",
        "usr/lib/made": "file",
        "usr/share": "file",
        var: "directory",
        "var/run": "-> /run"
      })
    })
  )

  scoped(
    "owners where the kernel has one id only",
    Effect.gen(function* () {
      // Ids beyond 32 bits are refused to anybody, as ids outside of its map are to a user.
      const shift = { idShift: 2 ** 32 }
      yield* failsWith(unpack([[file("a")]], shift), "Io", '"a"')
      const { root } = yield* unpack([[{ ...file("a"), mode: 0o4755 }, symlink("b", "a"), directory("c")]], {
        ...shift,
        ownership: "single"
      }).pipe(Effect.map(({ root }) => ({ root })))
      assert.strictEqual(nodeFs.statSync(`${root}/a`).mode & 0o7777, 0o4755)
    })
  )
})

describe("LayerArchive refuses, and writes nothing outside of its folder:", () => {
  const hostile: ReadonlyArray<
    readonly [string, ReadonlyArray<ReadonlyArray<Entry>>, LayerArchiveErrorReason, string]
  > = [
    ["a name with ..", [[file("../outside/pwned")]], "UnsafePath", "../outside/pwned"],
    ["a name with .. in the middle", [[file("a/../../outside/pwned")]], "UnsafePath", "a/../../outside/pwned"],
    ["an absolute name", [[file("/etc/pwned")]], "UnsafePath", "/etc/pwned"],
    [
      "a write through an absolute link of the same layer",
      [[symlink("l", "/tmp"), file("l/pwned")]],
      "UnsafePath",
      "l/pwned"
    ],
    [
      "a write through a link that climbs out",
      [[symlink("l", "../outside"), file("l/pwned")]],
      "UnsafePath",
      "l/pwned"
    ],
    [
      "a folder through a link that climbs out",
      [[symlink("l", "../outside"), directory("l/pwned")]],
      "UnsafePath",
      "l/pwned"
    ],
    [
      "a whiteout through a link that climbs out",
      [[symlink("l", "../outside"), file("l/.wh.secret", "")]],
      "UnsafePath",
      "l/.wh.secret"
    ],
    ["links in a ring", [[symlink("a", "b"), symlink("b", "a"), file("a/x")]], "UnsafePath", "too many links"],
    ["a hard link out of the image", [[link("l", "../outside/secret")]], "UnsafePath", "../outside/secret"],
    [
      "a hard link to an absolute path outside",
      [[link("l", "/etc/hostname-of-the-machine")]],
      "UnsafePath",
      "not in the image"
    ],
    [
      "a hard link through a link",
      [[symlink("s", "../outside"), link("l", "s/secret")]],
      "UnsafePath",
      "leads out of the image"
    ],
    ["a hard link to what is not there", [[link("l", "nothing")]], "Malformed", "not in the image"],
    ["a hard link to a folder", [[directory("d"), link("l", "d")]], "Malformed", "is a folder"],
    ["a hard link to nothing", [[link("l", ".")]], "Malformed", "no name"],
    ["a whiteout of its own folder", [[file("a/b")], [file("a/.wh..", "")]], "UnsafePath", "a/.wh.."],
    ["a whiteout of the folder above", [[file("a/b")], [file("a/.wh...", "")]], "UnsafePath", "a/.wh..."],
    ["a whiteout without a name", [[file(".wh.", "")]], "UnsafePath", ".wh."],
    ["a whiteout of the folder above, as a folder", [[directory("a/.wh.../")]], "UnsafePath", "a/.wh.../"],
    ["a whiteout as a folder", [[file("a/.wh.../b")]], "Malformed", "a/.wh.../b"],
    ["a file in place of the root", [[file("./", "x")]], "Malformed", "root folder"],
    [
      "a symbolic link without a target",
      [[{ name: "l", type: "symlink", linkname: "", pax: { linkpath: "" } }]],
      "Malformed",
      "target"
    ],
    ["a zero byte in a name", [[{ ...file("x"), pax: { path: "a\0b" } }]], "Malformed", "zero byte"],
    ["an owner that is no number", [[{ ...file("x"), pax: { uid: "root" } }]], "Malformed", '"x"'],
    ["a negative owner", [[{ ...file("x"), pax: { gid: "-1" } }]], "Malformed", '"x"'],
    ["a sparse file", [[{ ...file("x"), pax: { "GNU.sparse.major": "1" } }]], "Unsupported", "sparse"]
  ]
  for (const [what, layers, reason, word] of hostile) scoped(what, failsWith(unpack(layers), reason, word))

  scoped(
    "writes through links of earlier layers, which stay inside",
    Effect.gen(function* () {
      const { root, tree, outside } = yield* unpack([
        [symlink("up", "../outside"), symlink("abs", "/outside")],
        [file("up/pwned"), file("abs/pwned2"), file("up/.wh.secret", "")]
      ])
      assert.deepStrictEqual(brief(tree), {
        up: "-> ../outside",
        abs: "-> /outside",
        outside: "directory",
        "outside/pwned": "file",
        "outside/pwned2": "file"
      })
      assert.isTrue(nodeFs.existsSync(`${root}/outside/pwned`))
      assert.deepStrictEqual(nodeFs.readdirSync(outside), ["secret"])
    })
  )

  scoped(
    "a file over a link to the outside",
    Effect.gen(function* () {
      const { tree } = yield* unpack([[symlink("l", "../outside/secret")], [file("l", "mine")]])
      assert.deepStrictEqual(brief(tree), { l: "file" })
    })
  )

  scoped(
    "a GNU sparse file and an entry of an unknown type",
    Effect.gen(function* () {
      const bytes = Buffer.from(yield* pack([file("x")]))
      bytes.write("S", 156)
      bytes.fill(" ", 148, 156)
      bytes.write(
        `${bytes
          .subarray(0, 512)
          .reduce((total, byte) => total + byte, 0)
          .toString(8)
          .padStart(6, "0")}\0 `,
        148
      )
      yield* failsWith(unpack([bytes]), "Unsupported", '"x"')
    })
  )

  scoped(
    "what is no archive, or only a part of one",
    Effect.gen(function* () {
      const bytes = yield* pack([file("a", "a".repeat(5000)), file("large", "b".repeat(600_000))])
      yield* failsWith(unpack([Buffer.alloc(2000, "no tar")]), "Malformed", "number 0")
      yield* failsWith(unpack([bytes.subarray(0, 3000)]), "Malformed", "Unexpected end")
      yield* failsWith(unpack([bytes.subarray(0, 400_000)]), "Malformed", "Unexpected end")
      yield* failsWith(unpack([gzipSync(bytes).subarray(0, 300)]), "Malformed", "gzip")
      const damaged = Buffer.from(gzipSync(bytes))
      damaged.fill(0, 20, 60)
      yield* failsWith(unpack([damaged]), "Malformed", "gzip")
      const zstd = execFileSync("zstd", ["-q", "-c"], { input: bytes })
      yield* failsWith(unpack([zstd.subarray(0, zstd.length - 20)]), "Malformed", "zstd")
      yield* failsWith(unpack([Buffer.concat([zstd.subarray(0, 12), Buffer.alloc(50, 255)])]), "Malformed", "zstd")
    })
  )

  scoped(
    "more bytes or entries than the limits, over all layers",
    Effect.gen(function* () {
      const layer = [file("a", "a".repeat(40_000))]
      yield* unpack([layer, layer], { maxUnpackedBytes: 100_000 })
      yield* failsWith(unpack([layer, layer, layer], { maxUnpackedBytes: 100_000 }), "TooLarge", "100000 bytes")
      const bomb = gzipSync(Buffer.alloc(20_000_000))
      yield* failsWith(unpack([bomb], { maxUnpackedBytes: 1_000_000 }), "TooLarge", "1000000 bytes")
      const bombs = execFileSync("zstd", ["-q", "-c"], { input: Buffer.alloc(20_000_000) })
      yield* failsWith(unpack([bombs], { maxUnpackedBytes: 1_000_000 }), "TooLarge", "1000000 bytes")
      yield* failsWith(unpack([[file("a"), file("b")], [file("c")]], { maxEntries: 2 }), "TooLarge", "2 entries")
    })
  )

  scoped("a name that the file system refuses", failsWith(unpack([[file("n".repeat(300))]]), "Io", "ENAMETOOLONG"))

  scoped(
    "a folder that is not there",
    Effect.gen(function* () {
      const here = yield* place
      yield* failsWith(Effect.scoped(openAt({ ...here, root: `${here.directory}/none` })), "Io", "none")
      yield* failsWith(Effect.scoped(openAt({ ...here, temporary: `${here.directory}/none` })), "Io", "none")
    })
  )
})

describe("LayerArchive ends", () => {
  scoped(
    "with the failure of its source",
    Effect.gen(function* () {
      const here = yield* place
      const bytes = yield* pack([file("a"), file("large", "x".repeat(1_000_000))])
      const archive = yield* openAt(here)
      const failing = Stream.concat(inPieces(bytes.subarray(0, 500_000)), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(archive.apply(failing, { name: "l" })), "broken")
    })
  )

  scoped(
    "when it is interrupted, and writes nothing after that",
    Effect.gen(function* () {
      const here = yield* place
      const archive = yield* openAt(here)
      const bytes = yield* pack([file("a"), file("large", "x".repeat(4_000_000)), file("never")])
      const started = yield* Deferred.make<void>()
      const source = inPieces(bytes.subarray(0, 3_000_000), 65536).pipe(
        Stream.concat(Stream.drain(Stream.fromEffect(Deferred.succeed(started, undefined)))),
        Stream.concat(Stream.never)
      )
      const before = nodeFs.readdirSync("/proc/self/fd").length
      const fiber = yield* Effect.fork(archive.apply(source, { name: "l" }))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      nodeFs.rmSync(here.root, { recursive: true })
      yield* Effect.sleep("50 millis")
      assert.isFalse(nodeFs.existsSync(here.root))
      assert.isAtMost(nodeFs.readdirSync("/proc/self/fd").length, before)
    })
  )

  scoped(
    "with no more memory than a few pieces of a large file",
    Effect.gen(function* () {
      const here = yield* place
      const archive = yield* openAt(here)
      const size = 400 * 1024 * 1024
      const header = (yield* pack([{ name: "big", size: 0, content: "" }])).subarray(0, 512)
      const bytes = Buffer.from(header)
      bytes.write(`${size.toString(8).padStart(11, "0")} `, 124)
      bytes.fill(" ", 148, 156)
      bytes.write(
        `${bytes
          .reduce((total, byte) => total + byte, 0)
          .toString(8)
          .padStart(6, "0")}\0 `,
        148
      )
      const piece = Buffer.alloc(1024 * 1024, "x")
      let most = 0
      const body = Stream.range(1, size / piece.length).pipe(
        Stream.map(() => {
          most = Math.max(most, process.memoryUsage().arrayBuffers)
          return piece
        })
      )
      const before = process.memoryUsage().arrayBuffers
      yield* archive.apply(Stream.concat(Stream.make(bytes), Stream.concat(body, Stream.make(Buffer.alloc(1024)))), {
        name: "l"
      })
      assert.strictEqual(nodeFs.statSync(`${here.root}/big`).size, size)
      assert.isBelow(most - before, 64 * 1024 * 1024)
    }),
    60_000
  )
})

interface Node {
  readonly kind: "file" | "directory" | "symlink"
  readonly content: string
  readonly mode: number
  readonly uid: number
  readonly mtime: number
}

interface RandomLayer {
  readonly entries: ReadonlyArray<{
    readonly path: string
    readonly kind: Node["kind"] | "link"
    readonly pick: number
    readonly mode: number
    readonly uid: number
    readonly mtime: number
  }>
  readonly whiteouts: ReadonlyArray<string>
  readonly opaque: ReadonlyArray<string>
  readonly whiteoutsLast: boolean
}

const paths = fc
  .array(fc.constantFrom("a", "b", "ü", "x y"), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"))

const randomLayer: fc.Arbitrary<RandomLayer> = fc.record({
  entries: fc.array(
    fc.record({
      path: paths,
      kind: fc.constantFrom(
        "file" as const,
        "file" as const,
        "directory" as const,
        "symlink" as const,
        "link" as const
      ),
      pick: fc.nat(1000),
      mode: fc.constantFrom(0o644, 0o755, 0o4755, 0o600, 0o1777, 0o2750),
      uid: fc.nat(5),
      mtime: fc.integer({ min: 0, max: 2_000_000_000 })
    }),
    { maxLength: 10 }
  ),
  whiteouts: fc.array(paths, { maxLength: 4 }),
  opaque: fc.array(paths, { maxLength: 2 }),
  whiteoutsLast: fc.boolean()
})

const above = (path: string): ReadonlyArray<string> =>
  path
    .split("/")
    .slice(0, -1)
    .map((_, depth) =>
      path
        .split("/")
        .slice(0, depth + 1)
        .join("/")
    )

/** What the specification makes of layers: whiteouts hide what is below, then entries replace what has their name. */
const modelOf = (layers: ReadonlyArray<RandomLayer>) => {
  const tree = new Map<string, Node>()
  const remove = (path: string, itself: boolean) => {
    for (const other of Array.from(tree.keys()))
      if (other.startsWith(`${path}/`) || (itself && other === path)) tree.delete(other)
  }
  const archives = layers.map((layer, number) => {
    const wanted = new Map<string, RandomLayer["entries"][number]>()
    for (const entry of layer.entries) {
      for (const parent of above(entry.path)) wanted.set(parent, { ...entry, path: parent, kind: "directory" })
      if (wanted.get(entry.path)?.kind !== "directory") wanted.set(entry.path, entry)
    }
    const sorted = [...wanted.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
    const hidden: Array<Entry> = []
    for (const path of layer.whiteouts) {
      remove(path, true)
      hidden.push(file([...path.split("/").slice(0, -1), `.wh.${path.split("/").at(-1)}`].join("/"), ""))
    }
    for (const path of layer.opaque) {
      remove(path, false)
      hidden.push(file(`${path}/.wh..wh..opq`, ""))
    }
    const files: Array<string> = []
    const entries = sorted.map(({ kind, mode, mtime, path, pick, uid }): Entry => {
      const common = { mode, uid, mtime: new Date(mtime * 1000) }
      const target = files[pick % Math.max(1, files.length)]
      if (kind === "link" && target !== undefined) {
        remove(path, true)
        const node = tree.get(target)
        if (node !== undefined) tree.set(path, node)
        files.push(path)
        return link(path, target)
      }
      const node: Node = {
        kind: kind === "link" ? "file" : kind,
        content: kind === "directory" ? "" : kind === "symlink" ? `nowhere-${pick}` : `${number} ${path} ${pick}`,
        mode,
        uid,
        mtime
      }
      if (!(node.kind === "directory" && tree.get(path)?.kind === "directory")) remove(path, true)
      tree.set(path, node)
      if (node.kind === "directory") return { ...directory(path), ...common }
      if (node.kind === "symlink") return { ...symlink(path, node.content), ...common }
      files.push(path)
      return { ...file(path, node.content), ...common }
    })
    return layer.whiteoutsLast ? [...entries, ...hidden] : [...hidden, ...entries]
  })
  return { archives, tree }
}

describe("LayerArchive", () => {
  it.live(
    "random layers come to the tree that the specification gives them",
    () =>
      Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(fc.array(randomLayer, { minLength: 1, maxLength: 4 }), (layers) => {
            const { archives, tree } = modelOf(layers)
            return Effect.gen(function* () {
              const here = yield* place
              const archive = yield* openAt(here)
              yield* Effect.forEach(archives, (entries) =>
                Effect.flatMap(pack(entries), (bytes) =>
                  archive.apply(Stream.fromChunk(Chunk.of(bytes)), { name: "l" })
                )
              )
              yield* archive.finish
              const found = nodeFs.readdirSync(here.root, { recursive: true, encoding: "utf8" }).sort()
              assert.deepStrictEqual(found, [...tree.keys()].sort())
              const inodes = new Map<Node, number>()
              for (const [path, node] of tree) {
                const at = `${here.root}/${path}`
                const stat = nodeFs.lstatSync(at)
                const kind = stat.isDirectory() ? "directory" : stat.isSymbolicLink() ? "symlink" : "file"
                const content =
                  kind === "directory"
                    ? ""
                    : kind === "symlink"
                      ? nodeFs.readlinkSync(at)
                      : nodeFs.readFileSync(at, "utf8")
                const mode = kind === "symlink" ? node.mode : stat.mode & 0o7777
                assert.deepStrictEqual({ kind, content, mode, uid: stat.uid, mtime: stat.mtimeMs / 1000 }, { ...node })
                assert.strictEqual(inodes.get(node) ?? stat.ino, stat.ino)
                inodes.set(node, stat.ino)
              }
            }).pipe(Effect.scoped, Effect.provide(NodeContext.layer), Effect.runPromise)
          }),
          { numRuns: 150 }
        )
      ),
    60_000
  )
})
