import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { within } from "../../src/internal/timeLimit.js"

const limited = <A, E>(effect: Effect.Effect<A, E>, seconds: number) =>
  within(effect, { limit: Duration.seconds(seconds), onTimeout: () => `over after ${seconds}` })

describe("a time limit", () => {
  it.effect("lets an effect succeed and fail that is done in time", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* limited(Effect.as(Effect.yieldNow(), 1), 5), 1)
      assert.strictEqual(yield* Effect.flip(limited(Effect.fail("own"), 5)), "own")
    })
  )

  it.effect("interrupts an effect that is not done in time, and not before", () =>
    Effect.gen(function* () {
      let interrupted = false
      const stuck = Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (interrupted = true)))
      const fiber = yield* Effect.fork(Effect.flip(limited(stuck, 5)))
      yield* TestClock.adjust("4999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "over after 5")
      assert.isTrue(interrupted)
    })
  )

  it.effect("holds for each of many, however they were begun", () =>
    Effect.gen(function* () {
      const seconds = [30, 5, 20, 10, 5]
      const fibers = yield* Effect.forEach(seconds, (seconds) =>
        Effect.fork(Effect.flip(limited(Effect.never, seconds)))
      )
      const over = Effect.map(
        Effect.forEach(fibers, (fiber) => Fiber.poll(fiber)),
        (exits) => exits.map(Option.isSome)
      )
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* over, [false, true, false, false, true])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* over, [false, true, false, true, true])
      // One that starts later is not late.
      const later = yield* Effect.fork(Effect.flip(limited(Effect.never, 1)))
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(yield* Fiber.join(later), "over after 1")
      yield* TestClock.adjust("19 seconds")
      assert.deepStrictEqual(
        yield* Fiber.join(Fiber.all(fibers)),
        seconds.map((seconds) => `over after ${seconds}`)
      )
    })
  )

  it.effect("interrupts the effect with its caller, and waits for its end", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const steps: Array<string> = []
      const effect = Effect.onInterrupt(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never), () =>
        Effect.zipRight(
          Effect.yieldNow(),
          Effect.sync(() => void steps.push("ended"))
        )
      )
      const fiber = yield* Effect.fork(limited(effect, 5))
      yield* Deferred.await(begun)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(steps, ["ended"])
    })
  )

  it.effect("leaves no fiber behind it", () =>
    Effect.gen(function* () {
      const awake = Effect.map(
        Effect.flatMap(
          Fiber.roots,
          Effect.forEach((root) => Fiber.poll(root))
        ),
        (exits) => exits.filter(Option.isNone).length
      )
      const before = yield* awake
      for (let round = 0; round < 3; round++) yield* limited(Effect.yieldNow(), 5)
      yield* Effect.exit(limited(Effect.fail("own"), 5))
      const fiber = yield* Effect.fork(limited(Effect.never, 5))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      yield* Effect.yieldNow()
      assert.strictEqual(yield* awake, before)
    })
  )
})
