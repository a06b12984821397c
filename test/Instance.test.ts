import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Effect, Exit, Fiber, Scope, Stream, TestClock } from "effect"
import * as Command from "../src/Command.js"
import type { ContreeClient } from "../src/ContreeClient.js"
import * as Image from "../src/Image.js"
import type { Instance } from "../src/Instance.js"
import * as Operation from "../src/Operation.js"
import * as Logs from "./fixtures/EventLogs.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, operationId } from "./fixtures/ScriptedService.js"

const spawn = "POST /v1/instances"
const get = `GET /v1/operations/${operationId}`
const cancel = `DELETE /v1/operations/${operationId}`
const events = `${get}/events`
const stdin = `POST /v1/operations/${operationId}/subprocesses/1/stdin`
const exec = `POST /v1/operations/${operationId}/subprocesses`
const started = Scripted.json({ uuid: operationId }, 201)
const result = {
  resources: { elapsed_time: 1 },
  state: { exit_code: 0, signal: -1, timed_out: false },
  stdout: { value: "one\n", encoding: "ascii" },
  stderr: { value: "", encoding: "ascii" }
}
const success = Scripted.json(
  Scripted.operation("SUCCESS", { metadata: { result }, result: { image: image.id, tag: null } })
)
const executing = Scripted.json(Scripted.operation("EXECUTING"))

const start = Image.start(image.id, "build", { stdin: "open" })

/** Uses a started instance on a script, until the scope closes. */
const using = <A, E>(
  scripts: Readonly<Record<string, Scripted.Script>>,
  use: (instance: Instance) => Effect.Effect<A, E, ContreeClient | Scope.Scope>
) => {
  const service = Scripted.make({ [spawn]: started, ...scripts })
  return Effect.scoped(Effect.flatMap(start, use)).pipe(
    Effect.provide(service.layer()),
    Effect.map((value) => ({ value, service }))
  )
}

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

describe("a live instance", () => {
  it.effect("gives its output to several readers over one connection, late ones included", () =>
    Effect.gen(function* () {
      const { service, value } = yield* using(
        { [events]: () => Logs.streamed(Logs.byByte(Logs.frames(Logs.sample))), [get]: success },
        (instance) =>
          Effect.gen(function* () {
            const [lines, all] = yield* Effect.all([collect(instance.stdoutLines), collect(instance.events)], {
              concurrency: 2
            })
            const late = yield* collect(instance.stdout)
            return { lines, ids: all.map(({ id }) => id), late: Buffer.concat(late).toString() }
          })
      )
      deepStrictEqual(value, { lines: ["one", "é"], ids: [0, 2, 3, 5, 8, 11, 12], late: "one\né\n" })
      deepStrictEqual(service.log(), [spawn, events])
    })
  )

  it.effect("that nobody reads costs no connection, and tells its result and its image", () =>
    Effect.gen(function* () {
      const { service, value } = yield* using({ [get]: success }, (instance) =>
        Effect.all([Effect.map(instance.exit, ({ stdout }) => stdout.text), Effect.map(instance.image, ({ id }) => id)])
      )
      deepStrictEqual(value, ["one\n", image.id])
      deepStrictEqual(service.log(), [spawn, get, get])
    })
  )

  it.effect("is cancelled when its scope closes, and its end is waited for", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [spawn]: started,
        [cancel]: Scripted.empty(202),
        [get]: [executing, executing, Scripted.json(Scripted.operation("CANCELLED"))]
      })
      const scope = yield* Scope.make()
      yield* start.pipe(Scope.extend(scope), Effect.provide(service.layer()))
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      deepStrictEqual(service.log(), [spawn, cancel, get, get, get])
    })
  )

  it.effect("is cancelled when the fiber is interrupted before it knows what it has started", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [spawn]: Effect.delay(
          Effect.sync(() => Scripted.json({ uuid: operationId }, 201)),
          "1 second"
        ),
        [cancel]: Scripted.empty(202)
      })
      const fiber = yield* Effect.fork(Effect.scoped(start).pipe(Effect.provide(service.layer())))
      yield* TestClock.adjust("500 millis")
      const interrupting = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(interrupting)))
      deepStrictEqual(service.log(), [spawn, cancel])
    })
  )

  it.effect("reads its input in order, in pieces of at most 512 KiB, and then its end", () =>
    Effect.gen(function* () {
      const { service } = yield* using(
        { [stdin]: Scripted.empty(204), [get]: success, [cancel]: Scripted.failure(409) },
        (instance) =>
          Effect.gen(function* () {
            yield* instance.write("é")
            yield* Stream.make("a", "b".repeat(700_000)).pipe(Stream.run(instance.stdin))
          })
      )
      deepStrictEqual(
        service.of(spawn).map(({ body }) => (body as { stdin: unknown }).stdin),
        [{ value: "", encoding: "ascii", close: false }]
      )
      const bodies = service.of(stdin).map(({ body }) => body as { value: string; close: boolean })
      deepStrictEqual(
        bodies.map(({ close, value }) => [value.length, close]),
        [
          [4, false],
          [524_288, false],
          [175_713, false],
          [0, true]
        ]
      )
    })
  )

  it.effect("tells that its input is closed, or that it is gone, as a conflict", () =>
    Effect.gen(function* () {
      for (const status of [409, 410]) {
        const { value } = yield* using(
          { [stdin]: Scripted.failure(status), [cancel]: Scripted.failure(409) },
          (instance) => Effect.flip(instance.write("x"))
        )
        assert.deepStrictEqual([value._tag, value.status], ["Conflict", status])
      }
    })
  )

  it.effect("runs further processes, which are killed with their scope", () =>
    Effect.gen(function* () {
      const kill = `DELETE /v1/operations/${operationId}/subprocesses/2`
      const { service, value } = yield* using(
        {
          [exec]: Scripted.json({ spid: 2 }, 201),
          [kill]: Scripted.empty(204),
          [cancel]: Scripted.failure(409)
        },
        (instance) =>
          Effect.scoped(
            Effect.gen(function* () {
              const top = yield* instance.exec(Command.exec("top", "-b"))
              yield* top.interrupt
              return top.spid
            })
          )
      )
      assert.strictEqual(value, 2)
      deepStrictEqual(
        service.of(kill).map(({ query }) => query["signal"]),
        ["INT", "KILL"]
      )
    })
  )

  it.effect("gives a process its own streams and its result, also when the service has forgotten it", () =>
    Effect.gen(function* () {
      const log = [
        Logs.written(1, "stdout", "main"),
        Logs.written(2, "stdout", "sub", 2),
        Logs.exited(3, 4, 2),
        Logs.exited(4, 0),
        Logs.completion(5)
      ]
      const { value } = yield* using(
        {
          [exec]: Scripted.json({ spid: 2 }, 201),
          [`GET /v1/operations/${operationId}/subprocesses/2`]: Scripted.failure(404),
          [events]: () => Logs.streamed([Logs.frames(log)]),
          [get]: success
        },
        (instance) =>
          Effect.gen(function* () {
            const sub = yield* instance.exec("sort")
            const lines = yield* collect(sub.stdoutLines)
            const { exitCode, stdout } = yield* sub.exit
            return { lines, exitCode, stdout: stdout.text }
          })
      )
      deepStrictEqual(value, { lines: ["sub"], exitCode: 4, stdout: "sub" })
    })
  )

  it.effect("refuses what a further process cannot have", () =>
    Effect.gen(function* () {
      const { service, value } = yield* using({ [cancel]: Scripted.failure(409) }, (instance) =>
        Effect.flip(Effect.scoped(instance.exec(Command.timeout(Command.shell("x"), "1 second"))))
      )
      assert.strictEqual(value._tag, "RequestRejected")
      assert.include(value.message, "timeout")
      assert.lengthOf(service.of(exec), 0)
    })
  )
})

describe("attaching to an instance", () => {
  it.effect("replays its log and leaves it running when the scope closes", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ [events]: () => Logs.streamed([Logs.frames(Logs.sample)]), [get]: executing })
      const lines = yield* Effect.scoped(
        Effect.flatMap(Operation.attach(operationId), ({ stdoutLines }) => collect(stdoutLines))
      ).pipe(Effect.provide(service.layer()))
      deepStrictEqual(lines, ["one", "é"])
      deepStrictEqual(service.log(), [get, events])
    })
  )

  it.effect("refuses an import", () =>
    Effect.gen(function* () {
      const { error } = yield* Scripted.on(
        { [get]: Scripted.json(Scripted.operation("EXECUTING", { kind: "image_import" })) },
        Effect.scoped(Operation.attach(operationId))
      )
      assert.strictEqual(error?._tag, "RequestRejected")
    })
  )
})

describe("waiting for many operations", () => {
  it.effect("gives the result of each", () =>
    Effect.gen(function* () {
      const other = Operation.OperationId.make("2f0e6679-7425-40de-944b-e07fc1f90ae7")
      const { value } = yield* Scripted.on(
        { [get]: success, [`GET /v1/operations/${other}`]: Scripted.failure(404) },
        Operation.waitAll([operationId, other])
      )
      deepStrictEqual(
        value?.map((result) => result._tag),
        ["Right", "Left"]
      )
    })
  )
})
