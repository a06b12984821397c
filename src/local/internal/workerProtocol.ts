/**
 * What the engine's worker and its owner say to each other over the worker's standard input and output.
 */
import * as Schema from "effect/Schema"
import { AccessToken } from "../AccessToken.js"
import { EngineConfig } from "../EngineConfig.js"

/** The owner's last line: the worker takes no new work, and ends when what runs is over or its time is up. */
export const drainWord = "drain"

/**
 * The first line that the owner writes. The input then stays open: its end tells the worker that the owner is gone, and
 * to end at once.
 */
export const WorkerSettings = Schema.parseJson(
  Schema.Struct({
    engine: EngineConfig,
    listen: Schema.Union(
      Schema.TaggedStruct("Socket", { path: Schema.String }),
      Schema.TaggedStruct("Address", { host: Schema.String, port: Schema.Int })
    ),
    /** Without tokens every caller is allowed: a socket is guarded by the permissions of its folder. */
    tokens: Schema.optional(Schema.Array(AccessToken)),
    /** Without it there is no check of hosts and origins: nobody's browser reaches a socket. */
    access: Schema.optional(
      Schema.Struct({ hosts: Schema.Array(Schema.String), origins: Schema.Array(Schema.String) })
    ),
    /** Default 32 MiB. */
    maxJsonBytes: Schema.optional(Schema.Int),
    /** How long what runs may take to end once the owner has said {@link drainWord}, default 0. */
    drainSeconds: Schema.optional(Schema.Int),
    /** Default `logfmt`. */
    logFormat: Schema.optional(Schema.Literal("logfmt", "json")),
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
