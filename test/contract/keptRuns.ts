import { assert, describe } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import { busybox, failsWith, keep, output, unique } from "./steps.js"
import type { It } from "./suite.js"

const all = "find / -xdev ! -path '/proc*' ! -path '/dev*' | sort; cat /greeting /etc/passwd 2>&1; ls -ld /etc"

export const keptRuns = (it: It) => {
  describe("a run whose changes are kept", () => {
    it.effect("gives a new image; the image that it started from stays as it was", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const before = yield* output(base, all)
        const made = yield* Image.run(base, "echo hello > /greeting; mkdir /dir; echo deep > /dir/file")
        assert.notStrictEqual(made.image.id, base.id)
        assert.deepStrictEqual(made.image.tag, Option.none())
        assert.strictEqual(yield* output(made.image, "cat /greeting /dir/file"), "hello\ndeep\n")
        assert.strictEqual(yield* output(base, all), before)
        assert.strictEqual((yield* Image.use(made.image.id, { strict: true })).id, made.image.id)
      })
    )

    it.effect("that is disposable, or that writes nothing, makes no image", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const count = Stream.runCount(Image.stream())
        const before = yield* count
        const disposable = yield* Image.run(base, "echo lost > /lost; cat /lost", { disposable: true })
        assert.strictEqual(disposable.stdout.text, "lost\n")
        assert.notProperty(disposable, "image")
        const idle = yield* Image.run(base, "cat /etc/passwd > /dev/null; echo x > /dev/shm/x")
        assert.strictEqual(idle.image.id, base.id)
        assert.strictEqual(yield* count, before)
        assert.strictEqual(yield* output(base, "ls / | grep -c lost || true"), "0\n")
      })
    )

    it.effect("that writes nothing makes an image of a kept environment or folder, where that is another one", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const kept = (set: (command: Command.Command) => Command.Command, image = base) =>
          Effect.map(Image.run(image, set(Command.shell("true"))), (run) => run.image)
        const named = yield* kept((command) => Command.preserveEnv(Command.env(command, { NAME: "kept" })))
        assert.notStrictEqual(named.id, base.id)
        assert.strictEqual(yield* output(named, "echo $NAME"), "kept\n")
        const moved = yield* kept(
          (command) => Command.preserveWorkingDirectory(Command.workingDirectory(command, "/etc")),
          named
        )
        assert.strictEqual(yield* output(moved, "echo $NAME; pwd"), "kept\n/etc\n")
        const same = yield* kept(
          (command) => Command.preserveEnv(Command.preserveWorkingDirectory(Command.workingDirectory(command, "/etc"))),
          moved
        )
        assert.strictEqual(same.id, moved.id)
      })
    )

    it.effect("can delete, rename, overwrite and change the attributes of what the image had", () =>
      Effect.gen(function* () {
        const made = yield* keep(
          yield* busybox,
          `mkdir -p /d/sub /d/gone; echo one > /d/one; echo two > /d/two; echo three > /d/sub/three; echo 4 > /d/gone/4
           chmod 4755 /d/one; ln -s one /d/soft`
        )
        const changed = yield* keep(
          made,
          `rm /d/two; rm -r /d/gone; mv /d/sub /d/moved; echo more >> /d/one; echo two > /d/sub; chmod 600 /d/soft`
        )
        const look = "cd /d; find . | sort; cat one sub moved/three; stat -c '%n %a' one moved/three; readlink soft"
        assert.deepStrictEqual((yield* output(changed, look)).trim().split("\n"), [
          ".",
          "./moved",
          "./moved/three",
          "./one",
          "./soft",
          "./sub",
          "one",
          "more",
          "two",
          "three",
          "one 600",
          "moved/three 644",
          "one"
        ])
        assert.strictEqual(yield* output(made, "cat /d/one /d/two /d/sub/three /d/gone/4"), "one\ntwo\nthree\n4\n")
        const emptied = yield* keep(changed, "rm -r /d; mkdir /d; echo fresh > /d/fresh")
        assert.strictEqual(yield* output(emptied, "find /d | sort"), "/d\n/d/fresh\n")
      })
    )

    it.effect("is kept also when the command fails or runs out of time", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const failed = yield* Image.run(base, "echo partial > /partial; exit 3")
        assert.strictEqual(failed.exitCode, 3)
        assert.strictEqual(yield* output(failed.image, "cat /partial"), "partial\n")
        const late = yield* Image.run(
          base,
          Command.shell("echo late > /late; sleep 1000").pipe(Command.timeout("1 second"))
        )
        assert.isTrue(late.timedOut)
        assert.strictEqual(yield* output(late.image, "cat /late"), "late\n")
      })
    )

    it.effect("gets its tag once the command has succeeded, and only then", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const tag = `${yield* unique}:built`
        const failed = yield* Image.run(base, "echo x > /x; exit 1", { tag })
        assert.deepStrictEqual(failed.image.tag, Option.none())
        yield* failsWith(Image.use(tag, { strict: true }), "NotFound")
        const made = yield* Image.run(base, "echo y > /y", { tag })
        assert.deepStrictEqual(made.image.tag, Option.some(tag))
        assert.strictEqual((yield* Image.use(tag, { strict: true })).id, made.image.id)
        yield* Image.run(base, "rm /etc/passwd; exit 1", { tag })
        assert.strictEqual((yield* Image.use(tag, { strict: true })).id, made.image.id)
        const moved = yield* Image.run(made.image, "echo z > /z", { tag })
        assert.strictEqual(yield* output(tag, "cat /y /z"), "y\nz\n")
        assert.strictEqual((yield* Image.use(tag, { strict: true })).id, moved.image.id)
      })
    )

    it.effect("can be the start of the next, and of many at once", () =>
      Effect.gen(function* () {
        const links = [1, 2, 3, 4, 5]
        const chain = yield* Effect.reduce(links, yield* busybox, (image, link) =>
          keep(image, `echo ${link} >> /log; echo ${link} > /link-${link}; rm -f /link-${link - 2}`)
        )
        assert.strictEqual(yield* output(chain, "cat /log; ls / | grep link"), "1\n2\n3\n4\n5\nlink-4\nlink-5\n")

        const names = Array.from({ length: 8 }, (_, index) => `branch-${index}`)
        const branches = yield* Effect.forEach(
          names,
          (name) => keep(chain, `echo ${name} >> /log; echo ${name} > /mine; rm /link-5`),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(new Set(branches.map(({ id }) => id)).size, 8)
        const contents = yield* Effect.forEach(
          branches,
          (branch) => output(branch, "tail -n 1 /log; cat /mine; ls / | grep link"),
          {
            concurrency: "unbounded"
          }
        )
        assert.deepStrictEqual(
          contents,
          names.map((name) => `${name}\n${name}\nlink-4\n`)
        )
        assert.strictEqual(yield* output(chain, "tail -n 1 /log; ls / | grep link-5"), "5\nlink-5\n")
      })
    )
  })
}
