import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Exit, Fiber, Option, pipe } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import * as Run from "../../src/Run.js"
import * as Scripted from "../fixtures/ScriptedService.js"
import { image, record } from "../fixtures/ScriptedService.js"

const ids = ["a", "b", "c", "d"].map((digit) => `${digit.repeat(8)}-7425-40de-944b-e07fc1f90ae7`)
const made = (index: number) => `${String(index).repeat(8)}-7425-40de-944b-e07fc1f90ae7`

/** Ends the run of each command with its exit code; `undefined` runs until it is cancelled. */
const service = (codes: ReadonlyArray<number | undefined>, gate: Effect.Effect<void> = Effect.void) => {
  const state = { running: 0, most: 0 }
  const over = (index: number, code: number) =>
    Scripted.json({
      ...Scripted.operation("SUCCESS"),
      uuid: ids[index],
      metadata: { result: { state: { exit_code: code, signal: -1 } } },
      result: { image: made(index), tag: null }
    })
  const scripted = Scripted.make({
    [`GET /v1/inspect/`]: Scripted.empty(302, { location: `${image.id}/` }),
    [`GET /v1/inspect/${image.id}/`]: Scripted.json(record()),
    "POST /v1/instances": (_request, number) => {
      state.running++
      state.most = Math.max(state.most, state.running)
      return Scripted.json({ uuid: ids[number - 1] }, 201)
    },
    ...Object.fromEntries(
      codes.flatMap((code, index) => [
        [
          `GET /v1/operations/${ids[index]}`,
          code === undefined
            ? Scripted.silence
            : Effect.sync(() => {
                state.running--
                return over(index, code)
              }).pipe(Effect.delay("10 millis"), Effect.zipLeft(gate))
        ],
        [`DELETE /v1/operations/${ids[index]}`, Scripted.empty(202)]
      ])
    )
  })
  return { scripted, state }
}

const commands = (number: number) => Array.from({ length: number }, (_, index) => `try ${index}`)
const cancelled = ({ requests }: Scripted.ScriptedService) =>
  requests.filter(({ method }) => method === "DELETE").map(({ path }) => ids.findIndex((id) => path.endsWith(id)))

describe("Image.branch", () => {
  it.live("runs every command on the one image that its reference means, and gives each end in order", () =>
    Effect.gen(function* () {
      const { scripted } = service([0, 3, 0])
      const result = yield* Image.branch("ubuntu:latest", commands(3)).pipe(Effect.provide(scripted.layer()))
      assert.strictEqual(result.base.id, image.id)
      deepStrictEqual(
        result.branches.map(({ exit }) =>
          Exit.isSuccess(exit) ? [exit.value.exitCode, String(exit.value.image.id)] : exit
        ),
        [0, 3, 0].map((code, index) => [code, made(index)])
      )
      deepStrictEqual(
        result.branches.map(({ command, index }) => [index, command]),
        commands(3).map((script, index) => [index, Command.shell(script)])
      )
      deepStrictEqual(result.winner, Option.none())
      assert.lengthOf(scripted.of("GET /v1/inspect/"), 1)
      for (const { body } of scripted.of("POST /v1/instances")) assert.propertyVal(body, "image", image.id)
    })
  )

  it.live("runs no more at a time than it is told", () =>
    Effect.gen(function* () {
      const { scripted, state } = service([0, 0, 0, 0])
      yield* Image.branch(image.id, commands(4), { concurrency: 2 }).pipe(Effect.provide(scripted.layer()))
      assert.strictEqual(state.most, 2)
    })
  )

  it.live("keeps a branch's failure to the branch", () =>
    Effect.gen(function* () {
      const { scripted } = service([0])
      const broken = Command.timeout(Command.shell("x"), Number.POSITIVE_INFINITY)
      const result = yield* Image.branch(image.id, [broken, "try"]).pipe(Effect.provide(scripted.layer()))
      deepStrictEqual(
        result.branches.map(({ exit }) => Exit.isSuccess(exit)),
        [false, true]
      )
    })
  )

  it.live("ends with the first that succeeds, and the others are cancelled before it does", () =>
    Effect.gen(function* () {
      const { scripted } = service([1, undefined, 0, undefined])
      const result = yield* pipe(image.id, Image.branch(commands(4), { mode: "first", concurrency: 3 }), (branch) =>
        Effect.provide(branch, scripted.layer())
      )
      deepStrictEqual(
        Option.map(result.winner, ({ command, index, run }) => [index, command, run.image.id]),
        Option.some([2, Command.shell("try 2"), made(2)])
      )
      deepStrictEqual(
        result.branches.map(({ exit }) => (Exit.isInterrupted(exit) ? "interrupted" : Exit.map(exit, Run.succeeded))),
        [Exit.succeed(false), "interrupted", Exit.succeed(true), "interrupted"]
      )
      // The fourth may have started in the place of the first.
      assert.include(cancelled(scripted), 1)
      assert.notInclude(cancelled(scripted), 0)
      assert.notInclude(cancelled(scripted), 2)
    })
  )

  it.live("takes as the first what the program says, and has no winner when nothing is it", () =>
    Effect.gen(function* () {
      const { scripted } = service([0, 7, 0])
      const layer = scripted.layer()
      const seven = yield* Image.branch(image.id, commands(3), {
        mode: "first",
        concurrency: 1,
        when: (run) => run.exitCode === 7
      }).pipe(Effect.provide(layer))
      deepStrictEqual(
        Option.map(seven.winner, ({ index }) => index),
        Option.some(1)
      )
      assert.isTrue(seven.branches[2] !== undefined && Exit.isInterrupted(seven.branches[2].exit))
      const none = yield* Image.branch(image.id, commands(2), { mode: "first" }).pipe(
        Effect.provide(service([1, 2]).scripted.layer())
      )
      deepStrictEqual(none.winner, Option.none())
    })
  )

  it.live("gives the highest score, the earlier of equals, and never one that is no number", () =>
    Effect.gen(function* () {
      const scored = (codes: ReadonlyArray<number>, score: (code: number) => number) =>
        Image.branch(image.id, commands(codes.length), { mode: "best", score: (run) => score(run.exitCode) }).pipe(
          Effect.provide(service(codes).scripted.layer()),
          Effect.map(({ winner }) => Option.getOrUndefined(Option.map(winner, ({ index }) => index)))
        )
      assert.strictEqual(yield* scored([1, 5, 3], (code) => code), 1)
      assert.strictEqual(yield* scored([1, 5, 3], (code) => -code), 0)
      assert.strictEqual(yield* scored([2, 2, 1], (code) => code), 0)
      assert.strictEqual(yield* scored([1, 2], (code) => (code === 1 ? Number.NaN : Number.NEGATIVE_INFINITY)), 1)
      assert.isUndefined(yield* scored([1, 2], () => Number.NaN))
    })
  )

  it.live("keeps nothing of disposable branches", () =>
    Effect.gen(function* () {
      const { scripted } = service([0, 0])
      const { branches } = yield* Image.branch(image.id, commands(2), { disposable: true }).pipe(
        Effect.provide(scripted.layer())
      )
      for (const { exit } of branches) assert.notProperty(Exit.isSuccess(exit) ? exit.value : {}, "image")
      for (const { body } of scripted.of("POST /v1/instances")) assert.propertyVal(body, "disposable", true)
    })
  )

  it.live("cancels all of them when it is interrupted", () =>
    Effect.gen(function* () {
      const { scripted } = service([undefined, undefined])
      const fiber = yield* Effect.fork(
        Image.branch(image.id, commands(2), { mode: "first" }).pipe(Effect.provide(scripted.layer()))
      )
      yield* Effect.repeat(Effect.sleep("5 millis"), {
        until: () => scripted.requests.filter(({ path }) => path.startsWith("/v1/operations")).length === 2
      })
      yield* Fiber.interrupt(fiber)
      deepStrictEqual([...cancelled(scripted)].sort(), [0, 1])
    })
  )

  it.effect("fails when there is no such image, and starts nothing", () =>
    Effect.gen(function* () {
      const { error, service } = yield* Scripted.on(
        { "GET /v1/inspect/": Scripted.failure(404) },
        Image.branch("ubuntu:latest", commands(2))
      )
      assert.strictEqual(error?._tag, "NotFound")
      assert.lengthOf(service.requests, 1)
    })
  )
})
