/**
 * Many at once and many in a row: queued runs, a long chain, and branches of one base. It prints how much longer the
 * last ones take than the first, what an image costs on the disk, and how the engine's memory grows.
 *
 * npm run bench:many [-- --queued 1000 --batches 2 --chain 1000 --branches 1000 --concurrency 2]
 */
import * as Cli from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect, Layer, Stream } from "effect"
import { Image, Operation } from "effect-contree"
import { LocalContree } from "effect-contree/local"
import { Images } from "../test/fixtures/Images.js"
import { Registry } from "../test/fixtures/Registry.js"
import * as EngineMemory from "../test/fixtures/EngineMemory.js"
import * as DiskUsage from "./DiskUsage.js"
import { timed } from "./Stopwatch.js"

class BenchError extends Data.TaggedError("BenchError")<{ readonly message: string }> {}

const options = {
  queued: Options.integer("queued").pipe(
    Options.withDescription("Runs that are started at once"),
    Options.withDefault(1000)
  ),
  batches: Options.integer("batches").pipe(
    Options.withDescription("How often, to see whether memory grows"),
    Options.withDefault(2)
  ),
  chain: Options.integer("chain").pipe(
    Options.withDescription("Runs, each on the image of the one before"),
    Options.withDefault(1000)
  ),
  branches: Options.integer("branches").pipe(Options.withDescription("Runs on one base"), Options.withDefault(1000)),
  concurrency: Options.integer("concurrency").pipe(Options.withDescription("Commands at once"), Options.withDefault(2))
}

/** How many samples the first and the last ones are. */
const window = 50

const median = (samples: ReadonlyArray<number>) =>
  [...samples].sort((a, b) => a - b)[Math.floor(samples.length / 2)] ?? Number.NaN

const lastToFirst = (samples: ReadonlyArray<number>) => {
  const size = Math.min(window, Math.floor(samples.length / 2))
  const [first, last] = [median(samples.slice(0, size)), median(samples.slice(-size))]
  return `first ${first.toFixed(1)} ms, last ${last.toFixed(1)} ms, last/first ${(last / first).toFixed(2)}`
}

const must = (run: { readonly exitCode: number; readonly image: Image.Image }) =>
  run.exitCode === 0 ? Effect.succeed(run.image) : new BenchError({ message: `a run ended with ${run.exitCode}` })

const bench = Cli.make("bench-many", options, (given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-bench-" })
    const dataDirectory = `${folder}/data`
    const registry = yield* Registry
    yield* registry.push(yield* (yield* Images).busybox, "bench/busybox:latest")
    const contree = yield* Layer.build(
      LocalContree.layerWith({
        dataDirectory,
        insecureRegistries: [registry.address],
        maxConcurrency: given.concurrency
      })
    )
    const run = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, contree)
    const base = yield* run(Image.oci(`docker://${registry.address}/bench/busybox:latest`))
    // What the first runs allocate for good does not count as growth.
    yield* run(Effect.replicateEffect(Image.run(base, "true"), 50, { discard: true }))

    const part = Effect.fnUntraced(function* <E, R>(title: string, images: number, work: Effect.Effect<string, E, R>) {
      const [bytes, memory] = [
        yield* DiskUsage.of(`${dataDirectory}/l`),
        yield* EngineMemory.residentBytes(dataDirectory)
      ]
      const { millis, result } = yield* timed(work)
      const [grown, now] = [yield* DiskUsage.of(`${dataDirectory}/l`), yield* EngineMemory.residentBytes(dataDirectory)]
      yield* Console.log(
        `${title}: ${result}; ${(images / (millis / 1000)).toFixed(1)} runs/s; ` +
          `${Math.round((grown - bytes) / images)} bytes an image; ` +
          `memory ${(memory / 1e6).toFixed(0)} to ${(now / 1e6).toFixed(0)} MB`
      )
    })

    for (let batch = 0; batch < given.batches && given.queued > 0; batch++) {
      yield* part(
        `${given.queued} queued at once`,
        given.queued,
        run(
          Effect.gen(function* () {
            const outcomes = yield* Effect.forEach(
              Array.from({ length: given.queued }, (_, index) => index),
              (index) => Effect.either(Effect.flatMap(Image.run(base, `echo ${index} > /kept`), must)),
              { concurrency: "unbounded" }
            )
            const failed = yield* Stream.runCount(Operation.stream({ status: "FAILED" }))
            for (const outcome of outcomes) if (outcome._tag === "Left") yield* Console.log(String(outcome.left))
            return `${outcomes.filter(({ _tag }) => _tag === "Left").length} errors, ${failed} failed operations`
          })
        )
      )
    }
    if (given.chain > 0) {
      yield* part(
        `a chain of ${given.chain}`,
        given.chain,
        run(
          Effect.gen(function* () {
            const samples: Array<number> = []
            let image = base
            for (let index = 0; index < given.chain; index++) {
              const { millis, result } = yield* timed(Image.run(image, `echo ${index} > /kept-${index % 100}`))
              image = yield* must(result)
              samples.push(millis)
            }
            return lastToFirst(samples)
          })
        )
      )
    }
    if (given.branches > 0) {
      yield* part(
        `${given.branches} branches of one base`,
        given.branches,
        run(
          Effect.gen(function* () {
            const samples = yield* Effect.forEach(
              Array.from({ length: given.branches }, (_, index) => index),
              (index) =>
                Effect.gen(function* () {
                  const { millis, result } = yield* timed(Image.run(base, `echo ${index} > /kept`))
                  yield* must(result)
                  return millis
                }),
              { concurrency: given.concurrency }
            )
            return lastToFirst(samples)
          })
        )
      )
    }
  }).pipe(Effect.scoped)
)

Cli.run(bench, { name: "bench-many", version: "0.1.0" })(process.argv).pipe(
  Effect.provide([Images.layer, Registry.layer, NodeContext.layer]),
  NodeRuntime.runMain
)
