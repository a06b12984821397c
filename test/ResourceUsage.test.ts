import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Equal, Option, Schema } from "effect"
import { EventResources } from "../src/api/Events.js"
import { ProcessResources } from "../src/api/Operations.js"
import * as ResourceUsage from "../src/ResourceUsage.js"

const processResources = Schema.decodeUnknownSync(ProcessResources)
const eventResources = Schema.decodeUnknownSync(EventResources)

describe("what a command consumed", () => {
  it("is not known where the server cannot tell", () => {
    for (const usage of [
      ResourceUsage.fromProcessResources(processResources({})),
      ResourceUsage.fromEventResources(eventResources({}))
    ]) {
      for (const [name, quantity] of Object.entries(usage)) deepStrictEqual(quantity, Option.none(), name)
      deepStrictEqual(usage.cpuTime, Option.none())
    }
  })

  it("is the same from a result and from the event of the exit", () => {
    const result = ResourceUsage.fromProcessResources(
      processResources({
        user_cpu_time: 0.5,
        system_cpu_time: 0.25,
        elapsed_time: 2,
        max_rss: 2,
        shared_memory: 3,
        unshared_memory: 4,
        page_faults: 5,
        page_faults_io: 6,
        block_input: 7,
        block_output: 8,
        swaps: 9,
        signals: 10,
        voluntary_switches: 11,
        involuntary_switches: 12
      })
    )
    const event = ResourceUsage.fromEventResources(
      eventResources({
        user_time_us: 500_000,
        sys_time_us: 250_000,
        max_rss_kb: 2,
        shared_memory: 3,
        unshared_memory: 4,
        minor_faults: 5,
        major_faults: 6,
        block_input_ops: 7,
        block_output_ops: 8,
        swaps: 9,
        signals_received: 10,
        voluntary_ctx_switches: 11,
        involuntary_ctx_switches: 12
      }),
      Option.some(Duration.seconds(2))
    )
    assert.isTrue(Equal.equals(result, event))
    deepStrictEqual(result.maxMemoryBytes, Option.some(2048))
    deepStrictEqual(Option.map(event.cpuTime, Duration.toMillis), Option.some(750))
  })
})
