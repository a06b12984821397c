import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Deferred, Effect, Exit, Fiber, Metric, Option, Scope } from "effect"
import { ContreeClient } from "../../src/ContreeClient.js"
import type { ContreeConfig } from "../../src/ContreeConfig.js"
import * as ContreeMetrics from "../../src/ContreeMetrics.js"
import * as Image from "../../src/Image.js"
import * as Scripted from "../fixtures/ScriptedService.js"
import { image, operationId } from "../fixtures/ScriptedService.js"

const whoami = (limits: Readonly<Record<string, number>> | undefined) =>
  Scripted.json({ token_uuid: "t", token_expiration: null, permissions: {}, operations_stat: {}, limits })

const limits = { instance_max_concurrency: 2, images_import_max_concurrency: 1 }

/** How many of 5 get a place at once, of each kind; the places stay taken. */
const places = (service: Scripted.ScriptedService, config: Partial<ContreeConfig>) =>
  Effect.gen(function* () {
    const { policy } = yield* ContreeClient
    const scope = yield* Effect.scope
    return yield* Effect.forEach([policy.instanceSlot, policy.importSlot], (slot) =>
      Effect.gen(function* () {
        const fibers = yield* Effect.replicateEffect(Effect.fork(Scope.extend(slot, scope)), 5)
        for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow()
        const ended = yield* Effect.forEach(fibers, Fiber.poll)
        yield* Effect.forEach(fibers, Fiber.interruptFork)
        return ended.filter((exit) => Option.exists(exit, Exit.isSuccess)).length
      })
    )
  }).pipe(Effect.scoped, Effect.provide(service.layer(config)))

describe("a limit on operations at once", () => {
  const rows: ReadonlyArray<readonly [Partial<ContreeConfig>, expected: ReadonlyArray<number>, requests: number]> = [
    [{}, [5, 5], 0],
    [{ instanceConcurrency: 3, importConcurrency: 1 }, [3, 1], 0],
    [{ instanceConcurrency: "server", importConcurrency: "server" }, [2, 1], 2],
    [{ instanceConcurrency: "server" }, [2, 5], 1]
  ]
  it.effect.each(rows)(
    "is none, a number, or what the service allows, looked up once: %j",
    ([config, expected, requests]) =>
      Effect.gen(function* () {
        const service = Scripted.make({ "GET /v1/whoami": whoami(limits) })
        deepStrictEqual(yield* places(service, config), expected)
        assert.lengthOf(service.requests, requests)
      })
  )

  it.effect("that the service does not name is none", () =>
    Effect.gen(function* () {
      for (const named of [undefined, {}, { instance_max_concurrency: 0, images_import_max_concurrency: 0 }]) {
        const service = Scripted.make({ "GET /v1/whoami": whoami(named) })
        const server = { instanceConcurrency: "server", importConcurrency: "server" } as const
        deepStrictEqual(yield* places(service, server), [5, 5])
      }
    })
  )

  it.effect("that cannot be looked up fails the operation before it starts, and is looked up again by the next", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        "GET /v1/whoami": [Scripted.failure(403), whoami(limits)]
      })
      const [first, second] = yield* Effect.gen(function* () {
        const { policy } = yield* ContreeClient
        return [yield* Effect.either(policy.instanceSlot), yield* Effect.either(policy.instanceSlot)]
      }).pipe(Effect.scoped, Effect.provide(service.layer({ instanceConcurrency: "server" })))
      assert.strictEqual(first?._tag === "Left" ? first.left._tag : "", "Forbidden")
      assert.strictEqual(second?._tag, "Right")
    })
  )

  it.effect("is held from the start of a run to its result, and given back when a fiber is interrupted", () =>
    Effect.gen(function* () {
      const finish = yield* Deferred.make<Response>()
      const service = Scripted.make({
        "POST /v1/instances": Scripted.json({ uuid: operationId }, 201),
        [`GET /v1/operations/${operationId}`]: Deferred.await(finish),
        [`DELETE /v1/operations/${operationId}`]: Scripted.empty(202)
      })
      const spawns = () => service.of("POST /v1/instances").length
      const settle = Effect.gen(function* () {
        for (let turn = 0; turn < 300; turn++) yield* Effect.yieldNow()
      })
      const open = Metric.value(Metric.tagged(ContreeMetrics.operationsInFlight, "kind", "instance"))
      const before = (yield* open).count
      yield* Effect.gen(function* () {
        const run = Effect.fork(Image.run(image.id, "true", { disposable: true }))
        const first = yield* run
        yield* settle
        const second = yield* run
        const third = yield* run
        yield* settle
        deepStrictEqual([spawns(), (yield* open).count - before], [1, 1])
        // One that waits for its turn started nothing that would have to be cancelled.
        yield* Fiber.interrupt(second)
        deepStrictEqual(service.of(`DELETE /v1/operations/${operationId}`), [])
        yield* Fiber.interrupt(first)
        assert.lengthOf(service.of(`DELETE /v1/operations/${operationId}`), 1)
        yield* settle
        assert.strictEqual(spawns(), 2)
        yield* Fiber.interrupt(third)
      }).pipe(Effect.provide(service.layer({ instanceConcurrency: 1 })))
      assert.strictEqual((yield* open).count, before)
    })
  )
})
