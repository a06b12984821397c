import { Effect, type ManagedRuntime } from "effect"
import { requestCount } from "./sizes.js"

/** Makes a call so many times, and gives how often it gave what it should. */
const times = <E, R>(
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

/** The calls of the workloads by a way that gives the operation of each. */
export const calls = <R, E, E1, E2>(
  runtime: ManagedRuntime.ManagedRuntime<R, E>,
  operation: string,
  { get, spawn }: { readonly get: Effect.Effect<string, E1, R>; readonly spawn: Effect.Effect<string, E2, R> }
) => {
  const repeated = (count: number, concurrency: number, call: Effect.Effect<string, E1 | E2, R>) => () =>
    runtime.runPromise(
      times(
        count,
        concurrency,
        Effect.map(call, (id) => id === operation)
      )
    )
  return {
    get1: repeated(requestCount, 1, get),
    get64: repeated(requestCount * 2, 64, get),
    spawn1: repeated(requestCount, 1, spawn),
    spawn64: repeated(requestCount * 2, 64, spawn)
  }
}
