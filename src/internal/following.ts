/**
 * Following an operation's log over as many connections as it takes, each event once and in order.
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { InstanceEvent } from "../api/Events.js"
import type { OperationId } from "../api/Images.js"
import type { ContreeClient } from "../ContreeClient.js"
import type { RequestError } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import type { EventFrame } from "./eventStream.js"
import { isTerminal } from "./outcome.js"

export interface Options {
  readonly follow?: boolean | undefined
  readonly since?: number | undefined
  readonly spid?: number | undefined
}

/** The pauses before another connection: from 100 ms, doubling up to 5 s, but not before the server asks for it. */
const reconnects = Schedule.identity<Option.Option<Duration.Duration>>().pipe(
  Schedule.intersect(
    Schedule.exponential("100 millis").pipe(Schedule.union(Schedule.spaced("5 seconds")), Schedule.jittered)
  ),
  Schedule.modifyDelay(([asked], delay) =>
    Option.match(asked, { onNone: () => delay, onSome: (asked) => Duration.max(asked, delay) })
  )
)

/** How often the log of an operation that is over is read when it does not end with its completion. */
const readsOfFinished = 3

/** How often in a row a log that should be there may fail to come. */
const failuresOfFinished = 10

/** How a connection ended: whole, broken off by the server's own word, or by an error. */
type End =
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Broken"; readonly error: RequestError }
  | { readonly _tag: "Failed"; readonly error: RequestError }

/** Where the reader stands in the log. */
interface Position {
  last: number | undefined
  completed: boolean
  /** Whether this connection gave anything new. */
  moved: boolean
  end: End
  asked: Option.Option<Duration.Duration>
}

const brokenOff = (id: OperationId, detail: string): RequestError =>
  new ContreeError.Unavailable({
    request: { method: "GET", path: `/v1/operations/${id}/events` },
    status: 200,
    detail: `The event stream broke off: ${detail}`,
    retryAfter: Option.none(),
    suggestion: "Try again in a moment"
  })

/** One connection. It never fails: how it ended stands in the position. */
const connection = (
  client: ContreeClient.Service,
  id: OperationId,
  options: Options,
  position: Position
): Stream.Stream<InstanceEvent> => {
  const source = client.operations.events(id, { ...options, lastEventId: position.last })
  let stopped = false
  position.moved = false
  position.end = { _tag: "Ended" }
  position.asked = Option.none()

  const accept = (frames: Chunk.Chunk<EventFrame>) => {
    const events: Array<InstanceEvent> = []
    const malformed: Array<string> = []
    for (const frame of frames) {
      if (frame._tag === "Event") {
        const { event } = frame
        // A server that goes on after a break may repeat what it is not sure of.
        if (position.last !== undefined && event.id <= position.last) continue
        position.last = event.id
        events.push(event)
        if (event._tag === "Completion") {
          position.completed = true
          stopped = true
          break
        }
      } else if (frame._tag === "Broken") {
        position.end = { _tag: "Broken", error: brokenOff(id, frame.detail) }
        stopped = true
        break
      } else if (frame._tag === "Reconnect") position.asked = Option.some(frame.after)
      else if (frame._tag === "Malformed") malformed.push(frame.detail)
    }
    if (events.length > 0) position.moved = true
    const chunk = Chunk.unsafeFromArray(events)
    return malformed.length === 0
      ? Effect.succeed(chunk)
      : Effect.as(
          Effect.logWarning(`Left out ${malformed.length} frames that are no events: ${malformed[0]}`).pipe(
            Effect.annotateLogs("contree.operation", id)
          ),
          chunk
        )
  }

  return Stream.fromPull(
    Effect.map(Stream.toPull(source), (pull) =>
      Effect.suspend(() =>
        stopped
          ? Effect.fail(Option.none())
          : Effect.matchEffect(pull, {
              onFailure: (end) => {
                if (Option.isSome(end)) {
                  position.end = { _tag: "Failed", error: end.value }
                  position.asked = Option.orElse(ContreeError.retryAfter(end.value), () => position.asked)
                }
                return Effect.fail(Option.none())
              },
              onSuccess: accept
            })
      )
    )
  )
}

/** What no further connection would change. */
const isLasting = (error: RequestError): boolean => error._tag !== "NotFound" && !ContreeError.isTransient(error)

/**
 * The events of an operation. With `follow` the stream ends when the operation is over and its log is read: after its
 * completion, or where the server keeps no whole log of it. The end of a connection is neither, also not that of an
 * answer in order: without `follow` it is believed of an operation that goes on, whose log has no end yet.
 */
export const events = (
  client: ContreeClient.Service,
  id: OperationId,
  options: Options
): Stream.Stream<InstanceEvent, RequestError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const pauses = yield* Schedule.driver(reconnects)
      const position: Position = {
        last: options.since,
        completed: false,
        moved: false,
        end: { _tag: "Ended" },
        asked: Option.none()
      }
      let first = true
      /** The state of the operation, once it is known to be over. */
      let over: string | undefined
      let reads = 0
      let failures = 0

      const again = Effect.suspend(() => {
        const { asked, moved } = position
        return (moved ? pauses.reset : Effect.void).pipe(
          Effect.zipRight(Effect.mapError(pauses.next(asked), () => Option.none<RequestError>())),
          Effect.map(() => connection(client, id, options, position))
        )
      })
      const done = Effect.fail(Option.none<RequestError>())

      /** The state of the operation decides whether anything can still come. */
      const next = Effect.suspend((): Effect.Effect<Stream.Stream<InstanceEvent>, Option.Option<RequestError>> => {
        if (first) {
          first = false
          return Effect.sync(() => connection(client, id, options, position))
        }
        const { end } = position
        if (position.completed) return done
        if (end._tag === "Failed" && isLasting(end.error)) return Effect.fail(Option.some(end.error))
        if (position.moved) failures = reads = 0
        return Effect.gen(function* () {
          const known = over !== undefined
          if (over === undefined) {
            const { status } = yield* Effect.mapError(client.operations.get(id), Option.some)
            if (isTerminal(status)) over = status
            else if (end._tag === "Ended" && options.follow !== true) return yield* done
            // No log: imports have none everywhere.
            else if (end._tag === "Failed" && end.error._tag === "NotFound" && position.last === options.since) {
              return yield* Effect.fail(Option.some(end.error))
            }
          }
          if (over !== undefined && known && !position.moved) {
            if (end._tag === "Ended" || over === "CANCELLED") {
              if (++reads >= (options.spid === undefined ? readsOfFinished : 1)) return yield* done
            } else if (++failures >= failuresOfFinished) return yield* Effect.fail(Option.some(end.error))
          } else if (options.follow !== true && !position.moved && end._tag !== "Ended") {
            if (++failures >= failuresOfFinished) return yield* Effect.fail(Option.some(end.error))
          }
          return yield* again
        })
      })
      return Stream.flatten(Stream.repeatEffectOption(next))
    })
  )
