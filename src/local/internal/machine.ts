/**
 * What the machine says of itself, as the first event of an instance tells it.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as DateTime from "effect/DateTime"
import * as Os from "node:os"
import type { EventBody } from "../EventLog.js"

export class Machine extends Context.Tag("effect-contree/local/Machine")<
  Machine,
  {
    /** The first event of an operation; `runtime` is what carries it out. */
    readonly init: (runtime: string, hostname: string | undefined, at: DateTime.Utc) => EventBody
  }
>() {}

export const layer = Layer.effect(
  Machine,
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const bootId = yield* Effect.option(fs.readFileString("/proc/sys/kernel/random/boot_id"))
    const [kernel, machine] = yield* Effect.sync(() => [Os.release(), Os.machine()] as const)
    return Machine.of({
      init: (runtime, hostname, at) => ({
        _tag: "Init",
        spid: 0,
        data: {
          startedAt: Option.some(at),
          runtimePath: runtime,
          verbose: false,
          initPid: 1,
          hostname,
          kernel,
          machine,
          bootId: Option.getOrUndefined(Option.map(bootId, (text) => text.trim()))
        }
      })
    })
  })
)
