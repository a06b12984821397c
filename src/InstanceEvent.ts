/**
 * The events of an instance, in the order in which they happened: its start, its processes, their input and output,
 * its end.
 *
 * An event has an `id` (from 0, increasing, with gaps), `at`, mostly `spid` (the process: 1 for the instance's own
 * command, 2 and up for those started in it, 0 for the instance itself), and `data`, which depends on its `_tag`. What
 * this version does not know is an `Unknown` event with its data as it came.
 *
 * @example
 * ```ts
 * import { Operation, type InstanceEvent } from "effect-contree"
 * import { Match, Stream } from "effect"
 *
 * const describe = Match.type<InstanceEvent.InstanceEvent>().pipe(
 *   Match.tag("Spawn", ({ data, spid }) => `${spid}: started ${data.command}`),
 *   Match.tag("Exit", ({ data, spid }) => `${spid}: ended with ${data.code}`),
 *   Match.tag("Completion", ({ data }) => `over: ${data.status}`),
 *   Match.orElse(({ _tag, id }) => `${id}: ${_tag}`)
 * )
 *
 * export const story = (id: Operation.OperationId) =>
 *   Operation.events(id, { follow: true }).pipe(Stream.map(describe))
 * ```
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Events from "./api/Events.js"

/**
 * An event of an instance.
 *
 * @since 0.1.0
 * @category schemas
 */
export const InstanceEvent = Events.InstanceEvent

/**
 * An event of an instance.
 *
 * @since 0.1.0
 * @category models
 */
export type InstanceEvent = Events.InstanceEvent

/**
 * The event of one kind, such as `Tagged<"Exit">`.
 *
 * @since 0.1.0
 * @category models
 */
export type Tagged<Tag extends InstanceEvent["_tag"]> = Extract<InstanceEvent, { readonly _tag: Tag }>

/**
 * A piece of what a process wrote.
 *
 * @since 0.1.0
 * @category models
 */
export type Output = Tagged<"Stdout"> | Tagged<"Stderr">

/**
 * Tells whether an event is a piece of what a process wrote.
 *
 * @since 0.1.0
 * @category guards
 */
export const isOutput = (event: InstanceEvent): event is Output => event._tag === "Stdout" || event._tag === "Stderr"

/**
 * Tells whether an event is the last one of its log: the operation is over.
 *
 * @since 0.1.0
 * @category guards
 */
export const isCompletion = (event: InstanceEvent): event is Tagged<"Completion"> => event._tag === "Completion"

/**
 * The bytes that a process wrote to one of its streams, as events tell. By default those of the instance's own command.
 *
 * @example
 * ```ts
 * import { InstanceEvent, type Operation } from "effect-contree"
 * import { Chunk, DateTime, Effect, Stream } from "effect"
 *
 * const piece = (id: number, bytes: Array<number>): InstanceEvent.InstanceEvent => ({
 *   _tag: "Stdout",
 *   id,
 *   at: DateTime.unsafeMake(0),
 *   spid: 1,
 *   data: { bytes: Uint8Array.from(bytes) }
 * })
 *
 * // The two bytes of an "é" come apart.
 * const lines = Stream.make(piece(0, [0x63, 0xc3]), piece(1, [0xa9, 0x0a])).pipe(
 *   InstanceEvent.output("stdout"),
 *   InstanceEvent.lines
 * )
 *
 * assert.deepStrictEqual(Chunk.toArray(Effect.runSync(Stream.runCollect(lines))), ["cé"])
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const output: {
  (
    stream: "stdout" | "stderr",
    spid?: number | undefined
  ): <E, R>(events: Stream.Stream<InstanceEvent, E, R>) => Stream.Stream<Uint8Array, E, R>
  <E, R>(
    events: Stream.Stream<InstanceEvent, E, R>,
    stream: "stdout" | "stderr",
    spid?: number | undefined
  ): Stream.Stream<Uint8Array, E, R>
} = dual(
  (args) => typeof args[0] !== "string",
  <E, R>(
    events: Stream.Stream<InstanceEvent, E, R>,
    stream: "stdout" | "stderr",
    spid: number = 1
  ): Stream.Stream<Uint8Array, E, R> => {
    const tag = stream === "stdout" ? "Stdout" : "Stderr"
    return Stream.filterMap(events, (event) =>
      isOutput(event) && event._tag === tag && event.spid === spid ? Option.some(event.data.bytes) : Option.none()
    )
  }
)

/**
 * Bytes as lines of UTF-8 text without their ends (LF or CRLF). A character may be cut anywhere between two pieces;
 * malformed bytes become U+FFFD.
 *
 * @since 0.1.0
 * @category combinators
 */
export const lines = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<string, E, R> =>
  bytes.pipe(text, Stream.splitLines)

/**
 * Bytes as pieces of UTF-8 text. A character may be cut anywhere between two pieces; malformed bytes become U+FFFD.
 *
 * @since 0.1.0
 * @category combinators
 */
export const text = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<string, E, R> =>
  Stream.suspend(() => {
    const decoder = new TextDecoder()
    return bytes.pipe(
      Stream.map((piece) => decoder.decode(piece, { stream: true })),
      // A character that the end cuts is malformed, and said so.
      Stream.concat(Stream.sync(() => decoder.decode())),
      Stream.filter((piece) => piece !== "")
    )
  })
