/** What only an engine on a machine can show: what a command sees of the machine, and what a run leaves on it. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { Engine } from "../fixtures/Contree.js"
import { processesNaming, uniqueSeconds, within } from "../fixtures/EngineTraces.js"
import { busybox, keep, output, unique } from "./steps.js"
import type { EngineIt } from "./suite.js"

export const machine = (it: EngineIt) => {
  describe("on this machine a command", () => {
    it.effect("has nothing of the host: no environment, no processes, no files, no network", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        const seen = yield* output(
          image,
          "ps | wc -l; ls /; cat /proc/net/dev | tail -n +3 | cut -d: -f1; hostname; id -u"
        )
        const [processes, ...rest] = seen.split("\n").map((line) => line.trim())
        assert.isBelow(Number(processes), 10)
        assert.includeMembers(rest, ["lo", "0"])
        assert.notInclude(rest, "eth0")
        assert.notInclude(rest, "work")
        const env = yield* output(image, "env")
        assert.notInclude(env, "VITEST")
        assert.notInclude(env, "CONTREE")
      })
    )
  })

  describe("on this machine a run whose changes are kept", () => {
    it.effect("can delete, rename, overwrite and change owners, hard links and pipes", () =>
      Effect.gen(function* () {
        const made = yield* keep(
          yield* busybox,
          `mkdir -p /d/sub /d/gone; echo one > /d/one; echo two > /d/two; echo three > /d/sub/three; echo 4 > /d/gone/4
           chmod 4755 /d/one; chown 12:34 /d/two; ln /d/one /d/hard; ln -s one /d/soft; mkfifo /d/pipe`
        )
        const changed = yield* keep(
          made,
          `rm /d/two; rm -r /d/gone; mv /d/sub /d/moved; echo more >> /d/one; echo two > /d/sub; chmod 600 /d/soft
           rm /d/hard; mkdir /d/hard; echo new > /d/hard/new; rm /d/pipe; chown 0:7 /d/moved/three`
        )
        const look =
          "cd /d; find . | sort; cat one sub hard/new moved/three; stat -c '%n %a %u:%g %F' one moved/three soft"
        assert.deepStrictEqual((yield* output(changed, look)).trim().split("\n"), [
          ".",
          "./hard",
          "./hard/new",
          "./moved",
          "./moved/three",
          "./one",
          "./soft",
          "./sub",
          "one",
          "more",
          "two",
          "new",
          "three",
          "one 600 0:0 regular file",
          "moved/three 644 0:7 regular file",
          "soft 777 0:0 symbolic link"
        ])
        assert.deepStrictEqual(
          (yield* output(made, "cd /d; cat one two sub/three gone/4 hard; stat -c '%n %a %u:%g %h' one two; ls -F"))
            .trim()
            .split("\n"),
          [
            "one",
            "two",
            "three",
            "4",
            "one",
            "one 4755 0:0 2",
            "two 644 12:34 1",
            "gone/",
            "hard*",
            "one*",
            "pipe|",
            "soft@",
            "sub/",
            "two"
          ]
        )
        const emptied = yield* keep(changed, "rm -r /d; mkdir /d; echo fresh > /d/fresh")
        assert.strictEqual(yield* output(emptied, "find /d | sort"), "/d\n/d/fresh\n")
      })
    )
  })

  describe("on this machine an image of a registry", () => {
    it.effect("of several platforms is imported for this machine's", () =>
      Effect.gen(function* () {
        const { images, push } = yield* Engine
        const name = `${yield* unique}:1`
        yield* push(yield* images.busyboxIndex, `library/${name}`)
        const image = yield* Image.oci(name)
        assert.strictEqual(yield* output(image, "test ! -e /architecture && echo right"), "right\n")
      })
    )
  })

  describe("on this machine interrupting the fiber of a run", () => {
    it.effect("ends its command soon and leaves no process, mount or folder, and the operation is cancelled", () =>
      Effect.gen(function* () {
        const { traces } = yield* Engine
        // An image that somebody looked into stays mounted for a while.
        const before = new Set((yield* traces).overlays)
        const image = yield* busybox
        const seconds = yield* uniqueSeconds
        const forks = `sleep ${seconds} & (setsid sleep ${seconds} &) ; echo x > /x; exec sleep ${seconds}`
        for (const run of [
          Image.run(image, Command.exec("sleep", seconds)),
          Image.run(image, Command.shell(forks), { disposable: true })
        ]) {
          const fiber = yield* Effect.fork(run)
          yield* within(5000)(processesNaming(seconds), (found) => found.length > 0)
          yield* Fiber.interrupt(fiber)
          const [newest] = Array.from(
            yield* Operation.stream({ kind: "instance" }).pipe(Stream.take(1), Stream.runCollect)
          )
          yield* within(5000)(
            Effect.all([processesNaming(seconds), traces]),
            ([processes, { overlays, runs }]) =>
              processes.length === 0 && overlays.every((one) => before.has(one)) && runs.length === 0
          )
          assert.strictEqual(newest?.status, "CANCELLED")
          assert.deepStrictEqual(newest?.resultImageId, Option.none())
        }
        assert.deepStrictEqual((yield* traces).ownMounts, [])
      })
    )
  })
}
