/**
 * How long an import takes beside `skopeo copy` and `umoci unpack` of the same image from the same registry, in turn
 * in one run. Each import is of a manifest that the engine does not know.
 *
 * npm run bench:import [-- --rounds 10]
 */
import * as Cli from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import { Command, FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Data, Effect, Layer } from "effect"
import { Image } from "effect-contree"
import { LocalContree } from "effect-contree/local"
import { Images } from "../test/fixtures/Images.js"
import { Registry } from "../test/fixtures/Registry.js"
import * as Percentiles from "./Percentiles.js"
import { timed } from "./Stopwatch.js"

class BenchError extends Data.TaggedError("BenchError")<{ readonly message: string }> {}

const options = { rounds: Options.integer("rounds").pipe(Options.withDefault(10)) }

const execute = Effect.fnUntraced(function* (...[name, ...args]: readonly [string, ...ReadonlyArray<string>]) {
  const code = yield* Command.exitCode(
    Command.make(name, ...args).pipe(Command.stdout("inherit"), Command.stderr("inherit"))
  )
  if (code !== 0) return yield* new BenchError({ message: `${name} ${args.join(" ")} ended with ${code}` })
})

const bench = Cli.make("bench-import", options, ({ rounds }) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-bench-" })
    const images = yield* Images
    const registry = yield* Registry
    const debian = yield* images.debian
    // Umoci does not read zstd, which one of its layers is packed with.
    const base = { ...debian, layers: debian.layers.filter(({ blob }) => !blob.mediaType.endsWith("zstd")) }
    const contree = yield* Layer.build(
      LocalContree.layerWith({ dataDirectory: `${folder}/data`, insecureRegistries: [registry.address] })
    )
    const samples = { engine: new Array<number>(), tools: new Array<number>() }
    for (let round = -1; round < rounds; round++) {
      const name = `bench/debian:r${round + 1}`
      yield* registry.push(
        yield* images.tiny({ base, env: { ROUND: String(round) }, files: { round: String(round) } }),
        name
      )
      const engine = Effect.provide(Image.oci(`docker://${registry.address}/${name}`), contree)
      const place = `${folder}/tools`
      const tools = execute(
        "skopeo",
        "--insecure-policy",
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        `docker://${registry.address}/${name}`,
        `oci:${place}/layout:image`
      ).pipe(Effect.zipRight(execute("umoci", "unpack", "--image", `${place}/layout:image`, `${place}/bundle`)))
      yield* fs.makeDirectory(place)
      const order = round % 2 === 0 ? (["engine", "tools"] as const) : (["tools", "engine"] as const)
      for (const who of order) {
        const { millis } = yield* who === "engine" ? timed(engine) : timed(tools)
        if (round >= 0) samples[who].push(millis)
      }
      yield* fs.remove(place, { recursive: true })
    }
    const [engine, tools] = [Percentiles.of(samples.engine), Percentiles.of(samples.tools)]
    const show = (title: string, { min, p50, p99 }: Percentiles.Percentiles) =>
      Console.log(`${title.padEnd(32)} min ${min.toFixed(0)} ms, p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`)
    yield* show("engine", engine)
    yield* show("skopeo copy + umoci unpack", tools)
    yield* Console.log(
      `engine/tools: min ${(engine.min / tools.min).toFixed(2)}, p50 ${(engine.p50 / tools.p50).toFixed(2)}`
    )
  }).pipe(Effect.scoped)
)

Cli.run(bench, { name: "bench-import", version: "0.1.0" })(process.argv).pipe(
  Effect.provide([Images.layerWithDebian, Registry.layer, NodeContext.layer]),
  NodeRuntime.runMain
)
