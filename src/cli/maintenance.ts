/** What `gc`, `fsck` and `df` share: the data folder's option, and the program that does the work. */
import * as Options from "@effect/cli/Options"
import * as Command from "@effect/platform/Command"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createRequire } from "node:module"
import * as EngineConfig from "../local/EngineConfig.js"
import { EngineError } from "../local/EngineError.js"
import { MaintenanceAnswer, MaintenanceTask } from "../local/internal/maintenanceProtocol.js"
import * as MountNamespace from "../local/MountNamespace.js"

export const dataDir = Options.text("data-dir").pipe(
  Options.withDescription("The data folder (CONTREE_DATA_DIR; default ~/.local/share/effect-contree)"),
  Options.optional
)

/** The absolute path of the data folder that an option or the environment names. */
export const directoryOf = Effect.fnUntraced(function* (given: Option.Option<string>) {
  const path = yield* Path.Path
  const environment = yield* EngineConfig.fromEnvironment
  return path.resolve(Option.getOrElse(given, () => environment.dataDirectory))
})

const program = createRequire(import.meta.url).resolve("../local/internal/maintenance.js")

const failed = (detail: string) => new EngineError({ detail, suggestion: "Run `npx effect-contree doctor`" })

/** A failure that was said in full. */
export class MaintenanceError extends Schema.TaggedError<MaintenanceError>("effect-contree/cli/MaintenanceError")(
  "MaintenanceError",
  {
    message: Schema.String
  }
) {}

/** Has the program carry out a task, and gives its answer. */
export const carryOut = Effect.fnUntraced(function* (task: MaintenanceTask) {
  const text = yield* Effect.orDie(Schema.encode(Schema.parseJson(MaintenanceTask))(task))
  const [file, ...args] = yield* Effect.mapError(MountNamespace.command(process.execPath, [program, text]), (error) =>
    failed(error.message)
  )
  const [stdout, stderr] = yield* Effect.scoped(
    Effect.flatMap(Command.start(Command.make(file, ...args)), (child) =>
      Effect.all(
        [
          Stream.mkString(Stream.decodeText(child.stdout)),
          Stream.mkString(Stream.decodeText(child.stderr)),
          child.exitCode
        ],
        { concurrency: "unbounded" }
      )
    )
  ).pipe(Effect.mapError((error) => failed(error.message)))
  const answer = yield* Effect.mapError(Schema.decode(Schema.parseJson(MaintenanceAnswer))(stdout), () =>
    failed(`its program for maintenance ended early: ${stderr.trim()}`)
  )
  return answer._tag === "Failed" ? yield* new MaintenanceError({ message: answer.message }) : answer
})
