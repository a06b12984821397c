/** `/metrics`: the engine's figures as Prometheus reads them. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import { statfs } from "node:fs/promises"
import { KnownKind, KnownStatus } from "../../api/Operations.js"
import { Engine } from "../Engine.js"
import { ImageStore } from "../ImageStore.js"
import { OperationStore } from "../OperationStore.js"
import { Lane, Scheduler } from "../Scheduler.js"
import { orInternal } from "./answers.js"

const operations = Metric.gauge("contree_operations", { description: "Operations by kind and status" })
const images = Metric.gauge("contree_images", { description: "Images of all projects" })
const working = Metric.gauge("contree_working", { description: "Operations that are carried out, by lane" })
const waiting = Metric.gauge("contree_waiting", { description: "Operations that wait for their turn, by lane" })
const diskSize = Metric.gauge("contree_disk_size_bytes", { description: "Size of the disk of the data folder" })
const diskFree = Metric.gauge("contree_disk_free_bytes", { description: "Bytes that the engine may still write there" })
const memory = Metric.gauge("contree_resident_memory_bytes", { description: "Memory of the engine's process" })

/** Looks at what is not counted as it happens. */
const look = Effect.gen(function* () {
  const { config } = yield* Engine
  const scheduler = yield* Scheduler
  const counts = yield* Effect.flatMap(OperationStore, ({ counts }) => counts)
  for (const kind of KnownKind.literals) {
    for (const status of KnownStatus.literals) {
      const count = counts.find((row) => row.kind === kind && row.status === status)?.count ?? 0
      yield* Metric.set(operations.pipe(Metric.tagged("kind", kind), Metric.tagged("status", status)), count)
    }
  }
  yield* Metric.set(images, yield* Effect.flatMap(ImageStore, ({ count }) => count))
  for (const lane of Lane.literals) {
    const load = yield* scheduler.load(lane)
    yield* Metric.set(Metric.tagged(working, "lane", lane), load.working)
    yield* Metric.set(Metric.tagged(waiting, "lane", lane), load.waiting)
  }
  const disk = yield* Effect.orDie(Effect.tryPromise(() => statfs(config.dataDirectory)))
  yield* Metric.set(diskSize, disk.blocks * disk.bsize)
  yield* Metric.set(diskFree, disk.bavail * disk.bsize)
  yield* Metric.set(memory, process.memoryUsage.rss())
})

const escaped = (text: string) =>
  text.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`))

const series = (name: string, labels: ReadonlyArray<readonly [string, string]>, value: number) =>
  `${name}${labels.length === 0 ? "" : `{${labels.map(([key, text]) => `${key}="${escaped(text)}"`).join(",")}}`} ${
    value === Infinity ? "+Inf" : value
  }`

const lines = ({ metricKey, metricState }: MetricPair.MetricPair.Untyped): ReadonlyArray<string> => {
  const { name } = metricKey
  const labels = metricKey.tags.map(({ key, value }) => [key, value] as const)
  if (MetricState.isHistogramState(metricState)) {
    return [
      ...metricState.buckets
        .filter(([bound]) => Number.isFinite(bound))
        .map(([bound, count]) => series(`${name}_bucket`, [...labels, ["le", String(bound)]], count)),
      series(`${name}_bucket`, [...labels, ["le", "+Inf"]], metricState.count),
      series(`${name}_sum`, labels, metricState.sum),
      series(`${name}_count`, labels, metricState.count)
    ]
  }
  if (MetricState.isCounterState(metricState)) return [series(name, labels, Number(metricState.count))]
  return MetricState.isGaugeState(metricState) ? [series(name, labels, Number(metricState.value))] : []
}

const typeOf = ({ metricState }: MetricPair.MetricPair.Untyped) =>
  MetricState.isHistogramState(metricState)
    ? "histogram"
    : MetricState.isCounterState(metricState)
      ? "counter"
      : "gauge"

/** The text of Prometheus' exposition format. */
export const render = (pairs: ReadonlyArray<MetricPair.MetricPair.Untyped>): string =>
  Object.entries(Array.groupBy(pairs, ({ metricKey }) => metricKey.name))
    .flatMap(([name, [first, ...rest]]) => [
      `# HELP ${name} ${first.metricKey.description._tag === "Some" ? escaped(first.metricKey.description.value) : name}`,
      `# TYPE ${name} ${typeOf(first)}`,
      ...[first, ...rest].flatMap(lines)
    ])
    .join("\n")
    .concat("\n")

export const metrics = Effect.gen(function* () {
  yield* look
  const pairs = yield* Metric.snapshot
  return HttpServerResponse.text(render(pairs.filter(({ metricKey }) => metricKey.name.startsWith("contree_"))), {
    contentType: "text/plain; version=0.0.4; charset=utf-8"
  })
}).pipe(orInternal)
