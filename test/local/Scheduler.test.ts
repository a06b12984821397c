import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, TestClock } from "effect"
import * as Scheduler from "../../src/local/Scheduler.js"

const options = { maxConcurrency: 1, maxImportConcurrency: 1 }

/** Work that notes when its turn comes and ends when it is told to. */
const worker = (scheduler: Scheduler.Scheduler.Service, order: Array<string>) => (project: string, name: string) =>
  Effect.gen(function* () {
    const ticket = yield* scheduler.enqueue("run", project)
    const done = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(
      ticket.turn.pipe(
        Effect.zipRight(Effect.sync(() => order.push(name))),
        Effect.zipRight(Deferred.await(done)),
        Effect.ensuring(ticket.leave)
      )
    )
    return { fiber, done: Effect.zipRight(Deferred.succeed(done, undefined), Fiber.await(fiber)) }
  })

describe("Scheduler", () => {
  it.effect("gives the places round in turn among projects, and in the order of asking within one", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const start = worker(Scheduler.make(options), order)
      const all = []
      for (const name of ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]) all.push(yield* start(name.slice(0, 1), name))
      yield* Effect.yieldNow()
      const finished = new Set<string>()
      for (let index = 0; index < all.length; index++) {
        const name = order[index]
        assert.isDefined(name)
        finished.add(name)
        const at = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"].indexOf(name)
        yield* all[at]?.done ?? Effect.void
        yield* Effect.yieldNow()
      }
      assert.deepStrictEqual(order, ["a1", "a2", "b1", "c1", "a3", "b2", "a4"])
      assert.strictEqual(finished.size, 7)
    })
  )

  it.effect("carries out as much at once as it has places, and imports beside runs", () =>
    Effect.gen(function* () {
      const scheduler = Scheduler.make({ maxConcurrency: 2, maxImportConcurrency: 1 })
      const runs = yield* Effect.replicateEffect(scheduler.enqueue("run", "p"), 5)
      yield* scheduler.enqueue("import", "p")
      yield* scheduler.enqueue("import", "p")
      assert.deepStrictEqual(yield* scheduler.load("run"), { working: 2, waiting: 3 })
      assert.deepStrictEqual(yield* scheduler.load("import"), { working: 1, waiting: 1 })
      for (const ticket of runs) yield* ticket.leave
      assert.deepStrictEqual(yield* scheduler.load("run"), { working: 0, waiting: 0 })
    })
  )

  it.effect("lets somebody leave the queue, more than once, and passes the turn on", () =>
    Effect.gen(function* () {
      const scheduler = Scheduler.make(options)
      const first = yield* scheduler.enqueue("run", "p")
      const second = yield* scheduler.enqueue("run", "p")
      const third = yield* scheduler.enqueue("run", "p")
      yield* second.leave
      yield* second.leave
      const waiting = yield* Effect.fork(third.turn)
      yield* Effect.yieldNow()
      yield* first.leave
      yield* first.leave
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* scheduler.load("run"), { working: 1, waiting: 0 })
      yield* third.leave
      assert.deepStrictEqual(yield* scheduler.load("run"), { working: 0, waiting: 0 })
    })
  )

  it.effect("a ticket that got its turn before it is waited for loses no time", () =>
    Effect.gen(function* () {
      const scheduler = Scheduler.make(options)
      const first = yield* scheduler.enqueue("run", "p")
      const second = yield* scheduler.enqueue("run", "p")
      yield* first.leave
      const waited = yield* Effect.fork(Effect.timeoutOption(second.turn, "1 second"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(waited))._tag, "Some")
    })
  )

  it.effect("refuses a project that has too much waiting, and no other one", () =>
    Effect.gen(function* () {
      const scheduler = Scheduler.make({ ...options, maxQueued: 2 })
      yield* Effect.replicateEffect(scheduler.enqueue("run", "loud"), 3)
      const refused = yield* Effect.flip(scheduler.enqueue("run", "loud"))
      assert.deepStrictEqual([refused.project, refused.limit, refused.retryAfterSeconds], ["loud", 2, 1])
      assert.include(refused.message, "maxQueued")
      const other = yield* scheduler.enqueue("run", "quiet")
      yield* other.leave
      // A free place is never refused: the import has one.
      yield* scheduler.enqueue("import", "loud")
    })
  )
})
