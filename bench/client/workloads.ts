/** What all sides do, and what each must have seen of it. */
import { downloadBytes, eventCount, imageCount, requestCount } from "./sizes.js"

export interface Workload {
  readonly title: string
  /** What is counted, and how many of them there are. */
  readonly unit: "requests" | "frames" | "images" | "MiB"
  readonly count: number
  /** How many times longer than bare fetch it may take. */
  readonly aim: number
}

export const workloads = {
  get1: { title: "GET an operation, one at a time", unit: "requests", count: requestCount, aim: 1.5 },
  get64: { title: "GET an operation, 64 at a time", unit: "requests", count: requestCount * 2, aim: 1.5 },
  spawn1: { title: "spawn, one at a time", unit: "requests", count: requestCount, aim: 1.5 },
  spawn64: { title: "spawn, 64 at a time", unit: "requests", count: requestCount * 2, aim: 1.5 },
  events: { title: "one stream of 200,000 events", unit: "frames", count: eventCount, aim: 1.3 },
  list: { title: "list 100,000 images, 1000 a page", unit: "images", count: imageCount, aim: 1.5 },
  download: { title: "download 1 GiB", unit: "MiB", count: downloadBytes / 1024 ** 2, aim: 1.3 },
  upload: { title: "upload 1 GiB as a stream", unit: "MiB", count: downloadBytes / 1024 ** 2, aim: 1.3 }
} as const satisfies Record<string, Workload>

export type WorkloadName = keyof typeof workloads

export const workloadNames = Object.keys(workloads) as ReadonlyArray<WorkloadName>

/** Does a workload once and gives how much of it was seen. */
export type Side = { readonly [Name in WorkloadName]?: () => Promise<number> }

export const ways = {
  bare: "fetch and JSON.parse",
  platform: "Effect's platform",
  typed: "effect-contree"
} as const

export type Way = keyof typeof ways

/** The platform alone has no reader of events, and its upload is the one beneath ours. */
export const waysOf = (name: WorkloadName): ReadonlyArray<Way> =>
  name === "events" || name === "upload" ? ["bare", "typed"] : ["bare", "platform", "typed"]

/** What a side's process answers: times in milliseconds, memory in MiB. */
export interface Sample {
  readonly wall: number
  readonly cpu: number
  readonly peak: number
  readonly idle: number
}
