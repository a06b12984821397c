import { Effect } from "effect"

/** Makes a call so many times, and gives how often it gave what it should. */
export const times = <E, R>(
  count: number,
  concurrency: number,
  call: Effect.Effect<boolean, E, R>
): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let left = count
    let done = 0
    const worker = Effect.whileLoop({
      while: () => left-- > 0,
      body: () => call,
      step: (right) => {
        if (right) done++
      }
    })
    return Effect.map(
      Effect.all(
        Array.from({ length: concurrency }, () => worker),
        { concurrency: "unbounded", discard: true }
      ),
      () => done
    )
  })
