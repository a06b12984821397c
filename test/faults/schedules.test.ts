/**
 * A random program over the client against a service that fails at random, over and over.
 *
 * `CONTREE_FAULT_SEED` is the first seed, `CONTREE_FAULT_COUNT` how many schedules are run, each with the next seed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, Console, Effect } from "effect"
import { clients, type Outcome, schedule } from "./program.js"

const settings = Config.all({
  first: Config.withDefault(Config.integer("CONTREE_FAULT_SEED"), 1),
  count: Config.withDefault(Config.integer("CONTREE_FAULT_COUNT"), 1000)
})

const atOnce = 16

const sum = (outcomes: ReadonlyArray<Outcome>, of: (outcome: Outcome) => number): number =>
  outcomes.reduce((total, outcome) => total + of(outcome), 0)

describe("A client of a service that fails", () => {
  it.live(
    "starts nothing twice, loses no event, tells each fault by its error and leaves nothing running",
    () =>
      Effect.gen(function* () {
        const { count, first } = yield* settings
        const made = yield* clients
        const outcomes = yield* Effect.forEach(
          Array.from({ length: count }, (_, index) => first + index),
          schedule(made),
          { concurrency: atOnce }
        )
        yield* Console.log(
          `${count} schedules from seed ${first}: ${sum(outcomes, ({ requests }) => requests)} requests, ` +
            `${sum(outcomes, ({ faults }) => faults)} of them with a fault; ` +
            `${sum(outcomes, ({ failures }) => failures)} parts failed, ` +
            `${sum(outcomes, ({ interrupted }) => interrupted)} were interrupted`
        )
        assert.deepStrictEqual(
          outcomes.flatMap(({ wrong }) => wrong),
          []
        )
      }).pipe(Effect.scoped),
    600_000
  )
})
