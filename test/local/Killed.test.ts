/**
 * An engine that is killed at random points of all that it does. `CONTREE_TEST_KILLS` is the number of kills, else as
 * many as fit into twenty seconds; `CONTREE_TEST_SEED` repeats the points of another run.
 */
import { assert, layer as suite } from "@effect/vitest"
import { NodeHttpClient } from "@effect/platform-node"
import { Effect, Fiber, Layer, Option, Random, Redacted, Ref, Schedule, Stream } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import * as Run from "../../src/Run.js"
import { output } from "../contract/steps.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineTraces from "../fixtures/EngineTraces.js"
import * as FileTree from "../fixtures/FileTree.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"

const kills = Number(process.env["CONTREE_TEST_KILLS"] ?? 0)
const seed = Number(process.env["CONTREE_TEST_SEED"] ?? Math.floor(Math.random() * 1e9))
const limitMillis = kills > 0 ? Number.POSITIVE_INFINITY : 20_000
const variants = 4

/** What an engine has acknowledged. */
interface Acknowledged {
  /** The image of each tag, and what its file `/said` holds. */
  readonly tags: Map<string, { readonly id: string; readonly said: string }>
  /** The digests of uploaded files. */
  readonly files: Map<string, number>
  /** The highest number that the chain is known to have. */
  chain: number
  /** How many acknowledgements there were. */
  count: number
}

const uploaded = Effect.fnUntraced(function* (acknowledged: Acknowledged) {
  const client = yield* ContreeClient
  const size = yield* Random.nextIntBetween(1, 300_000)
  const content = randomBytes(size)
  yield* client.files.upload(content)
  acknowledged.files.set(createHash("sha256").update(content).digest("hex"), size)
  acknowledged.count++
})

const imported = Effect.fnUntraced(function* (acknowledged: Acknowledged, name: string) {
  const variant = yield* Random.nextIntBetween(0, variants)
  const image = yield* Image.oci(`variant${variant}:latest`, { tag: name })
  acknowledged.tags.set(name, { id: image.id, said: `variant ${variant}` })
  acknowledged.count++
})

const ran = Effect.fnUntraced(function* (acknowledged: Acknowledged, name: string) {
  const said = randomBytes(8).toString("hex")
  const { image } = yield* Effect.flatMap(
    Image.run(
      "base:1",
      `head -c ${yield* Random.nextIntBetween(1, 200_000)} /dev/urandom > /noise; echo ${said} > /said`,
      {
        tag: name
      }
    ),
    Run.orFail
  )
  acknowledged.tags.set(name, { id: image.id, said })
  acknowledged.count++
})

/** Moves the tag to the next image of a chain. A move that is not acknowledged may have happened. */
const chained = Effect.fnUntraced(function* (acknowledged: Acknowledged) {
  const { stdout } = yield* Effect.flatMap(
    Image.run("chain:1", "n=$(($(cat /n) + 1)); echo $n > /n; echo $n >> /log; cat /n", { tag: "chain:1" }),
    Run.orFail
  )
  acknowledged.chain = Number(stdout.text)
  acknowledged.count++
})

/** Works until the engine is gone; the garbage collection of the engine runs beside it. */
const workload = (acknowledged: Acknowledged, round: number) => {
  let number = 0
  const again = <E, R>(work: (name: string) => Effect.Effect<void, E, R>) =>
    Effect.forever(Effect.suspend(() => work(`t${round}:${number++}`))).pipe(Effect.ignore)
  return Effect.all(
    [
      again((name) => imported(acknowledged, name)),
      again((name) => ran(acknowledged, name)),
      again(() => chained(acknowledged)),
      again(() => uploaded(acknowledged))
    ],
    { concurrency: "unbounded", discard: true }
  )
}

/** What must be so after every start, at once. */
const sound = Effect.fnUntraced(function* (acknowledged: Acknowledged, dataDirectory: string) {
  for (const status of ["PENDING", "ASSIGNED", "EXECUTING"] as const) {
    const open = yield* Stream.runCollect(Operation.stream({ status }))
    assert.deepStrictEqual(
      Array.from(open, ({ id }) => id),
      [],
      `operations are still ${status}`
    )
  }
  const failed = yield* Stream.runCollect(Operation.stream({ status: "FAILED" }))
  for (const { error } of failed)
    assert.match(
      Option.getOrElse(error, () => ""),
      /engine (was )?stopped before/
    )
  const images = yield* Stream.runCollect(Image.stream({ tagged: true }))
  const present = new Set(Array.from(images, ({ id }) => String(id)))
  for (const [tag, { id }] of acknowledged.tags) {
    assert.isTrue(present.has(id), `the image of ${tag} is gone`)
  }
  for (const [digest, size] of acknowledged.files) {
    const path = `${dataDirectory}/f/${digest}`
    assert.isTrue(existsSync(path), `the file ${digest} is gone`)
    assert.strictEqual(readFileSync(path).length, size)
  }
  assert.deepStrictEqual(readdirSync(`${dataDirectory}/f/new`), [])
  const log = yield* output("chain:1", "cat /log")
  const lines = log.trim().split("\n").map(Number)
  assert.deepStrictEqual(
    lines,
    lines.map((_, index) => index)
  )
  assert.isAtLeast(lines.length - 1, acknowledged.chain, "an acknowledged link of the chain is gone")
})

/** It tries nothing twice: an engine that is gone stays gone. */
const client = (url: string) =>
  layerWith({
    baseUrl: url,
    token: Redacted.make(Contree.token),
    wait: Contree.wait,
    retry: { schedule: Schedule.stop }
  }).pipe(Layer.provide(NodeHttpClient.layerUndici))

suite(Contree.busyboxRegistry, { excludeTestServices: true })("an engine that is killed", (it) => {
  it.scoped(
    `keeps what it acknowledged, at any point (seed ${seed})`,
    () =>
      Effect.gen(function* () {
        const { address, push } = yield* Registry
        const images = yield* Images
        const base = yield* images.busybox
        for (let variant = 0; variant < variants; variant++) {
          yield* push(
            yield* images.tiny({ base, files: { said: `variant ${variant}\n` } }),
            `library/variant${variant}:latest`
          )
        }
        const dataDirectory = `${yield* Contree.temporaryFolder}/data`
        const traces = EngineTraces.tracesOf(dataDirectory)
        const args = [
          ...Contree.serveArgs(address, dataDirectory),
          "--token",
          Contree.token,
          "--gc-interval",
          "1s",
          "--gc-keep-recent",
          "0"
        ]
        const acknowledged: Acknowledged = { tags: new Map(), files: new Map(), chain: 0, count: 0 }
        const killed = yield* Ref.make(0)
        const started = performance.now()

        const life = Effect.fnUntraced(function* (round: number) {
          const served = yield* Contree.serve({ args })
          yield* Effect.gen(function* () {
            if (round === 0) {
              yield* Image.oci("busybox:latest", { tag: "base:1" })
              yield* Effect.flatMap(Image.run("base:1", "echo 0 > /n; echo 0 > /log", { tag: "chain:1" }), Run.orFail)
            }
            yield* sound(acknowledged, dataDirectory)
            const working = yield* Effect.fork(workload(acknowledged, round))
            // Counted in acknowledgements, so that a busy machine gets as far as an idle one.
            const until = acknowledged.count + (yield* Random.nextIntBetween(0, 12))
            yield* Effect.sleep("5 millis").pipe(
              Effect.repeat({ until: () => acknowledged.count >= until }),
              Effect.timeoutOption("5 seconds")
            )
            yield* Effect.sleep(yield* Random.nextIntBetween(0, 100))
            const { processes } = yield* traces
            const worker = processes.find(({ command }) => command.includes("worker.js"))
            // The owner or the worker itself; the owner's end takes the worker along.
            const target = (yield* Random.nextBoolean) && worker !== undefined ? worker.pid : served.pid
            yield* Effect.sync(() => process.kill(target, "SIGKILL"))
            yield* Fiber.join(working)
          }).pipe(Effect.provide(client(served.url)))
          yield* Ref.update(killed, (count) => count + 1)
          yield* EngineTraces.within(10_000)(traces, EngineTraces.isGone)
        }, Effect.scoped)

        for (let round = 0; kills > 0 ? round < kills : performance.now() - started < limitMillis; round++) {
          yield* life(round)
        }

        // At the end everything is read, by the engine and without it.
        yield* Effect.scoped(
          Effect.gen(function* () {
            const served = yield* Contree.serve({ args })
            yield* Effect.gen(function* () {
              yield* sound(acknowledged, dataDirectory)
              for (const [tag, { id, said }] of acknowledged.tags) {
                const image = yield* Image.use(tag, { strict: true })
                assert.strictEqual(String(image.id), id)
                assert.strictEqual((yield* output(tag, "cat /said")).trim(), said)
              }
            }).pipe(Effect.provide(client(served.url)))
            yield* served.kill("SIGTERM")
            yield* served.exit
          })
        )
        const checked = yield* FileTree.exec(process.execPath, [
          `${Contree.checkout}/dist/cli/main.js`,
          "fsck",
          "--data-dir",
          dataDirectory
        ])
        assert.include(checked, "all sound")
        yield* Effect.log(
          `${yield* Ref.get(killed)} kills, seed ${seed}: ${acknowledged.tags.size} tags, ${acknowledged.files.size} files, ${acknowledged.chain} links were kept`
        )
      }).pipe(Effect.withRandom(Random.make(seed))),
    { timeout: kills > 0 ? 3_600_000 : 240_000 }
  )
})
