/**
 * Work that is done once for a key, however many fibers ask for it at the same time, and whose result is kept.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

interface Flight<A, E> {
  readonly result: Deferred.Deferred<A, E>
  waiters: number
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
}

/** What a fiber gets, and whether it was its own effect that did the work. */
export type Outcome<A, E> = { readonly exit: Exit.Exit<A, E>; readonly own: boolean }

export interface SingleFlight<K, A, E> {
  /**
   * Gives the kept result of the key, joins the work that is under way for it, or does it.
   *
   * The work runs in a fiber of its own: it ends early only when everybody who waits for it is interrupted. A failure
   * goes to all who wait and is not kept.
   */
  readonly run: (key: K, work: Effect.Effect<A, E>) => Effect.Effect<Outcome<A, E>>
}

export const make = <K, A, E>(options: {
  readonly capacity: number
  readonly timeToLive: Duration.DurationInput
}): SingleFlight<K, A, E> => {
  const kept = new Map<K, { readonly value: A; readonly until: number }>()
  const flights = new Map<K, Flight<A, E>>()
  const timeToLive = Duration.toMillis(options.timeToLive)

  const keep = (key: K, value: A, now: number): void => {
    kept.delete(key)
    kept.set(key, { value, until: now + timeToLive })
    for (const oldest of kept.keys()) {
      if (kept.size <= options.capacity) break
      kept.delete(oldest)
    }
  }

  const land = (key: K, flight: Flight<A, E>): void => {
    if (flights.get(key) === flight) flights.delete(key)
  }

  const leave = (key: K, flight: Flight<A, E>): Effect.Effect<void> =>
    Effect.suspend(() => {
      flight.waiters--
      if (flight.waiters > 0 || flight.fiber === undefined) return Effect.void
      land(key, flight)
      return Fiber.interrupt(flight.fiber)
    })

  const start = (key: K, flight: Flight<A, E>, work: Effect.Effect<A, E>) =>
    Effect.interruptible(work).pipe(
      Effect.onExit((exit) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          land(key, flight)
          if (Exit.isSuccess(exit)) keep(key, exit.value, now)
          return Deferred.done(flight.result, exit)
        })
      ),
      Effect.forkDaemon,
      Effect.map((fiber) => {
        flight.fiber = fiber
      })
    )

  const run = (key: K, work: Effect.Effect<A, E>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const result = yield* Deferred.make<A, E>()
        // From here to the fork nothing else runs, so two fibers never start the same work.
        const known = kept.get(key)
        if (known !== undefined && known.until > now) return { exit: Exit.succeed(known.value), own: false }
        const joined = flights.get(key)
        const flight = joined ?? { result, waiters: 0, fiber: undefined }
        flight.waiters++
        if (joined === undefined) {
          flights.set(key, flight)
          yield* start(key, flight, work)
        }
        const exit = yield* restore(Effect.exit(Deferred.await(flight.result))).pipe(
          Effect.ensuring(leave(key, flight))
        )
        return { exit, own: joined === undefined }
      })
    )

  return { run }
}
