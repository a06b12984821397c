import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import * as Command from "../../src/Command.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import type { StartError } from "../../src/ContreeError.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { Fixture } from "../fixtures/Contree.js"
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

  describe("a request that makes no sense", () => {
    it.effect("is rejected at any endpoint that takes something", () =>
      Effect.gen(function* () {
        const { files, images, inspect, instances, operations } = yield* ContreeClient
        const { id } = yield* busybox
        const { operationId } = yield* Image.run(id, "true", { disposable: true })
        const url = (yield* Fixture).busybox
        const senseless: Readonly<Record<string, Effect.Effect<unknown, StartError>>> = {
          "images.list limit": images.list({ limit: 1001 }),
          "images.list offset": images.list({ offset: -1 }),
          "images.import url": images.import({ registry: { url: "docker://" } }),
          "images.import timeout": images.import({ registry: { url }, timeout: Duration.hours(2) }),
          "files.list": files.list({ limit: 0 }),
          "inspect.list": inspect.list(id, ""),
          "inspect.download": Stream.runDrain(inspect.download(id, "relative")),
          "inspect.hasDownload": inspect.hasDownload(id, "relative"),
          "inspect.archive": Stream.runDrain(inspect.archive(id, "relative")),
          "inspect.hasArchive": inspect.hasArchive(id, "relative"),
          "inspect.grep": inspect.grep(id, { pattern: [] }),
          "instances.spawn image": instances.spawn({ command: "true", image: "no image" }),
          "instances.spawn uid": instances.spawn({ command: "true", image: id, uid: -1 }),
          "operations.list": operations.list({ limit: 0 }),
          "operations.events": Stream.runDrain(operations.events(operationId, { spid: -1 }))
        }
        for (const [what, request] of Object.entries(senseless)) {
          const told = yield* Effect.match(request, { onFailure: ({ _tag }) => _tag, onSuccess: () => "done" })
          assert.strictEqual(told, "RequestRejected", what)
        }
      })
    )
  })
}
