/**
 * The events of an instance: what its log holds, one JSON object in each frame of the event stream.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { ImageId } from "../ImageId.js"
import { nullable } from "./Nullable.js"
import { BytesRepr } from "./StreamRepr.js"
import { EventTimestamp, Timestamp } from "./Timestamp.js"

const Millis = Schema.transform(Schema.Number, Schema.DurationFromSelf, {
  strict: true,
  decode: (millis) => Duration.millis(Math.max(0, millis)),
  encode: (duration) => Math.round(Duration.toMillis(duration))
})

const Text = Schema.optionalWith(Schema.String, { default: () => "", nullable: true })
const Count = Schema.optionalWith(Schema.Number, { default: () => -1, nullable: true })
const Flag = Schema.optionalWith(Schema.Boolean, { default: () => false, nullable: true })

/**
 * The number of an event in its log: from 0, strictly increasing, with gaps.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EventId = Schema.Int.pipe(Schema.nonNegative())

/** An event of one type; `spid` is the process that it is about, 0 for the instance itself. */
const event = <Tag extends string, Type extends string, A, I>(tag: Tag, type: Type, data: Schema.Schema<A, I>) =>
  Schema.Struct({
    _tag: Schema.propertySignature(Schema.transformLiteral(type, tag)).pipe(Schema.fromKey("type")),
    id: EventId,
    at: Schema.propertySignature(EventTimestamp).pipe(Schema.fromKey("ts")),
    spid: Schema.optional(Schema.Int),
    data
  })

/**
 * The instance is up.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Init = event(
  "Init",
  "init",
  Schema.Struct({
    startedAt: nullable(Timestamp).pipe(Schema.fromKey("started_at")),
    runtimePath: Text.pipe(Schema.fromKey("runtime_path")),
    verbose: Flag,
    initPid: Count.pipe(Schema.fromKey("init_pid")),
    hostname: Schema.optional(Schema.String),
    kernel: Schema.optional(Schema.String),
    machine: Schema.optional(Schema.String),
    bootId: Schema.optional(Schema.String).pipe(Schema.fromKey("boot_id"))
  })
)

/**
 * A process was started. Values of variables that look like secrets are masked by the server.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Spawn = event(
  "Spawn",
  "spawn",
  Schema.Struct({
    pid: Schema.Int,
    command: Schema.String,
    args: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [], nullable: true }),
    shell: Flag,
    cwd: Text,
    uid: Count,
    gid: Count,
    timeout: Count,
    truncateAt: Count.pipe(Schema.fromKey("truncate_at")),
    env: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), { nullable: true })
  })
)

/**
 * Bytes that a process was given on its standard input.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Stdin = event("Stdin", "stdin", BytesRepr)

/**
 * Bytes that a process wrote to its standard output.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Stdout = event("Stdout", "stdout", BytesRepr)

/**
 * Bytes that a process wrote to its standard error.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Stderr = event("Stderr", "stderr", BytesRepr)

/**
 * What a process consumed, as its exit event tells: microseconds, KiB, and counts; `-1` where the server cannot tell.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EventResources = Schema.Struct({
  userTimeMicros: Count.pipe(Schema.fromKey("user_time_us")),
  systemTimeMicros: Count.pipe(Schema.fromKey("sys_time_us")),
  maxRss: Count.pipe(Schema.fromKey("max_rss_kb")),
  sharedMemory: Count.pipe(Schema.fromKey("shared_memory")),
  unsharedMemory: Count.pipe(Schema.fromKey("unshared_memory")),
  swaps: Count,
  minorFaults: Count.pipe(Schema.fromKey("minor_faults")),
  majorFaults: Count.pipe(Schema.fromKey("major_faults")),
  voluntarySwitches: Count.pipe(Schema.fromKey("voluntary_ctx_switches")),
  involuntarySwitches: Count.pipe(Schema.fromKey("involuntary_ctx_switches")),
  blockInput: Count.pipe(Schema.fromKey("block_input_ops")),
  blockOutput: Count.pipe(Schema.fromKey("block_output_ops")),
  messagesSent: Count.pipe(Schema.fromKey("ipc_msgs_sent")),
  messagesReceived: Count.pipe(Schema.fromKey("ipc_msgs_received")),
  signals: Count.pipe(Schema.fromKey("signals_received"))
})

/**
 * A process ended. `code` is `-1` when a signal ended it, `signal` is `-1` otherwise.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Exit = event(
  "Exit",
  "exit",
  Schema.Struct({
    pid: Count,
    code: Schema.Int,
    signal: Count,
    timedOut: Flag.pipe(Schema.fromKey("timed_out")),
    duration: Schema.propertySignature(Millis).pipe(Schema.fromKey("duration_ms")),
    resources: Schema.optionalWith(EventResources, { nullable: true }),
    coreDump: Flag.pipe(Schema.fromKey("core_dump"))
  })
)

/**
 * A stream had more than its limit: what was emitted of it and what was dropped, in bytes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Truncated = event(
  "Truncated",
  "truncated",
  Schema.Struct({
    stream: Schema.String,
    bytesEmitted: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("bytes_emitted")),
    bytesDropped: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("bytes_dropped"))
  })
)

/**
 * The log has reached its size cap: later events of streams are dropped, others go on.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SizeCap = event(
  "SizeCap",
  "size_cap",
  Schema.Struct({
    limitBytes: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("limit_bytes")),
    fileSize: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("file_size"))
  })
)

/**
 * What the instance's network interfaces carried.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Network = event(
  "Network",
  "network",
  Schema.Struct({
    interfaces: Schema.optionalWith(Schema.Array(Schema.Record({ key: Schema.String, value: Schema.Unknown })), {
      default: () => [],
      nullable: true
    }),
    configured: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.Unknown }), { nullable: true }),
    error: Schema.optionalWith(Schema.String, { nullable: true })
  })
)

/**
 * The instance went down. Known reasons: `job_complete`, `timeout`, `spawn_failed`, `signal`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Shutdown = event(
  "Shutdown",
  "shutdown",
  Schema.Struct({
    stoppedAt: nullable(Timestamp).pipe(Schema.fromKey("stopped_at")),
    reason: Schema.String
  })
)

/**
 * The operation is over; the last event of every log.
 *
 * `resultImageId` is none for disposable and failed runs, and the image that the run started from when nothing was
 * written.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Completion = event(
  "Completion",
  "completion",
  Schema.Struct({
    status: Schema.String,
    duration: Schema.propertySignature(Millis).pipe(Schema.fromKey("duration_ms")),
    resultImageId: nullable(ImageId).pipe(Schema.fromKey("result_image_uuid")),
    error: nullable(Schema.String),
    imageSizeBytes: nullable(Schema.Number).pipe(Schema.fromKey("image_size_bytes"))
  })
)

/**
 * The events that this version knows.
 *
 * @since 0.1.0
 * @category schemas
 */
export const KnownEvent = Schema.Union(
  Stdout,
  Stderr,
  Stdin,
  Init,
  Spawn,
  Exit,
  Truncated,
  SizeCap,
  Network,
  Shutdown,
  Completion
)

/**
 * An event of a type that this version does not know, or whose data it cannot read, as it came.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UnknownEvent = Schema.Struct({
  id: EventId,
  at: Schema.propertySignature(EventTimestamp).pipe(Schema.fromKey("ts")),
  spid: Schema.optional(Schema.Int),
  type: Schema.String,
  data: Schema.Unknown
}).pipe(Schema.attachPropertySignature("_tag", "Unknown"))

/**
 * An event of an instance.
 *
 * @since 0.1.0
 * @category schemas
 */
export const InstanceEvent = Schema.Union(KnownEvent, UnknownEvent).annotations({ identifier: "OperationEvent" })

/**
 * An event of an instance.
 *
 * @since 0.1.0
 * @category models
 */
export type InstanceEvent = typeof InstanceEvent.Type

const streams = { stdout: "Stdout", stderr: "Stderr", stdin: "Stdin" } as const
const isStream = (type: unknown): type is keyof typeof streams =>
  type === "stdout" || type === "stderr" || type === "stdin"

const utf8 = new TextEncoder()

/** Small pieces share their memory, as those of a socket do: an allocation for each would cost more than its reading. */
const slabSize = 16_384
let slab = new Uint8Array(slabSize)
let used = 0

const reserve = (length: number): void => {
  if (used + length <= slabSize) return
  slab = new Uint8Array(slabSize)
  used = 0
}

const take = (length: number): Uint8Array => {
  used += length
  return new Uint8Array(slab.buffer, used - length, length)
}

const encodeUtf8 = (text: string): Uint8Array => {
  const { length } = text
  if (length > slabSize / 4) return utf8.encode(text)
  reserve(length)
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return utf8.encode(text)
    slab[used + index] = code
  }
  return take(length)
}

const sextets = new Uint8Array(128).fill(64)
for (const [value, char] of [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].entries()) {
  sextets[char.charCodeAt(0)] = value
}

/** The next bits of a text, or more than 63 where they are none of the alphabet. */
const sextet = (text: string, index: number): number => sextets[text.charCodeAt(index)] ?? 64

/** `undefined` leaves all but the plain form to the schema, and pieces that are worth an allocation of their own. */
const decodeBase64 = (text: string): Uint8Array | undefined => {
  const { length } = text
  if (length % 4 !== 0 || length > slabSize / 4) return undefined
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  const size = (length / 4) * 3 - padding
  reserve(size + 2)
  let at = used
  for (let index = 0; index < length; index += 4) {
    const last = index + 4 === length ? padding : 0
    const [a, b] = [sextet(text, index), sextet(text, index + 1)]
    const c = last === 2 ? 0 : sextet(text, index + 2)
    const d = last > 0 ? 0 : sextet(text, index + 3)
    if ((a | b | c | d) > 63) return undefined
    slab[at++] = (a << 2) | (b >> 4)
    slab[at++] = (b << 4) | (c >> 2)
    slab[at++] = (c << 6) | d
  }
  return take(size)
}

const utc = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/
const nanos = /^\d{6}Z$/

/** The last instant that was read, and its text up to the millisecond: most events come in that of the one before. */
let recent: { readonly text: string; readonly at: DateTime.Utc } = { text: "none", at: DateTime.unsafeMake(0) }

const instant = (text: string): DateTime.Utc | undefined => {
  if (text.startsWith(recent.text) && nanos.test(text.slice(23))) return recent.at
  const millis = utc.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(millis)) return undefined
  recent = { text: text.length === 30 ? text.slice(0, 23) : "none", at: DateTime.unsafeMake(millis) }
  return recent.at
}

/**
 * Reads a piece of output or input as {@link InstanceEvent} does, in a tenth of the time: they are nearly all of a log.
 * What is not certainly right gives `undefined` and is left to the schema. Pieces may share one buffer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pieceFromJson = (json: unknown): InstanceEvent | undefined => {
  if (!Predicate.isRecord(json)) return undefined
  const { data, id, spid, ts, type } = json
  if (!isStream(type) || !Predicate.isRecord(data)) return undefined
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) return undefined
  if (typeof spid !== "number" || !Number.isSafeInteger(spid)) return undefined
  const { encoding, truncated, value } = data
  if (typeof value !== "string" || typeof encoding !== "string") return undefined
  if (truncated !== undefined && typeof truncated !== "boolean") return undefined
  const at = typeof ts === "string" ? instant(ts) : undefined
  if (at === undefined) return undefined
  const bytes = encoding === "base64" ? decodeBase64(value) : encodeUtf8(value)
  return bytes === undefined ? undefined : { _tag: streams[type], id, at, spid, data: { bytes } }
}

/**
 * Reads the JSON value of an event.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromJson: (json: unknown) => Either.Either<InstanceEvent, ParseResult.ParseError> =
  Schema.decodeUnknownEither(InstanceEvent)
