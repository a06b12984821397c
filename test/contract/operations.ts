import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, Schema, Stream } from "effect"
import { OperationId } from "../../src/api/Images.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { Fixture } from "../fixtures/Contree.js"
import { uniqueSeconds, within } from "../fixtures/EngineTraces.js"
import { busybox, failsWith, unique } from "./steps.js"
import type { It } from "./suite.js"

/** Starts a shell command on busybox, as a program does that does not wait for it. */
const start = (script: string) =>
  Effect.gen(function* () {
    const client = yield* ContreeClient
    const { id } = yield* busybox
    return yield* client.instances.spawn({ image: id, command: script, shell: true })
  })

const status = (id: OperationId) => Effect.map(Operation.get(id), (operation) => operation.status)

const nobody = Schema.decodeSync(OperationId)("00000000-0000-4000-8000-000000000002")

const idsOf = (options: Operation.ListOptions, number: number) =>
  Operation.stream(options).pipe(
    Stream.take(number),
    Stream.map(({ id }) => id),
    Stream.runCollect,
    Effect.map((ids) => Array.from(ids))
  )

export const operations = (it: It) => {
  describe("an operation", () => {
    it.effect("tells what was asked for and what came of it", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const run = yield* Image.run(base, "echo out; echo x > /x; exit 4")
        const operation = yield* Operation.get(run.operationId)
        assert.deepStrictEqual(
          [operation.kind, operation.status, operation.error, operation.imageId, operation.resultImageId],
          ["instance", "SUCCESS", Option.none(), Option.some(base.id), Option.some(run.image.id)]
        )
        const metadata = Option.getOrThrow(operation.metadata)
        assert.deepInclude(metadata, { command: "echo out; echo x > /x; exit 4", shell: true, disposable: false })
        const result = Option.getOrThrow(metadata.result)
        assert.deepStrictEqual([result.state.exitCode, result.state.timedOut, result.state.signal], [4, false, -1])
        assert.deepStrictEqual(Buffer.from(result.stdout.bytes).toString(), "out\n")
        assert.isAbove(result.resources.elapsedTime, 0)
        assert.isAtLeast(Duration.toMillis(Option.getOrThrow(operation.duration)), result.resources.elapsedTime * 1000)
        yield* failsWith(Operation.get(nobody), "NotFound")
      })
    )

    it.effect("is listed by kind and by status, the newest first", () =>
      Effect.gen(function* () {
        const { registry } = yield* Fixture
        yield* failsWith(Image.importFrom(`docker://${registry}/team/${yield* unique}:none`), "OperationFailed")
        const one = yield* Image.run(yield* busybox, "true", { disposable: true })
        const two = yield* Image.run(yield* busybox, "false", { disposable: true })
        const [newest] = yield* idsOf({ kind: "image_import", status: "FAILED" }, 1)
        assert.isDefined(newest)
        const failed = yield* Operation.get(newest)
        assert.deepStrictEqual([failed.kind, failed.status], ["image_import", "FAILED"])
        assert.isTrue(Option.isSome(failed.error))
        assert.deepStrictEqual(yield* idsOf({ kind: "instance", status: "SUCCESS" }, 2), [
          two.operationId,
          one.operationId
        ])
        assert.deepStrictEqual(yield* idsOf({ since: "1 hour" }, 2), [two.operationId, one.operationId])
        assert.deepStrictEqual(yield* idsOf({ until: "1 hour" }, 2), [])
        assert.notInclude(yield* idsOf({ kind: "image_import" }, 1000), one.operationId)
      })
    )

    it.effect("that was started by hand can be waited for, by several and again", () =>
      Effect.gen(function* () {
        const id = yield* start("sleep 0.2; echo done")
        const [one, two] = yield* Effect.all([Operation.wait(id), Operation.wait(id)], { concurrency: 2 })
        assert.deepStrictEqual([one.status, two.status], ["SUCCESS", "SUCCESS"])
        assert.strictEqual((yield* Operation.wait(id)).status, "SUCCESS")
        yield* failsWith(Operation.wait(nobody), "NotFound")
      })
    )

    it.effect("can be cancelled while it runs: its processes are gone then, and who waits for it hears of it", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const seconds = yield* uniqueSeconds
        const id = yield* start(`sleep ${seconds}`)
        const waiting = yield* Effect.fork(Effect.either(Operation.wait(id)))
        yield* within(5000)(running(seconds), (found) => found.length > 0)
        yield* within(5000)(status(id), (now) => now === "EXECUTING")
        assert.include(yield* idsOf({ status: "EXECUTING" }, 10), id)
        assert.isTrue(yield* Operation.cancel(id))
        assert.strictEqual(yield* status(id), "CANCELLED")
        assert.deepStrictEqual(yield* running(seconds), [])
        const heard = yield* Fiber.join(waiting)
        assert.strictEqual(heard._tag === "Left" ? heard.left._tag : heard.right.status, "OperationCancelled")
        assert.isFalse(yield* Operation.cancel(id))
        assert.deepStrictEqual((yield* Operation.get(id)).resultImageId, Option.none())
      })
    )

    it.effect("that is over is not cancelled any more, and one that never was is not found", () =>
      Effect.gen(function* () {
        const run = yield* Image.run(yield* busybox, "true", { disposable: true })
        assert.isFalse(yield* Operation.cancel(run.operationId))
        assert.strictEqual(yield* status(run.operationId), "SUCCESS")
        yield* failsWith(Operation.cancel(nobody), "NotFound")
      })
    )

    it.effect("that waits for its turn can be cancelled too", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const seconds = yield* uniqueSeconds
        const many = yield* Effect.replicateEffect(start(`sleep ${seconds}`), 20)
        yield* within(10_000)(idsOf({ status: "EXECUTING" }, 100), (executing) => executing.length === 16)
        const last = many[19]
        assert.isDefined(last)
        assert.strictEqual(yield* status(last), "PENDING")
        const [took] = yield* Effect.timed(Operation.cancel(last))
        assert.isBelow(Duration.toMillis(took), 1000)
        assert.strictEqual(yield* status(last), "CANCELLED")
        yield* Effect.forEach(many, Operation.cancel, { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* running(seconds), [])
      })
    )
  })

  describe("the account", () => {
    it.effect("may do everything, and knows its limits", () =>
      Effect.gen(function* () {
        const { account } = yield* ContreeClient
        const { limits, permissions, tokenId } = yield* account.whoami
        for (const permission of ["import", "spawn", "spawn_disposable", "list", "cancel", "set_image_tag"]) {
          assert.isTrue(permissions[permission], permission)
        }
        assert.deepInclude(limits, {
          instance_max_timeout: 3600,
          images_import_max_timeout: 3600,
          instance_max_concurrency: 16
        })
        assert.match(tokenId, /^[0-9a-f-]{36}$/)
      })
    )
  })
}
