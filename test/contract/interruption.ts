import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { Fixture } from "../fixtures/Contree.js"
import { uniqueSeconds, within } from "../fixtures/EngineTraces.js"
import { busybox } from "./steps.js"
import type { It } from "./suite.js"

export const interruption = (it: It) => {
  describe("interrupting the fiber of a run", () => {
    it.effect("ends its command soon, and the operation is cancelled", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const image = yield* busybox
        const seconds = yield* uniqueSeconds
        for (const run of [
          Image.run(image, Command.exec("sleep", seconds)),
          Image.run(image, `echo x > /x; sleep ${seconds}`, { disposable: true })
        ]) {
          const fiber = yield* Effect.fork(run)
          yield* within(5000)(running(seconds), (found) => found.length > 0)
          yield* Fiber.interrupt(fiber)
          const [newest] = Array.from(
            yield* Operation.stream({ kind: "instance" }).pipe(Stream.take(1), Stream.runCollect)
          )
          yield* within(5000)(running(seconds), (found) => found.length === 0)
          assert.strictEqual(newest?.status, "CANCELLED")
          assert.deepStrictEqual(newest?.resultImageId, Option.none())
        }
      })
    )

    it.effect("at any moment, also between the request and its answer, leaves nothing running", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const image = yield* busybox
        const seconds = yield* uniqueSeconds
        const count = (status: "CANCELLED" | "PENDING" | "EXECUTING") =>
          Stream.runCount(Operation.stream({ kind: "instance", status }))
        const cancelled = yield* count("CANCELLED")
        for (let millis = 0; millis < 20; millis++) {
          const fiber = yield* Effect.fork(Image.run(image, Command.exec("sleep", seconds)))
          yield* Effect.sleep(millis)
          yield* Fiber.interrupt(fiber)
        }
        yield* within(5000)(
          Effect.all([count("PENDING"), count("EXECUTING"), running(seconds)]),
          ([pending, executing, processes]) => pending + executing + processes.length === 0
        )
        assert.isAbove(yield* count("CANCELLED"), cancelled)
      })
    )

    it.effect("that has lost a race cancels it, and the winner's image is kept", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const image = yield* busybox
        const seconds = yield* uniqueSeconds
        const won = yield* Effect.raceAll([
          Image.run(image, `echo slow > /who; sleep ${seconds}`),
          Image.run(image, `echo quick > /who; sleep 0.3`),
          Image.run(image, `sleep ${seconds}`)
        ])
        assert.strictEqual((yield* Image.run(won.image, "cat /who", { disposable: true })).stdout.text, "quick\n")
        yield* within(5000)(running(seconds), (found) => found.length === 0)
        assert.strictEqual(yield* Stream.runCount(Operation.stream({ status: "EXECUTING" })), 0)
      })
    )
  })
}
