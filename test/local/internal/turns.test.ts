import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Turns from "../../../src/local/internal/turns.js"

describe("turns", () => {
  it.effect("come in the order of asking, and one that is no longer wanted goes to the next", () =>
    Effect.gen(function* () {
      const turns = Turns.make(2)
      const order: Array<number> = []
      const ask = (index: number) =>
        Effect.zipRight(
          turns.take,
          Effect.sync(() => order.push(index))
        ).pipe(Effect.fork, Effect.tap(Effect.yieldNow()))
      const waiting = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, index) => index),
        ask
      )
      yield* Effect.yieldNow()
      assert.deepStrictEqual(order, [0, 1])
      for (const fiber of waiting.filter((_, index) => index % 3 === 2)) yield* Fiber.interrupt(fiber)
      for (let given = 0; given < 70; given++) {
        yield* turns.giveBack
        yield* Effect.yieldNow()
      }
      assert.deepStrictEqual(
        order,
        Array.from({ length: 100 }, (_, index) => index).filter((index) => index % 3 !== 2)
      )
    })
  )

  it.effect("are not lost when whoever has just got one is interrupted", () =>
    Effect.gen(function* () {
      const turns = Turns.make(1)
      yield* turns.take
      const waiting = yield* Effect.fork(turns.take)
      yield* Effect.yieldNow()
      yield* Effect.zipRight(turns.giveBack, Fiber.interruptFork(waiting))
      const exit = yield* Fiber.await(waiting)
      if (exit._tag === "Success") yield* turns.giveBack
      yield* turns.take
    })
  )
})
