/**
 * The event logs of operations: each is a file in the data folder that holds the frames of the event stream, so that
 * it is sent as it stands, during the operation and for as long as the file is kept.
 *
 * Below the engine's data folder: `e/<operation>`. An event is in the file before anybody hears of it. Followers who
 * have read everything are handed new events directly, the others read the file: a slow one costs no memory.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import { KnownEvent } from "../api/Events.js"
import type { OperationId } from "../api/Images.js"
import { EngineError } from "./EngineError.js"
import * as Frames from "./internal/eventFrames.js"
import type { StoredOperation } from "./OperationStore.js"

type WithoutPlace<Event> = Event extends unknown ? Omit<Event, "id" | "at"> : never

/**
 * An event before it has its number and its time.
 *
 * @since 0.1.0
 * @category models
 */
export type EventBody = WithoutPlace<typeof KnownEvent.Type>

/**
 * What is asked of a log.
 *
 * - `follow`: go on until the operation is over.
 * - `since`: only events with greater numbers.
 * - `spid`: only events of this process, and those of none.
 *
 * @since 0.1.0
 * @category models
 */
export interface EventQuery extends Frames.Selection {
  readonly follow: boolean
}

/**
 * The log of an operation that is not over.
 *
 * @since 0.1.0
 * @category models
 */
export interface OperationLog {
  /** Adds events in one write. It never fails: what cannot be written is lost to readers, not to the run. */
  readonly append: (events: ReadonlyArray<EventBody>) => Effect.Effect<void>
  /** Ends the log. The operation has been recorded as over by then, and its `completion` is the last event. */
  readonly close: (over: Option.Option<StoredOperation>) => Effect.Effect<void>
}

/**
 * The logs of all operations.
 *
 * @since 0.1.0
 * @category tags
 */
export class EventLog extends Context.Tag("effect-contree/local/EventLog")<EventLog, EventLog.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace EventLog {
  /**
   * Writes and reads logs.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** Begins the log of a new operation. */
    readonly create: (id: OperationId) => Effect.Effect<OperationLog>
    /**
     * Waits until the log has an event, at most so long; `false` when it still has none. `gone` when the operation is
     * not at work in this engine, so that there is nothing to wait for.
     */
    readonly begun: (id: OperationId, patience: Duration.DurationInput) => Effect.Effect<boolean | "gone">
    /** The frames of the log. One that a killed engine left open is closed first, by what is recorded. */
    readonly frames: (operation: StoredOperation, query: EventQuery) => Stream.Stream<Uint8Array>
    /** The file of a log, which is there as soon as it has an event. */
    readonly path: (id: OperationId) => string
  }
}

/**
 * Settings of the logs.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface EventLogOptions {
  /** The engine's data folder, absolute and existing. */
  readonly directory: string
  /** The size of a log in bytes after which events of streams are dropped. Default: 100 MiB. */
  readonly maxLogBytes?: number | undefined
  /** How long a follower hears nothing before it is sent a sign of life. Default: 10 seconds. */
  readonly keepalive?: Duration.DurationInput | undefined
}

/** So much is read of a file at a time. */
const PIECE_BYTES = 256 * 1024

/** No frame is longer: the largest is that of a process with all the arguments that a kernel takes. */
const TAIL_BYTES = 16 * 1024 * 1024

const streamTypes: ReadonlySet<string> = new Set(["stdin", "stdout", "stderr"])

const isOfStream = (event: EventBody): boolean =>
  event._tag === "Stdin" || event._tag === "Stdout" || event._tag === "Stderr"

const encode = Schema.encode(Schema.Array(KnownEvent))

/** The last event of an operation's log, as its record tells. */
const completionOf = (operation: StoredOperation): EventBody => ({
  _tag: "Completion",
  data: {
    status: operation.status,
    duration: Option.getOrElse(operation.duration, () => Duration.zero),
    resultImageId: operation.resultImageId,
    error: operation.error,
    imageSizeBytes: operation.imageSize
  }
})

/** A log that is written to. */
class Live {
  size = 0
  nextId = 0
  isCapped = false
  fault: string | undefined
  private file: number | undefined
  readonly waiting = new Set<(bytes: Option.Option<Uint8Array>) => void>()

  constructor(readonly path: string) {}

  /** To the page cache, which takes less time than handing it to a thread. */
  write(bytes: Uint8Array): void {
    this.file ??= Fs.openSync(this.path, "w", 0o600)
    for (let written = 0; written < bytes.length;) {
      written += Fs.writeSync(this.file, bytes, written, bytes.length - written)
    }
    this.size += bytes.length
    this.wake(Option.some(bytes))
  }

  wake(news: Option.Option<Uint8Array>): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const resume of waiting) resume(news)
  }

  end(): void {
    if (this.file !== undefined) Fs.closeSync(this.file)
    this.file = undefined
    this.wake(Option.none())
  }
}

const readPiece = (path: string, offset: number) =>
  Effect.acquireUseRelease(
    Effect.tryPromise(() => Fs.promises.open(path, "r")),
    (file) =>
      Effect.tryPromise(() => file.read(new Uint8Array(PIECE_BYTES), 0, PIECE_BYTES, offset)).pipe(
        Effect.map(({ buffer, bytesRead }) => buffer.subarray(0, bytesRead))
      ),
    (file) => Effect.promise(() => file.close())
  )

/**
 * Makes the service over the data folder.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: EventLogOptions) {
  const fs = yield* FileSystem.FileSystem
  const folder = `${options.directory}/e`
  const maxLogBytes = options.maxLogBytes ?? 100 * 1024 * 1024
  const quiet = options.keepalive ?? "10 seconds"
  yield* Effect.mapError(
    fs.makeDirectory(folder, { recursive: true, mode: 0o700 }),
    ({ message }) =>
      new EngineError({
        detail: `the folder of its event logs cannot be made: ${message}`,
        suggestion: "Make the data folder writable for this user, or name another with --data-dir"
      })
  )
  const lives = new Map<OperationId, Live>()
  const path = (id: OperationId) => `${folder}/${id}`

  /** The events on the wire's form, not yet numbered. */
  const encoded = (events: ReadonlyArray<EventBody>) =>
    Effect.flatMap(DateTime.now, (at) => Effect.orDie(encode(events.map((event) => ({ ...event, id: 0, at })))))

  const toBytes = (wire: Effect.Effect.Success<ReturnType<typeof encoded>>, firstId: number) =>
    new TextEncoder().encode(wire.map((event, index) => Frames.frame({ ...event, id: firstId + index })).join(""))

  const append = (live: Live, events: ReadonlyArray<EventBody>): Effect.Effect<void> =>
    Effect.gen(function* () {
      if (live.fault !== undefined || events.length === 0) return
      const wire = yield* encoded(events)
      const cap =
        live.size < maxLogBytes || live.isCapped
          ? []
          : yield* encoded([{ _tag: "SizeCap", spid: 0, data: { limitBytes: maxLogBytes, fileSize: live.size } }])
      // Numbering and writing are one step: others append too.
      yield* Effect.try({
        try: () => {
          const isFull = live.size >= maxLogBytes && events.some(isOfStream)
          const wanted = isFull
            ? [...(live.isCapped ? [] : cap), ...wire.filter(({ type }) => !streamTypes.has(type))]
            : wire
          live.isCapped ||= isFull && cap.length > 0
          if (wanted.length === 0) return
          const bytes = toBytes(wanted, live.nextId)
          live.nextId += wanted.length
          live.write(bytes)
        },
        catch: (error) => (error instanceof Error ? error.message : String(error))
      })
    }).pipe(
      Effect.catchAll((fault) => {
        live.fault = fault
        live.wake(Option.none())
        return Effect.logError(`an event log cannot be written: ${fault}`)
      })
    )

  const create = (id: OperationId): Effect.Effect<OperationLog> =>
    Effect.sync(() => {
      const live = new Live(path(id))
      lives.set(id, live)
      return {
        append: (events) => append(live, events),
        close: (over) =>
          (Option.isSome(over) ? append(live, [completionOf(over.value)]) : Effect.void).pipe(
            Effect.ensuring(
              Effect.sync(() => {
                lives.delete(id)
                live.end()
              })
            )
          )
      }
    })

  /** Waits for news of a log, handed over to whoever has read all before, and is over at once for others. */
  const news = (id: OperationId, live: Live, offset: number) =>
    Effect.async<Option.Option<Uint8Array>>((resume) => {
      if (lives.get(id) !== live || live.size > offset) return resume(Effect.succeedNone)
      const waiter = (bytes: Option.Option<Uint8Array>) => resume(Effect.succeed(bytes))
      live.waiting.add(waiter)
      return Effect.sync(() => live.waiting.delete(waiter))
    })

  /** Ends the log of an operation that is over with its completion, unless that is there. Nothing comes between. */
  const repair = Effect.fnUntraced(function* (operation: StoredOperation) {
    const file = path(operation.id)
    const tail = yield* Effect.try(() => {
      if (!Fs.existsSync(file)) return undefined
      const fd = Fs.openSync(file, "r")
      const { size } = Fs.fstatSync(fd)
      const bytes = Buffer.alloc(Math.min(size, 64 * 1024))
      Fs.readSync(fd, bytes, 0, bytes.length, size - bytes.length)
      Fs.closeSync(fd)
      const found = Frames.last(bytes)
      return found === undefined || found.id >= 0 || size <= bytes.length
        ? { found, size }
        : { found: Frames.last(Fs.readFileSync(file).subarray(-TAIL_BYTES)), size }
    })
    if (tail?.found?.type === "completion" && tail.found.torn === 0) return
    const bytes = toBytes(yield* encoded([completionOf(operation)]), (tail?.found?.id ?? -1) + 1)
    yield* Effect.try(() => {
      if (tail !== undefined) Fs.truncateSync(file, tail.found === undefined ? 0 : tail.size - tail.found.torn)
      Fs.appendFileSync(file, bytes, { mode: 0o600 })
    })
  })

  const frames = (operation: StoredOperation, { follow, ...selection }: EventQuery): Stream.Stream<Uint8Array> => {
    const { id } = operation
    const file = path(id)
    const pull = (
      offset: number
    ): Effect.Effect<Option.Option<readonly [Uint8Array, number]>, Cause.UnknownException> =>
      Effect.suspend(() => {
        const live = lives.get(id)
        if (live?.fault !== undefined) return Effect.fail(new Cause.UnknownException(undefined, live.fault))
        if (live === undefined || offset < live.size) {
          return Effect.map(readPiece(file, offset), (bytes) =>
            bytes.length === 0 ? Option.none() : Option.some([bytes, offset + bytes.length] as const)
          )
        }
        return follow
          ? news(id, live, offset).pipe(
              Effect.timeoutOption(quiet),
              Effect.flatMap(
                Option.match({
                  onNone: () => Effect.succeed(Option.some([Frames.keepalive, offset] as const)),
                  onSome: Option.match({
                    onNone: () => pull(offset),
                    onSome: (bytes) => Effect.succeed(Option.some([bytes, offset + bytes.length] as const))
                  })
                })
              )
            )
          : Effect.succeed(Option.none())
      })
    return Stream.suspend(() => {
      const select = Frames.select(selection)
      return Stream.unwrap(
        Effect.as(
          // What is not at work here has been recorded as over.
          lives.has(id) ? Effect.void : repair(operation),
          Stream.concat(
            // It brings the answer's headers to a reader for whom there is nothing yet.
            follow && lives.has(id) ? Stream.make(Frames.keepalive) : Stream.empty,
            Stream.unfoldEffect(0, pull).pipe(
              Stream.map((bytes) => (bytes === Frames.keepalive ? bytes : select(bytes))),
              Stream.filter((bytes) => bytes.length > 0)
            )
          )
        )
      )
    }).pipe(
      Stream.catchAll((error) =>
        Stream.concat(
          Stream.drain(Stream.fromEffect(Effect.logError(`the event log of ${id} cannot be read: ${error.message}`))),
          Stream.make(Frames.broken("the engine cannot read the log; its own log says why"))
        )
      )
    )
  }

  return EventLog.of({
    create,
    begun: (id, patience) =>
      Effect.gen(function* () {
        const live = lives.get(id)
        if (live === undefined) return "gone"
        if (live.size === 0) yield* Effect.timeoutOption(news(id, live, 0), patience)
        return live.size > 0
      }),
    frames,
    path
  })
})

/**
 * The service over the data folder.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: EventLogOptions) => Layer.effect(EventLog, make(options))
