import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schedule, Schema } from "effect"
import type { SpawnRequest } from "../../src/api/Instances.js"
import { ProcessNumber } from "../../src/api/Subprocesses.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import type { ContreeError } from "../../src/ContreeError.js"
import * as Operation from "../../src/Operation.js"
import { Fixture } from "../fixtures/Contree.js"
import { within } from "../fixtures/EngineTraces.js"
import { busybox, failsWith, statusOf } from "./steps.js"
import type { It } from "./suite.js"

const number = Schema.decodeSync(ProcessNumber)
const [one, two, three, nine] = [number(1), number(2), number(3), number(9)]

const open = { bytes: new Uint8Array(0), close: false }
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

/** A client repeats by itself only what is safe to repeat. */
const whenReady = <A, E extends ContreeError, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, { while: ({ status }) => status === 425, schedule: Schedule.spaced("10 millis") })

const noProcess = Schema.decodeSync(Operation.OperationId)("00000000-0000-4000-8000-000000000005")

/** An instance that runs until the scope closes. */
const instance = (command: string, fields: Partial<SpawnRequest> = {}) =>
  Effect.gen(function* () {
    const client = yield* ContreeClient
    const { id: image } = yield* busybox
    const id = yield* Effect.acquireRelease(client.instances.spawn({ image, command, shell: true, ...fields }), (id) =>
      Effect.ignore(client.operations.cancel(id))
    )
    yield* within(5000)(client.operations.get(id), ({ status }) => status === "EXECUTING")
    return { id, ...client.subprocesses }
  })

export const subprocesses = (it: It) => {
  describe("a process of an instance", () => {
    it.scoped("is numbered in its instance, and is looked at while it runs and afterwards", () =>
      Effect.gen(function* () {
        const { get, id, signal, start, writeStdin } = yield* instance("echo up; sleep 1000")
        const first = yield* within(5000)(get(id, one), ({ stdout }) => stdout.bytes.length > 0)
        assert.deepInclude(first.state, { exitCode: -1, signal: -1, timedOut: false })
        assert.strictEqual(text(first.stdout.bytes), "up\n")

        assert.strictEqual(yield* whenReady(start(id, { command: "cat", stdin: open })), two)
        assert.strictEqual(yield* start(id, { command: "exit 4", shell: true }), three)
        const over = yield* within(5000)(get(id, three), ({ state }) => state.exitCode !== -1)
        assert.deepInclude(over.state, { exitCode: 4, signal: -1 })
        assert.isAtLeast(over.resources.elapsedTime, 0)

        yield* writeStdin(id, two, { bytes: bytes("a"), close: false })
        yield* writeStdin(id, two, { bytes: bytes("b"), close: true })
        const read = yield* within(5000)(get(id, two), ({ state }) => state.exitCode !== -1)
        assert.deepStrictEqual([text(read.stdout.bytes), read.state.exitCode], ["ab", 0])

        yield* signal(id, one)
        assert.strictEqual((yield* Operation.wait(id)).status, "SUCCESS")
        const main = yield* get(id, one)
        assert.deepInclude(main.state, { exitCode: -1, signal: 9 })
        assert.strictEqual(text(main.stdout.bytes), "up\n")
      })
    )

    it.scoped("is refused 404 where there is none such, and 409 once it cannot take what it is sent", () =>
      Effect.gen(function* () {
        const { get, id, signal, start, writeStdin } = yield* instance("read line", { stdin: open })
        for (const unknown of [
          get(id, nine),
          signal(id, nine),
          writeStdin(id, nine, open),
          get(noProcess, one),
          signal(noProcess, one),
          writeStdin(noProcess, one, open),
          start(noProcess, { command: "true" })
        ]) {
          yield* failsWith(unknown, "NotFound")
        }
        yield* failsWith(signal(id, one, "NONE"), "RequestRejected")
        yield* failsWith(signal(id, one, 65), "RequestRejected")
        yield* failsWith(start(id, { command: "" }), "RequestRejected")
        yield* failsWith(start(id, { command: "true", shell: true, args: ["x"] }), "RequestRejected")
        yield* failsWith(start(id, { command: "true", env: { "A=B": "c" } }), "RequestRejected")

        assert.strictEqual(yield* whenReady(start(id, { command: "sleep", args: ["1000"] })), two)
        yield* failsWith(writeStdin(id, two, open), "Conflict")
        assert.strictEqual(yield* start(id, { command: "true", stdin: open }), three)
        yield* within(5000)(get(id, three), ({ state }) => state.exitCode === 0)
        yield* failsWith(signal(id, three), "NotFound")
        assert.strictEqual(yield* statusOf(writeStdin(id, three, open)), 410)

        yield* writeStdin(id, one, { bytes: bytes("go\n"), close: true })
        yield* Operation.wait(id)
        yield* failsWith(start(id, { command: "true" }), "Conflict")
        yield* failsWith(signal(id, one), "Conflict")
        yield* failsWith(get(id, two), "NotFound")
        // Nothing says whether the input was read.
        assert.strictEqual(yield* statusOf(writeStdin(id, one, open)), 410)
      })
    )

    it.scoped("is gone once its instance is cancelled", () =>
      Effect.gen(function* () {
        const { get, id, signal, start } = yield* instance("sleep 1000")
        assert.isTrue(yield* Operation.cancel(id))
        yield* failsWith(get(id, one), "NotFound")
        yield* failsWith(signal(id, one), "Conflict")
        yield* failsWith(start(id, { command: "true" }), "Conflict")
      })
    )

    it.effect("is nothing that an import has", () =>
      Effect.gen(function* () {
        const { images, subprocesses } = yield* ContreeClient
        const id = yield* images.import({ registry: { url: (yield* Fixture).busybox } })
        yield* failsWith(subprocesses.start(id, { command: "true" }), "Conflict")
        yield* failsWith(subprocesses.signal(id, one), "Conflict")
        yield* failsWith(subprocesses.writeStdin(id, one, open), "Conflict")
        yield* failsWith(subprocesses.get(id, one), "NotFound")
        yield* failsWith(Effect.scoped(Operation.attach(id)), "RequestRejected")
        assert.deepStrictEqual((yield* Operation.wait(id)).resultImageId, Option.some((yield* busybox).id))
      })
    )
  })
}
