/** Time as the samples have it: milliseconds of wall-clock time. */
import { Clock, Effect } from "effect"

/** The result of an effect and how many milliseconds it took. */
export const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const begun = yield* Clock.currentTimeNanos
    const result = yield* effect
    return { result, millis: Number((yield* Clock.currentTimeNanos) - begun) / 1e6 }
  })
