import { FileSystem } from "@effect/platform"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Either, Fiber, Layer, Option, Redacted, Ref, type Scope, Stream } from "effect"
import { gzipSync } from "node:zlib"
import * as TarArchive from "../../quickstart/TarArchive.js"
import * as Importer from "../../src/local/Importer.js"
import * as RegistryClient from "../../src/local/RegistryClient.js"
import * as OciReference from "../../src/OciReference.js"
import * as FaultyRegistry from "../fixtures/FaultyRegistry.js"
import * as FileTree from "../fixtures/FileTree.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"

const archiveOf = (files: Readonly<Record<string, string>>) =>
  TarArchive.pack(
    Object.entries(files).map(([path, content]) => ({ path, content, type: "file", mode: 0o644, mtime: new Date(0) }))
  ).pipe(
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat(Array.from(pieces)))
  )

/** An importer for a registry on this machine, and a folder to fill. */
const importing = (address: string, options?: Partial<Importer.Options>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-import-" })
    const temporary = `${directory}/temporary`
    const into = `${directory}/root`
    const context = yield* Layer.build(
      Importer.layer({ temporary, idShift: 0, ownership: "full", ...options }).pipe(
        Layer.provide(
          RegistryClient.layer({
            insecureRegistries: [address],
            baseDelay: "1 millis",
            maxDelay: "1 seconds",
            idleTimeout: "500 millis",
            attempts: 2
          })
        ),
        Layer.provide([NodeHttpClient.layerUndici, NodeContext.layer])
      )
    )
    const importer = yield* Effect.provide(Importer.Importer, context)
    const nothingLeft = Effect.gen(function* () {
      const left = yield* fs.readDirectory(directory, { recursive: true })
      deepStrictEqual(
        left.filter((name) => name !== "temporary"),
        []
      )
    })
    return { ...importer, directory, into, temporary, nothingLeft, fs }
  })

const scoped = (
  name: string,
  effect: Effect.Effect<unknown, unknown, NodeContext.NodeContext | Scope.Scope>,
  timeout?: number
) => it.scopedLive(name, () => Effect.provide(effect, NodeContext.layer), timeout)

const layers = Effect.gen(function* () {
  const first = yield* archiveOf({ "etc/passwd": "root", "etc/gone": "x", "usr/large": "x".repeat(3_000_000) })
  const second = yield* archiveOf({ "etc/.wh.gone": "", "etc/passwd": "root and more" })
  const third = yield* archiveOf({ "srv/a": "a" })
  return [gzipSync(first, { level: 0 }), second, gzipSync(third)]
})

describe("Importer", () => {
  scoped(
    "fills a folder with the layers of an image, tells how far it is and leaves nothing else",
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({ layers: yield* layers })
      const { directory, fs, into, pull, temporary } = yield* importing(registry.address, { downloads: 1 })
      const progress = yield* Ref.make<ReadonlyArray<Importer.ImportProgress>>([])
      const imported = yield* pull(registry.reference(), {
        into,
        onProgress: (event) => Ref.update(progress, (events) => [...events, event])
      })
      assert.strictEqual(imported.digest, registry.manifest.digest)
      deepStrictEqual(imported.env, { PATH: "/bin", EMPTY: "", EQUAL: "a=b" })
      assert.strictEqual(imported.sizeBytes, 4 + 1 + 3_000_000 + 13 + 1)
      assert.strictEqual(imported.entries, 6)
      assert.strictEqual(yield* fs.readFileString(`${into}/etc/passwd`), "root and more")
      deepStrictEqual(yield* fs.readDirectory(`${into}/etc`), ["passwd"])
      deepStrictEqual((yield* fs.readDirectory(directory)).sort(), ["root", "temporary"])
      deepStrictEqual(yield* fs.readDirectory(temporary), [])
      const events = yield* Ref.get(progress)
      const total = registry.layers.reduce((sum, { size }) => sum + size, 0)
      deepStrictEqual(
        events[0],
        Importer.ImportProgress.Resolved({ digest: imported.digest, layers: 3, sizeBytes: total })
      )
      const downloads = events.filter((event) => event._tag === "Downloaded" && event.layer === 0)
      assert.lengthOf(downloads, 3)
      const size = registry.layers[0]?.size ?? 0
      deepStrictEqual(
        downloads.at(-1),
        Importer.ImportProgress.Downloaded({ layer: 0, doneBytes: size, sizeBytes: size })
      )
      deepStrictEqual(
        events.filter(({ _tag }) => _tag === "Unpacked"),
        [0, 1, 2].map((number) => Importer.ImportProgress.Unpacked({ layer: number }))
      )
    })
  )

  scoped(
    "finds the digest without a request for a layer, and pulls what was found without asking again",
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({ layers: yield* layers })
      const { into, pull, resolve, resolveDigest } = yield* importing(registry.address)
      assert.strictEqual(yield* resolveDigest(registry.reference()), registry.manifest.digest)
      assert.lengthOf(registry.requests, 2)
      const image = yield* resolve(registry.reference())
      assert.lengthOf(registry.requests, 4)
      yield* pull(image, { into })
      assert.lengthOf(registry.requests, 4 + registry.layers.length)
    })
  )

  scoped(
    "fills an empty folder that is there, and empties it again on failure",
    Effect.gen(function* () {
      const [first, second, third] = yield* layers
      if (first === undefined || second === undefined || third === undefined) return
      const registry = yield* FaultyRegistry.start({ layers: [first, second, third.subarray(0, 40)] })
      const { fs, into, pull, temporary } = yield* importing(registry.address)
      yield* fs.makeDirectory(into)
      const error = yield* Effect.flip(pull(registry.reference(), { into }))
      assert.strictEqual(error._tag, "LayerArchiveError")
      assert.include(error.message, registry.layers[2]?.digest ?? "no layer")
      deepStrictEqual(yield* fs.readDirectory(into), [])
      deepStrictEqual(yield* fs.readDirectory(temporary), [])
    })
  )

  scoped(
    "does not touch a folder that has something in it",
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({ layers: yield* layers })
      const { fs, into, pull } = yield* importing(registry.address)
      yield* fs.makeDirectory(into)
      yield* fs.writeFileString(`${into}/mine`, "mine")
      const error = yield* Effect.flip(pull(registry.reference(), { into }))
      assert.include(error.message, "is not empty")
      deepStrictEqual(yield* fs.readDirectory(into), ["mine"])
    })
  )

  scoped(
    "says which path the disk refuses",
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({ layers: yield* layers })
      const { directory, pull } = yield* importing(registry.address)
      const error = yield* Effect.flip(pull(registry.reference(), { into: `${directory}/no/such/root` }))
      deepStrictEqual([error._tag, error.reason], ["LayerArchiveError", "Io"])
      assert.include(error.message, "/no/such/root")
    })
  )

  scoped(
    "has no more layers at once than it may",
    Effect.gen(function* () {
      for (const downloads of [1, 2, 3]) {
        const bodies = Array.from({ length: 5 }, (_, number) => Buffer.from(`layer ${number}`))
        const registry = yield* FaultyRegistry.start({ layers: bodies }, ({ path }) => {
          const body = bodies.find((one) => path.endsWith(FaultyRegistry.digestOf(one)))
          return body === undefined ? undefined : { status: 200, body, stallAfter: 2 }
        })
        const { into, pull } = yield* importing(registry.address, { downloads })
        const fiber = yield* Effect.fork(pull(registry.reference(), { into }))
        yield* Effect.sleep("300 millis")
        yield* Fiber.interrupt(fiber)
        assert.lengthOf(registry.requests, 2 + downloads)
      }
    })
  )

  const faults: ReadonlyArray<readonly [string, (digest: string) => FaultyRegistry.Script, string]> = [
    ["401", () => () => ({ status: 401, headers: { "www-authenticate": 'Basic realm="r"' } }), "Unauthorized"],
    ["404", () => () => ({ status: 404 }), "NotFound"],
    ["429", () => () => ({ status: 429, headers: { "retry-after": "1000" } }), "RateLimited"],
    ["500", () => () => ({ status: 500 }), "Unavailable"],
    [
      "404 for its last layer",
      (last) =>
        ({ path }) =>
          path.endsWith(last) ? { status: 404 } : undefined,
      "NotFound"
    ],
    [
      "500 for its last layer",
      (last) =>
        ({ path }) =>
          path.endsWith(last) ? { status: 500 } : undefined,
      "Unavailable"
    ],
    [
      "a last layer of another digest",
      (last) =>
        ({ path }) =>
          path.endsWith(last) ? { status: 200, body: "lies!" } : undefined,
      "DigestMismatch"
    ],
    [
      "a last layer that is too short",
      (last) =>
        ({ path }) =>
          path.endsWith(last) ? { status: 200, body: "l" } : undefined,
      "Truncated"
    ],
    [
      "a last layer that is cut off",
      (last) =>
        ({ path }) =>
          path.endsWith(last) ? { status: 200, body: "lllll", cutAfter: 2 } : undefined,
      "Truncated"
    ],
    [
      "a last layer that is too long",
      (last) =>
        ({ path }) =>
          path.endsWith(last) ? { status: 200, body: "llllllll" } : undefined,
      "Oversized"
    ]
  ]
  for (const [what, script, reason] of faults) {
    scoped(
      `leaves nothing of an image whose registry answers ${what}`,
      Effect.gen(function* () {
        const last = Buffer.from("layer")
        const registry = yield* FaultyRegistry.start(
          { layers: [...(yield* layers), last] },
          script(FaultyRegistry.digestOf(last))
        )
        const { into, nothingLeft, pull } = yield* importing(registry.address)
        const error = yield* Effect.flip(pull(registry.reference(), { into }))
        deepStrictEqual([error._tag, error.reason], ["RegistryError", reason])
        yield* nothingLeft
      })
    )
  }

  const hostile: ReadonlyArray<readonly [string, TarArchive.TarEntry]> = [
    ["..", { path: "../pwned", type: "file", mode: 0o644, mtime: new Date(0), content: "x" }],
    ["an absolute path", { path: "/tmp/pwned", type: "file", mode: 0o644, mtime: new Date(0), content: "x" }],
    [
      "a link out of the root",
      { path: "l", type: "link", mode: 0o644, mtime: new Date(0), linkTarget: "../../etc/passwd" }
    ]
  ]
  for (const [what, entry] of hostile) {
    scoped(
      `leaves nothing of an image whose second layer has ${what}`,
      Effect.gen(function* () {
        const bad = Buffer.concat(Array.from(yield* Stream.runCollect(TarArchive.pack([entry]))))
        const registry = yield* FaultyRegistry.start({ layers: [...(yield* layers).slice(0, 1), bad] })
        const { into, nothingLeft, pull } = yield* importing(registry.address)
        const error = yield* Effect.flip(pull(registry.reference(), { into }))
        deepStrictEqual([error._tag, error.reason], ["LayerArchiveError", "UnsafePath"])
        yield* nothingLeft
      })
    )
  }

  scoped(
    "leaves nothing when it is interrupted in the middle of a download",
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const [first, ...others] = yield* layers
      const registry = yield* FaultyRegistry.start({ layers: [first ?? Buffer.alloc(0), ...others] }, ({ path }) => {
        if (!path.endsWith(FaultyRegistry.digestOf(first ?? ""))) return undefined
        Deferred.unsafeDone(asked, Effect.void)
        return { status: 200, body: first, stallAfter: 2_000_000 }
      })
      const { directory, fs, into, nothingLeft, pull } = yield* importing(registry.address)
      const fiber = yield* Effect.fork(pull(registry.reference(), { into }))
      yield* Deferred.await(asked)
      yield* Effect.sleep("100 millis")
      assert.include(yield* fs.readDirectory(directory), "root")
      yield* Fiber.interrupt(fiber)
      yield* nothingLeft
    })
  )

  scoped(
    "leaves nothing when it is interrupted in the middle of unpacking",
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({ layers: yield* layers })
      const { into, nothingLeft, pull } = yield* importing(registry.address)
      const unpacked = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        pull(registry.reference(), {
          into,
          onProgress: ({ _tag }) =>
            _tag === "Unpacked" ? Effect.zipRight(Deferred.succeed(unpacked, undefined), Effect.never) : Effect.void
        })
      )
      yield* Deferred.await(unpacked)
      yield* Fiber.interrupt(fiber)
      yield* nothingLeft
    })
  )
})

describe("Importer with docker-registry", () => {
  scoped(
    "brings a Debian image of four layers to the tree that GNU tar gives it, in a shifted user namespace's owners",
    Effect.gen(function* () {
      const registry = yield* Registry
      const images = yield* Images
      const debian = yield* images.debian
      yield* registry.push(debian, "team/debian:1")
      const { into, pull, temporary, fs } = yield* importing(registry.address, { idShift: 100000 })
      const reference = Either.getOrThrow(OciReference.fromString(`${registry.address}/team/debian:1`))
      const imported = yield* pull(reference, { into })
      assert.strictEqual(imported.digest, debian.manifest.digest)
      assert.isAbove(imported.entries, 5000)
      const devices = (tree: FileTree.FileTree) => tree.filter(({ type }) => type === "character" || type === "block")
      const expected = yield* debian.tree
      const tree = yield* FileTree.ofDirectory(into, { idShift: 100000 })
      deepStrictEqual(
        FileTree.difference(
          expected.filter((entry) => !devices(expected).includes(entry)),
          tree
        ),
        []
      )
      assert.strictEqual(imported.devices, devices(expected).length)
      deepStrictEqual(yield* fs.readDirectory(temporary), [])
    }).pipe(Effect.provide([Registry.layer, Images.layer])),
    300_000
  )

  scoped(
    "brings an image from an index with credentials",
    Effect.gen(function* () {
      const registry = yield* Registry
      const images = yield* Images
      const busybox = yield* images.busyboxIndex
      yield* registry.push(busybox, "team/busybox:1")
      const { into, nothingLeft, pull, resolve, fs } = yield* importing(registry.address)
      const reference = Either.getOrThrow(OciReference.fromString(`${registry.address}/team/busybox:1`))
      assert.strictEqual((yield* Effect.flip(pull(reference, { into }))).reason, "Unauthorized")
      yield* nothingLeft
      const credentials = { username: "ada", password: Redacted.make("correct horse") }
      const image = yield* resolve(reference, { credentials })
      deepStrictEqual(image.indexDigest, Option.some(busybox.root.digest))
      const imported = yield* pull(image, { into })
      assert.strictEqual(imported.digest, busybox.manifest.digest)
      assert.isTrue(yield* fs.exists(`${into}/bin/busybox`))
      deepStrictEqual(FileTree.difference(yield* busybox.tree, yield* FileTree.ofDirectory(into)), [])
    }).pipe(Effect.provide([Registry.layerBasicAuth({ username: "ada", password: "correct horse" }), Images.layer])),
    60_000
  )
})
