/** What the program for maintenance is asked, and what it answers on its standard output. */
import * as Schema from "effect/Schema"
import { DiskUsage } from "../DiskUsage.js"
import { FsckReport } from "../Fsck.js"
import { Garbage, GarbageOptions } from "../GarbageCollector.js"

export const MaintenanceTask = Schema.Union(
  Schema.TaggedStruct("Collect", { directory: Schema.String, options: GarbageOptions }),
  Schema.TaggedStruct("Check", { directory: Schema.String, repair: Schema.Boolean }),
  Schema.TaggedStruct("Measure", { directory: Schema.String })
)

export type MaintenanceTask = typeof MaintenanceTask.Type

export const MaintenanceAnswer = Schema.Union(
  Schema.TaggedStruct("Collected", { garbage: Garbage }),
  Schema.TaggedStruct("Checked", { report: FsckReport }),
  Schema.TaggedStruct("Measured", { usage: DiskUsage }),
  Schema.TaggedStruct("Failed", { message: Schema.String })
)

export type MaintenanceAnswer = typeof MaintenanceAnswer.Type
