/**
 * Several works side by side, of which the first that wins ends the others.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"

export interface Outcome<A, E> {
  /** One exit for each work; what was cancelled, or never started, was interrupted. */
  readonly exits: ReadonlyArray<Exit.Exit<A, E>>
  /** The work that won. */
  readonly winner: Option.Option<{ readonly index: number; readonly value: A }>
}

/**
 * Does all works, as many at a time as `concurrency` says, until one wins or all are over. What still runs then is
 * interrupted, and has ended when the effect ends.
 */
export const untilWon = <A, E, R>(
  works: ReadonlyArray<Effect.Effect<A, E, R>>,
  options: { readonly concurrency: number | "unbounded"; readonly wins: (value: A) => boolean }
): Effect.Effect<Outcome<A, E>, never, R> =>
  Effect.gen(function* () {
    const exits: Array<Exit.Exit<A, E>> = works.map(() => Exit.interrupt(FiberId.none))
    const won = yield* Deferred.make<{ readonly index: number; readonly value: A }>()
    const all = Effect.forEach(
      works,
      (work, index) =>
        work.pipe(
          Effect.onExit((exit) =>
            Effect.suspend(() => {
              exits[index] = exit
              return Exit.isSuccess(exit) && options.wins(exit.value)
                ? Deferred.succeed(won, { index, value: exit.value })
                : Effect.void
            })
          ),
          Effect.exit
        ),
      { concurrency: options.concurrency, discard: true }
    )
    yield* Effect.raceFirst(all, Deferred.await(won))
    const winner = yield* Deferred.isDone(won).pipe(
      Effect.flatMap((done) => (done ? Effect.asSome(Deferred.await(won)) : Effect.succeedNone))
    )
    return { exits, winner }
  })

/** The work of the highest score, the earlier one of equals. A score that is not a number never wins. */
export const best = <A, E>(
  exits: ReadonlyArray<Exit.Exit<A, E>>,
  score: (value: A) => number
): Outcome<A, E>["winner"] => {
  let winner: Outcome<A, E>["winner"] = Option.none()
  let highest = Number.NEGATIVE_INFINITY
  exits.forEach((exit, index) => {
    if (!Exit.isSuccess(exit)) return
    const scored = score(exit.value)
    if (Option.isSome(winner) ? scored > highest : !Number.isNaN(scored)) {
      winner = Option.some({ index, value: exit.value })
      highest = scored
    }
  })
  return winner
}
