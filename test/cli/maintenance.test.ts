import { Command } from "@effect/platform"
import { assert, layer as suite } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { Sha256 } from "../../src/api/Files.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import { output } from "../contract/steps.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineTraces from "../fixtures/EngineTraces.js"
import { Registry } from "../fixtures/Registry.js"

/** What the command line says, and its exit code. */
const cli = (...args: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const child = yield* Command.start(
        Command.make(process.execPath, `${Contree.checkout}/dist/cli/main.js`, ...args)
      )
      const text = (stream: Stream.Stream<Uint8Array, unknown>) => Stream.mkString(Stream.decodeText(stream))
      const [code, stdout, stderr] = yield* Effect.all([child.exitCode, text(child.stdout), text(child.stderr)], {
        concurrency: 3
      })
      return { code: Number(code), stdout: stdout.trim(), stderr: stderr.trim() }
    })
  )

const content = new TextEncoder().encode("an uploaded file")
const digest = Schema.decodeSync(Sha256)(createHash("sha256").update(content).digest("hex"))

/** A data folder, and a way to have an engine work on it for a while. */
const place = Effect.gen(function* () {
  const dataDirectory = `${yield* Contree.temporaryFolder}/data`
  const { address } = yield* Registry
  const on = ["--data-dir", dataDirectory]
  const args = [...Contree.serveArgs(address, dataDirectory), "--token", Contree.token]
  const serve = (more: ReadonlyArray<string> = []) => Contree.serve({ args: [...args, ...more] })
  const during = <A, E, R>(use: Effect.Effect<A, E, R>, more?: ReadonlyArray<string>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const served = yield* serve(more)
        const result = yield* Effect.provide(use, Contree.client(served.url, Contree.token))
        yield* served.kill("SIGTERM")
        yield* served.exit
        return result
      })
    )
  const layers = () => readdirSync(`${dataDirectory}/l`)
  return { dataDirectory, on, during, serve, layers }
})

/** An import, a tagged image over it, and two branches without a tag, one upon the other. */
const branches = Effect.gen(function* () {
  const base = yield* Image.oci("busybox:latest")
  const kept = yield* Image.run(base, "echo kept > /kept", { tag: "kept:1" })
  const loose = yield* Image.run(kept.image, "head -c 100000 /dev/urandom > /loose")
  const looser = yield* Image.run(loose.image, "echo looser > /looser")
  const client = yield* ContreeClient
  yield* client.files.upload(content)
  return { base, kept: kept.image, loose: loose.image, looser: looser.image }
})

suite(Contree.busyboxRegistry, { excludeTestServices: true })("effect-contree", (it) => {
  it.scoped("gc says what it would free, frees it where told to, and what is tagged stays whole", () =>
    Effect.gen(function* () {
      const { during, layers, on } = yield* place
      const made = yield* during(branches)
      assert.strictEqual(layers().length, 4)

      assert.include(
        (yield* cli("gc", ...on)).stdout,
        "would free 0 images, 0 layers (0 B), 0 operations, 0 files (0 B)"
      )
      const dry = yield* cli(
        "gc",
        ...on,
        "--keep-recent",
        "0",
        "--operations-older-than",
        "0",
        "--files-older-than",
        "0"
      )
      assert.match(
        dry.stdout,
        /^would free 2 images, 2 layers \(100\.0 KB\), 4 operations, 1 files \(16 B\); --apply does it$/
      )
      assert.strictEqual(layers().length, 4)

      const wet = yield* cli("gc", ...on, "--keep-recent", "0", "--apply")
      assert.strictEqual(wet.stdout, "freed 2 images, 2 layers (100.0 KB), 0 operations, 0 files (0 B)")
      assert.strictEqual(layers().length, 2)
      const nothing = yield* cli("gc", ...on, "--keep-recent", "0", "--apply")
      assert.include(nothing.stdout, "freed 0 images, 0 layers")

      yield* during(
        Effect.gen(function* () {
          assert.strictEqual(yield* output("kept:1", "cat /kept"), "kept\n")
          const left = yield* Image.list()
          assert.deepStrictEqual(left.map(({ id }) => id).sort(), [made.base.id, made.kept.id].sort())
          assert.strictEqual((yield* Effect.flip(Image.run(made.loose, "true")))._tag, "NotFound")
          assert.isTrue(yield* (yield* ContreeClient).files.exists(digest))
        })
      )
      const all = yield* cli("gc", ...on, "--apply", "--operations-older-than", "0", "--files-older-than", "0s")
      assert.match(all.stdout, /freed 0 images, 0 layers \(0 B\), [1-9]\d* operations, 1 files/)
      yield* during(
        Effect.gen(function* () {
          assert.isFalse(yield* (yield* ContreeClient).files.exists(digest))
          assert.strictEqual(yield* output("kept:1", "cat /kept"), "kept\n")
        })
      )
    })
  )

  it.scoped("gc frees nothing of a folder that an engine works on; that one frees by itself where told to", () =>
    Effect.gen(function* () {
      const { layers, on, serve } = yield* place
      const served = yield* serve(["--gc-interval", "1s", "--gc-keep-recent", "0"])
      const client = Contree.client(served.url, Contree.token)
      const refused = yield* cli("gc", ...on, "--apply")
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /Another engine works on/)
      const made = yield* Effect.provide(branches, client)
      yield* EngineTraces.within(10_000)(Effect.sync(layers), (now) => now.length === 2)
      // What a run of it needs is not taken from under it.
      yield* Effect.provide(
        Effect.gen(function* () {
          const again = yield* Image.run("kept:1", "sleep 2; cat /kept; echo more > /more")
          assert.strictEqual(again.stdout.text, "kept\n")
          assert.strictEqual((yield* Effect.flip(Image.run(made.looser, "true")))._tag, "NotFound")
        }),
        client
      )
      assert.match((yield* cli("df", ...on)).stdout, /^layers +[2-9] +\d+(\.\d)? MB$/m)
    })
  )

  it.scoped("fsck finds a folder sound, names what is damaged, and repairs what costs nothing", () =>
    Effect.gen(function* () {
      const { dataDirectory, during, layers, on } = yield* place
      const made = yield* during(branches)
      const sound = yield* cli("fsck", ...on)
      assert.deepStrictEqual([sound.code, sound.stdout], [0, "4 images, 4 layers, 1 files: all sound"])

      writeFileSync(`${dataDirectory}/f/${digest}`, "something else")
      const [lost = ""] = layers()
      rmSync(`${dataDirectory}/l/${lost}`, { recursive: true })
      writeFileSync(`${dataDirectory}/t/left`, "")
      const found = yield* cli("fsck", ...on)
      assert.strictEqual(found.code, 2)
      for (const image of [made.base, made.kept, made.loose, made.looser]) {
        assert.include(found.stdout, `image ${image.id}: its layer ${lost} is missing`)
      }
      assert.match(found.stdout, new RegExp(`file ${digest}: its content has the digest [0-9a-f]{64}. Upload`))
      assert.include(found.stdout, "t/left: nothing lists it")
      assert.include(found.stdout, "6 problems, 0 repaired, 6 left")

      const repaired = yield* cli("fsck", ...on, "--repair")
      assert.strictEqual(repaired.code, 2)
      assert.include(repaired.stdout, "6 problems, 2 repaired, 4 left")
      assert.isFalse(existsSync(`${dataDirectory}/t/left`))
      yield* during(
        Effect.gen(function* () {
          const broken = yield* Effect.flip(Image.run("kept:1", "true"))
          assert.match(broken.message, /import the image again/i)
          const again = yield* Image.importFrom("busybox:latest")
          assert.notStrictEqual(again.id, made.base.id)
          assert.strictEqual(yield* output(again, "echo here"), "here\n")
        })
      )
    })
  )

  it.scoped("an import whose layer is lost is pulled again, without a repair", () =>
    Effect.gen(function* () {
      const { dataDirectory, during, layers } = yield* place
      const first = yield* during(Image.oci("busybox:latest"))
      rmSync(`${dataDirectory}/l/${layers()[0]}`, { recursive: true })
      yield* during(
        Effect.gen(function* () {
          const client = yield* ContreeClient
          yield* client.images.untag(first.id)
          const again = yield* Image.oci("busybox:latest")
          assert.notStrictEqual(again.id, first.id)
          assert.strictEqual(yield* output(again, "echo here"), "here\n")
        })
      )
    })
  )

  it.scoped("a damaged database is named by every command and by the engine, and nothing is removed", () =>
    Effect.gen(function* () {
      const { dataDirectory, during, layers, on, serve } = yield* place
      yield* during(branches)
      const database = `${dataDirectory}/contree.db`
      const bytes = readFileSync(database)
      const refusals = Effect.gen(function* () {
        const started = yield* Effect.flip(Effect.scoped(serve()))
        return [started.message, (yield* cli("fsck", ...on)).stderr, (yield* cli("gc", ...on, "--apply")).stderr]
      })

      writeFileSync(database, Buffer.alloc(bytes.length, "x"))
      for (const said of yield* refusals) assert.match(said, /contree\.db is damaged: restore it from a copy/)
      rmSync(database)
      assert.match((yield* Effect.flip(Effect.scoped(serve()))).message, /layers of images and no contree\.db/)
      assert.strictEqual(layers().length, 4)

      writeFileSync(database, bytes)
      yield* during(Effect.map(output("kept:1", "cat /kept"), (said) => assert.strictEqual(said, "kept\n")))
    })
  )

  it.scoped("fsck says that a page of the database is damaged", () =>
    Effect.gen(function* () {
      const { dataDirectory, during, on } = yield* place
      yield* during(branches)
      const database = `${dataDirectory}/contree.db`
      const bytes = readFileSync(database)
      // The page of an index: the tables can be read, but disagree with it.
      const page = bytes.indexOf("images_digest") < 0 ? 0 : bytes.length - 4096
      bytes.fill(0, page, page + 4096)
      writeFileSync(database, bytes)
      const found = yield* cli("fsck", ...on)
      assert.notStrictEqual(found.code, 0)
      assert.match(`${found.stdout}${found.stderr}`, /contree\.db/)
    })
  )

  it.scoped("the commands want a data folder of an engine", () =>
    Effect.gen(function* () {
      const folder = yield* Contree.temporaryFolder
      for (const name of ["gc", "fsck", "df"]) {
        const { code, stderr } = yield* cli(name, "--data-dir", `${folder}/none`)
        assert.strictEqual(code, 1)
        assert.match(stderr, /There is no .*none\/contree\.db/)
      }
      assert.match((yield* cli("gc", "--keep-recent", "7 days")).stderr, /"7 days" is no time such as/)
    })
  )
})
