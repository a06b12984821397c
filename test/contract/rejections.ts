import { assert, describe } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { busybox, failsWith } from "./steps.js"
import type { It } from "./suite.js"

const wrong: ReadonlyArray<readonly [what: string, command: Command.Command, words: RegExp]> = [
  ["a variable whose name has an =", Command.shell("true").pipe(Command.env({ "A=B": "c" })), /"A=B"/],
  ["a variable without a name", Command.shell("true").pipe(Command.env({ "": "c" })), /env: ""/],
  ["a NUL character in an argument", Command.exec("echo", "a\0b"), /NUL/],
  ["a NUL character in a variable", Command.shell("true").pipe(Command.env({ A: "a\0b" })), /NUL/],
  ["a relative working directory", Command.shell("true").pipe(Command.workingDirectory("work")), /absolute path/],
  ["a timeout over the limit", Command.shell("true").pipe(Command.timeout("2 hours")), /3600 seconds/],
  ["an output limit over 10 MiB", Command.shell("true").pipe(Command.outputLimitBytes(10_485_761)), /10485760/],
  ["an empty command", Command.shell(""), /command/]
]

export const rejections = (it: It) => {
  describe("a run with", () => {
    for (const [what, command, words] of wrong) {
      it.effect(`${what} is rejected, and no operation comes of it`, () =>
        Effect.gen(function* () {
          const image = yield* busybox
          const count = Stream.runCount(Operation.stream({ kind: "instance" }))
          const before = yield* count
          const error = yield* failsWith(Image.run(image, command, { disposable: true }), "RequestRejected")
          assert.match(error.message, words)
          assert.strictEqual(yield* count, before)
        })
      )
    }
  })
}
