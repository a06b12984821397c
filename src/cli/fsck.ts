/**
 * `effect-contree fsck`: whether a data folder is sound. Exit code 0: it is, or was repaired; 2: problems are left;
 * 1: it could not look.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Fsck from "../local/Fsck.js"
import * as Maintenance from "./maintenance.js"

const PROBLEMS_LEFT = 2

const options = {
  dataDir: Maintenance.dataDir,
  repair: Options.boolean("repair").pipe(Options.withDescription("Repair what costs no data"))
}

/**
 * The command `fsck`.
 */
export const fsck = Command.make("fsck", options, ({ dataDir, repair }) =>
  Effect.gen(function* () {
    const directory = yield* Maintenance.directoryOf(dataDir)
    const answer = yield* Maintenance.carryOut({ _tag: "Check", directory, repair })
    if (answer._tag !== "Checked") return
    yield* Console.log(Fsck.render(answer.report))
    if (answer.report.problems.some(({ repaired }) => !repaired)) {
      yield* Effect.sync(() => {
        process.exitCode = PROBLEMS_LEFT
      })
    }
  })
).pipe(
  Command.withDescription(
    "Verify the database, every image's layers and every uploaded file. No engine may work on the folder. Exit code 2: problems are left"
  )
)
