import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schema } from "effect"
import { FileId } from "../../src/api/Files.js"
import * as Command from "../../src/Command.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as FileUpload from "../../src/FileUpload.js"
import * as Image from "../../src/Image.js"
import * as ImageFiles from "../../src/ImageFiles.js"
import * as Operation from "../../src/Operation.js"
import * as Run from "../../src/Run.js"
import { busybox, failsWith, keep, output } from "./steps.js"
import type { It } from "./suite.js"

/** The image that a command leaves behind which does nothing itself. */
const withFiles = (image: Image.Input, files: Readonly<Record<string, FileUpload.Input>>) =>
  Image.run(image, Command.shell("true").pipe(Command.files(files))).pipe(
    Effect.flatMap(Run.orFail),
    Effect.map((run) => run.image)
  )

const entry = (image: Image.Image, folder: string, name: string) =>
  Effect.map(ImageFiles.list(image, folder), (entries) => entries.find((entry) => entry.name === name))

export const placedFiles = (it: It) => {
  describe("the files that a run is given", () => {
    it.effect("are there for its command, with owner and mode, and are kept as if it had written them", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const large = new Uint8Array(3_000_000).fill(7)
        const command = Command.shell("cat /etc/motd /new/deep/text; echo more >> /etc/motd").pipe(
          Command.files({
            "/etc/motd": "hello\n",
            "/new/deep/text": FileUpload.fromText("deep\n").pipe(
              FileUpload.mode(0o4750),
              FileUpload.owner({ uid: 7, gid: 8 })
            ),
            "/new/large": FileUpload.fromBytes(large)
          })
        )
        const run = yield* Effect.flatMap(Image.run(base, command), Run.orFail)
        assert.strictEqual(run.stdout.text, "hello\ndeep\n")
        assert.strictEqual(yield* ImageFiles.readText(run.image, "/etc/motd"), "hello\nmore\n")
        assert.deepStrictEqual(yield* ImageFiles.readBytes(run.image, "/new/large"), large)
        assert.deepInclude(yield* entry(run.image, "/new/deep", "text"), { uid: 7, gid: 8, mode: 0o4750 })
        assert.deepInclude(yield* entry(run.image, "/new", "large"), { uid: 0, gid: 0, mode: 0o644 })
        // What the image had beside them is still there.
        assert.isTrue(yield* ImageFiles.exists(run.image, "/etc/passwd"))
        // The same content again is as it was uploaded, whatever the first run made of its copy.
        assert.strictEqual(
          yield* output(yield* withFiles(base, { "/etc/motd": "hello\n" }), "cat /etc/motd"),
          "hello\n"
        )
      })
    )

    it.effect("are of no image when the run is disposable", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const command = Command.shell("cat /given").pipe(Command.files({ "/given": "lost\n" }))
        assert.strictEqual(yield* output(base, command), "lost\n")
        assert.isFalse(yield* ImageFiles.exists(base, "/given"))
      })
    )

    it.effect("take the place of files and links, and links on their way stay inside the image", () =>
      Effect.gen(function* () {
        const base = yield* keep(
          yield* busybox,
          "mkdir /real; echo old > /real/file; ln -s /real /absolute; ln -s ../../../../real /climbing; ln -s file /real/link"
        )
        const made = yield* withFiles(base, {
          "/absolute/file": "one\n",
          "/climbing/other": "two\n",
          "/real/link": "three\n",
          "relative/path": "four\n"
        })
        assert.strictEqual(yield* ImageFiles.readText(made, "/real/file"), "one\n")
        assert.strictEqual(yield* ImageFiles.readText(made, "/real/other"), "two\n")
        assert.strictEqual((yield* entry(made, "/real", "link"))?.kind, "file")
        assert.strictEqual((yield* entry(made, "/", "absolute"))?.kind, "symlink")
        assert.strictEqual(yield* ImageFiles.readText(made, "/relative/path"), "four\n")
        assert.strictEqual(yield* ImageFiles.readText(base, "/real/file"), "old\n")
      })
    )

    it.effect("cannot be put where a folder is", () =>
      Effect.gen(function* () {
        const base = yield* keep(yield* busybox, "mkdir /folder; ln -s folder /link")
        for (const path of ["/folder", "/link"]) {
          const { detail } = yield* failsWith(withFiles(base, { [path]: "text" }), "OperationFailed")
          assert.include(detail, path)
          assert.match(detail, /is a (folder|directory)/)
        }
      })
    )

    it.effect("are files that were uploaded, at paths that can be one", () =>
      Effect.gen(function* () {
        const client = yield* ContreeClient
        const image = (yield* busybox).id
        const spawn = (path: string, id: FileId) =>
          client.instances.spawn({ image, command: "true", files: { [path]: { id } } })
        const missing = yield* Schema.decode(FileId)("0b3f2c5e-8d8a-4c43-9a0e-3a4d7b2f9e11")
        assert.include((yield* failsWith(spawn("/file", missing), "RequestRejected")).message, missing)
        const { id } = yield* client.files.upload(new TextEncoder().encode("text"))
        for (const path of ["", "/", "/folder/", "/folder/..", "/nul\0"]) {
          yield* failsWith(spawn(path, id), "RequestRejected")
        }
        const over = yield* Operation.wait(yield* spawn("/folder/../file", id))
        assert.isTrue(yield* ImageFiles.exists(Option.getOrThrow(over.resultImageId), "/file"))
      })
    )
  })
}
