import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, Schema, Stream, TestClock } from "effect"
import { ProcessNumber } from "../../src/api/Subprocesses.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as ContreeError from "../../src/ContreeError.js"
import * as Image from "../../src/Image.js"
import type * as CommandHandler from "../../src/testing/CommandHandler.js"
import * as FaultPlan from "../../src/testing/FaultPlan.js"
import * as TestContree from "../../src/testing/TestContree.js"

const images = { base: { files: { "/etc/motd": "hi" }, env: { LANG: "C" } } }

/** Gives its input back, and says so when it is told to stop. */
const echo: CommandHandler.CommandHandler = (invocation) =>
  Effect.gen(function* () {
    const signals = yield* invocation.trap(15)
    yield* Effect.forkScoped(Stream.runForEach(signals, () => invocation.stderr("told to stop")))
    yield* invocation.stderr("ready, ")
    yield* Stream.runForEach(invocation.stdin, invocation.stdout)
    return 0
  })

const spawn = (command: string, stdin?: { readonly bytes: Uint8Array; readonly close: boolean }) =>
  Effect.gen(function* () {
    const client = yield* ContreeClient
    const id = yield* client.instances.spawn({
      image: "tag:base",
      command,
      shell: true,
      ...(stdin === undefined ? {} : { stdin })
    })
    yield* Effect.repeat(Effect.sleep("2 millis"), {
      until: () => Effect.map(client.operations.get(id), ({ status }) => status !== "PENDING")
    })
    return { client, id }
  })

const open = { bytes: new Uint8Array(0), close: false }
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytes = (text: string) => new TextEncoder().encode(text)
const process = Schema.decodeSync(ProcessNumber)
const [one, two, nine] = [process(1), process(2), process(9)]

describe("TestContree", () => {
  it.live("keeps standard input open, and refuses it once it is closed or the instance is over", () =>
    Effect.gen(function* () {
      const { client, id } = yield* spawn("echo", open)
      yield* client.subprocesses.writeStdin(id, one, { bytes: bytes("a"), close: false })
      yield* client.subprocesses.writeStdin(id, one, { bytes: bytes("b"), close: true })
      const { operation } = yield* client.operations.poll(id)
      const result = Option.getOrThrow(Option.getOrThrow(operation.metadata).result)
      assert.strictEqual(text(result.stdout.bytes), "ab")
      const late = yield* Effect.flip(client.subprocesses.writeStdin(id, one, open))
      // 410: nothing says whether the input was taken.
      assert.deepStrictEqual([late._tag, late._tag === "OutcomeUnknown" ? late.status : 0], ["OutcomeUnknown", 410])
    }).pipe(Effect.provide(TestContree.layer({ images, handler: echo })))
  )

  it.live("runs further processes, signals them by name, and says 404, 409 and 400 where they belong", () =>
    Effect.gen(function* () {
      const { client, id } = yield* spawn("echo", open)
      assert.strictEqual(yield* client.subprocesses.start(id, { command: "cat", stdin: open }), two)
      assert.strictEqual((yield* client.subprocesses.get(id, two)).state.exitCode, -1)
      // Before it has taken the signal it would be ended by it, as any process.
      yield* Effect.repeat(Effect.sleep("2 millis"), {
        until: () => Effect.map(client.subprocesses.get(id, two), ({ stderr }) => stderr.bytes.length > 0)
      })
      yield* client.subprocesses.signal(id, two, "SIGTERM")
      yield* Effect.repeat(Effect.sleep("2 millis"), {
        until: () =>
          Effect.map(client.subprocesses.get(id, two), ({ stderr }) => text(stderr.bytes) === "ready, told to stop")
      })
      yield* client.subprocesses.signal(id, two)
      yield* Effect.repeat(Effect.sleep("2 millis"), {
        until: () => Effect.map(client.subprocesses.get(id, two), ({ state }) => state.signal === 9)
      })
      assert.strictEqual((yield* Effect.flip(client.subprocesses.signal(id, two)))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(client.subprocesses.get(id, nine)))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(client.subprocesses.signal(id, one, "NONE")))._tag, "RequestRejected")
      assert.isTrue(yield* client.operations.cancel(id))
      assert.isFalse(yield* client.operations.cancel(id))
      assert.strictEqual((yield* Effect.flip(client.subprocesses.start(id, { command: "cat" })))._tag, "Conflict")
      assert.strictEqual((yield* Effect.flip(client.subprocesses.get(id, one)))._tag, "NotFound")
    }).pipe(Effect.provide(TestContree.layer({ images, handler: echo })))
  )

  it.live("says 425 while a command waits for its turn", () =>
    Effect.gen(function* () {
      const { client } = yield* spawn("first")
      const id = yield* client.instances.spawn({ image: "tag:base", command: "second" })
      const early = yield* Effect.flip(client.subprocesses.start(id, { command: "cat" }))
      assert.deepStrictEqual([early._tag, early._tag === "Unavailable" && early.notStarted], ["Unavailable", true])
    }).pipe(Effect.provide(TestContree.layer({ images, maxConcurrency: 1, handler: () => Effect.never })))
  )

  it.effect("places uploaded files, gives the image's environment, and limits what is written", () =>
    Effect.gen(function* () {
      const client = yield* ContreeClient
      const { id: file } = yield* client.files.upload(bytes("data"))
      const id = yield* client.instances.spawn({
        image: "tag:base",
        command: "look",
        shell: true,
        files: { "/in/data": { id: file, mode: 0o600, uid: 7 } },
        resourcesLimits: { maxLayerBytes: 10 }
      })
      const { operation } = yield* client.operations.poll(id)
      const result = Option.getOrThrow(Option.getOrThrow(operation.metadata).result)
      assert.strictEqual(text(result.stdout.bytes), "data 600 7 C ENOSPC")
    }).pipe(
      Effect.provide(
        TestContree.layer({
          images,
          handler: ({ env, files, stdout }) =>
            Effect.gen(function* () {
              const entry = yield* files.get("/in/data")
              const full = yield* Effect.flip(files.write("/large", new Uint8Array(11)))
              const content = yield* files.readText("/in/data")
              yield* stdout(`${content} ${entry.mode.toString(8)} ${entry.uid} ${env["LANG"]} ${full.code}`)
              return 0
            }).pipe(Effect.orDie)
        })
      )
    )
  )

  it.effect("lets go wrong what is planned, by method and call, and records what was asked for", () =>
    Effect.gen(function* () {
      const contree = yield* TestContree.TestContree
      const client = yield* ContreeClient
      const start = client.instances.spawn({ image: "tag:base", command: "x" })
      const tags: Array<string> = []
      for (let call = 0; call < 4; call++) {
        tags.push(yield* Effect.match(start, { onFailure: ({ _tag }) => _tag, onSuccess: () => "started" }))
      }
      assert.deepStrictEqual(tags, ["RateLimited", "OutcomeUnknown", "Conflict", "started"])
      // One answer was lost after the command had started.
      assert.lengthOf(yield* client.operations.list({}), 2)
      assert.lengthOf(yield* contree.callsOf("instances.spawn"), 4)

      const fiber = yield* Effect.fork(client.account.whoami)
      yield* TestClock.adjust("4 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
      yield* TestClock.adjust("1 second")
      assert.isTrue((yield* Fiber.join(fiber)).permissions["spawn"])

      yield* contree.plan(FaultPlan.breakOff(FaultPlan.none, "inspect.download", 0))
      const { id } = yield* Image.use("base", { strict: true })
      const broken = yield* Effect.flip(Stream.runDrain(client.inspect.download(id, "/etc/motd")))
      assert.strictEqual(broken._tag, "Unavailable")
      yield* Stream.runDrain(client.inspect.download(id, "/etc/motd"))
    }).pipe(
      Effect.provide(
        TestContree.layer({
          images,
          faults: FaultPlan.none.pipe(
            FaultPlan.answer("instances.spawn", 429, { retryAfter: "1 second" }),
            FaultPlan.loseAnswer("instances.spawn", { call: 2 }),
            FaultPlan.fail("instances.spawn", new ContreeError.Conflict({ detail: "planned", suggestion: "none" }), {
              call: 3
            }),
            FaultPlan.delay("account.whoami", "5 seconds")
          )
        })
      )
    )
  )

  it.effect("answers 403 to what the token may not do", () =>
    Effect.gen(function* () {
      const client = yield* ContreeClient
      assert.strictEqual(
        (yield* Effect.flip(client.instances.spawn({ image: "tag:base", command: "x" })))._tag,
        "Forbidden"
      )
      yield* client.instances.spawn({ image: "tag:base", command: "x", disposable: true })
      assert.lengthOf(yield* client.images.list({}), 1)
      assert.isFalse((yield* client.account.whoami).permissions["spawn"])
    }).pipe(Effect.provide(TestContree.layer({ images, permissions: ["list", "spawn_disposable"] })))
  )

  it.effect(
    "fails an import that takes too long or brings the wrong credentials, and an operation whose handler dies",
    () =>
      Effect.gen(function* () {
        const slow = yield* Effect.fork(Effect.flip(Image.importFrom("slow:1", { timeout: "5 seconds" })))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(slow))._tag, "OperationFailed")
        assert.strictEqual((yield* Effect.flip(Image.importFrom("private:1")))._tag, "OperationFailed")
        const died = yield* Effect.flip(Image.run("base", "x"))
        assert.include(died.message, "the handler's own fault")
      }).pipe(
        Effect.provide(
          TestContree.layer({
            images,
            registry: {
              "slow:1": { takes: Duration.minutes(1) },
              "private:1": { credentials: { username: "me", password: "secret" } }
            },
            handler: () => Effect.dieMessage("the handler's own fault")
          })
        )
      )
  )
})
