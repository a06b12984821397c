import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, FastCheck, Random, Schedule } from "effect"
import * as WaitPolicy from "../src/WaitPolicy.js"

/** The first pauses of a schedule in milliseconds. */
const pauses = (schedule: Schedule.Schedule<unknown>, count: number) =>
  Schedule.run(Schedule.delays(schedule), 0, Array.from({ length: count })).pipe(
    Effect.map((delays) => Chunk.toReadonlyArray(delays).map(Duration.toMillis))
  )

/** Jitter takes at most a fifth away and adds at most a fifth. */
const around = (actual: number, expected: number) => {
  assert.isAtLeast(actual, expected * 0.8 - 1)
  assert.isAtMost(actual, expected * 1.2 + 1)
}

describe("WaitPolicy.growing", () => {
  it.effect("grows by the factor up to the cap, give or take a fifth", () =>
    Effect.gen(function* () {
      const actual = yield* pauses(WaitPolicy.growing({ first: "1 second", factor: 2, cap: "5 seconds" }), 5)
      for (const [index, expected] of [1000, 2000, 4000, 5000, 5000].entries()) around(actual[index] ?? 0, expected)
    })
  )

  it.effect("grows by half where no factor is given", () =>
    Effect.gen(function* () {
      const actual = yield* pauses(WaitPolicy.growing({ first: "1 second", cap: "1 hour" }), 3)
      for (const [index, expected] of [1000, 1500, 2250].entries()) around(actual[index] ?? 0, expected)
    })
  )

  it.effect("starts at the cap when that is the shorter one", () =>
    Effect.gen(function* () {
      const [first] = yield* pauses(WaitPolicy.growing({ first: "1 minute", cap: "1 second" }), 1)
      around(first ?? 0, 1000)
    })
  )

  it.effect.prop(
    "pauses differ between programs that started together, and never end",
    [FastCheck.integer({ min: 1, max: 1000 })],
    ([seed]) =>
      Effect.gen(function* () {
        const schedule = WaitPolicy.growing({ first: "20 millis", cap: "5 seconds" })
        const one = yield* pauses(schedule, 60).pipe(Effect.withRandom(Random.make(`one${seed}`)))
        const other = yield* pauses(schedule, 60).pipe(Effect.withRandom(Random.make(`other${seed}`)))
        assert.lengthOf(one, 60)
        assert.notDeepEqual(one, other)
        assert.isAtMost(Math.max(...one, ...other), 6000)
      }),
    { fastCheck: { numRuns: 20 } }
  )
})

describe("WaitPolicy.defaultPolicy", () => {
  it.effect("looks soon at first and every five seconds in the end, for twenty minutes", () =>
    Effect.gen(function* () {
      const actual = yield* pauses(WaitPolicy.defaultPolicy.schedule, 30)
      around(actual[0] ?? 0, 20)
      around(actual[29] ?? 0, 5000)
      assert.strictEqual(Duration.toMinutes(WaitPolicy.defaultPolicy.deadline), 20)
    })
  )
})
