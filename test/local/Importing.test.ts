import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer as suite } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted, Stream } from "effect"
import { lstatSync, readdirSync } from "node:fs"
import * as TarArchive from "../../quickstart/TarArchive.js"
import * as Image from "../../src/Image.js"
import * as LocalContree from "../../src/local/LocalContree.js"
import * as Operation from "../../src/Operation.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineTraces from "../fixtures/EngineTraces.js"
import * as FaultyRegistry from "../fixtures/FaultyRegistry.js"

type Entry = Pick<TarArchive.TarEntry, "path"> & Partial<TarArchive.TarEntry>

const archive = (entries: ReadonlyArray<Entry>) =>
  TarArchive.pack(
    entries.map((entry) => ({ type: "file" as const, mode: 0o644, mtime: new Date(0), content: "pwned", ...entry }))
  ).pipe(
    Stream.runCollect,
    Effect.map((pieces) => Buffer.concat(Array.from(pieces)))
  )

/** Below the layer with the fault: it may be unpacked already, and has to go again. */
const innocent: ReadonlyArray<Entry> = [
  { path: "etc/passwd", content: "root" },
  { path: "usr/large", content: "x".repeat(2_000_000) }
]

const usual: ReadonlyArray<Entry> = [{ path: "srv/file", content: "y".repeat(5000) }]

const symlink = (path: string, linkTarget: string): Entry => ({ path, type: "symlink", linkTarget })

const damaged = (bytes: Buffer) => Buffer.from(bytes).fill("z", 600, 700)

interface Fault {
  readonly what: string
  /** What the reason must say. */
  readonly says: ReadonlyArray<RegExp>
  /** The entries of the topmost layer. */
  readonly entries?: ReadonlyArray<Entry> | undefined
  /** What of the topmost layer is in the image. */
  readonly part?: ((bytes: Buffer) => Buffer) | undefined
  readonly manifest?: FaultyRegistry.Answer | undefined
  /** What is answered in place of the topmost layer. */
  readonly layer?: ((bytes: Buffer) => FaultyRegistry.Answer) | undefined
}

const refusal = (status: number, code: string, headers: Readonly<Record<string, string>> = {}) => ({
  status,
  headers,
  body: FaultyRegistry.serverError(code, `the registry's word for ${status}`)
})

const faults: ReadonlyArray<Fault> = [
  {
    what: "a registry that wants credentials (401)",
    says: [/credentials|unauthorized/i, /user name/],
    manifest: refusal(401, "UNAUTHORIZED", { "www-authenticate": 'Basic realm="tests"' })
  },
  {
    what: "a registry without the image (404)",
    says: [/the registry's word for 404/, /tag or digest/],
    manifest: refusal(404, "MANIFEST_UNKNOWN")
  },
  {
    what: "a registry that has given enough for now (429)",
    says: [/429|many/, /until \d{4}-\d\d-\d\dT/, /mirror/],
    manifest: refusal(429, "TOOMANYREQUESTS", { "retry-after": "3600" })
  },
  {
    what: "a registry in trouble (500)",
    says: [/500/, /the registry's word for 500/],
    manifest: refusal(500, "UNKNOWN")
  },
  {
    what: "a layer that is not what its digest says",
    says: [/sha256:/, /damages its content/],
    layer: (bytes) => ({ status: 200, body: damaged(bytes) })
  },
  {
    what: "a layer whose transfer is cut off each time",
    says: [/sha256:/, /of \d+ bytes/, /lost a part/],
    layer: (bytes) => ({ status: 200, body: bytes, cutAfter: 1000 })
  },
  {
    what: "a layer that ends in the middle of a file",
    says: [/sha256:/, /end/i],
    part: (bytes) => bytes.subarray(0, 1000)
  },
  { what: "a layer that is no archive", says: [/sha256:/, /archive/], part: () => Buffer.from("not an archive") },
  { what: "a name with ../", says: [/"\.\.\/pwned"/, /do not use/], entries: [{ path: "../pwned" }] },
  { what: "a name with ../ in the middle", says: [/"a\/\.\.\/\.\.\/pwned"/], entries: [{ path: "a/../../pwned" }] },
  { what: "an absolute name", says: [/"\/tmp\/pwned"/, /absolute/], entries: [{ path: "/tmp/pwned" }] },
  {
    what: "a file behind a link out of the root",
    says: [/"out\/pwned"/, /link/],
    entries: [symlink("out", "../../.."), { path: "out/pwned" }]
  },
  {
    what: "a file behind an absolute link",
    says: [/"out\/pwned"/, /link/],
    entries: [symlink("out", "/tmp"), { path: "out/pwned" }]
  },
  {
    what: "a hard link out of the root",
    says: [/"\.\.\/\.\.\/\.\.\/etc\/passwd"/],
    entries: [{ path: "stolen", type: "link", linkTarget: "../../../etc/passwd" }]
  },
  {
    what: "a hard link through a link out of the root",
    says: [/out of the image/],
    entries: [symlink("out", "../../../etc"), { path: "stolen", type: "link", linkTarget: "out/passwd" }]
  },
  {
    what: "a whiteout behind a link out of the root",
    says: [/"out\/\.wh\.pwned"/],
    entries: [symlink("out", "../../.."), { path: "out/.wh.pwned", content: "" }]
  }
]

/** A registry with one image, whose topmost layer or whose answers have the fault. */
const faultyRegistry = Effect.fnUntraced(function* ({ entries, layer, manifest, part }: Partial<Fault>) {
  const whole = yield* archive(entries ?? usual)
  const top = part === undefined ? whole : part(whole)
  const digest = FaultyRegistry.digestOf(top)
  return yield* FaultyRegistry.start({ layers: [yield* archive(innocent), top] }, ({ path }) =>
    path.includes("/manifests/") ? manifest : path.endsWith(digest) ? layer?.(top) : undefined
  )
})

class BadRegistries extends Context.Tag("effect-contree/test/BadRegistries")<
  BadRegistries,
  {
    /** By what is wrong with it: the address. */
    readonly addresses: ReadonlyMap<string, string>
    readonly dataDirectory: string
  }
>() {}

const good = "a registry without a fault"
const stalled = "a registry that stops in the middle of a layer"

const stalling: Omit<Fault, "says"> = {
  what: stalled,
  entries: [{ path: "srv/other", content: "z".repeat(5000) }],
  layer: (bytes) => ({ status: 200, body: bytes, stallAfter: 1000 })
}

/** An engine beside one registry for each fault. */
const engine = Layer.unwrapScoped(
  Effect.gen(function* () {
    yield* Contree.ensureBuilt
    const dataDirectory = `${yield* Contree.temporaryFolder}/data`
    const registries = yield* Effect.forEach([{ what: good }, stalling, ...faults], (fault) =>
      Effect.map(faultyRegistry(fault), ({ address }) => [fault.what, address] as const)
    )
    const addresses = new Map(registries)
    return Layer.merge(
      Layer.succeed(BadRegistries, { addresses, dataDirectory }),
      LocalContree.layerWith({ dataDirectory, insecureRegistries: [...addresses.values()] })
    )
  })
).pipe(Layer.provide(NodeContext.layer))

/** Everything in the data folder but the database's own files and the event logs, which tell of what failed. */
const stored = (dataDirectory: string) =>
  Effect.sync(() =>
    readdirSync(dataDirectory, { recursive: true, encoding: "utf8" })
      .filter((path) => {
        // What the engine removes in the background may be gone by now.
        const entry = lstatSync(`${dataDirectory}/${path}`, { throwIfNoEntry: false })
        return entry !== undefined && (!entry.isFile() || path.includes("/")) && !/^e(\/|$)/.test(path)
      })
      .sort()
  )

const images = Effect.map(Image.list(), (all) => all.map(({ id, tag }) => [id, tag] as const))

suite(engine, { excludeTestServices: true })("an import of an image", (it) => {
  describe("fails with a reason that names the cause, and leaves nothing in the store:", () => {
    for (const { says, what } of faults) {
      it.effect(what, () =>
        Effect.gen(function* () {
          const { addresses, dataDirectory } = yield* BadRegistries
          const address = addresses.get(what)
          const before = yield* Effect.all([stored(dataDirectory), images])
          const error = yield* Effect.flip(Image.importFrom(`docker://${address}/team/app:1`, { tag: "mine:1" }))
          assert.strictEqual(error._tag, "OperationFailed", error.message)
          for (const words of says) assert.match(error.message, words)
          const after = Effect.all([stored(dataDirectory), images])
          yield* EngineTraces.within(2000)(after, (now) => JSON.stringify(now) === JSON.stringify(before))
          const missing = yield* Effect.flip(Image.use("mine:1", { strict: true }))
          assert.strictEqual(missing._tag, "NotFound")
        })
      )
    }

    it.effect("a registry that refuses the password, which nothing repeats", () =>
      Effect.gen(function* () {
        const { addresses } = yield* BadRegistries
        const address = addresses.get("a registry that wants credentials (401)")
        const credentials = { username: "ada", password: Redacted.make("correct horse") }
        const error = yield* Effect.flip(Image.importFrom(`docker://${address}/team/app:1`, { credentials }))
        assert.strictEqual(error._tag, "OperationFailed", error.message)
        const [newest] = yield* Stream.runCollect(Operation.stream().pipe(Stream.take(1)))
        assert.isDefined(newest)
        const operation = yield* Operation.get(newest.id)
        assert.deepNestedInclude(Option.getOrThrow(operation.metadata), {
          registry: {
            url: `docker://${address}/team/app:1`,
            credentials: { username: "ada", password: "<MASKED>" }
          }
        })
        assert.notInclude(JSON.stringify([error, error.message, operation]), "correct horse")
      })
    )
  })

  it.effect("succeeds where nothing is wrong", () =>
    Effect.gen(function* () {
      const { addresses, dataDirectory } = yield* BadRegistries
      const before = (yield* stored(dataDirectory)).length
      const image = yield* Image.importFrom(`docker://${addresses.get(good)}/team/app:1`, { tag: "mine:1" })
      assert.strictEqual((yield* Image.use("mine:1", { strict: true })).id, image.id)
      assert.isAbove((yield* stored(dataDirectory)).length, before)
    })
  )

  it.effect("that takes too long is given up, and one that is interrupted leaves nothing either", () =>
    Effect.gen(function* () {
      const { addresses, dataDirectory } = yield* BadRegistries
      const before = yield* stored(dataDirectory)
      const reference = `docker://${addresses.get(stalled)}/team/app:1`
      const late = yield* Effect.flip(Image.importFrom(reference, { timeout: "1 second" }))
      assert.strictEqual(late._tag, "OperationFailed", late.message)
      assert.include(late.message, "took longer than 1s")
      const gone = yield* Image.importFrom(reference).pipe(Effect.timeoutOption("300 millis"))
      assert.isTrue(Option.isNone(gone))
      const [newest] = yield* Stream.runCollect(Operation.stream().pipe(Stream.take(1)))
      assert.strictEqual(newest?.status, "CANCELLED")
      yield* EngineTraces.within(2000)(stored(dataDirectory), (now) => JSON.stringify(now) === JSON.stringify(before))
    })
  )
})
