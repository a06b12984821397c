import { FileSystem } from "@effect/platform"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Command from "../../src/Command.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as FileUpload from "../../src/FileUpload.js"
import * as Image from "../../src/Image.js"
import { InspectEngine, layer as engine } from "../local/inspectEngine.js"

layer(engine(), { timeout: "1 minute", excludeTestServices: true })("attacks on the API", (it) => {
  it.effect(
    "host files by links and '..' through list, download, archive and grep: paths are looked up inside the image",
    () =>
      Effect.gen(function* () {
        const { after, ask, dataDirectory } = yield* InspectEngine
        const fs = yield* FileSystem.FileSystem
        yield* fs.writeFileString(`${dataDirectory}/secret`, "of the host")
        const up = "../".repeat(20)
        const id = yield* after(
          `mkdir /a; cd /a; ln -s ${dataDirectory}/secret file; ln -s ${dataDirectory} folder; ln -s ${up}${dataDirectory.slice(1)} up;
         ln -s /proc/self/cwd proc; ln -s /proc/1/root${dataDirectory} process`
        )
        const paths = [
          "/a/file",
          "/a/folder/secret",
          "/a/up/secret",
          `/a/proc${dataDirectory}/secret`,
          "/a/process/secret",
          `${"/..".repeat(20)}${dataDirectory}/secret`,
          `/a/${up}${dataDirectory.slice(1)}/secret`
        ]
        for (const endpoint of ["list", "download", "archive", "grep"]) {
          for (const path of paths) {
            const answer = yield* ask(`/v1/inspect/${id}/${endpoint}`, { path, pattern: "of the host" })
            assert.isAtLeast(answer.status, 400, `${endpoint} ${path}`)
            assert.notInclude(answer.bytes.toString("latin1"), "of the host")
          }
        }
        const whole = yield* ask(`/v1/inspect/${id}/archive`, { path: "/a" })
        assert.notInclude(whole.bytes.toString("latin1"), "of the host")
        const search = yield* ask(`/v1/inspect/${id}/grep`, { path: "/a", pattern: "of the host" })
        assert.include(search.text, '"matches":[]')
      })
  )

  it.effect("a placed file through links of the image: they end at the image's root", () =>
    Effect.gen(function* () {
      const { after, client, dataDirectory } = yield* InspectEngine
      const fs = yield* FileSystem.FileSystem
      const id = yield* after(
        `mkdir /b; ln -s ${dataDirectory} /b/folder; ln -s ${"../".repeat(20)}${dataDirectory.slice(1)} /b/up; ln -s ${dataDirectory}/pwned /b/file`
      )
      for (const path of [
        "/b/folder/pwned",
        "/b/up/pwned",
        "/b/file",
        `/b/${"../".repeat(20)}${dataDirectory.slice(1)}/pwned`
      ]) {
        // Refused, or written inside the image: both are right.
        yield* Image.run(id, Command.shell("true").pipe(Command.files({ [path]: FileUpload.fromText("pwned") })), {
          disposable: true
        }).pipe(Effect.either, Effect.provideService(ContreeClient, client))
        assert.isFalse(yield* fs.exists(`${dataDirectory}/pwned`), path)
      }
    })
  )

  it.effect("a flood of output: what is beyond its limit is read and dropped, and the engine answers meanwhile", () =>
    Effect.gen(function* () {
      const { ask, after, client } = yield* InspectEngine
      const id = yield* after("echo > /flood")
      const flood = Image.run(id, Command.shell("head -c 300000000 /dev/zero; echo end >&2"), {
        disposable: true
      }).pipe(Effect.provideService(ContreeClient, client))
      const [run, answers] = yield* Effect.all(
        [flood, Effect.all(Array.from({ length: 5 }, () => ask("/v1/images")))],
        {
          concurrency: 2
        }
      )
      assert.deepStrictEqual(
        answers.map(({ status }) => status),
        [200, 200, 200, 200, 200]
      )
      assert.isBelow(run.stdout.bytes.length, 16_000_000)
      assert.isTrue(run.stdout.truncated)
    })
  )
})
