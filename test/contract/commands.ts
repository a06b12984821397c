import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import { busybox, output, unique } from "./steps.js"
import type { It } from "./suite.js"

const run = (command: Command.Command | string) =>
  Effect.flatMap(busybox, (image) => Image.run(image, command, { disposable: true }))

const everyByte = Uint8Array.from({ length: 1024 }, (_, index) => index % 256)

export const commands = (it: It) => {
  describe("a command", () => {
    it.effect("is text for the image's shell, or an executable by its path or by its name in PATH", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        assert.strictEqual(yield* output(image, "echo $((6 * 7)) | tr 2 3"), "43\n")
        assert.strictEqual(yield* output(image, Command.sh`echo ${"it's $HOME"} ${["a b", "*"]}`), "it's $HOME a b *\n")
        assert.strictEqual(yield* output(image, Command.exec("/bin/echo", "$HOME", "a  b", "")), "$HOME a  b \n")
        assert.strictEqual(yield* output(image, Command.exec("echo", "by name")), "by name\n")
      })
    )

    it.effect("that runs by a shell gets the image's environment and its own on top; an executable only its own", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        const changed = Command.env({ ADDED: "new $HOME\nline", GREETING: "hi" })
        const print = 'echo "$GREETING,$ADDED,$PATH"'
        const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        assert.strictEqual(yield* output(image, print), `hello,,${path}\n`)
        assert.strictEqual(yield* output(image, changed(Command.shell(print))), `hi,new $HOME\nline,${path}\n`)
        const without = Command.shell('echo "${GREETING-unset}"').pipe(Command.env({ GREETING: null }))
        assert.strictEqual(yield* output(image, without), "unset\n")

        const variables = (text: string) =>
          text
            .split("\n")
            .filter((line) => /^(GREETING|ADDED|PATH)=/.test(line))
            .sort()
        assert.deepStrictEqual(variables(yield* output(image, Command.exec("env"))), [`PATH=${path}`])
        const alone = yield* output(image, Command.exec("env").pipe(Command.env({ ADDED: "new" })))
        assert.deepStrictEqual(variables(alone), ["ADDED=new", `PATH=${path}`])
      })
    )

    it.effect("starts in /, or in the directory that it names, which is made where it is missing", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        assert.strictEqual(yield* output(image, "pwd"), "/\n")
        const there = Command.exec("pwd").pipe(Command.workingDirectory("/a new/deep place"))
        assert.strictEqual(yield* output(image, there), "/a new/deep place\n")
        const kept = yield* Image.run(image, Command.shell("echo x > file").pipe(Command.workingDirectory("/work/dir")))
        assert.strictEqual(yield* output(kept.image, "cat /work/dir/file"), "x\n")
      })
    )

    it.effect("reads the text or the bytes that it is given, and the end of input where it is given none", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        assert.strictEqual(
          yield* output(image, Command.exec("cat").pipe(Command.stdin("zwölf\n日本語"))),
          "zwölf\n日本語"
        )
        const binary = yield* run(Command.exec("cat").pipe(Command.stdin(everyByte)))
        assert.deepStrictEqual(Array.from(binary.stdout.bytes), Array.from(everyByte))
        const large = new Uint8Array(3_000_000).map((_, index) => (index * 7) % 251)
        const sum = yield* output(image, Command.exec("wc", "-c").pipe(Command.stdin(large)))
        assert.strictEqual(sum.trim(), "3000000")
        for (const none of [Command.exec("cat"), Command.exec("cat").pipe(Command.stdin(""))]) {
          const ended = yield* run(none)
          assert.deepStrictEqual([ended.exitCode, ended.stdout.text], [0, ""])
        }
      })
    )

    it.effect("gives all bytes of both outputs, each by itself and in order", () =>
      Effect.gen(function* () {
        const binary = yield* run("printf '\\000\\377\\303' ; printf '\\200\\n' >&2")
        assert.deepStrictEqual(Array.from(binary.stdout.bytes), [0, 255, 0xc3])
        assert.deepStrictEqual(Array.from(binary.stderr.bytes), [0x80, 10])
        const many = yield* run('i=0; while [ $i -lt 1000 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done')
        const lines = (name: string) => Array.from({ length: 1000 }, (_, index) => `${name} ${index}\n`).join("")
        assert.strictEqual(many.stdout.text, lines("out"))
        assert.strictEqual(many.stderr.text, lines("err"))
        assert.isFalse(many.stdout.truncated || many.stderr.truncated)
      })
    )

    it.effect("gives its exit code as a value: 127 where there is none such, 126 where it is no program", () =>
      Effect.gen(function* () {
        for (const code of [0, 1, 3, 255]) {
          const ended = yield* run(`exit ${code}`)
          assert.deepStrictEqual([ended.exitCode, ended.signal, ended.timedOut], [code, Option.none(), false])
        }
        const name = yield* unique
        const missing = yield* run(Command.exec(name))
        assert.strictEqual(missing.exitCode, 127)
        assert.include(missing.stderr.text, name)
        assert.strictEqual((yield* run("nothing-of-this-name")).exitCode, 127)
        const noProgram = yield* run(Command.exec("/etc"))
        assert.strictEqual(noProgram.exitCode, 126)
        assert.include(noProgram.stderr.text, "/etc")
      })
    )

    it.effect("that a signal ends says which", () =>
      Effect.gen(function* () {
        for (const signal of [9, 15]) {
          const ended = yield* run(`echo before; kill -${signal} $$; sleep 5; echo after`)
          assert.deepStrictEqual(
            [ended.exitCode, ended.signal, ended.timedOut, ended.stdout.text],
            [128 + signal, Option.some(signal), false, "before\n"]
          )
        }
      })
    )

    it.effect("that takes longer than its timeout is killed soon after it, and what it wrote until then is kept", () =>
      Effect.gen(function* () {
        const slow = Command.shell("echo early; echo bad >&2; sleep 1000").pipe(Command.timeout("1 second"))
        const [took, ended] = yield* Effect.timed(run(slow))
        assert.isTrue(ended.timedOut)
        assert.deepStrictEqual([ended.exitCode, ended.stdout.text, ended.stderr.text], [137, "early\n", "bad\n"])
        assert.isBelow(Duration.toMillis(took), 3000)
        assert.isAtLeast(Duration.toMillis(took), 1000)
      })
    )

    it.effect("that writes more than the limit gives the first bytes, and says so for each output", () =>
      Effect.gen(function* () {
        const limited = Command.shell("yes abcdefg | head -c 200000; printf 1234567890 >&2").pipe(
          Command.outputLimitBytes(10)
        )
        const ended = yield* run(limited)
        assert.deepStrictEqual(
          [ended.exitCode, ended.stdout.text, ended.stdout.truncated, ended.stderr.text, ended.stderr.truncated],
          [0, "abcdefg\nab", true, "1234567890", false]
        )
        const nothing = yield* run(Command.shell("echo out").pipe(Command.outputLimitBytes(0)))
        assert.deepStrictEqual(
          [nothing.stdout.text, nothing.stdout.truncated, nothing.stderr.truncated],
          ["", true, false]
        )
        const flood = yield* run("head -c 3000000 /dev/zero")
        assert.deepStrictEqual([flood.stdout.bytes.length, flood.stdout.truncated], [1_048_576, true])
      })
    )
  })
}
