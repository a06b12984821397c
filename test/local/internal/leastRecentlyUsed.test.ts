import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Ref, Scope } from "effect"
import * as LeastRecentlyUsed from "../../../src/local/internal/leastRecentlyUsed.js"

/** A cache of two, and what was acquired and released in it. */
const cache = Effect.gen(function* () {
  const log = yield* Ref.make<ReadonlyArray<string>>([])
  const say = (line: string) => Ref.update(log, (lines) => [...lines, line])
  const entries = yield* LeastRecentlyUsed.make({
    capacity: 2,
    hash: (key: string) => key,
    lookup: (key) =>
      Effect.as(
        Effect.acquireRelease(say(`+${key}`), () => say(`-${key}`)),
        key.toUpperCase()
      )
  })
  const settled = Effect.zipRight(
    Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow()),
    Ref.get(log)
  )
  return { ...entries, log: settled }
})

describe("resources that are kept for the next user", () => {
  it.scoped("are shared, and the least recently used of the idle ones go", () =>
    Effect.gen(function* () {
      const { get, log } = yield* cache
      for (const key of ["a", "b", "a", "c"]) assert.strictEqual(yield* Effect.scoped(get(key)), key.toUpperCase())
      assert.deepStrictEqual(yield* log, ["+a", "+b", "+c", "-b"])
    })
  )

  it.scoped("are never released while someone uses them", () =>
    Effect.gen(function* () {
      const { get, log } = yield* cache
      const scope = yield* Scope.make()
      for (const key of ["a", "b", "c"]) yield* Scope.extend(get(key), scope)
      yield* Effect.scoped(get("a"))
      assert.deepStrictEqual(yield* log, ["+a", "+b", "+c"])
      yield* Scope.close(scope, Exit.void)
      assert.lengthOf(yield* log, 4)
    })
  )

  it.scoped("are acquired once for all who ask at the same time, and again after a failure", () =>
    Effect.gen(function* () {
      const attempts = yield* Ref.make(0)
      const open = yield* Deferred.make<void>()
      const { get } = yield* LeastRecentlyUsed.make({
        capacity: 2,
        hash: (key: string) => key,
        lookup: () =>
          Effect.flatMap(
            Ref.updateAndGet(attempts, (n) => n + 1),
            (n) => (n === 1 ? Effect.zipRight(Deferred.await(open), Effect.fail("not yet")) : Effect.succeed(n))
          )
      })
      const users = yield* Effect.forEach([1, 2, 3], () => Effect.fork(Effect.exit(Effect.scoped(get("k")))))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(open, undefined)
      for (const user of users) assert.deepStrictEqual(yield* Fiber.join(user), Exit.fail("not yet"))
      assert.strictEqual(yield* Effect.scoped(get("k")), 2)
    })
  )

  it.effect("are all released with the cache", () =>
    Effect.gen(function* () {
      const { log } = yield* Effect.scoped(
        Effect.tap(cache, ({ get }) => Effect.zipRight(Effect.scoped(get("a")), Effect.scoped(get("b"))))
      )
      assert.deepStrictEqual((yield* log).slice(2).sort(), ["-a", "-b"])
    })
  )
})
