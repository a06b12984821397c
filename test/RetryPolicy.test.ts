import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Effect, Fiber, Option, Schedule, TestClock, TestContext } from "effect"
import { ContreeClient } from "../src/ContreeClient.js"
import type { RequestError } from "../src/ContreeError.js"
import * as ContreeError from "../src/ContreeError.js"
import * as Image from "../src/Image.js"
import * as RetryPolicy from "../src/RetryPolicy.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, operationId, record, tag } from "./fixtures/ScriptedService.js"

/** Three repetitions after 1, 2 and 4 seconds. */
const doubling: RetryPolicy.RetryPolicy = {
  schedule: Schedule.intersect(Schedule.exponential("1 second"), Schedule.recurs(3))
}

/** Runs an effect to its end on the test's clock and gives its exit and the times of the requests in seconds. */
const timed = <A, E>(
  service: Scripted.ScriptedService,
  effect: Effect.Effect<A, E, ContreeClient>,
  retry: RetryPolicy.RetryPolicy = doubling
) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(Effect.either(effect).pipe(Effect.provide(service.layer({ retry }))))
    yield* TestClock.adjust("10 minutes")
    return { result: yield* Fiber.join(fiber), seconds: service.requests.map(({ at }) => at / 1000) }
  })

const byId = Effect.flatMap(ContreeClient, ({ inspect }) => inspect.byId(image.id))
const setTag = Effect.flatMap(ContreeClient, ({ images }) => images.tag(image.id, tag))
const cancel = Effect.flatMap(ContreeClient, ({ operations }) => operations.cancel(operationId))

const routeOfGet = `GET /v1/inspect/${image.id}/`
const idempotent: ReadonlyArray<readonly [route: string, call: Effect.Effect<unknown, RequestError, ContreeClient>]> = [
  [routeOfGet, byId],
  [`PATCH /v1/images/${image.id}/tag`, setTag],
  [`DELETE /v1/operations/${operationId}`, cancel]
]

const passing: ReadonlyArray<readonly [string, Scripted.Reply]> = [
  ["425", Scripted.failure(425)],
  ["429", Scripted.failure(429)],
  ["502", Scripted.failure(502)],
  ["503", Scripted.failure(503)],
  ["504", Scripted.failure(504)],
  ["a refused connection", Scripted.broken("ECONNREFUSED")],
  ["a connection that was reset", Scripted.broken("ECONNRESET")]
]

const lasting = [400, 401, 403, 404, 409, 413, 418, 422, 500, 501, 507].map((status) => [status] as const)

describe("a request that only reads or sets", () => {
  it.effect.each(passing)("is repeated after %s as often and as late as the policy says", ([_what, reply]) =>
    Effect.gen(function* () {
      for (const [route, call] of idempotent) {
        const { result, seconds } = yield* timed(Scripted.make({ [route]: reply }), call)
        assert.strictEqual(result._tag, "Left")
        deepStrictEqual(
          seconds.map((second) => second - (seconds[0] ?? 0)),
          [0, 1, 3, 7]
        )
      }
    })
  )

  it.effect.each(lasting)("is not repeated after %d, which time does not change", ([status]) =>
    Effect.gen(function* () {
      for (const [route, call] of idempotent) {
        const { seconds } = yield* timed(Scripted.make({ [route]: Scripted.failure(status) }), call)
        assert.lengthOf(seconds, 1)
      }
    })
  )

  it.effect("is repeated when it has no answer in time", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [routeOfGet]: [Scripted.silence, Scripted.json(record())] })
      const { result, seconds } = yield* timed(service, byId)
      assert.strictEqual(result._tag, "Right")
      deepStrictEqual(seconds, [0, 61])
    })
  )

  it.effect("gives the first answer that comes", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [routeOfGet]: [Scripted.failure(503), Scripted.broken("ECONNRESET"), Scripted.json(record())]
      })
      const { result, seconds } = yield* timed(service, byId)
      assert.strictEqual(result._tag, "Right")
      deepStrictEqual(seconds, [0, 1, 3])
    })
  )

  it.effect("waits as long as the server asks when that is longer than the policy's pause", () =>
    Effect.gen(function* () {
      const reply = (retryAfter: string) => Scripted.failure(429, "slow down", { "retry-after": retryAfter })
      const service = Scripted.make({
        [routeOfGet]: [reply("30"), reply("1"), reply("Thu, 01 Jan 1970 00:01:00 GMT"), Scripted.json(record())]
      })
      const { result, seconds } = yield* timed(service, byId)
      assert.strictEqual(result._tag, "Right")
      deepStrictEqual(seconds, [0, 30, 32, 60])
    })
  )

  it.effect("is sent once under `never`, and six times under the default policy within half a minute", () =>
    Effect.gen(function* () {
      const script = { [routeOfGet]: Scripted.failure(503) }
      assert.lengthOf((yield* timed(Scripted.make(script), byId, RetryPolicy.never)).seconds, 1)
      const { seconds } = yield* timed(Scripted.make(script), byId, RetryPolicy.defaultPolicy)
      assert.lengthOf(seconds, 6)
      assert.isBelow((seconds[5] ?? 0) - (seconds[0] ?? 0), 30)
    })
  )
})

describe("a request that starts work", () => {
  const spawned = {
    [`GET /v1/operations/${operationId}`]: Scripted.json(
      Scripted.operation("SUCCESS", { result: { image: image.id, tag: null } })
    )
  }
  const bringIn = Image.importFrom("docker://busybox")

  it.effect("is repeated when the answer proves that nothing was started", () =>
    Effect.gen(function* () {
      for (const reply of [Scripted.failure(429), Scripted.failure(425), Scripted.broken("ECONNREFUSED")]) {
        const service = Scripted.make({
          "POST /v1/images/import": [reply, reply, Scripted.json({ uuid: operationId }, 201)],
          ...spawned
        })
        const { result, seconds } = yield* timed(service, bringIn)
        assert.strictEqual(result._tag, "Right")
        deepStrictEqual(
          seconds.map((second) => second - (seconds[0] ?? 0)),
          [0, 1, 3, 3]
        )
      }
    })
  )

  it.effect("waits as long as the server asks", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        "POST /v1/images/import": [
          Scripted.failure(429, "slow down", { "retry-after": "20" }),
          Scripted.json({ uuid: operationId }, 201)
        ],
        ...spawned
      })
      deepStrictEqual((yield* timed(service, bringIn)).seconds, [0, 20, 20])
    })
  )

  it.effect("gives up when the policy ends, and says that nothing was started", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "POST /v1/images/import": Scripted.failure(429) })
      const { result, seconds } = yield* timed(service, bringIn)
      assert.strictEqual(result._tag === "Left" ? result.left._tag : "", "RateLimited")
      assert.lengthOf(seconds, 4)
    })
  )

  const once = [500, 502, 503, 504].map((status) => [`${status}`, Scripted.failure(status)] as const)
  it.effect.each([
    ...once,
    ["a connection that was reset", Scripted.broken("ECONNRESET")] as const,
    ["no answer in time", Scripted.silence] as const
  ])("is sent exactly once when it ends with %s", ([_what, reply]) =>
    Effect.gen(function* () {
      const service = Scripted.make({ "POST /v1/images/import": reply })
      const { result, seconds } = yield* timed(service, bringIn)
      assert.strictEqual(result._tag, "Left")
      assert.lengthOf(seconds, 1)
    })
  )
})

describe("RetryPolicy.isSafe", () => {
  const fields = { detail: "d", suggestion: "s" }
  const rows: ReadonlyArray<readonly [ContreeError.ContreeError, get: boolean, post: boolean]> = [
    [new ContreeError.RateLimited({ ...fields, retryAfter: Option.none() }), true, true],
    [new ContreeError.Unavailable({ ...fields, retryAfter: Option.none() }), true, false],
    [new ContreeError.Unavailable({ ...fields, retryAfter: Option.none(), notStarted: true }), true, true],
    [new ContreeError.TimedOut({ ...fields, limit: "request", after: Duration.zero }), true, false],
    [new ContreeError.TimedOut({ ...fields, limit: "idle", after: Duration.zero }), true, false],
    [new ContreeError.TimedOut({ ...fields, limit: "wait", after: Duration.zero }), false, false],
    [new ContreeError.OutcomeUnknown(fields), false, false],
    [new ContreeError.NotFound({ ...fields, what: "x" }), false, false],
    [new ContreeError.Conflict(fields), false, false],
    [new ContreeError.OperationFailed({ ...fields, operationId: "x", kind: "instance" }), false, false]
  ]
  it("allows to repeat a reading after every passing fault, and a start only when nothing was started", () => {
    for (const [error, get, post] of rows) {
      assert.strictEqual(RetryPolicy.isSafe("GET", error), get, error._tag)
      assert.strictEqual(RetryPolicy.isSafe("PATCH", error), get, error._tag)
      assert.strictEqual(RetryPolicy.isSafe("DELETE", error), get, error._tag)
      assert.strictEqual(RetryPolicy.isSafe("POST", error), post, error._tag)
    }
  })
})

describe("a request that the server puts off", () => {
  const policy: RetryPolicy.RetryPolicy = {
    schedule: Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(2)),
    pushback: Schedule.intersect(Schedule.spaced("10 seconds"), Schedule.recurs(4))
  }

  it.effect("has pauses and a number of its own, apart from failures", () =>
    Effect.gen(function* () {
      for (const status of [425, 429]) {
        const off = Scripted.failure(status)
        const service = Scripted.make({
          [routeOfGet]: [
            off,
            off,
            Scripted.failure(503),
            off,
            Scripted.broken("ECONNRESET"),
            off,
            Scripted.json(record())
          ]
        })
        const { result, seconds } = yield* timed(service, byId, policy)
        assert.strictEqual(result._tag, "Right")
        deepStrictEqual(
          seconds.map((second) => second - (seconds[0] ?? 0)),
          [0, 10, 20, 21, 31, 32, 42]
        )
        const never = yield* timed(Scripted.make({ [routeOfGet]: off }), byId, policy)
        assert.lengthOf(never.seconds, 5)
      }
    })
  )

  it.effect("is sent again for two minutes by default, and then fails as it was put off", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [routeOfGet]: Scripted.failure(429) })
      const { result, seconds } = yield* timed(service, byId, RetryPolicy.defaultPolicy)
      assert.strictEqual(result._tag === "Left" ? result.left._tag : "", "RateLimited")
      const last = (seconds.at(-1) ?? 0) - (seconds[0] ?? 0)
      assert.isAbove(last, 90)
      assert.isBelow(last, 135)
    })
  )

  it.effect("takes nothing from the budget for failures", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [routeOfGet]: [Scripted.failure(429), Scripted.failure(425), Scripted.failure(503), Scripted.json(record())]
      })
      const { result } = yield* timed(service, byId, { ...doubling, budget: { burst: 1, perSecond: 0 } })
      assert.strictEqual(result._tag, "Right")
    })
  )
})

describe("the patience of a policy", () => {
  it.effect("ends where a server asks for a longer pause, and the error holds the time", () =>
    Effect.gen(function* () {
      for (const [status, patience, asked, requests] of [
        [429, undefined, "121", 1],
        [429, undefined, "120", 4],
        [503, undefined, "121", 1],
        [503, "1 second", "2", 1],
        [429, "1 hour", "Thu, 01 Jan 1970 00:04:00 GMT", 4]
      ] as const) {
        const service = Scripted.make({ [routeOfGet]: Scripted.failure(status, "later", { "retry-after": asked }) })
        const { result, seconds } = yield* timed(service, byId, { ...doubling, patience }).pipe(
          Effect.provide(TestContext.TestContext)
        )
        assert.lengthOf(seconds, requests, `${status} ${asked}`)
        if (result._tag === "Left" && requests === 1) {
          deepStrictEqual(ContreeError.retryAfter(result.left), Option.some(Duration.seconds(Number(asked))))
        }
      }
    })
  )
})

describe("the budget of a client", () => {
  it.effect("holds many fibers back from a server that fails", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [routeOfGet]: Scripted.failure(503) })
      const fiber = yield* Effect.forEach(Array.from({ length: 60 }), () => Effect.either(byId), {
        concurrency: "unbounded"
      }).pipe(
        Effect.provide(service.layer({ retry: { ...RetryPolicy.defaultPolicy, budget: { burst: 20, perSecond: 2 } } })),
        Effect.fork
      )
      yield* TestClock.adjust("1 minute")
      const results = yield* Fiber.join(fiber)
      assert.isTrue(results.every(({ _tag }) => _tag === "Left"))
      const last = (service.requests.at(-1)?.at ?? 0) / 1000
      // Without it there would be 360.
      assert.isAtLeast(service.requests.length, 80)
      assert.isAtMost(service.requests.length, 80 + 2 * last + 1)
    })
  )

  it.effect("is shared by every kind of request, and is that of one client", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [routeOfGet]: Scripted.failure(503),
        [`DELETE /v1/operations/${operationId}`]: Scripted.failure(503)
      })
      const retry = { ...doubling, budget: { burst: 2, perSecond: 0 } }
      const both = Effect.zipRight(Effect.flip(byId), Effect.flip(cancel))
      const first = yield* timed(service, both, retry)
      assert.lengthOf(first.seconds, 4)
      const second = yield* timed(service, both, retry)
      assert.lengthOf(second.seconds, 8)
    })
  )

  it.effect("refills with the time, up to its size", () =>
    Effect.gen(function* () {
      const budget = yield* RetryPolicy.makeBudget({ burst: 3, perSecond: 2 })
      const take = (times: number) => Effect.replicateEffect(budget.take, times)
      deepStrictEqual(yield* take(4), [true, true, true, false])
      yield* TestClock.adjust("499 millis")
      deepStrictEqual(yield* take(1), [false])
      yield* TestClock.adjust("1 millis")
      deepStrictEqual(yield* take(2), [true, false])
      yield* TestClock.adjust("1 hour")
      deepStrictEqual(yield* take(4), [true, true, true, false])
    })
  )

  it.effect("says nothing about requests that succeed", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [routeOfGet]: Scripted.json(record()) })
      const { result } = yield* timed(service, Effect.replicateEffect(byId, 50), {
        ...doubling,
        budget: { burst: 0, perSecond: 0 }
      })
      assert.strictEqual(result._tag, "Right")
    })
  )
})
