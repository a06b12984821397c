/**
 * How many operations a client has running at once.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { Concurrency } from "../ContreeConfig.js"
import type { RequestError } from "../ContreeError.js"

/** Waits for a place and keeps it until the scope closes. */
export type Slot = Effect.Effect<void, RequestError, Scope.Scope>

const of = (semaphore: Effect.Semaphore): Slot =>
  Effect.uninterruptibleMask((restore) =>
    Effect.zipRight(
      restore(semaphore.take(1)),
      Effect.addFinalizer(() => semaphore.release(1))
    )
  )

/** A limit that the service names is looked up once, when the first place is asked for; none is no limit. */
export const slot = Effect.fnUntraced(function* (
  concurrency: Concurrency | undefined,
  limitOfServer: Effect.Effect<number | undefined, RequestError>
): Effect.fn.Return<Slot> {
  if (concurrency === undefined) return Effect.void
  if (concurrency !== "server") return of(yield* Effect.makeSemaphore(Math.max(1, Math.floor(concurrency))))
  const known = yield* SynchronizedRef.make(Option.none<Slot>())
  const lookUp: Effect.Effect<Slot, RequestError> = Effect.flatMap(limitOfServer, (limit) =>
    limit === undefined || limit < 1 ? Effect.succeed(Effect.void) : Effect.map(Effect.makeSemaphore(limit), of)
  )
  return Effect.flatten(
    SynchronizedRef.modifyEffect(
      known,
      Option.match({
        onNone: () => Effect.map(lookUp, (slot): readonly [Slot, Option.Option<Slot>] => [slot, Option.some(slot)]),
        onSome: (slot) => Effect.succeed<readonly [Slot, Option.Option<Slot>]>([slot, Option.some(slot)])
      })
    )
  )
})
