/**
 * What the client costs over bare `fetch` and `JSON.parse` doing the same work, against one server in its own process;
 * and what Effect and its platform cost alone, with the same schemas.
 *
 * Each way of each workload has a process of its own, so that its memory is its own; rounds alternate between them, so
 * that whatever else the machine does meets all alike. Read `cpu` where the machine is busy: it is what the process
 * itself used, while `wall` also waits for others.
 *
 * npm run bench:client [-- --rounds 5 --only get1 --only events]
 */
import * as Cli from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect } from "effect"
import { build } from "esbuild"
import { type ChildProcess, fork } from "node:child_process"
import * as os from "node:os"
import { fileURLToPath } from "node:url"
import { type Sample, type Way, ways, waysOf, type Workload, workloadNames, workloads } from "./client/workloads.js"
import * as Percentiles from "./Percentiles.js"

class BenchError extends Data.TaggedError("BenchError")<{ readonly message: string }> {}

/** The next message of a process, or its end as a failure. */
const message = <A>(child: ChildProcess) =>
  Effect.async<A, BenchError>((resume) => {
    const onMessage = (value: unknown) => {
      child.off("exit", onExit)
      resume(Effect.succeed(value as A))
    }
    const onExit = (code: number | null) => {
      child.off("message", onMessage)
      resume(new BenchError({ message: `a process of the bench ended with ${code}` }))
    }
    child.once("message", onMessage)
    child.once("exit", onExit)
  })

/** The modules of the processes, bundled: a loader of TypeScript in them would be measured too. */
const bundled = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const outdir = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-bench-" })
  const entryPoints = [...Object.keys(ways), "server"].map((name) =>
    fileURLToPath(new URL(`client/${name}.ts`, import.meta.url))
  )
  yield* Effect.tryPromise({
    try: () =>
      build({
        bundle: true,
        entryPoints,
        format: "esm",
        outExtension: { ".js": ".mjs" },
        outdir,
        platform: "node",
        tsconfigRaw: "{}"
      }),
    catch: (cause) => new BenchError({ message: String(cause) })
  })
  return outdir
})

/** A process that runs until the scope closes, and its first message. */
const started = Effect.fnUntraced(function* <A>(file: string, args: ReadonlyArray<string> = []) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(file, args, { execArgv: [] })),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill()
      })
  )
  return { child, first: yield* message<A>(child) }
})

const round = (child: ChildProcess) =>
  Effect.suspend(() => {
    const sample = message<Sample>(child)
    child.send("round")
    return sample
  })

const load = Effect.sync(() =>
  os
    .loadavg()
    .map((value) => value.toFixed(1))
    .join(" ")
)

const row = (title: string, cells: ReadonlyArray<string>) =>
  `  ${title.padEnd(34)}${cells.map((cell) => cell.padStart(11)).join("")}`

/** What was measured of a way. */
interface Measured {
  readonly way: Way
  readonly samples: ReadonlyArray<Sample>
}

const show = Effect.fnUntraced(function* (workload: Workload, measured: ReadonlyArray<Measured>) {
  yield* Console.log(
    `\n${row(workload.title, ["n", "cpu min", "wall min", "wall p50", `${workload.unit}/s`, "idle MiB", "peak MiB"])}`
  )
  const found = measured.map(({ samples, way }) => ({
    way,
    count: samples.length,
    wall: Percentiles.of(samples.map(({ wall }) => wall)),
    cpu: Percentiles.of(samples.map(({ cpu }) => cpu)),
    peak: Math.max(...samples.map(({ peak }) => peak)),
    idle: samples[0]?.idle ?? Number.NaN
  }))
  for (const { count, cpu, idle, peak, wall, way } of found) {
    const cells = [cpu.min, wall.min, wall.p50, (workload.count / wall.min) * 1000, idle, peak]
    yield* Console.log(row(ways[way], [String(count), ...cells.map((cell) => cell.toFixed(0))]))
  }
  const [below, ...others] = found
  if (below === undefined) return
  for (const above of others) {
    const ratios = [above.cpu.min / below.cpu.min, above.wall.min / below.wall.min, above.wall.p50 / below.wall.p50]
    yield* Console.log(
      row(above.way === "typed" ? `${ways.typed}, aim ${workload.aim}x` : ways[above.way], [
        "",
        ...ratios.map((ratio) => `${ratio.toFixed(2)}x`),
        "",
        `+${(above.idle - below.idle).toFixed(0)}`,
        `+${(above.peak - below.peak).toFixed(0)}`
      ])
    )
  }
})

const options = {
  rounds: Options.integer("rounds").pipe(Options.withDescription("After two to warm up"), Options.withDefault(5)),
  only: Options.choice("only", workloadNames).pipe(Options.withDescription("Repeatable"), Options.repeated)
}

const bench = Cli.make("bench:client", options, ({ only, rounds }) =>
  Effect.gen(function* () {
    yield* Console.log(
      `node ${process.version}, ${os.availableParallelism()} processors, ${rounds} rounds after two to warm up; times in ms`
    )
    yield* Console.log(`load average at the start ${yield* load}`)
    const folder = yield* bundled
    const { first: server } = yield* started<{ readonly url: string }>(`${folder}/server.mjs`)
    for (const name of workloadNames.filter((name) => only.length === 0 || only.includes(name))) {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sides = yield* Effect.forEach(waysOf(name), (way) =>
            Effect.map(started(`${folder}/${way}.mjs`, [name, server.url]), ({ child }) => ({
              way,
              child,
              samples: new Array<Sample>()
            }))
          )
          for (let index = -2; index < rounds; index++) {
            for (const { child, samples } of index % 2 === 0 ? sides : [...sides].reverse()) {
              const sample = yield* round(child)
              if (index >= 0) samples.push(sample)
            }
          }
          yield* show(workloads[name], sides)
        })
      )
    }
    yield* Console.log(`\nload average at the end ${yield* load}`)
  }).pipe(Effect.scoped)
)

Cli.run(bench, { name: "bench:client", version: "0.1.0" })(process.argv).pipe(
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
