import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import * as Command from "../../src/Command.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as ImageFiles from "../../src/ImageFiles.js"
import * as Operation from "../../src/Operation.js"
import { busybox, output } from "./steps.js"
import type { It } from "./suite.js"

export const spawning = (it: It) => {
  describe("what a command is started with", () => {
    it.effect("is a user, a group and a hostname, to whom belongs what it writes", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const look = Command.shell("id -u; id -g; hostname; echo mine > /tmp/mine")
        const other = look.pipe(Command.user(12), Command.group(34), Command.hostname("box"))
        const run = yield* Image.run(base, other)
        assert.strictEqual(run.stdout.text, "12\n34\nbox\n")
        const mine = (yield* ImageFiles.list(run.image, "/tmp")).find(({ name }) => name === "mine")
        assert.deepInclude(mine, { uid: 12, gid: 34 })
        assert.strictEqual(yield* output(base, look), "0\n0\nlinuxkit\n")
      })
    )

    it.effect("stays with the image where it is told to: variables and the folder", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const print = 'echo "${GREETING-unset} $ADDED $(pwd)"'
        const changed = Command.shell(`echo x > /x; ${print}`).pipe(
          Command.env({ ADDED: "new", GREETING: "" }),
          Command.workingDirectory("/work")
        )
        const forgotten = yield* Image.run(base, changed)
        assert.strictEqual(yield* output(forgotten.image, print), "hello  /\n")
        const kept = yield* Image.run(base, changed.pipe(Command.preserveEnv, Command.preserveWorkingDirectory))
        assert.strictEqual(yield* output(kept.image, print), "unset new /work\n")
        assert.strictEqual(yield* output(kept.image, Command.exec("pwd")), "/work\n")
        const removed = yield* Image.run(
          kept.image,
          Command.shell("echo y > /y").pipe(Command.env({ ADDED: null }), Command.preserveEnv)
        )
        assert.strictEqual(yield* output(removed.image, print), "unset  /work\n")
      })
    )

    it.effect("is told of by its operation, what was left out with its default", () =>
      Effect.gen(function* () {
        const { files, instances } = yield* ContreeClient
        const { id: image } = yield* busybox
        const { id: file } = yield* files.upload(new TextEncoder().encode("told\n"))
        const metadataOf = (request: Omit<Parameters<typeof instances.spawn>[0], "image">) =>
          Effect.gen(function* () {
            const id = yield* instances.spawn({ image, ...request })
            const { metadata } = yield* Operation.wait(id)
            return Option.getOrThrow(metadata)
          })
        assert.deepInclude(yield* metadataOf({ command: "true" }), {
          command: "true",
          image,
          args: [],
          shell: false,
          env: {},
          preserve_env: false,
          cwd: "",
          preserve_cwd: false,
          uid: 0,
          gid: 0,
          hostname: "linuxkit",
          disposable: false,
          truncate_output_at: 1_048_576,
          stdin: { value: "", encoding: "ascii", close: true },
          files: {},
          resources_limits: { max_layer_bytes: 12_884_901_888 },
          networking: { enabled: true }
        })
        const metadata = yield* metadataOf({
          command: "cat",
          args: ["/told"],
          shell: false,
          env: { A: "b", NONE: null },
          preserveEnv: true,
          cwd: "/work",
          preserveCwd: true,
          uid: 1,
          gid: 2,
          hostname: "box",
          disposable: true,
          timeout: Duration.seconds(30),
          truncateOutputAt: 3,
          stdin: { bytes: new Uint8Array([255]), close: true },
          files: { "/told": { id: file, uid: 1, mode: 0o400 } },
          resourcesLimits: { maxLayerBytes: 1_000_000 },
          networking: { enabled: false }
        })
        assert.deepInclude(metadata, {
          command: "cat",
          args: ["/told"],
          env: { A: "b", NONE: null },
          preserve_env: true,
          cwd: "/work",
          preserve_cwd: true,
          uid: 1,
          gid: 2,
          hostname: "box",
          disposable: true,
          timeout: 30,
          truncate_output_at: 3,
          stdin: { value: "/w==", encoding: "base64", close: true },
          files: { "/told": { uuid: file, uid: 1, mode: "0400" } },
          resources_limits: { max_layer_bytes: 1_000_000 },
          networking: { enabled: false }
        })
        const { stdout } = Option.getOrThrow(metadata.result)
        assert.deepStrictEqual([Buffer.from(stdout.bytes).toString(), stdout.truncated], ["tol", true])
      })
    )
  })
}
