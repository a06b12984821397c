/**
 * Endpoints for operations: imports and runs, from their start to their result.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { ImageId } from "../ImageId.js"
import { Permits } from "./Account.js"
import { failure } from "./Failure.js"
import { OperationId } from "./Images.js"
import { nullable } from "./Nullable.js"
import { Flag, paging, timeWindow } from "./Query.js"
import { CapturedStream } from "./StreamRepr.js"
import { Seconds, Timestamp } from "./Timestamp.js"

/**
 * The states of an operation that this version knows. A newer server may name others.
 *
 * @since 0.1.0
 * @category schemas
 */
export const KnownStatus = Schema.Literal("PENDING", "ASSIGNED", "EXECUTING", "SUCCESS", "FAILED", "CANCELLED")

/**
 * The state of an operation.
 *
 * @since 0.1.0
 * @category models
 */
export type OperationStatus = typeof KnownStatus.Type | (string & {})

/**
 * The kinds of operation that this version knows. A newer server may name others.
 *
 * @since 0.1.0
 * @category schemas
 */
export const KnownKind = Schema.Literal("image_import", "instance")

/**
 * The kind of an operation.
 *
 * @since 0.1.0
 * @category models
 */
export type OperationKind = typeof KnownKind.Type | (string & {})

const summary = {
  id: Schema.propertySignature(OperationId).pipe(Schema.fromKey("uuid")),
  kind: Schema.Union(KnownKind, Schema.String),
  status: Schema.Union(KnownStatus, Schema.String),
  error: nullable(Schema.String),
  createdAt: nullable(Timestamp).pipe(Schema.fromKey("created_at")),
  duration: nullable(Seconds),
  imageSize: nullable(Schema.Number).pipe(Schema.fromKey("image_size")),
  consumedCpu: nullable(Seconds).pipe(Schema.fromKey("consumed_cpu")),
  consumedMemory: nullable(Schema.Number).pipe(Schema.fromKey("consumed_memory")),
  imageId: nullable(ImageId).pipe(Schema.fromKey("image_uuid")),
  resultImageId: nullable(ImageId).pipe(Schema.fromKey("result_image_uuid"))
}

/**
 * An operation as listings give it.
 *
 * - `imageId` is the image that a run started from, `resultImageId` the one that the operation made.
 * - `imageSize` is in bytes.
 *
 * @since 0.1.0
 * @category schemas
 */
export class OperationSummary extends Schema.Class<OperationSummary>("OperationSummary")(summary) {}

/**
 * A page of a listing of operations.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OperationList = Schema.Array(OperationSummary)

const unknownCount = { default: () => -1, nullable: true } as const
const count = <Key extends string>(key: Key) =>
  Schema.optionalWith(Schema.Number, unknownCount).pipe(Schema.fromKey(key))

/**
 * What a run consumed; `-1` where the server cannot tell. Times are in seconds, `maxRss` in KiB.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ProcessResources = Schema.Struct({
  blockInput: count("block_input"),
  blockOutput: count("block_output"),
  cost: Schema.optionalWith(Schema.Number, unknownCount),
  elapsedTime: count("elapsed_time"),
  involuntarySwitches: count("involuntary_switches"),
  maxRss: count("max_rss"),
  monotonicTime: count("monotonic_time"),
  pageFaults: count("page_faults"),
  pageFaultsIo: count("page_faults_io"),
  sharedMemory: count("shared_memory"),
  signals: Schema.optionalWith(Schema.Number, unknownCount),
  swaps: Schema.optionalWith(Schema.Number, unknownCount),
  systemCpuTime: count("system_cpu_time"),
  unsharedMemory: count("unshared_memory"),
  userCpuTime: count("user_cpu_time"),
  voluntarySwitches: count("voluntary_switches")
})

const off = { default: () => false, nullable: true } as const

/**
 * How a process ended. `exitCode` is `-1` when a signal ended it, `signal` is `-1` otherwise.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ProcessState = Schema.Struct({
  exitCode: count("exit_code"),
  signal: Schema.optionalWith(Schema.Number, unknownCount),
  pid: Schema.optionalWith(Schema.Number, unknownCount),
  timedOut: Schema.optionalWith(Schema.Boolean, off).pipe(Schema.fromKey("timed_out")),
  coreDump: Schema.optionalWith(Schema.Boolean, off).pipe(Schema.fromKey("core_dump")),
  continued: Schema.optionalWith(Schema.Boolean, off),
  stopped: Schema.optionalWith(Schema.Boolean, off)
})

const unmeasured = Schema.decodeSync(ProcessResources)({})

/** A command that still runs has neither. */
const notOver = Schema.decodeSync(ProcessState)({})

const nothing = { default: () => ({ bytes: new Uint8Array(0), truncated: false }), nullable: true } as const

/**
 * The result of a run's main process.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ProcessResult = Schema.Struct({
  resources: Schema.optionalWith(ProcessResources, { default: () => unmeasured, nullable: true }),
  state: Schema.optionalWith(ProcessState, { default: () => notOver, nullable: true }),
  stdout: Schema.optionalWith(CapturedStream, nothing),
  stderr: Schema.optionalWith(CapturedStream, nothing)
})

/**
 * What an operation was asked to do, and for a run its {@link ProcessResult}; other keys are kept as they came.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OperationMetadata = Schema.Struct(
  { result: nullable(ProcessResult) },
  Schema.Record({ key: Schema.String, value: Schema.Unknown })
)

/**
 * An operation with everything that is known of it.
 *
 * @since 0.1.0
 * @category schemas
 */
export class OperationDetail extends Schema.Class<OperationDetail>("Operation")({
  ...summary,
  metadata: nullable(OperationMetadata),
  result: nullable(
    Schema.Struct({
      image: nullable(ImageId),
      tag: nullable(Schema.String)
    })
  )
}) {}

const byId = Schema.Struct({ id: OperationId })

const wait = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:[;,]|$)/i

/**
 * How long the client would have the server wait for the end of an operation before it answers: the preference `wait`
 * of a `Prefer` header (RFC 7240), in whole seconds. A header without it asks for no wait.
 *
 * @since 0.1.0
 * @category schemas
 */
export const PreferredWait = Schema.transform(Schema.String, Schema.DurationFromSelf, {
  strict: true,
  decode: (header) => Duration.seconds(Number(wait.exec(header)?.[1] ?? 0)),
  encode: (duration) => `wait=${Math.floor(Duration.toSeconds(duration))}`
})

const missing = failure(404, "No such operation")

/**
 * Endpoints for operations.
 *
 * @since 0.1.0
 * @category schemas
 */
export class OperationsGroup extends HttpApiGroup.make("operations")
  .add(
    HttpApiEndpoint.get("list", "/operations")
      .setUrlParams(
        Schema.Struct({
          ...paging,
          ...timeWindow,
          status: Schema.optional(KnownStatus),
          kind: Schema.optional(KnownKind)
        })
      )
      .addSuccess(OperationList)
  )
  .add(
    HttpApiEndpoint.get("get", "/operations/:id")
      .setPath(byId)
      .setUrlParams(Schema.Struct({ inflight: Schema.optional(Flag) }))
      .setHeaders(Schema.Struct({ prefer: Schema.optional(PreferredWait) }))
      .addSuccess(OperationDetail)
      .addError(missing)
  )
  .add(
    HttpApiEndpoint.del("cancel", "/operations/:id")
      .annotate(Permits, ["cancel"])
      .setPath(byId)
      .addSuccess(HttpApiSchema.Accepted)
      .addError(missing)
      .addError(failure(409, "The operation is over"))
  )
  .add(
    HttpApiEndpoint.get("events", "/operations/:id/events")
      .setPath(byId)
      .setUrlParams(
        Schema.Struct({
          follow: Schema.optional(Flag),
          spid: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative())),
          since: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()))
        })
      )
      .setHeaders(
        Schema.Struct({
          lastEventId: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative())).pipe(
            Schema.fromKey("last-event-id")
          )
        })
      )
      .addSuccess(Schema.String.pipe(HttpApiSchema.withEncoding({ kind: "Text", contentType: "text/event-stream" })))
      .addError(missing)
      .addError(failure(410, "The live stream is over and the log is not ready yet"))
      .addError(failure(425, "The instance is not ready yet"))
      .addError(failure(502, "No connection to the instance"))
      .addError(failure(504, "No answer from the instance"))
  ) {}
