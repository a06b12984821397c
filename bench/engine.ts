/**
 * The engine at work: many branches of one base at once, reading an image of thousands of files, and how soon what a
 * process writes is with who follows it.
 *
 * npm run bench:engine [-- --branches 200 --files 10000 --lines 200 --only branches]
 */
import * as Cli from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer, Stream } from "effect"
import { Image, ImageFiles, Run } from "effect-contree"
import { LocalContree } from "effect-contree/local"
import * as os from "node:os"
import { Images } from "../test/fixtures/Images.js"
import { Registry } from "../test/fixtures/Registry.js"
import * as DiskUsage from "./DiskUsage.js"
import * as Percentiles from "./Percentiles.js"
import { timed } from "./Stopwatch.js"

const parts = ["branches", "reading", "follow"] as const

const options = {
  branches: Options.integer("branches").pipe(Options.withDescription("Runs on one base"), Options.withDefault(200)),
  files: Options.integer("files").pipe(
    Options.withDescription("Of the image that is read"),
    Options.withDefault(10_000)
  ),
  lines: Options.integer("lines").pipe(Options.withDescription("That a process writes"), Options.withDefault(200)),
  only: Options.choice("only", parts).pipe(Options.withDescription("Repeatable"), Options.repeated)
}

const show = (title: string, samples: ReadonlyArray<number>) => {
  const { count, min, p50, p99 } = Percentiles.of(samples)
  const [least, half, most] = [min, p50, p99].map((value) => value.toFixed(2))
  return Console.log(`  ${title.padEnd(44)} n ${count}, min ${least}, p50 ${half}, p99 ${most} ms`)
}

const must = (image: Image.Input, script: string) =>
  Effect.map(Effect.flatMap(Image.run(image, script), Run.orFail), (run) => run.image)

/** How many bytes each branch changes. */
const changed = 100

const measureBranches = Effect.fnUntraced(function* (base: Image.Image, count: number, dataDirectory: string) {
  yield* Console.log(`\n${count} branches of one base, each of which writes a file of ${changed} bytes`)
  const script = (index: number) => `printf %0${changed}d ${index} > /kept`
  for (let index = 0; index < 20; index++) yield* must(base, script(index))
  for (const concurrency of [1, 2, 8]) {
    const disk = Effect.all([DiskUsage.of(`${dataDirectory}/l`), DiskUsage.ofEngine(dataDirectory)])
    const [layersBefore, allBefore] = yield* disk
    const { millis, result: samples } = yield* timed(
      Effect.forEach(
        Array.from({ length: count }, (_, index) => index),
        (index) => Effect.map(timed(must(base, script(index))), (sample) => sample.millis),
        { concurrency }
      )
    )
    const [layers, all] = yield* disk
    yield* show(`${concurrency} at once, ${((count * 1000) / millis).toFixed(1)} runs/s`, samples)
    yield* Console.log(
      `    on disk ${Math.round((layers - layersBefore) / count)} bytes a branch, ` +
        `${Math.round((all - allBefore) / count)} with its record and its log`
    )
  }
})

const measureReading = Effect.fnUntraced(function* (base: Image.Image, files: number) {
  yield* Console.log(`\nan image of ${files} files in one folder`)
  const image = yield* must(base, `mkdir /many; cd /many; for i in $(seq ${files}); do echo $i > $i; done`)
  const rounds = Array.from({ length: 20 }, (_, index) => index)
  const sample = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.forEach(rounds, () => Effect.map(timed(effect), ({ millis }) => millis))
  yield* show("its folder listed", yield* sample(ImageFiles.list(image, "/many")))
  yield* show("a folder beside it listed", yield* sample(ImageFiles.list(image, "/etc")))
  yield* show("one of its files downloaded", yield* sample(ImageFiles.readText(image, `/many/${files}`)))
  yield* show("its folder as an archive", yield* sample(Stream.runDrain(ImageFiles.archive(image, "/many"))))
})

const measureFollow = Effect.fnUntraced(function* (debian: Image.Image, lines: number) {
  yield* Console.log("\nfrom a process's write to the event at the client")
  const instance = yield* Image.start(debian, `for i in $(seq ${lines}); do date +%s%N; sleep 0.02; done`, {
    disposable: true
  })
  const samples = yield* instance.stdoutLines.pipe(
    // The wall clock, which the process reads too, is told here in whole milliseconds: half of one is missing on average.
    Stream.mapEffect((line) => Effect.map(Clock.currentTimeMillis, (now) => now + 0.5 - Number(line) / 1e6)),
    Stream.runCollect
  )
  yield* show("a line each 20 ms", [...samples])
})

const bench = Cli.make("bench-engine", options, (given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const wants = (part: (typeof parts)[number]) => given.only.length === 0 || given.only.includes(part)
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-bench-" })
    const dataDirectory = `${folder}/data`
    const registry = yield* Registry
    const images = yield* Images
    const contree = yield* Layer.build(
      LocalContree.layerWith({ dataDirectory, insecureRegistries: [registry.address], maxConcurrency: 8 })
    )
    const load = Effect.sync(() =>
      os
        .loadavg()
        .map((value) => value.toFixed(1))
        .join(" ")
    )
    const fetched = Effect.fnUntraced(function* (name: "busybox" | "debian") {
      yield* registry.push(yield* images[name], `bench/${name}:latest`)
      return yield* Image.oci(`docker://${registry.address}/bench/${name}:latest`)
    })
    yield* Console.log(`${os.availableParallelism()} processors, load average at the start ${yield* load}`)
    yield* Effect.gen(function* () {
      if (wants("branches")) yield* measureBranches(yield* fetched("busybox"), given.branches, dataDirectory)
      if (wants("reading")) yield* measureReading(yield* fetched("busybox"), given.files)
      if (wants("follow")) yield* Effect.scoped(measureFollow(yield* fetched("debian"), given.lines))
    }).pipe(Effect.provide(contree))
    yield* Console.log(`\nload average at the end ${yield* load}`)
  }).pipe(Effect.scoped)
)

Cli.run(bench, { name: "bench-engine", version: "0.1.0" })(process.argv).pipe(
  Effect.provide([Images.layer, Registry.layer, NodeContext.layer]),
  NodeRuntime.runMain
)
