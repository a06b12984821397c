import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, TestClock } from "effect"
import * as SingleFlight from "../../src/internal/singleFlight.js"

const make = (capacity = 10) => SingleFlight.make<string, number, string>({ capacity, timeToLive: "1 minute" })

/** Work that counts how often it starts and ends early, and waits until it is let go. */
const work = Effect.gen(function* () {
  const gate = yield* Deferred.make<number, string>()
  const counts = { started: 0, interrupted: 0 }
  const effect = Effect.suspend(() => {
    counts.started++
    return Effect.onInterrupt(Deferred.await(gate), () => Effect.sync(() => counts.interrupted++))
  })
  return { gate, counts, effect }
})

const yieldAll = Effect.repeatN(Effect.yieldNow(), 20)

describe("work that is shared", () => {
  it.effect("is done once for all who ask at the same time", () =>
    Effect.gen(function* () {
      const flight = make()
      const { counts, effect, gate } = yield* work
      const fibers = yield* Effect.all(Array.from({ length: 50 }, () => Effect.fork(flight.run("a", effect))))
      yield* yieldAll
      yield* Deferred.succeed(gate, 7)
      const outcomes = yield* Effect.all(fibers.map((fiber) => Fiber.join(fiber)))
      assert.deepStrictEqual(
        outcomes.map(({ exit }) => exit),
        outcomes.map(() => Exit.succeed(7))
      )
      assert.lengthOf(
        outcomes.filter(({ own }) => own),
        1
      )
      assert.deepStrictEqual(counts, { started: 1, interrupted: 0 })
    })
  )

  it.effect("goes on when the one who started it is interrupted", () =>
    Effect.gen(function* () {
      const flight = make()
      const { counts, effect, gate } = yield* work
      const first = yield* Effect.fork(flight.run("a", effect))
      yield* yieldAll
      const second = yield* Effect.fork(flight.run("a", effect))
      yield* yieldAll
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(first)))
      yield* Deferred.succeed(gate, 7)
      assert.deepStrictEqual((yield* Fiber.join(second)).exit, Exit.succeed(7))
      assert.deepStrictEqual(counts, { started: 1, interrupted: 0 })
    })
  )

  it.effect("ends when nobody waits for it any more, and starts anew for the next", () =>
    Effect.gen(function* () {
      const flight = make()
      const { counts, effect, gate } = yield* work
      const fibers = yield* Effect.all([1, 2].map(() => Effect.fork(flight.run("a", effect))))
      yield* yieldAll
      yield* Effect.forEach(fibers, Fiber.interrupt)
      assert.deepStrictEqual(counts, { started: 1, interrupted: 1 })
      const next = yield* Effect.fork(flight.run("a", effect))
      yield* yieldAll
      yield* Deferred.succeed(gate, 7)
      assert.deepStrictEqual(yield* Fiber.join(next), { exit: Exit.succeed(7), own: true })
    })
  )

  it.effect("gives its failure to all who wait, and does not keep it", () =>
    Effect.gen(function* () {
      const flight = make()
      const { effect, gate } = yield* work
      const fibers = yield* Effect.all([1, 2].map(() => Effect.fork(flight.run("a", effect))))
      yield* yieldAll
      yield* Deferred.fail(gate, "no")
      for (const fiber of fibers) assert.deepStrictEqual((yield* Fiber.join(fiber)).exit, Exit.fail("no"))
      assert.deepStrictEqual((yield* flight.run("a", Effect.succeed(8))).exit, Exit.succeed(8))
    })
  )

  it.effect("is kept for its time, and the newest of them only", () =>
    Effect.gen(function* () {
      const flight = make(2)
      const run = (key: string, value: number) =>
        Effect.map(flight.run(key, Effect.succeed(value)), ({ exit }) => Exit.getOrElse(exit, () => -1))
      assert.strictEqual(yield* run("a", 1), 1)
      assert.strictEqual(yield* run("a", 2), 1)
      yield* run("b", 1)
      yield* run("c", 1)
      assert.strictEqual(yield* run("a", 3), 3)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* run("a", 4), 3)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* run("a", 5), 5)
    })
  )
})
