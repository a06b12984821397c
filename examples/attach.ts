/**
 * A build is started, and somebody else attaches to it by the id of its operation: what it wrote before is replayed,
 * what it writes then is followed. The one who attaches does not own it.
 *
 * Both are in one process here, since the engine of `LocalContree` belongs to one. Against the hosted service or
 * `effect-contree serve`, the second part is a program of its own that is given the printed id.
 *
 * npm run example -- examples/attach.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Fiber, Stream } from "effect"
import { Image, Operation } from "effect-contree"
import { LocalContree } from "effect-contree/local"

/** What a second program does with the id, which it gets as text. */
const watch = (argument: string) =>
  Effect.gen(function* () {
    const id = yield* Operation.idFromString(argument)
    const build = yield* Operation.attach(id)
    yield* Stream.runForEach(build.stdoutLines, (line) => Console.log(`watcher | ${line}`))
    const { exitCode } = yield* build.exit
    yield* Console.log(`the watcher saw exit code ${exitCode}`)
  }).pipe(Effect.scoped)

const program = Effect.gen(function* () {
  const base = yield* Image.oci("docker://docker.io/library/busybox:latest")
  const build = yield* Image.start(base, "for step in one two three; do echo step $step; sleep 0.3; done; exit 3")
  yield* Console.log(`operation ${build.id}`)

  // When the first line is there, the other one comes.
  yield* Stream.runHead(build.stdoutLines)
  const watching = yield* Effect.fork(watch(build.id))

  yield* Stream.runForEach(build.stdoutLines, (line) => Console.log(`owner | ${line}`))
  const { elapsed, exitCode } = yield* build.exit
  yield* Console.log(`the owner saw exit code ${exitCode} after ${String(elapsed)}`)
  yield* Fiber.join(watching)
}).pipe(Effect.scoped)

program.pipe(Effect.provide(LocalContree.layer), NodeRuntime.runMain)
