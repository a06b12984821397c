import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Effect, FastCheck as fc, Fiber, Schema, Stream, TestClock } from "effect"
import { OperationId } from "../src/api/Images.js"
import type { InstanceEvent } from "../src/InstanceEvent.js"
import * as Operation from "../src/Operation.js"
import * as Logs from "./fixtures/EventLogs.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { operationId } from "./fixtures/ScriptedService.js"

const get = `GET /v1/operations/${operationId}`
const events = `${get}/events`
const executing = Scripted.json(Scripted.operation("EXECUTING"))
const over = (status = "SUCCESS") => Scripted.json(Scripted.operation(status))

const lastId = (request: Scripted.Request): number => Number(request.headers["last-event-id"] ?? -1)

/** The log after the last event that the client has. */
const after = (request: Scripted.Request, log = Logs.sample) =>
  Logs.frames(log.filter(({ id }) => id > lastId(request)))

/** Follows the operation on the clock of the test, with an hour for its pauses. */
const follow = (
  scripts: Readonly<Record<string, Scripted.Script>>,
  options: Parameters<typeof Operation.events>[1] = { follow: true }
) =>
  Effect.gen(function* () {
    const service = Scripted.make(scripts)
    const fiber = yield* Effect.fork(
      Operation.events(operationId, options).pipe(
        Stream.runCollect,
        Effect.map(Chunk.toReadonlyArray),
        Effect.either,
        Effect.provide(service.layer())
      )
    )
    yield* TestClock.adjust("10 minutes")
    const result = yield* Fiber.join(fiber)
    return {
      service,
      ids: result._tag === "Right" ? ids(result.right) : [],
      error: result._tag === "Left" ? result.left : undefined,
      waited: service.of(events).map(({ at }) => at)
    }
  })

const idOf = (number: number) =>
  Schema.decodeSync(OperationId)(`1f0e6679-7425-40de-944b-${String(number).padStart(12, "0")}`)

/**
 * What is seen of each of many operations that run, all at once and on real time: the test's clock is slow where a
 * thousand fibers sleep, and a pause is a tenth of a second.
 */
const together = (scripts: ReadonlyArray<Scripted.Script>) => {
  const service = Scripted.make(
    Object.fromEntries(
      scripts.flatMap((script, number): ReadonlyArray<[string, Scripted.Script]> => [
        [`GET /v1/operations/${idOf(number)}`, () => Scripted.json(Scripted.operation("EXECUTING"))],
        [`GET /v1/operations/${idOf(number)}/events`, script]
      ])
    )
  )
  return Effect.forEach(
    scripts,
    (_, number) =>
      Effect.map(Stream.runCollect(Operation.events(idOf(number), { follow: true })), (events) =>
        ids(Chunk.toReadonlyArray(events))
      ),
    { concurrency: "unbounded" }
  ).pipe(Effect.provide(service.layer()))
}

const ids = (events: ReadonlyArray<InstanceEvent>) => events.map(({ id }) => id)
const all = Logs.sample.map(({ id }) => id)

describe("following an operation's events", () => {
  it.effect("gives all of them on one connection, and asks nothing more", () =>
    Effect.gen(function* () {
      const { ids, service } = yield* follow({ [events]: Logs.streamed([Logs.frames(Logs.sample)]) })
      deepStrictEqual(ids, all)
      deepStrictEqual(service.log(), [events])
      deepStrictEqual(service.requests[0]?.query, { follow: "1" })
      assert.strictEqual(service.requests[0]?.headers["accept"], "text/event-stream")
    })
  )

  it.effect("ends at the completion, also where the server keeps the connection", () =>
    Effect.gen(function* () {
      const { ids } = yield* follow({ [events]: () => Logs.streamed([Logs.frames(Logs.sample)], "stays open") })
      deepStrictEqual(ids, all)
    })
  )

  it.live("loses and repeats nothing wherever the connection breaks, at every byte", () =>
    Effect.gen(function* () {
      const log = [Logs.sample[2], Logs.sample[4], Logs.sample[6]].flatMap((event) => event ?? [])
      const text = Logs.frames(log)
      const cuts = Array.from({ length: new TextEncoder().encode(text).length + 1 }, (_, cut) => cut)
      const seen = yield* together(
        cuts.map(
          (cut): Scripted.Script =>
            (request, number) =>
              number === 1
                ? Logs.streamed([Logs.firstBytes(text, cut)], cut % 2 === 0 ? "ends" : "breaks")
                : Logs.streamed([after(request, log)])
        )
      )
      for (const events of seen) deepStrictEqual(events, [3, 8, 12])
    })
  )

  it.live("loses and repeats nothing over many breaks by a server that repeats what it has sent", () =>
    Effect.gen(function* () {
      const breaks = fc.array(fc.tuple(fc.nat(400), fc.nat(9), fc.boolean()), { maxLength: 4 })
      const seen = yield* together(
        fc.sample(breaks, { numRuns: 60, seed: 1 }).map((breaks): Scripted.Script => (request, number) => {
          const [bytes, back, breaking] = breaks[number - 1] ?? [1e6, 3, false]
          const text = Logs.frames(Logs.sample.filter(({ id }) => id > lastId(request) - back))
          return Logs.streamed([Logs.firstBytes(text, bytes)], breaking ? "breaks" : "ends")
        })
      )
      for (const events of seen) deepStrictEqual(events, all)
    })
  )

  it.effect("goes on after the last event, first soon and then every five seconds", () =>
    Effect.gen(function* () {
      const { ids, service, waited } = yield* follow({
        [get]: executing,
        [events]: (request, number) =>
          number < 12
            ? Logs.streamed([number === 1 ? Logs.frames(Logs.sample.slice(0, 2)) : ": keepalive\n\n"], "breaks")
            : Logs.streamed([after(request)])
      })
      deepStrictEqual(ids, all)
      deepStrictEqual(
        service.of(events).slice(1).map(lastId),
        Array.from({ length: 11 }, () => 2)
      )
      const pauses = waited.slice(1).map((at, index) => at - (waited[index] ?? 0))
      for (const [index, pause] of pauses.entries()) {
        const expected = Math.min(100 * 2 ** index, 5000)
        assert.isTrue(pause >= expected * 0.79 && pause <= expected * 1.21, `${pause} for ${expected}`)
      }
    })
  )

  it.effect("takes a connection on which nothing comes for a broken one", () =>
    Effect.gen(function* () {
      const { ids, waited } = yield* follow({
        [get]: executing,
        [events]: (request, number) =>
          number === 1
            ? Logs.streamed([Logs.frames(Logs.sample.slice(0, 3))], "stays open")
            : Logs.streamed([after(request)])
      })
      deepStrictEqual(ids, all)
      assert.isTrue((waited[1] ?? 0) >= 60_000 && (waited[1] ?? 0) < 61_000)
    })
  )

  it.effect("waits as long as the server asks while the instance is not ready, or its log is not", () =>
    Effect.gen(function* () {
      const { ids, waited } = yield* follow({
        [get]: executing,
        [events]: [
          Scripted.failure(425, "queued", { "retry-after": "30" }),
          Scripted.failure(410, "not yet", { "retry-after": "7" }),
          Logs.streamed(["retry: 9000\n\n"]),
          Scripted.failure(502),
          Logs.streamed([Logs.frames(Logs.sample)])
        ]
      })
      deepStrictEqual(ids, all)
      deepStrictEqual(waited.slice(0, 4), [0, 30_000, 37_000, 46_000])
    })
  )

  it.effect("goes on when the server says in its stream that it breaks off", () =>
    Effect.gen(function* () {
      const { ids } = yield* follow({
        [get]: executing,
        [events]: (request, number) =>
          number === 1
            ? Logs.streamed(
                [Logs.frames(Logs.sample.slice(0, 4)), ": bye\n\nevent: sse_error\ndata: upstream\n\n"],
                "stays open"
              )
            : Logs.streamed([after(request)])
      })
      deepStrictEqual(ids, all)
    })
  )

  it.effect("reads the log of an operation that is over to its completion before it ends", () =>
    Effect.gen(function* () {
      const { ids, service } = yield* follow({
        [get]: over(),
        [events]: (request, number) =>
          number === 1 ? Logs.streamed([Logs.frames(Logs.sample.slice(0, 2))]) : Logs.streamed([after(request)])
      })
      deepStrictEqual(ids, all)
      deepStrictEqual(service.log(), [events, get, events])
    })
  )

  it.effect("ends where the log of an operation that is over stays without a completion", () =>
    Effect.gen(function* () {
      const { error, ids, service } = yield* follow({
        [get]: over("FAILED"),
        [events]: (request) => Logs.streamed([after(request, Logs.sample.slice(0, -1))])
      })
      assert.isUndefined(error)
      deepStrictEqual(ids, all.slice(0, -1))
      assert.lengthOf(service.of(events), 4)
      assert.lengthOf(service.of(get), 1)
    })
  )

  it.effect("ends where a cancelled operation has lost its log, however the service says so", () =>
    Effect.gen(function* () {
      for (const lost of [
        Scripted.failure(404),
        Scripted.failure(410),
        Logs.streamed([": lost\n\nevent: sse_error\ndata: no log\n\n"])
      ]) {
        const { error, ids, service } = yield* follow({ [get]: over("CANCELLED"), [events]: lost })
        assert.isUndefined(error)
        deepStrictEqual(ids, [])
        assert.lengthOf(service.of(events), 4)
      }
    })
  )

  it.effect("fails when the log of an operation that succeeded does not come", () =>
    Effect.gen(function* () {
      const { error, service } = yield* follow({ [get]: over(), [events]: Scripted.failure(410) })
      assert.deepStrictEqual([error?._tag, error?.status], ["Unavailable", 410])
      assert.lengthOf(service.of(events), 11)
    })
  )

  it.effect("fails at once with what another connection would not change", () =>
    Effect.gen(function* () {
      for (const [status, tag] of [
        [400, "RequestRejected"],
        [401, "Unauthorized"],
        [403, "Forbidden"],
        [501, "RequestRejected"]
      ] as const) {
        const { error, service } = yield* follow({ [get]: executing, [events]: Scripted.failure(status) })
        assert.strictEqual(error?._tag, tag)
        deepStrictEqual(service.log(), [events])
      }
    })
  )

  it.effect("fails with NotFound where there is no log, or no operation", () =>
    Effect.gen(function* () {
      for (const answer of [executing, Scripted.failure(404)]) {
        const { error, service } = yield* follow({ [get]: answer, [events]: Scripted.failure(404) })
        assert.strictEqual(error?._tag, "NotFound")
        deepStrictEqual(service.log(), [events, get])
      }
    })
  )

  it.effect("fails when the service cannot say any more what the operation does", () =>
    Effect.gen(function* () {
      const { error, ids } = yield* follow({
        [get]: Scripted.failure(500),
        [events]: Logs.streamed([Logs.frames(Logs.sample.slice(0, 2))], "breaks")
      })
      assert.deepStrictEqual([error?._tag, error?.status, ids], ["Unavailable", 500, []])
    })
  )
})

describe("reading the events that there are", () => {
  it.effect("ends with the answer while the operation goes on", () =>
    Effect.gen(function* () {
      const { ids, service } = yield* follow(
        { [get]: executing, [events]: Logs.streamed([Logs.frames(Logs.sample.slice(2, 4))]) },
        { since: 2, spid: 1 }
      )
      deepStrictEqual(ids, [3, 5])
      deepStrictEqual(service.log(), [events, get])
      deepStrictEqual(service.requests[0]?.query, { since: "2", spid: "1" })
    })
  )

  it.effect("ends with the completion, without a look at the operation", () =>
    Effect.gen(function* () {
      const { ids, service } = yield* follow({ [events]: Logs.streamed([Logs.frames(Logs.sample)]) }, {})
      deepStrictEqual(ids, all)
      deepStrictEqual(service.log(), [events])
    })
  )

  it.effect("does not take the early end of an answer for the end of a log that is over", () =>
    Effect.gen(function* () {
      const { ids, service } = yield* follow(
        {
          [get]: over(),
          [events]: (request, number) =>
            Logs.streamed([number === 1 ? Logs.frames(Logs.sample.slice(0, 3)) : after(request)])
        },
        {}
      )
      deepStrictEqual(ids, all)
      deepStrictEqual(service.log(), [events, get, events])
    })
  )

  it.effect("reads on as long as early ends bring something new, however many brought nothing", () =>
    Effect.gen(function* () {
      const { ids } = yield* follow(
        {
          [get]: over(),
          // Each third answer has one more event, the others none.
          [events]: (request, number) =>
            Logs.streamed([number % 3 === 0 ? after(request).split("\n\n")[0] + "\n\n" : ""])
        },
        {}
      )
      deepStrictEqual(ids, all)
    })
  )

  it.effect("ends where a log that is over has no completion", () =>
    Effect.gen(function* () {
      const { error, ids } = yield* follow(
        { [get]: over("CANCELLED"), [events]: (request) => Logs.streamed([after(request, Logs.sample.slice(0, 3))]) },
        {}
      )
      deepStrictEqual([error, ids], [undefined, all.slice(0, 3)])
    })
  )

  it.effect("goes on where it breaks off, but not for ever", () =>
    Effect.gen(function* () {
      const once = yield* follow(
        {
          [get]: executing,
          [events]: (request, number) =>
            number === 1
              ? Logs.streamed([Logs.firstBytes(Logs.frames(Logs.sample), 300)], "breaks")
              : Logs.streamed([after(request, Logs.sample.slice(0, 5))])
        },
        {}
      )
      deepStrictEqual(once.ids, all.slice(0, 5))
      const always = yield* follow({ [get]: executing, [events]: Scripted.failure(502) }, {})
      assert.strictEqual(always.error?._tag, "Unavailable")
      assert.lengthOf(always.service.of(events), 10)
    })
  )
})
