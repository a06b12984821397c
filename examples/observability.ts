/**
 * What a run looks like to OpenTelemetry: the spans of the program, of the client, of each HTTP request and of the
 * engine, printed to the console, and the client's own figures.
 *
 * npm run example -- examples/observability.ts [reference]
 */
import { NodeSdk } from "@effect/opentelemetry"
import { NodeRuntime } from "@effect/platform-node"
import { ConsoleSpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Console, Effect, Layer, Metric } from "effect"
import { Command, ContreeMetrics, Image } from "effect-contree"
import { LocalContree } from "effect-contree/local"

const reference = process.argv[2] ?? "docker://docker.io/library/busybox:latest"

const Telemetry = NodeSdk.layer(() => ({
  resource: { serviceName: "observability-example" },
  spanProcessor: new SimpleSpanProcessor(new ConsoleSpanExporter())
}))

/** A figure of the client; every tag of it has a figure of its own. */
const runs = Metric.value(
  Metric.tagged(Metric.tagged(ContreeMetrics.operationDuration, "kind", "instance"), "outcome", "success")
)

const program = Effect.gen(function* () {
  const base = yield* Image.oci(reference)
  const run = yield* Image.run(base, Command.shell("echo hello"), { disposable: true })
  yield* Console.log(`the command said: ${run.stdout.text.trim()}`)
}).pipe(Effect.withSpan("my-program", { attributes: { "app.reference": reference } }))

program.pipe(
  Effect.zipRight(Effect.flatMap(runs, ({ count }) => Console.log(`runs measured: ${count}`))),
  Effect.provide(LocalContree.layer.pipe(Layer.provideMerge(Telemetry))),
  NodeRuntime.runMain
)
