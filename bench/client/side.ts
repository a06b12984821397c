/** One of the ways, in its process: does its workload as often as it is told. */
import { type Sample, type Side, type WorkloadName, workloads } from "./workloads.js"

const operation = "00000000-0000-4000-8000-000000000001"
const image = "00000000-0000-4000-8000-000000000002"

const peakMiB = () => process.resourceUsage().maxRSS / 1024

export const serve = (make: (url: string, operation: string, image: string) => Side) => {
  const [name, url] = process.argv.slice(2) as [WorkloadName, string]
  const work = make(url, operation, image)[name]
  if (work === undefined) throw new Error(`no such work: ${name}`)
  const idle = peakMiB()
  process.on("message", () => {
    void (async () => {
      const cpu = process.cpuUsage()
      const begun = performance.now()
      const seen = await work()
      const wall = performance.now() - begun
      const { system, user } = process.cpuUsage(cpu)
      if (seen !== workloads[name].count) throw new Error(`${name} saw ${seen} of ${workloads[name].count}`)
      const sample: Sample = { wall, cpu: (user + system) / 1000, peak: peakMiB(), idle }
      process.send?.(sample)
    })()
  })
  process.on("disconnect", () => process.exit(0))
  process.send?.("ready")
}
