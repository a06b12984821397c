/**
 * How long a run takes through the client and the engine, beside the bare launcher on the same root and beside podman,
 * and what the last run of a long chain costs.
 *
 * Every round does each variant once, in an order shuffled by a seed, so that whatever else the machine does meets
 * them all alike. Read `min` as the cost, and `p50` as what one sees on this machine while it is measured.
 *
 * npm run bench [-- --rounds 200 --warmup 5 --podman-every 10 --chain 200 --seed 1 --only engine --image busybox --launcher built-in]
 */
import * as Cli from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Chunk, Console, Data, Effect, Layer, Option, Random } from "effect"
import { Image, Run } from "effect-contree"
import { LocalContree } from "effect-contree/local"
import * as os from "node:os"
import * as Executable from "../quickstart/Executable.js"
import { Images } from "../test/fixtures/Images.js"
import { Registry } from "../test/fixtures/Registry.js"
import * as BareLauncher from "./BareLauncher.js"
import * as DiskUsage from "./DiskUsage.js"
import * as Percentiles from "./Percentiles.js"
import * as Podman from "./Podman.js"
import * as Runc from "./Runc.js"
import { timed } from "./Stopwatch.js"

class BenchError extends Data.TaggedError("BenchError")<{ readonly message: string }> {}

const parts = ["engine", "bare", "runc", "podman", "chain"] as const
const imageNames = ["busybox", "debian"] as const
type ImageName = (typeof imageNames)[number]

const options = {
  rounds: Options.integer("rounds").pipe(Options.withDefault(200)),
  warmup: Options.integer("warmup").pipe(
    Options.withDescription("Rounds before those that count"),
    Options.withDefault(5)
  ),
  podmanEvery: Options.integer("podman-every").pipe(
    Options.withDescription("Podman takes part in each n-th round only, as it is slow"),
    Options.withDefault(10)
  ),
  chain: Options.integer("chain").pipe(
    Options.withDescription("How many runs, each on the image of the one before"),
    Options.withDefault(200)
  ),
  seed: Options.integer("seed").pipe(Options.withDescription("Of the order within a round"), Options.withDefault(1)),
  only: Options.choice("only", parts).pipe(Options.withDescription("Repeatable"), Options.repeated),
  launcher: Options.choice("launcher", ["built-in", "bubblewrap", "util-linux"]).pipe(
    Options.withDescription("Of the engine's"),
    Options.withDefault("built-in")
  ),
  image: Options.choice("image", imageNames).pipe(Options.withDescription("Repeatable"), Options.repeated)
}

/** What is run: one command leaves a file, so its image is a new one; the other leaves the image as it was. */
const commands = { writing: "echo x > /kept", idle: "true" }
const kept = "kept"

/** The contract's default where an image names none, and what both images name. */
const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }

const variants = {
  engine: `Image.run("${commands.writing}"), gives a new image`,
  engineIdle: `Image.run("${commands.idle}"), image unchanged`,
  spawned: `bare launcher, "${commands.writing}"`,
  spawnedIdle: `bare launcher, "${commands.idle}"`,
  resident: `same from a running shell, "${commands.writing}"`,
  residentIdle: `same from a running shell, "${commands.idle}"`,
  runc: `runc run "${commands.idle}", nothing kept`,
  podman: `podman run "${commands.writing}" + commit + rm`
}
type Variant = keyof typeof variants

/** How many times longer the first takes than the second. */
const ratios: ReadonlyArray<readonly [Variant, Variant]> = [
  ["engine", "spawned"],
  ["engineIdle", "spawnedIdle"],
  ["engine", "resident"],
  ["engineIdle", "residentIdle"],
  ["runc", "engineIdle"],
  ["podman", "engine"]
]

interface Series {
  readonly image: ImageName
  readonly variant: Variant
  /** It takes part in each n-th round. */
  readonly every: number
  readonly sample: Effect.Effect<number, { readonly message: string }>
  readonly samples: Array<number>
}

const row = (title: string, cells: ReadonlyArray<string>) =>
  `  ${title.padEnd(58)}${cells.map((cell) => cell.padStart(9)).join("")}`

const millis = (value: number) => value.toFixed(2)

const load = Effect.sync(() =>
  os
    .loadavg()
    .map((value) => value.toFixed(1))
    .join(" ")
)

const sampleEngine = (image: Image.Image, command: string, isNew: boolean) =>
  Effect.gen(function* () {
    const { millis, result } = yield* timed(Image.run(image, command))
    if (result.exitCode !== 0 || (result.image.id !== image.id) !== isNew) {
      return yield* new BenchError({ message: `${command}: exit code ${result.exitCode}, image ${result.image.id}` })
    }
    return millis
  })

const measureRounds = Effect.fnUntraced(function* (
  series: ReadonlyArray<Series>,
  options: { readonly rounds: number; readonly warmup: number; readonly seed: number }
) {
  const random = Random.make(options.seed)
  for (let round = -options.warmup; round < options.rounds; round++) {
    // Whoever takes part in few rounds warms up in the last one before those that count.
    const turn = series.filter(({ every }) => (round < 0 ? every === 1 || round === -1 : round % every === 0))
    for (const one of Chunk.toReadonlyArray(yield* Effect.withRandom(Random.shuffle(turn), random))) {
      const sample = yield* one.sample
      if (round >= 0) one.samples.push(sample)
    }
  }
})

const showRounds = Effect.fnUntraced(function* (all: ReadonlyArray<Series>) {
  for (const image of imageNames) {
    const series = all.filter((one) => one.image === image)
    if (series.length === 0) continue
    yield* Console.log(`\n${row(`${image}, milliseconds`, ["n", "min", "p50", "p99"])}`)
    const found = new Map(series.map((one) => [one.variant, Percentiles.of(one.samples)]))
    for (const [variant, { count, min, p50, p99 }] of found) {
      yield* Console.log(row(variants[variant], [String(count), ...[min, p50, p99].map(millis)]))
    }
    for (const [above, below] of ratios) {
      const [a, b] = [found.get(above), found.get(below)]
      if (a === undefined || b === undefined) continue
      const cells = [a.min / b.min, a.p50 / b.p50, a.p99 / b.p99].map((ratio) => `${ratio.toFixed(2)}x`)
      yield* Console.log(row(`ratio ${above} / ${below}`, ["", ...cells]))
    }
  }
})

const chainWarmup = 50

/** Runs on the image of the run before, each of which leaves one file. */
const measureChain = Effect.fnUntraced(function* (base: Image.Image, length: number, dataDirectory: string) {
  // Both processes compile what they run often: without this the first runs would be the slow ones.
  for (let index = 0; index < chainWarmup; index++) yield* Image.run(base, commands.writing)
  const disk = Effect.all([DiskUsage.ofEngine(dataDirectory), DiskUsage.of(`${dataDirectory}/l`)])
  const [before, layersBefore] = yield* disk
  const samples: Array<number> = []
  let image = base
  for (let index = 0; index < length; index++) {
    const { millis, result } = yield* timed(
      Effect.flatMap(Image.run(image, `echo ${index} > /file-${index}`), Run.orFail)
    )
    samples.push(millis)
    image = result.image
  }
  const [after, layersAfter] = yield* disk
  const listed = yield* Image.run(image, "set -- /file-*; echo $#; cat /file-* | sort -n | uniq | wc -l", {
    disposable: true
  })
  const edge = Math.min(20, Math.ceil(length / 2))
  const [first, last] = [Percentiles.of(samples.slice(0, edge)), Percentiles.of(samples.slice(-edge))]
  yield* Console.log(`\n${row(`a chain of ${length} runs on busybox, milliseconds`, ["n", "min", "p50", "p99"])}`)
  for (const [title, { count, min, p50, p99 }] of [
    [`the first ${edge}`, first],
    [`the last ${edge}`, last],
    ["all", Percentiles.of(samples)]
  ] as const) {
    yield* Console.log(row(title, [String(count), ...[min, p50, p99].map(millis)]))
  }
  yield* Console.log(
    row("ratio last / first", [
      "",
      ...[last.min / first.min, last.p50 / first.p50, last.p99 / first.p99].map((ratio) => `${ratio.toFixed(2)}x`)
    ])
  )
  const [files, contents] = listed.stdout.text.trim().split("\n")
  yield* Console.log(
    `  disk ${Math.round((layersAfter - layersBefore) / length)} bytes of layers an image, ` +
      `${Math.round((after - before) / length)} with the database and its log; ` +
      `the last image has ${files} of ${length} files with ${contents} different contents`
  )
})

const bench = Cli.make("bench", options, (given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const wants = (part: (typeof parts)[number]) => given.only.length === 0 || given.only.includes(part)
    const wanted = imageNames.filter((name) => given.image.length === 0 || given.image.includes(name))
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-bench-" })
    const dataDirectory = `${folder}/data`
    const images = yield* Images
    const registry = yield* Registry

    const hasBubblewrap = Option.isSome(yield* Executable.find("bwrap"))
    const { launcher } = given
    const bare = wants("bare") && hasBubblewrap
    const podman = wants("podman") ? yield* Effect.either(Podman.make(`${folder}/podman`)) : undefined
    yield* Console.log(
      `kernel ${os.release()}, node ${process.version}, ${os.availableParallelism()} processors, launcher ${launcher}, ` +
        `podman ${podman === undefined ? "not measured" : podman._tag === "Right" ? podman.right.version : "missing"}`
    )
    yield* Console.log(
      `${given.rounds} rounds after ${given.warmup} to warm up, podman in each ${given.podmanEvery}th, seed ${given.seed}`
    )
    if (!hasBubblewrap) yield* Console.log("no bubblewrap on this machine: no bare launcher to compare with")
    if (podman?._tag === "Left") yield* Console.log(`no ratio to podman: ${podman.left.message}`)
    yield* Console.log(`load average at the start ${yield* load}`)

    const contree = yield* Layer.build(
      LocalContree.layerWith({ dataDirectory, launcher, insecureRegistries: [registry.address] })
    )
    const run = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provide(effect, contree)
    const bareLauncher = bare
      ? yield* BareLauncher.make({ layers: `${dataDirectory}/l`, folder: `${folder}/bare` })
      : undefined

    const series: Array<Series> = []
    let first: Image.Image | undefined
    for (const name of wanted) {
      const reference = `${registry.address}/bench/${name}:latest`
      yield* registry.push(yield* images[name], `bench/${name}:latest`)
      const before = yield* fs.readDirectory(`${dataDirectory}/l`)
      const image = yield* run(Image.oci(`docker://${reference}`))
      const layer = (yield* fs.readDirectory(`${dataDirectory}/l`)).find((entry) => !before.includes(entry))
      if (layer === undefined) return yield* new BenchError({ message: `the import of ${reference} made no layer` })
      first ??= image
      const add = (variant: Variant, sample: Series["sample"], every = 1) =>
        series.push({ image: name, variant, every, sample, samples: [] })
      if (wants("engine")) {
        add("engine", run(sampleEngine(image, commands.writing, true)))
        add("engineIdle", run(sampleEngine(image, commands.idle, false)))
      }
      if (bareLauncher !== undefined) {
        const writing = { layer, env, command: commands.writing, leaves: kept }
        const idle = { layer, env, command: commands.idle, leaves: undefined }
        add("spawned", bareLauncher.spawned(writing))
        add("spawnedIdle", bareLauncher.spawned(idle))
        add("resident", bareLauncher.resident(writing))
        add("residentIdle", bareLauncher.resident(idle))
      }
      if (wants("runc")) {
        const runc = yield* Effect.either(
          Runc.make({
            folder: `${folder}/runc-${name}`,
            layer: `${dataDirectory}/l/${layer}`,
            command: commands.idle
          })
        )
        if (runc._tag === "Right") add("runc", runc.right.sample)
        else yield* Console.log(`no ratio to runc: ${runc.left.message}`)
      }
      if (podman?._tag === "Right") {
        const id = yield* podman.right.pull(reference)
        add("podman", podman.right.sample(id, commands.writing), given.podmanEvery)
      }
    }
    yield* measureRounds(series, given)
    yield* showRounds(series)
    if (wants("chain") && first !== undefined) yield* run(measureChain(first, given.chain, dataDirectory))
    yield* Console.log(`\nload average at the end ${yield* load}`)
  }).pipe(Effect.scoped)
)

Cli.run(bench, { name: "bench", version: "0.1.0" })(process.argv).pipe(
  Effect.provide([Images.layer, Registry.layer, NodeContext.layer]),
  NodeRuntime.runMain
)
