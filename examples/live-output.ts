/**
 * Two instances whose output is shown while they run, input for one of them, another process beside it, and an end by
 * Ctrl-C's signal.
 *
 * npm run example -- examples/live-output.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Option, Stream } from "effect"
import { Image, type Instance } from "effect-contree"
import { LocalContree } from "effect-contree/local"

/** Shows what a process writes, each line with its label, until its streams end. */
const show = (label: string, { stderrLines, stdoutLines }: Instance.Process) =>
  Stream.merge(
    Stream.map(stdoutLines, (line) => `${label} | ${line}`),
    Stream.map(stderrLines, (line) => `${label} ! ${line}`)
  ).pipe(Stream.runForEach(Console.log))

const program = Effect.gen(function* () {
  const base = yield* Image.oci("docker://docker.io/library/busybox:latest")

  // A build: its lines come when they are written, and its image is there in the end.
  const build = yield* Image.start(
    base,
    "echo compiling; sleep 0.2; echo 'a warning' >&2; echo 42 > /answer; echo linked"
  )
  yield* show("build", build)
  const built = yield* build.image
  yield* Console.log(`built ${built.id}`)

  // A process that is given its input while it runs.
  const upper = yield* Image.start(built, "tr a-z A-Z", { stdin: "open", disposable: true })
  yield* Stream.make("first\n", "second\n").pipe(Stream.run(upper.stdin))
  yield* show("upper", upper)

  // A server, and another process beside it in the same instance.
  const server = yield* Image.start(built, "echo serving; exec sleep 600", { disposable: true })
  yield* Stream.runHead(server.stdoutLines)
  const beside = yield* server.exec("cat /answer")
  yield* show("beside", beside)
  yield* server.interrupt
  const { signalName } = yield* server.exit
  yield* Console.log(`the server was ended by ${Option.getOrElse(signalName, () => "itself")}`)
}).pipe(Effect.scoped)

program.pipe(Effect.provide(LocalContree.layer), NodeRuntime.runMain)
