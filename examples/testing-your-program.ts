/** How a program is tested without any engine: `npm run example examples/testing-your-program.ts`. */
import { Command, Image, Operation, Run } from "effect-contree"
import { CommandHandler, FaultPlan, TestContree } from "effect-contree/testing"
import { Console, type Duration, Effect, Fiber, Option, Stream, TestClock, TestContext } from "effect"

// The program: builds an app on an image of a registry, and gives up on a build after a while.
const build = Effect.gen(function* () {
  const base = yield* Image.oci("docker://docker.io/library/node:22")
  const command = Command.shell("npm run build").pipe(Command.timeout("10 minutes"))
  const built = yield* Image.run(base, command, { tag: "app:built" })
  return yield* Run.orFail(built)
})

const registry = { "docker://docker.io/library/node:22": { files: { "/app/index.ts": "export {}" } } }

const writes: CommandHandler.CommandHandler = ({ files, stdout }) =>
  files.write("/app/index.js", "export {}").pipe(Effect.zipRight(stdout("built\n")), Effect.as(0), Effect.orDie)

/** A command that works: what it wrote is in the image, and the program asked for what it should. */
const succeeds = Effect.gen(function* () {
  const contree = yield* TestContree.TestContree
  const run = yield* build
  const [spawned] = yield* contree.callsOf("instances.spawn")
  yield* Console.log(`it says: ${run.stdout.text.trim()}, asked for: ${spawned?.args[0].command}`)
  yield* Console.log(`tagged: ${(yield* contree.files("app:built"))._tag}`)
}).pipe(Effect.provide(TestContree.layer({ registry, handler: CommandHandler.match([["npm run build", writes]]) })))

/** Lets time pass by the `TestClock`, step by step, until a fiber is done. */
const passUntilDone = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, step: Duration.DurationInput) =>
  Effect.zipRight(
    Effect.repeat(TestClock.adjust(step), { until: () => Effect.map(Fiber.poll(fiber), Option.isSome) }),
    Fiber.join(fiber)
  )

/** A service that is busy: the first request to start is refused, and the second is made by the library. */
const isRepeated = Effect.gen(function* () {
  const contree = yield* TestContree.TestContree
  const fiber = yield* Effect.fork(build)
  yield* passUntilDone(fiber, "1 second")
  yield* Console.log(`a busy service: ${(yield* contree.callsOf("instances.spawn")).length} requests`)
}).pipe(
  Effect.provide([
    TestContree.layer({ registry, faults: FaultPlan.none.pipe(FaultPlan.answer("instances.spawn", 429)) }),
    TestContext.TestContext
  ])
)

/** A build that hangs: ten minutes pass at once, by the `TestClock`. */
const timesOut = Effect.gen(function* () {
  const fiber = yield* Effect.fork(Effect.flip(build))
  const error = yield* passUntilDone(fiber, "1 minute")
  yield* Console.log(`a build that hangs: ${error._tag}`)
}).pipe(Effect.provide([TestContree.layer({ registry, handler: () => Effect.never }), TestContext.TestContext]))

/** A program that is interrupted leaves nothing running. */
const isCancelled = Effect.gen(function* () {
  const contree = yield* TestContree.TestContree
  const fiber = yield* Effect.fork(build)
  yield* Effect.repeat(Effect.yieldNow(), { until: () => Effect.map(contree.running, (all) => all.length === 1) })
  yield* Fiber.interrupt(fiber)
  const cancelled = yield* Stream.runCount(Operation.stream({ status: "CANCELLED" }))
  yield* Console.log(`interrupted: ${cancelled} cancelled, ${(yield* contree.running).length} running`)
}).pipe(Effect.provide(TestContree.layer({ registry, handler: () => Effect.never })))

await Effect.runPromise(Effect.all([succeeds, isRepeated, timesOut, isCancelled], { discard: true }))
