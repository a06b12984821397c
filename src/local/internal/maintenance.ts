/**
 * The program behind `gc`, `fsck` and `df`: it works on the data folder in the user namespace of the engine, where an
 * ordinary user is the owner of all that images hold.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Database from "../Database.js"
import * as DiskUsage from "../DiskUsage.js"
import { EngineError } from "../EngineError.js"
import * as FileStore from "../FileStore.js"
import * as Fsck from "../Fsck.js"
import * as GarbageCollector from "../GarbageCollector.js"
import * as ImageStore from "../ImageStore.js"
import * as LayerStore from "../LayerStore.js"
import { MaintenanceAnswer, MaintenanceTask } from "./maintenanceProtocol.js"

const stores = (directory: string) =>
  Layer.mergeAll(
    LayerStore.layer({ directory, known: ImageStore.knownLayers }),
    FileStore.layer({ directory, maxUploadBytes: 0 })
  )

const carryOut = Effect.fnUntraced(function* (task: MaintenanceTask) {
  const fs = yield* FileSystem.FileSystem
  const database = `${task.directory}/contree.db`
  const exists = yield* Effect.orElseSucceed(fs.exists(database), () => false)
  if (!exists) {
    return yield* new EngineError({
      detail: `There is no ${database}`,
      suggestion: "Name the data folder of an engine with --data-dir"
    })
  }
  switch (task._tag) {
    case "Collect":
      return yield* GarbageCollector.collect(task.directory, task.options).pipe(
        Effect.map((garbage): MaintenanceAnswer => ({ _tag: "Collected", garbage })),
        Effect.provide(Layer.provideMerge(stores(task.directory), Database.layer(task.directory)))
      )
    case "Check":
      return yield* Fsck.check(task).pipe(
        Effect.map((report): MaintenanceAnswer => ({ _tag: "Checked", report })),
        Effect.provide(Database.layer(task.directory))
      )
    case "Measure":
      return yield* DiskUsage.of(task.directory).pipe(
        Effect.map((usage): MaintenanceAnswer => ({ _tag: "Measured", usage })),
        Effect.provide(Database.readerLayer(task.directory))
      )
  }
})

const [, , text = ""] = process.argv

Schema.decode(Schema.parseJson(MaintenanceTask))(text).pipe(
  Effect.flatMap(carryOut),
  Effect.catchAllCause((cause) =>
    Effect.succeed<MaintenanceAnswer>({
      _tag: "Failed",
      message: Option.match(Cause.failureOption(cause), {
        onNone: () => Cause.pretty(cause),
        onSome: ({ message }) => message
      })
    })
  ),
  Effect.flatMap(Schema.encode(Schema.parseJson(MaintenanceAnswer))),
  Effect.flatMap(Console.log),
  Effect.provide(NodeContext.layer),
  Effect.provide(Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
