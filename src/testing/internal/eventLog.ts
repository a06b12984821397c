/** The event log of an instance: what has happened, and what happens while somebody follows it. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { InstanceEvent } from "../../api/Events.js"

type WithoutPlace<E> = E extends InstanceEvent ? Omit<E, "id" | "at"> : never

/** An event before it has its number and its time. */
export type Happening = WithoutPlace<InstanceEvent>

/** Which events are wanted: those after an id, of which the last that was read wins; those about a process and the end. */
export interface Wanted {
  readonly follow?: boolean | undefined
  readonly since?: number | undefined
  readonly lastEventId?: number | undefined
  readonly spid?: number | undefined
}

export interface EventLog {
  readonly append: (happening: Happening) => Effect.Effect<void>
  readonly events: (wanted: Wanted) => Stream.Stream<InstanceEvent>
}

const isLast = (event: InstanceEvent): boolean => event._tag === "Completion"

export const make: Effect.Effect<EventLog> = Effect.gen(function* () {
  const log = yield* SubscriptionRef.make(Chunk.empty<InstanceEvent>())
  const wanted =
    ({ lastEventId, since, spid }: Wanted) =>
    (event: InstanceEvent): boolean =>
      event.id > (lastEventId ?? since ?? -1) && (spid === undefined || event.spid === undefined || event.spid === spid)

  const following: Stream.Stream<InstanceEvent> = Stream.suspend(() => {
    let given = 0
    return log.changes.pipe(
      Stream.mapConcatChunk((events) => {
        const fresh = Chunk.drop(events, given)
        given = events.length
        return fresh
      }),
      Stream.takeUntil(isLast)
    )
  })

  return {
    append: (happening) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        SubscriptionRef.update(log, (events) =>
          // Nothing happens after the end.
          Option.exists(Chunk.last(events), isLast)
            ? events
            : Chunk.append(events, { ...happening, id: events.length, at: DateTime.unsafeMake(now) } as InstanceEvent)
        )
      ),
    events: (options) =>
      (options.follow === true
        ? following
        : Stream.unwrap(Effect.map(SubscriptionRef.get(log), Stream.fromChunk))
      ).pipe(Stream.filter(wanted(options)))
  }
})
