import { assert, layer as suite } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import * as Run from "../../src/Run.js"
import { output } from "../contract/steps.js"
import * as Contree from "../fixtures/Contree.js"
import * as FileTree from "../fixtures/FileTree.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"
import * as Requirements from "../fixtures/Requirements.js"

const isRoot = process.getuid?.() === 0

/** What the engine asks of the disk, in its order: the names of the calls with what they are about. */
const syncs = (trace: string) =>
  trace.split("\n").flatMap((line) => {
    const call = /\b(fsync|fdatasync|syncfs|rename)(?:at2?)?\((.*?)(?:\) += 0|<unfinished)/.exec(line)
    return call === null ? [] : [{ call: call[1] ?? "", about: call[2] ?? "" }]
  })

/** The calls of an engine from its start until an image, a tag and a file are acknowledged. */
const traced = (durability: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const folder = yield* Contree.temporaryFolder
      const { address } = yield* Registry
      const trace = `${folder}/trace`
      const strace = yield* Requirements.find("strace")
      const served = yield* Contree.serve({
        args: [...Contree.serveArgs(address, `${folder}/data`), "--token", Contree.token, "--durability", durability],
        words: [strace, "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,syncfs,/^rename", "-o", trace]
      })
      return yield* Effect.gen(function* () {
        const base = yield* Image.oci("busybox:latest")
        const before = syncs(readFileSync(trace, "utf8")).length
        yield* Image.run(base, "echo x > /x")
        const run = syncs(readFileSync(trace, "utf8")).slice(before)
        yield* (yield* ContreeClient).files.upload(new TextEncoder().encode("x"))
        return { run, upload: syncs(readFileSync(trace, "utf8")).slice(before + run.length) }
      }).pipe(Effect.provide(Contree.client(served.url, Contree.token)))
    })
  )

/** A file system of its own with so many MiB, as the data folder's. */
const smallDisk = (mebibytes: number) =>
  Effect.gen(function* () {
    const folder = yield* Contree.temporaryFolder
    yield* Effect.acquireRelease(
      FileTree.exec("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=0700`, "tmpfs", folder]),
      () => Effect.ignoreLogged(FileTree.exec("umount", ["-l", folder]))
    )
    return { folder }
  })

suite(Contree.busyboxRegistry, { excludeTestServices: true })("durability", (it) => {
  it.scoped("power: a layer is on the disk before its name, and its name before the database", () =>
    Effect.gen(function* () {
      const { run, upload } = yield* traced("power")
      const at = (pattern: RegExp) => run.findIndex(({ about, call }) => pattern.test(`${call} ${about}`))
      const content = at(/^(syncfs|fsync) .*\/r\//)
      const name = at(/^rename .*\/l\//)
      const folder = at(/^fsync .*\/data\/l>/)
      const database = run.findIndex(
        ({ about, call }, index) => index > folder && /^f(data)?sync .*contree\.db-wal/.test(`${call} ${about}`)
      )
      assert.isAtLeast(content, 0, JSON.stringify(run))
      assert.isAbove(name, content)
      assert.isAbove(folder, name)
      assert.isAbove(database, folder)
      const uploaded = upload.map(({ about, call }) => `${call} ${about}`)
      const received = uploaded.findIndex((text) => /^f(data)?sync .*\/f\/new\//.test(text))
      const renamed = uploaded.findIndex((text) => /^rename .*\/f\//.test(text))
      const listed = uploaded.findIndex((text) => /^f(data)?sync .*contree\.db-wal/.test(text))
      const directory = uploaded.findIndex((text) => /^fsync .*\/data\/f>/.test(text))
      assert.isAtLeast(received, 0, JSON.stringify(uploaded))
      assert.isAbove(renamed, received)
      assert.isAbove(directory, renamed)
      assert.isAbove(listed, directory)
    })
  )

  it.scoped("process: nothing waits for the disk", () =>
    Effect.gen(function* () {
      const { run } = yield* traced("process")
      assert.deepStrictEqual(
        run.filter(({ call }) => call !== "rename"),
        []
      )
    })
  )

  if (isRoot) {
    it.scoped("a full disk fails what needs it and names itself; with room again everything goes on", () =>
      Effect.gen(function* () {
        const { folder } = yield* smallDisk(24)
        const { address, push } = yield* Registry
        const images = yield* Images
        yield* push(yield* images.tiny({ files: { big: Buffer.alloc(40_000_000, "x") } }), "library/big:latest")
        const served = yield* Contree.serve({
          args: [...Contree.serveArgs(address, `${folder}/data`), "--token", Contree.token]
        })
        yield* Effect.gen(function* () {
          const base = yield* Image.oci("busybox:latest", { tag: "base:1" })
          const kept = yield* Effect.flatMap(Image.run(base, "echo kept > /kept", { tag: "kept:1" }), Run.orFail)

          const tooBig = yield* Effect.flip(Image.oci("big:latest"))
          assert.strictEqual(tooBig._tag, "OperationFailed")
          assert.match(tooBig.message, /ENOSPC|no space left/i)
          // The command sees it as any program does; where even the record of its image has no room, the run fails.
          const filling = yield* Effect.either(Image.run(base, "head -c 60000000 /dev/zero > /zero; rm /zero; exit 0"))
          assert.match(
            filling._tag === "Left" ? filling.left.message : filling.right.stderr.text,
            /full|No space left|I\/O error/
          )

          writeFileSync(`${folder}/ballast`, Buffer.alloc(64))
          yield* FileTree.exec("sh", ["-c", `cat /dev/zero > ${folder}/ballast || true`])
          const upload = yield* Effect.flip((yield* ContreeClient).files.upload(Buffer.alloc(100_000)))
          assert.match(upload.message, /full|space/i)
          const refused = yield* Effect.either(Image.run(kept.image, "echo more > /more", { tag: "more:1" }))
          if (refused._tag === "Left") assert.match(refused.left.message, /full|space/i)

          rmSync(`${folder}/ballast`)
          assert.strictEqual(yield* output("kept:1", "cat /kept"), "kept\n")
          const more = yield* Effect.flatMap(Image.run("kept:1", "echo more > /more"), Run.orFail)
          assert.strictEqual(yield* output(more.image, "cat /kept /more"), "kept\nmore\n")
          yield* (yield* ContreeClient).files.upload(Buffer.alloc(100_000))
          const open = yield* Stream.runCount(Operation.stream({ status: "EXECUTING" }))
          assert.strictEqual(open, 0)
        }).pipe(Effect.provide(Contree.client(served.url, Contree.token)))
        assert.deepStrictEqual(readdirSync(`${folder}/data/r`), [])
      })
    )

    it.scoped("a data folder that cannot be written is named at the start", () =>
      Effect.gen(function* () {
        const { folder } = yield* smallDisk(24)
        const { address } = yield* Registry
        const args = [...Contree.serveArgs(address, `${folder}/data`), "--token", Contree.token]
        yield* Effect.scoped(
          Effect.gen(function* () {
            const served = yield* Contree.serve({ args })
            yield* Effect.provide(
              Image.oci("busybox:latest", { tag: "base:1" }),
              Contree.client(served.url, Contree.token)
            )
            yield* served.kill("SIGTERM")
            yield* served.exit
          })
        )
        yield* FileTree.exec("mount", ["-o", "remount,ro", folder])
        const refused = yield* Effect.flip(Effect.scoped(Contree.serve({ args })))
        assert.match(refused.message, /read-?only|writable/i)
        yield* FileTree.exec("mount", ["-o", "remount,rw", folder])
        yield* Effect.scoped(
          Effect.gen(function* () {
            const served = yield* Contree.serve({ args })
            const said = yield* Effect.provide(output("base:1", "echo here"), Contree.client(served.url, Contree.token))
            assert.strictEqual(said, "here\n")
          })
        )
      })
    )
  }
})
