/**
 * What the engine's worker and its owner say to each other over the worker's standard input and output.
 */
import * as Schema from "effect/Schema"
import { AccessToken } from "../AccessToken.js"
import { EngineConfig } from "../EngineConfig.js"

/** The one line that the owner writes. The input then stays open: its end tells the worker that the owner is gone. */
export const WorkerSettings = Schema.parseJson(
  Schema.Struct({
    engine: EngineConfig,
    listen: Schema.Union(
      Schema.TaggedStruct("Socket", { path: Schema.String }),
      Schema.TaggedStruct("Address", { host: Schema.String, port: Schema.Int })
    ),
    /** Without tokens every caller is allowed: a socket is guarded by the permissions of its folder. */
    tokens: Schema.optional(Schema.Array(AccessToken)),
    logLevel: Schema.Literal("Debug", "Info", "Warning", "Error")
  })
)

/** The one line that the worker answers. */
export const WorkerAnswer = Schema.parseJson(
  Schema.Union(
    Schema.TaggedStruct("Ready", { port: Schema.optional(Schema.Int), launcher: Schema.String }),
    Schema.TaggedStruct("Failed", { detail: Schema.String, suggestion: Schema.optional(Schema.String) })
  )
)
