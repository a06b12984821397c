/**
 * `effect-contree df`: what a data folder holds and takes, also while an engine runs.
 */
import * as Command from "@effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as DiskUsage from "../local/DiskUsage.js"
import * as Maintenance from "./maintenance.js"

/**
 * The command `df`.
 */
export const df = Command.make("df", { dataDir: Maintenance.dataDir }, ({ dataDir }) =>
  Effect.gen(function* () {
    const directory = yield* Maintenance.directoryOf(dataDir)
    const answer = yield* Maintenance.carryOut({ _tag: "Measure", directory })
    if (answer._tag === "Measured") yield* Console.log(DiskUsage.render(answer.usage))
  })
).pipe(Command.withDescription("Say what the data folder holds and how much of the disk it takes"))
