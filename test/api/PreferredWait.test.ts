import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { PreferredWait } from "../../src/api/Operations.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Operation from "../../src/Operation.js"
import * as Scripted from "../fixtures/ScriptedService.js"

const route = `GET /v1/operations/${Scripted.operationId}`

describe("the preference for a late answer", () => {
  it.effect("is read from among other preferences, and unknown ones are ignored", () =>
    Effect.gen(function* () {
      const seconds: Readonly<Record<string, number>> = {
        "wait=10": 10,
        "respond-async, wait=3": 3,
        'Wait = "7" , handling=lenient': 7,
        "wait=5; foo=bar": 5,
        "wait=0": 0,
        "respond-async": 0,
        "await=10": 0,
        "wait=-1": 0,
        "wait=1.5": 0,
        "": 0
      }
      for (const [header, expected] of Object.entries(seconds)) {
        const read = yield* Schema.decode(PreferredWait)(header)
        assert.strictEqual(Duration.toSeconds(read), expected, header)
      }
      assert.strictEqual(yield* Schema.encode(PreferredWait)(Duration.millis(2900)), "wait=2")
    })
  )

  it.effect("goes with each look of a wait, and not with a plain look", () =>
    Effect.gen(function* () {
      const reply = [Scripted.json(Scripted.operation("EXECUTING")), Scripted.json(Scripted.operation("SUCCESS"))]
      const service = Scripted.make({ [route]: reply })
      const client = yield* Effect.provide(ContreeClient, service.layer())
      yield* client.operations.get(Scripted.operationId)
      yield* Effect.provide(Operation.wait(Scripted.operationId), service.layer())
      assert.deepStrictEqual(
        service.of(route).map(({ headers }) => headers["prefer"]),
        [undefined, "wait=20"]
      )
    })
  )

  it.effect("is shorter than the client's own limit, and left out where that leaves no second", () =>
    Effect.gen(function* () {
      const sent = Effect.fnUntraced(function* (requestTimeout: Duration.DurationInput) {
        const service = Scripted.make({ [route]: Scripted.json(Scripted.operation("SUCCESS")) })
        yield* Effect.provide(Operation.wait(Scripted.operationId), service.layer({ requestTimeout }))
        return service.of(route)[0]?.headers["prefer"]
      })
      assert.strictEqual(yield* sent("9 seconds"), "wait=4")
      assert.isUndefined(yield* sent("1 second"))
    })
  )
})
