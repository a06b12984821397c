/**
 * `effect-contree doctor`: what this machine offers for sandboxes, and the one command that adds what is missing.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Path from "@effect/platform/Path"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createRequire } from "node:module"
import * as Doctor from "../local/Doctor.js"
import * as EngineConfig from "../local/EngineConfig.js"
import { EngineError } from "../local/EngineError.js"

const options = {
  dataDir: Options.text("data-dir").pipe(
    Options.withDescription("The data folder to look at (CONTREE_DATA_DIR; default ~/.local/share/effect-contree)"),
    Options.optional
  )
}

const probe = createRequire(import.meta.url).resolve("../local/internal/doctorProbe.js")

/**
 * The command `doctor`.
 */
export const doctor = Command.make("doctor", options, ({ dataDir }) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const environment = yield* EngineConfig.fromEnvironment
    const directory = path.resolve(Option.getOrElse(dataDir, () => environment.dataDirectory))
    const findings = yield* Doctor.report({
      directory,
      node: process.versions.node,
      probe: [process.execPath, probe, directory]
    })
    yield* Console.log(Doctor.render(findings))
    const missing = findings.filter(({ status }) => status === "missing").length
    if (missing > 0) {
      return yield* new EngineError({
        detail: `${missing} thing(s) that it needs are missing here`,
        suggestion: "Run the commands above and look again"
      })
    }
  })
).pipe(Command.withDescription("Say what this machine offers for sandboxes, and how to add what is missing"))
