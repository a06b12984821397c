import { assert, describe } from "@effect/vitest"
import { Chunk, Effect, Fiber, Option, Schema, Stream } from "effect"
import type { InstanceEvent } from "../../src/api/Events.js"
import { OperationId } from "../../src/api/Images.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { busybox, failsWith } from "./steps.js"
import type { It } from "./suite.js"

const nobody = Schema.decodeSync(OperationId)("00000000-0000-4000-8000-000000000004")

const eventsOf = (id: OperationId, options: { follow?: boolean; since?: number; spid?: number } = {}) =>
  Effect.flatMap(ContreeClient, ({ operations }) =>
    operations.events(id, options).pipe(
      Stream.filterMap((frame) => (frame._tag === "Event" ? Option.some(frame.event) : Option.none())),
      Stream.runCollect,
      Effect.map(Chunk.toReadonlyArray)
    )
  )

const written = (events: ReadonlyArray<InstanceEvent>, tag: "Stdout" | "Stderr") =>
  events.map((event) => (event._tag === tag ? Buffer.from(event.data.bytes).toString() : "")).join("")

export const events = (it: It) => {
  describe("the events of a run", () => {
    it.effect("tell all of it in order, and end with its completion", () =>
      Effect.gen(function* () {
        const run = yield* Image.run(yield* busybox, "echo out; echo err >&2; echo x > /x; exit 3")
        const all = yield* eventsOf(run.operationId)
        assert.strictEqual(written(all, "Stdout"), "out\n")
        assert.strictEqual(written(all, "Stderr"), "err\n")
        const ids = all.map(({ id }) => id)
        assert.deepStrictEqual(
          ids,
          [...new Set(ids)].sort((a, b) => a - b)
        )
        const spawn = all.find((event) => event._tag === "Spawn")
        assert.deepInclude(spawn?.data, { shell: true, uid: 0, gid: 0 })
        const exit = all.find((event) => event._tag === "Exit")
        assert.deepInclude(exit?.data, { code: 3, signal: -1, timedOut: false })
        assert.strictEqual(exit?.spid, 1)
        const last = all.at(-1)
        assert.isTrue(last?._tag === "Completion")
        if (last?._tag === "Completion") {
          assert.deepStrictEqual([last.data.status, last.data.resultImageId], ["SUCCESS", Option.some(run.image.id)])
        }
        assert.deepStrictEqual(yield* eventsOf(run.operationId, { follow: true }), all)
      })
    )

    it.effect("can be had from a number on, and those of one process", () =>
      Effect.gen(function* () {
        const { operationId } = yield* Image.run(yield* busybox, "echo a; echo b >&2", { disposable: true })
        const all = yield* eventsOf(operationId)
        const third = all[2]
        assert.isDefined(third)
        assert.deepStrictEqual(yield* eventsOf(operationId, { since: third.id }), all.slice(3))
        const main = yield* eventsOf(operationId, { spid: 1 })
        assert.includeMembers(
          main.map(({ _tag }) => _tag),
          ["Spawn", "Stdout", "Exit"]
        )
        assert.notInclude(
          main.map(({ spid }) => spid),
          0
        )
        yield* failsWith(eventsOf(nobody), "NotFound")
        yield* failsWith(eventsOf(operationId, { since: -1 }), "RequestRejected")
      })
    )

    it.effect("are there while it runs, and who follows hears the end", () =>
      Effect.gen(function* () {
        const { instances, operations } = yield* ContreeClient
        const { id } = yield* busybox
        const operation = yield* instances.spawn({ image: id, command: "echo early; sleep 30; echo late", shell: true })
        const early = yield* operations.events(operation, { follow: true }).pipe(
          Stream.filter((frame) => frame._tag === "Event" && frame.event._tag === "Stdout"),
          Stream.runHead
        )
        assert.isTrue(Option.isSome(early))
        const { metadata } = yield* operations.get(operation, { inflight: true })
        const partial = Option.flatMap(metadata, ({ result }) => result)
        assert.strictEqual(Buffer.from(Option.getOrThrow(partial).stdout.bytes).toString(), "early\n")
        const following = yield* Effect.fork(eventsOf(operation, { follow: true }))
        yield* Operation.cancel(operation)
        const heard = yield* Fiber.join(following)
        const last = heard.at(-1)
        assert.strictEqual(last?._tag === "Completion" ? last.data.status : "no end", "CANCELLED")
      })
    )

    it.effect("go on where who read them left off, while it runs", () =>
      Effect.gen(function* () {
        const { instances, operations } = yield* ContreeClient
        const { id } = yield* busybox
        const operation = yield* instances.spawn({ image: id, command: "echo a; sleep 0.2; echo b", shell: true })
        const first = yield* Operation.events(operation, { follow: true }).pipe(
          Stream.takeUntil(({ _tag }) => _tag === "Stdout"),
          Stream.runCollect,
          Effect.map(Chunk.toReadonlyArray)
        )
        const left = first.at(-1)?.id
        const rest = yield* Operation.events(operation, { follow: true, since: left }).pipe(
          Stream.runCollect,
          Effect.map(Chunk.toReadonlyArray)
        )
        assert.deepStrictEqual([written(first, "Stdout"), written(rest, "Stdout")], ["a\n", "b\n"])
        assert.deepStrictEqual([...first, ...rest], yield* eventsOf(operation))
        // The header of who connects again wins over what the address says.
        const again = operations.events(operation, { since: 0, lastEventId: left })
        assert.deepStrictEqual(
          Chunk.toReadonlyArray(yield* Stream.runCollect(again)).flatMap((frame) =>
            frame._tag === "Event" ? [frame.event] : []
          ),
          rest
        )
      })
    )

    it.effect("say what an output had more than its limit", () =>
      Effect.gen(function* () {
        const { instances } = yield* ContreeClient
        const { id } = yield* busybox
        const operation = yield* instances.spawn({
          image: id,
          command: "printf 1234567890; printf ok >&2",
          shell: true,
          truncateOutputAt: 4
        })
        yield* Operation.wait(operation)
        const all = yield* eventsOf(operation)
        assert.strictEqual(written(all, "Stdout"), "1234")
        assert.deepStrictEqual(
          all.flatMap((event) => (event._tag === "Truncated" ? [event.data] : [])),
          [{ stream: "stdout", bytesEmitted: 4, bytesDropped: 6 }]
        )
      })
    )
  })
}
