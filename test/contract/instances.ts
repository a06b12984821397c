import { assert, describe } from "@effect/vitest"
import { Chunk, Effect, Fiber, Option, Stream } from "effect"
import { createHash } from "node:crypto"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import * as InstanceEvent from "../../src/InstanceEvent.js"
import * as Operation from "../../src/Operation.js"
import { Fixture } from "../fixtures/Contree.js"
import { uniqueSeconds, within } from "../fixtures/EngineTraces.js"
import { busybox, failsWith, output } from "./steps.js"
import type { It } from "./suite.js"

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

/** What a stream of bytes gives until it ends with the text. */
const until = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, end: string) =>
  InstanceEvent.text(bytes).pipe(
    Stream.scan("", (all, text) => all + text),
    Stream.filter((all) => all.endsWith(end)),
    Stream.runHead,
    Effect.map(Option.getOrThrow)
  )

export const instances = (it: It) => {
  describe("an instance", () => {
    it.scoped("gives lines while it runs, to whoever attaches too, and leaves its image behind", () =>
      Effect.gen(function* () {
        const instance = yield* Image.start(
          yield* busybox,
          "echo prêt 日本; sleep 0.3; echo done > /result; echo done; echo oops >&2; exit 3"
        )
        const attached = yield* Operation.attach(instance.id)
        assert.deepStrictEqual(yield* Stream.runHead(attached.stdoutLines), Option.some("prêt 日本"))
        const all = yield* Effect.all(
          [instance.stdoutLines, attached.stdoutLines, instance.stderrLines, attached.stderrLines].map(collect),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(all, [["prêt 日本", "done"], ["prêt 日本", "done"], ["oops"], ["oops"]])
        const run = yield* attached.exit
        assert.deepStrictEqual([run.exitCode, run.stdout.text, run.stderr.text], [3, "prêt 日本\ndone\n", "oops\n"])
        assert.strictEqual((yield* instance.exit).exitCode, 3)
        assert.strictEqual(yield* output(yield* instance.image, "cat /result"), "done\n")
        assert.isFalse(yield* instance.interrupt)
        // Who comes when it is over is told the same.
        const late = yield* Operation.attach(instance.id)
        assert.deepStrictEqual(yield* collect(late.stdoutLines), ["prêt 日本", "done"])
        assert.strictEqual((yield* late.exit).stderr.text, "oops\n")
      })
    )

    it.scoped("that is disposable leaves no image behind", () =>
      Effect.gen(function* () {
        const instance = yield* Image.start(yield* busybox, "echo x > /x", { disposable: true })
        yield* failsWith(instance.image, "NotFound")
        assert.strictEqual((yield* instance.exit).exitCode, 0)
      })
    )

    it.scoped("reads what it is given while it runs, in order and whole, until its end", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const echo = yield* Image.start(base, Command.exec("cat").pipe(Command.stdin("given ")), {
          stdin: "open",
          disposable: true
        })
        yield* echo.write("one ")
        assert.strictEqual(yield* until(echo.stdout, "one "), "given one ")
        yield* Effect.forEach(["2 ", "3 ", "4 ", "5 "], echo.write)
        yield* echo.endInput
        yield* failsWith(echo.write("late"), "Conflict")
        assert.strictEqual((yield* echo.exit).stdout.text, "given one 2 3 4 5 ")
        yield* failsWith(echo.write("late"), "Conflict")
        assert.deepStrictEqual(
          Buffer.concat(
            (yield* collect(echo.events)).flatMap((event) => (event._tag === "Stdin" ? [event.data.bytes] : []))
          ).toString(),
          "given one 2 3 4 5 "
        )

        const sum = yield* Image.start(base, "md5sum", { stdin: "open", disposable: true })
        const bytes = new Uint8Array(3_000_000).map((_, index) => index % 251)
        yield* Stream.make(bytes.subarray(0, 1_000_001), bytes.subarray(1_000_001)).pipe(Stream.run(sum.stdin))
        const { stdout } = yield* sum.exit
        assert.strictEqual(stdout.text.slice(0, 32), createHash("md5").update(bytes).digest("hex"))
      })
    )

    it.scoped("whose input is not open takes none", () =>
      Effect.gen(function* () {
        const instance = yield* Image.start(yield* busybox, "echo up; sleep 1000", { disposable: true })
        yield* Stream.runHead(instance.stdoutLines)
        yield* failsWith(instance.write("x"), "Conflict")
        yield* failsWith(instance.endInput, "Conflict")
      })
    )

    it.scoped("is ended by a signal, which its result names; its image is kept", () =>
      Effect.gen(function* () {
        const instance = yield* Image.start(yield* busybox, "echo x > /left; echo up; sleep 1000")
        yield* Stream.runHead(instance.stdoutLines)
        yield* failsWith(instance.signal("NONE"), "RequestRejected")
        assert.isTrue(yield* instance.signal("KILL"))
        const run = yield* instance.exit
        assert.deepStrictEqual([run.exitCode, run.signal], [137, Option.some(9)])
        assert.strictEqual(yield* output(yield* instance.image, "cat /left"), "x\n")
        assert.isFalse(yield* instance.kill)
      })
    )

    it.effect("is cancelled when its scope closes, and who follows its events hears of it", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const base = yield* busybox
        const seconds = yield* uniqueSeconds
        const { following, id } = yield* Effect.scoped(
          Effect.gen(function* () {
            const instance = yield* Image.start(base, `echo up; sleep ${seconds}`)
            yield* Stream.runHead(instance.stdoutLines)
            const following = yield* Effect.forkDaemon(collect(Operation.events(instance.id, { follow: true })))
            return { id: instance.id, following }
          })
        )
        assert.strictEqual((yield* Operation.get(id)).status, "CANCELLED")
        assert.deepStrictEqual(yield* running(seconds), [])
        const last = (yield* Fiber.join(following)).at(-1)
        assert.strictEqual(last?._tag === "Completion" ? last.data.status : last?._tag, "CANCELLED")
      })
    )

    it.effect("that somebody else has started goes on when who has attached leaves", () =>
      Effect.gen(function* () {
        const { instances } = yield* ContreeClient
        const { id: image } = yield* busybox
        const id = yield* instances.spawn({ image, command: "echo up; sleep 1000", shell: true })
        const line = yield* Effect.scoped(
          Effect.flatMap(Operation.attach(id), ({ stdoutLines }) => Stream.runHead(stdoutLines))
        )
        assert.deepStrictEqual(line, Option.some("up"))
        assert.strictEqual((yield* Operation.output(id)).stdout.text, "up\n")
        assert.strictEqual((yield* Operation.get(id)).status, "EXECUTING")
        assert.isTrue(yield* Operation.cancel(id))
      })
    )
  })

  describe("another process in an instance", () => {
    it.scoped("has its own command, input, output, result and events; what it writes is the instance's", () =>
      Effect.gen(function* () {
        const instance = yield* Image.start(yield* busybox, "echo up; sleep 1000")
        const shell = yield* instance.exec("echo here > /made; echo out; echo err >&2; exit 4")
        assert.strictEqual(shell.spid, 2)
        const run = yield* shell.exit
        assert.deepStrictEqual([run.exitCode, run.stdout.text, run.stderr.text], [4, "out\n", "err\n"])
        assert.isFalse(yield* shell.kill)
        assert.deepStrictEqual((yield* collect(shell.events)).map(({ _tag, spid }) => `${_tag} ${spid}`).sort(), [
          "Exit 2",
          "Spawn 2",
          "Stderr 2",
          "Stdout 2"
        ])

        const own = yield* instance.exec(
          Command.shell('id -u; id -g; pwd; echo "$GREETING $OWN"; cat').pipe(
            Command.user(1000),
            Command.group(1001),
            Command.workingDirectory("/new/folder"),
            Command.env({ OWN: "a 'quoted' value" }),
            Command.stdin("given")
          )
        )
        assert.deepStrictEqual(yield* collect(own.stdoutLines), [
          "1000",
          "1001",
          "/new/folder",
          "hello a 'quoted' value",
          "given"
        ])

        const cut = yield* instance.exec(Command.shell("printf 123456").pipe(Command.outputLimitBytes(4)))
        const short = (yield* cut.exit).stdout
        assert.deepStrictEqual([short.text, short.truncated], ["1234", true])

        const reading = yield* instance.exec(Command.exec("cat"), { stdin: "open" })
        yield* reading.write("one ")
        assert.strictEqual(yield* until(reading.stdout, "one "), "one ")
        yield* Stream.run(Stream.make("two ", "three"), reading.stdin)
        assert.strictEqual((yield* reading.exit).stdout.text, "one two three")
        yield* failsWith(reading.write("late"), "Conflict")

        assert.isTrue(yield* instance.kill)
        assert.strictEqual(yield* output(yield* instance.image, "cat /made"), "here\n")
        yield* failsWith(instance.exec("true"), "Conflict")
      })
    )

    it.scoped("is ended by a signal of its own, with its scope, or with the instance", () =>
      Effect.gen(function* () {
        const { running } = yield* Fixture
        const instance = yield* Image.start(yield* busybox, "read line; echo over", { stdin: "open" })
        const seconds = yield* uniqueSeconds
        const sleep = Command.exec("sleep", seconds)
        const signalled = yield* instance.exec(sleep)
        yield* within(5000)(running(seconds), (found) => found.length > 0)
        assert.isTrue(yield* signalled.signal("SIGTERM"))
        assert.deepStrictEqual((yield* signalled.exit).signal, Option.some(15))
        yield* Effect.scoped(
          Effect.zipRight(
            instance.exec(sleep),
            within(5000)(running(seconds), (found) => found.length > 0)
          )
        )
        yield* within(5000)(running(seconds), (found) => found.length === 0)

        const last = yield* instance.exec(sleep)
        yield* within(5000)(running(seconds), (found) => found.length > 0)
        yield* instance.write("go\n")
        // It may be over before its input is.
        yield* Effect.ignore(instance.endInput)
        assert.strictEqual((yield* instance.exit).stdout.text, "over\n")
        assert.deepStrictEqual((yield* last.exit).signal, Option.some(9))
        assert.deepStrictEqual(yield* running(seconds), [])
      })
    )
  })
}
