import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import { ProcessNumber } from "../../src/api/Subprocesses.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as ContreeError from "../../src/ContreeError.js"
import * as Operation from "../../src/Operation.js"
import { maxQueued } from "../fixtures/Contree.js"
import { uniqueSeconds, within } from "../fixtures/EngineTraces.js"
import { busybox, failsWith, statusOf } from "./steps.js"
import type { It } from "./suite.js"

const one = Schema.decodeSync(ProcessNumber)(1)

/** How many commands run at once. */
const places = 16

export const queue = (it: It) => {
  describe("a command that waits for its turn", () => {
    it.effect("has nothing to look at yet, is one of so many, and runs when there is a place", () =>
      Effect.gen(function* () {
        const { instances, operations, subprocesses } = yield* ContreeClient
        const { id: image } = yield* busybox
        const seconds = yield* uniqueSeconds
        const start = (command: string) => instances.spawn({ image, command, shell: true, disposable: true })
        const running = yield* Effect.replicateEffect(start(`sleep ${seconds}`), places)
        const executing = Stream.runCount(Operation.stream({ status: "EXECUTING" }))
        yield* within(10_000)(executing, (count) => count === places)
        const first = yield* start("echo at last")
        assert.strictEqual((yield* Operation.get(first)).status, "PENDING")
        const early = [
          subprocesses.start(first, { command: "true" }),
          subprocesses.writeStdin(first, one, { bytes: new Uint8Array(0), close: false }),
          Stream.runDrain(operations.events(first))
        ] as const
        for (const effect of early) {
          assert.strictEqual(yield* statusOf(effect), 425)
          const error = yield* failsWith(effect, "Unavailable")
          assert.isTrue(error.notStarted)
        }

        const waiting = yield* Effect.replicateEffect(start("true"), maxQueued - 1)
        const refused = yield* failsWith(start("true"), "RateLimited")
        assert.isTrue(Option.isSome(ContreeError.retryAfter(refused)))
        assert.strictEqual(yield* Stream.runCount(Operation.stream({ status: "PENDING" })), maxQueued)

        yield* Effect.forEach(running, Operation.cancel, { concurrency: "unbounded" })
        yield* within(20_000)(Stream.runCount(Operation.stream({ status: "PENDING" })), (pending) => pending === 0)
        assert.strictEqual((yield* Operation.wait(first)).status, "SUCCESS")
        assert.strictEqual((yield* Operation.output(first)).stdout.text, "at last\n")
        yield* Effect.forEach(waiting, (id) => Operation.wait(id), { concurrency: "unbounded" })
      })
    )
  })
}
