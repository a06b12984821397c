import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Deferred, Duration, Effect, Exit, Fiber, type Layer, Option, Schedule, Stream, TestClock } from "effect"
import type { ContreeClient } from "../src/ContreeClient.js"
import * as Image from "../src/Image.js"
import * as Operation from "../src/Operation.js"
import * as RetryPolicy from "../src/RetryPolicy.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, operationId } from "./fixtures/ScriptedService.js"

const poll = `GET /v1/operations/${operationId}`
const cancel = `DELETE /v1/operations/${operationId}`
const cancelled = { [cancel]: Scripted.empty(202) }
const started = () => Scripted.json({ uuid: operationId }, 201)
const executing = Scripted.json(Scripted.operation("EXECUTING"))
const result = {
  resources: { elapsed_time: 1 },
  state: { exit_code: 0, signal: -1, timed_out: false },
  stdout: { value: "", encoding: "ascii" },
  stderr: { value: "", encoding: "ascii" }
}
const success = Scripted.json(
  Scripted.operation("SUCCESS", { metadata: { result }, result: { image: image.id, tag: null } })
)

const seconds = (requests: ReadonlyArray<Scripted.Request>) => requests.map(({ at }) => at / 1000)

/** Starts an effect in the background; its end is awaited with `Fiber.await`. */
const background = <A, E>(effect: Effect.Effect<A, E, ContreeClient>, layer: Layer.Layer<ContreeClient>) =>
  Effect.fork(effect.pipe(Effect.provide(layer)))

/** The failure of a fiber that is over by now. */
const failureOf = <A, E>(fiber: Fiber.RuntimeFiber<A, E>) => Effect.flip(Fiber.join(fiber))

describe("waiting for an operation", () => {
  it.effect("looks at once and then as the policy says, until it is over", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: [executing, executing, executing, executing, success] })
      const fiber = yield* background(
        Operation.wait(operationId, { schedule: Schedule.exponential("1 second"), deadline: "1 hour" }),
        service.layer()
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).status, "SUCCESS")
      deepStrictEqual(seconds(service.requests), [0, 1, 3, 7, 15])
    })
  )

  it.effect("uses the client's policy where none is given", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: [executing, executing, success] })
      const wait = { schedule: Schedule.spaced("10 seconds"), deadline: "1 hour" } as const
      const fiber = yield* background(Operation.wait(operationId), service.layer({ wait }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).status, "SUCCESS")
      deepStrictEqual(seconds(service.requests), [0, 10, 20])
    })
  )

  it.effect("waits as long as the server asks when that is longer than the policy's pause", () =>
    Effect.gen(function* () {
      const asking = (retryAfter: string) =>
        Scripted.json(Scripted.operation("EXECUTING"), 200, { "retry-after": retryAfter })
      const service = Scripted.make({ [poll]: [asking("5"), asking("0"), executing, success] })
      const fiber = yield* background(Operation.wait(operationId), service.layer())
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      deepStrictEqual(seconds(service.requests), [0, 5, 6, 7])
    })
  )

  it.effect("lets the server keep its answer back, for less than the client waits for one", () =>
    Effect.gen(function* () {
      for (const [requestTimeout, prefer] of [
        [undefined, "wait=20"],
        ["10 seconds", "wait=5"],
        [Duration.infinity, "wait=20"],
        ["1900 millis", undefined]
      ] as const) {
        const service = Scripted.make({ [poll]: success })
        yield* Operation.wait(operationId).pipe(Effect.provide(service.layer({ requestTimeout })))
        yield* Operation.get(operationId).pipe(Effect.provide(service.layer({ requestTimeout })))
        deepStrictEqual(
          service.requests.map(({ headers }) => headers["prefer"]),
          [prefer, undefined]
        )
      }
    })
  )

  it.effect("goes on through states that this version does not know", () =>
    Effect.gen(function* () {
      const states = ["PENDING", "ASSIGNED", "HIBERNATING", "EXECUTING"]
      const service = Scripted.make({
        [poll]: [...states.map((status) => Scripted.json(Scripted.operation(status))), success]
      })
      const fiber = yield* background(Operation.wait(operationId), service.layer())
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).status, "SUCCESS")
      assert.lengthOf(service.requests, 5)
    })
  )

  it.effect("goes on when one look is answered by a passing fault", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [poll]: [executing, Scripted.failure(502), Scripted.broken("ECONNRESET"), success]
      })
      const fiber = yield* background(
        Operation.wait(operationId),
        service.layer({ retry: { schedule: Schedule.spaced("100 millis") } })
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).status, "SUCCESS")
      deepStrictEqual(seconds(service.requests), [0, 1, 1.1, 1.2])
    })
  )

  it.effect("fails with the server's words when the operation failed, and cancels nothing", () =>
    Effect.gen(function* () {
      for (const [error, says] of [
        ["the registry answered 401", "the registry answered 401"],
        [null, `Operation ${operationId} failed; the server gave no reason`]
      ] as const) {
        const service = Scripted.make({
          [poll]: Scripted.json(Scripted.operation("FAILED", { error, kind: "image_import" }))
        })
        const failure = yield* Effect.flip(Operation.wait(operationId)).pipe(Effect.provide(service.layer()))
        assert.strictEqual(failure._tag, "OperationFailed")
        if (failure._tag === "OperationFailed") {
          assert.strictEqual(failure.detail, says)
          deepStrictEqual([failure.operationId, failure.kind], [operationId, "image_import"])
          deepStrictEqual(failure.request, { method: "GET", path: `/v1/operations/${operationId}` })
        }
        deepStrictEqual(service.log(), [poll])
      }
    })
  )

  it.effect("fails when somebody cancelled the operation, and cancels nothing", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: [executing, Scripted.json(Scripted.operation("CANCELLED"))] })
      const fiber = yield* background(Operation.wait(operationId), service.layer())
      yield* TestClock.adjust("1 second")
      const failure = yield* failureOf(fiber)
      assert.strictEqual(failure._tag, "OperationCancelled")
      assert.include(failure.message, operationId)
      deepStrictEqual(service.log(), [poll, poll])
    })
  )

  it.effect("ends at the deadline and cancels the operation once", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: executing, ...cancelled })
      const fiber = yield* background(
        Operation.wait(operationId, { schedule: Schedule.spaced("4 seconds"), deadline: "10 seconds" }),
        service.layer()
      )
      yield* TestClock.adjust("1 minute")
      const failure = yield* failureOf(fiber)
      assert.strictEqual(failure._tag, "TimedOut")
      if (failure._tag === "TimedOut") {
        deepStrictEqual([failure.limit, failure.operationId], ["wait", operationId])
        deepStrictEqual(failure.after, Duration.seconds(10))
        assert.include(failure.message, "it was cancelled")
      }
      // The look before the last asks for what the command has written.
      deepStrictEqual(service.log(), [poll, poll, poll, poll, cancel])
      deepStrictEqual(service.requests[3]?.query, { inflight: "1" })
      deepStrictEqual(seconds(service.requests), [0, 4, 8, 10, 10])
    })
  )

  it.effect("ends at the deadline also while a look has no answer", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: Scripted.silence, ...cancelled })
      const fiber = yield* background(
        Operation.wait(operationId, { schedule: Schedule.spaced("1 second"), deadline: "10 seconds" }),
        service.layer()
      )
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual((yield* failureOf(fiber))._tag, "TimedOut")
      deepStrictEqual(service.log(), [poll, poll, cancel])
      deepStrictEqual(seconds(service.requests), [0, 10, 15])
    })
  )

  it.effect("ends with the schedule as at the deadline", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: executing, ...cancelled })
      const fiber = yield* background(
        Operation.wait(operationId, {
          schedule: Schedule.intersect(Schedule.spaced("3 seconds"), Schedule.recurs(2)),
          deadline: "1 hour"
        }),
        service.layer()
      )
      yield* TestClock.adjust("1 minute")
      const failure = yield* failureOf(fiber)
      assert.strictEqual(failure._tag, "TimedOut")
      if (failure._tag === "TimedOut") deepStrictEqual(failure.after, Duration.seconds(6))
      deepStrictEqual(service.log(), [poll, poll, poll, poll, cancel])
    })
  )

  it.effect("cancels once when the service stays out of reach", () =>
    Effect.gen(function* () {
      for (const reply of [Scripted.broken("ECONNREFUSED"), Scripted.failure(503)]) {
        const service = Scripted.make({ [poll]: [executing, reply], ...cancelled })
        const fiber = yield* background(Operation.wait(operationId), service.layer())
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* failureOf(fiber))._tag, "Unavailable")
        deepStrictEqual(service.log(), [poll, poll, cancel])
      }
    })
  )

  it.effect("keeps its own failure when the cancelling fails too", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: Scripted.failure(403), [cancel]: Scripted.broken("ECONNREFUSED") })
      const failure = yield* Effect.flip(Operation.wait(operationId)).pipe(Effect.provide(service.layer()))
      assert.strictEqual(failure._tag, "Forbidden")
      deepStrictEqual(service.log(), [poll, cancel])
    })
  )

  it.effect("cancels once when the fiber is interrupted, and the interruption waits for it", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: executing, ...cancelled })
      const fiber = yield* background(Operation.wait(operationId), service.layer())
      yield* TestClock.adjust("2500 millis")
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      deepStrictEqual(service.log(), [poll, poll, poll, cancel])
    })
  )

  it.effect("cancels once when the fiber is interrupted while a look has no answer", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: Scripted.silence, ...cancelled })
      const fiber = yield* background(Operation.wait(operationId), service.layer())
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      deepStrictEqual(service.log(), [poll, cancel])
    })
  )

  it.effect("lets an interrupted fiber go when the cancelling has no answer for ten seconds", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [poll]: executing, [cancel]: Scripted.silence })
      const fiber = yield* background(Operation.wait(operationId), service.layer())
      yield* TestClock.adjust("500 millis")
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interruption)))
    })
  )
})

describe("starting an operation", () => {
  const bringIn = Image.importFrom("docker://busybox")
  const post = "POST /v1/images/import"

  it.effect("and being interrupted before the answer waits for it and cancels what it started, once", () =>
    Effect.gen(function* () {
      const answer = yield* Deferred.make<Response>()
      const service = Scripted.make({ [post]: Deferred.await(answer), ...cancelled })
      const fiber = yield* background(bringIn, service.layer())
      yield* TestClock.adjust("1 second")
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("3 seconds")
      deepStrictEqual(service.log(), [post])
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* Deferred.succeed(answer, started())
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interruption)))
      deepStrictEqual(service.log(), [post, cancel])
    })
  )

  it.effect("and being interrupted before an answer that never comes lets the fiber go after ten seconds", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [post]: Scripted.silence })
      const fiber = yield* background(bringIn, service.layer())
      yield* TestClock.adjust("1 second")
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interruption)))
      deepStrictEqual(service.log(), [post])
    })
  )

  it.effect("and being interrupted before a refusal cancels nothing", () =>
    Effect.gen(function* () {
      const answer = yield* Deferred.make<Response>()
      const service = Scripted.make({ [post]: Deferred.await(answer) })
      const fiber = yield* background(bringIn, service.layer())
      yield* TestClock.adjust("1 second")
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("1 second")
      yield* Deferred.succeed(answer, Scripted.failure(403))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interruption)))
      deepStrictEqual(service.log(), [post])
    })
  )

  it.effect("and being interrupted between two tries has nothing to cancel and starts nothing more", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [post]: Scripted.failure(429, "slow down", { "retry-after": "30" }) })
      const fiber = yield* background(bringIn, service.layer({ retry: RetryPolicy.defaultPolicy }))
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      yield* TestClock.adjust("10 minutes")
      deepStrictEqual(service.log(), [post])
    })
  )

  it.effect("and being interrupted while waiting for it cancels it once", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [post]: started(), [poll]: executing, ...cancelled })
      const fiber = yield* background(bringIn, service.layer())
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.interrupt(fiber)
      deepStrictEqual(service.log(), [post, poll, poll, cancel])
    })
  )

  it.effect("under a timeout of the program leaves nothing behind", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "POST /v1/instances": started(), [poll]: executing, ...cancelled })
      const fiber = yield* background(
        Image.run(image.id, "sleep 1000", { disposable: true }).pipe(Effect.timeoutOption("5 seconds")),
        service.layer()
      )
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.join(fiber)))
      assert.strictEqual(service.of(cancel).length, 1)
      assert.strictEqual(service.log().at(-1), cancel)
    })
  )

  it.effect("in a race cancels the losers only", () =>
    Effect.gen(function* () {
      const other = "2f0e6679-7425-40de-944b-e07fc1f90ae7"
      const service = Scripted.make({
        "POST /v1/instances": [started(), Scripted.json({ uuid: other }, 201)],
        [poll]: [executing, success],
        [`GET /v1/operations/${other}`]: Scripted.json({ ...Scripted.operation("EXECUTING"), uuid: other }),
        [`DELETE /v1/operations/${other}`]: Scripted.empty(202)
      })
      const run = (command: string) => Image.run(image.id, command, { disposable: true })
      const fiber = yield* background(Effect.raceAll([run("a"), run("b")]), service.layer())
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).operationId, operationId)
      deepStrictEqual(
        service.log().filter((line) => line.startsWith("DELETE")),
        [`DELETE /v1/operations/${other}`]
      )
    })
  )
})

describe("Operation.cancel", () => {
  it.effect("says whether there was something to cancel", () =>
    Effect.gen(function* () {
      const cancelWith = (reply: Scripted.Reply) =>
        Operation.cancel(operationId).pipe(Effect.provide(Scripted.make({ [cancel]: reply }).layer()))
      assert.isTrue(yield* cancelWith(Scripted.empty(202)))
      assert.isFalse(yield* cancelWith(Scripted.failure(409)))
      assert.strictEqual((yield* Effect.flip(cancelWith(Scripted.failure(404))))._tag, "NotFound")
    })
  )
})

describe("Operation.get", () => {
  it.effect("gives what is known of it, or NotFound with its path", () =>
    Effect.gen(function* () {
      const get = (reply: Scripted.Reply) =>
        Operation.get(operationId).pipe(Effect.provide(Scripted.make({ [poll]: reply }).layer()))
      assert.strictEqual((yield* get(executing)).status, "EXECUTING")
      const error = yield* Effect.flip(get(Scripted.failure(404)))
      assert.strictEqual(error._tag === "NotFound" ? error.what : "", `/v1/operations/${operationId}`)
    })
  )
})

describe("Operation.stream", () => {
  it.effect("gives the operations of a kind and state, page by page", () =>
    Effect.gen(function* () {
      const ids = [1, 2, 3].map((digit) => `${digit}f0e6679-7425-40de-944b-e07fc1f90ae7`)
      const rows = ids.map((uuid) => ({ ...Scripted.operation("EXECUTING"), uuid }))
      const service = Scripted.make({
        "GET /v1/operations": ({ query }) =>
          Scripted.json(rows.slice(Number(query["offset"]), Number(query["offset"]) + Number(query["limit"])))
      })
      const operations = yield* Operation.stream({ kind: "instance", status: "EXECUTING", since: "15 minutes" }).pipe(
        Stream.runCollect,
        Effect.provide(service.layer({ pageSize: 2 }))
      )
      deepStrictEqual(
        Chunk.toReadonlyArray(operations).map(({ id }): string => id),
        ids
      )
      const query = { kind: "instance", status: "EXECUTING", since: "900s", limit: "2" }
      deepStrictEqual(
        service.requests.map(({ query }) => query),
        [
          { ...query, offset: "0" },
          { ...query, offset: "2" }
        ]
      )
    })
  )
})

describe("Operation.isTerminal", () => {
  it("is true for the three states in which nothing changes any more", () => {
    const states = ["PENDING", "ASSIGNED", "EXECUTING", "SUCCESS", "FAILED", "CANCELLED", "HIBERNATING", "success"]
    deepStrictEqual(states.filter(Operation.isTerminal), ["SUCCESS", "FAILED", "CANCELLED"])
  })
})
