/**
 * One instance's log for many readers: one connection, opened by the first of them, and a window of what came last.
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { InstanceEvent } from "../api/Events.js"
import type { OperationId } from "../api/Images.js"
import type { ContreeClient } from "../ContreeClient.js"
import type { RequestError } from "../ContreeError.js"
import * as Following from "./following.js"

/** How many bytes of events are kept for readers that come late or are slow; they read what is older anew. */
const defaultWindow = 16 * 1024 * 1024

/** An event without its bytes. */
const eventSize = 256

const sizeOf = (events: Chunk.Chunk<InstanceEvent>): number =>
  Chunk.reduce(
    events,
    0,
    (size, event) =>
      size +
      eventSize +
      (event._tag === "Stdout" || event._tag === "Stderr" || event._tag === "Stdin" ? event.data.bytes.length : 0)
  )

export interface SharedLog {
  /** All events from the first one, each reader at its own pace; none holds up another or the instance. */
  readonly events: Stream.Stream<InstanceEvent, RequestError>
  /** Whether somebody reads, so that the log's end will be known without another request. */
  readonly isRead: () => boolean
  /** Whether the log is known to have ended, and with it the operation. */
  readonly isOver: () => boolean
  /** The end of the log. */
  readonly ended: Effect.Effect<void, RequestError>
}

/** The connection lives as long as the scope, and is not opened before somebody reads. */
export const make = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  id: OperationId,
  window: number = defaultWindow
): Effect.fn.Return<SharedLog, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const kept: Array<{ readonly events: Chunk.Chunk<InstanceEvent>; readonly size: number }> = []
  /** How many chunks came before those that are kept. */
  let dropped = 0
  let size = 0
  let last: number | undefined
  let running = false
  let end: Exit.Exit<void, RequestError> | undefined
  let news = yield* Deferred.make<void>()

  const wake = Effect.flatMap(Deferred.make<void>(), (next) => {
    const waiting = news
    news = next
    return Deferred.succeed(waiting, undefined)
  })

  const append = (events: Chunk.Chunk<InstanceEvent>) => {
    if (Chunk.isEmpty(events)) return Effect.void
    const entry = { events, size: sizeOf(events) }
    last = Chunk.unsafeLast(events).id
    kept.push(entry)
    size += entry.size
    while (size > window && kept.length > 1) {
      size -= kept.shift()?.size ?? 0
      dropped++
    }
    return wake
  }

  const start = Effect.suspend(() => {
    if (running || (end !== undefined && Exit.isSuccess(end))) return Effect.void
    running = true
    end = undefined
    return Following.events(client, id, { follow: true, since: last }).pipe(
      Stream.runForEachChunk(append),
      Effect.exit,
      Effect.flatMap((exit) => {
        running = false
        end = exit
        return wake
      }),
      Effect.forkIn(scope),
      Effect.asVoid
    )
  })

  const reader = Stream.suspend(() => {
    let next = 0
    let seen: number | undefined
    let outrun = false
    const pull: Effect.Effect<Chunk.Chunk<InstanceEvent>, Option.Option<RequestError>> = Effect.suspend(() => {
      if (next < dropped) {
        outrun = true
        return Effect.fail(Option.none())
      }
      const entry = kept[next - dropped]
      if (entry !== undefined) {
        next++
        seen = Chunk.unsafeLast(entry.events).id
        return Effect.succeed(entry.events)
      }
      if (end === undefined) return Effect.zipRight(Deferred.await(news), pull)
      return Effect.matchEffect(end, {
        onFailure: (error) => Effect.fail(Option.some(error)),
        onSuccess: () => Effect.fail(Option.none())
      })
    })
    return Stream.concat(
      Stream.repeatEffectChunkOption(pull),
      Stream.suspend(() => (outrun ? Following.events(client, id, { follow: true, since: seen }) : Stream.empty))
    )
  })

  const ended: Effect.Effect<void, RequestError> = Effect.suspend(() =>
    end === undefined ? Effect.zipRight(Deferred.await(news), ended) : end
  )

  return {
    events: Stream.unwrap(Effect.as(start, reader)),
    isRead: () => running || end !== undefined,
    isOver: () => end !== undefined && Exit.isSuccess(end),
    ended
  }
})
