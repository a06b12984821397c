import { Command as Process } from "@effect/platform"
import { assert, describe, layer as suite } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, Layer } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import * as Command from "../../src/Command.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as LocalContree from "../../src/local/LocalContree.js"
import * as RetryPolicy from "../../src/RetryPolicy.js"
import { output } from "../contract/steps.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineTraces from "../fixtures/EngineTraces.js"
import { Registry } from "../fixtures/Registry.js"

/** A fresh data folder, and an engine on it with further options. */
const place = Effect.gen(function* () {
  const folder = yield* Contree.temporaryFolder
  const { address } = yield* Registry
  const dataDirectory = `${folder}/data`
  const layer = (options: Partial<LocalContree.Options> = {}) =>
    LocalContree.layerWith({ ...Contree.engineOptions(address, dataDirectory), ...options })
  return { folder, dataDirectory, address, layer, traces: EngineTraces.tracesOf(dataDirectory) }
})

/** The reason why an engine does not start. */
const reason = <E extends { readonly _tag: string; readonly message: string }>(layer: Layer.Layer<ContreeClient, E>) =>
  Effect.flatMap(Effect.flip(Effect.scoped(Layer.build(layer))), (error) => {
    assert.strictEqual(error._tag, "EngineError", error.message)
    return Effect.succeed(error.message)
  })

suite(Contree.busyboxRegistry, { excludeTestServices: true })("LocalContree", (it) => {
  describe("an engine that a program owns", () => {
    it.scoped("ends with the layer's scope and leaves what was kept, nothing else", () =>
      Effect.gen(function* () {
        const { layer, traces } = yield* place
        const kept = yield* Effect.gen(function* () {
          assert.isAbove((yield* traces).processes.length, 0)
          const { instances } = yield* ContreeClient
          const image = yield* Image.oci("busybox:latest")
          yield* instances.spawn({ image: image.id, command: "echo x > /x; sleep 1000", shell: true })
          const { image: kept } = yield* Image.run(image, "echo kept > /kept", { tag: "kept:1" })
          return kept
        }).pipe(Effect.provide(layer()))
        const after = yield* traces
        assert.isTrue(EngineTraces.isGone(after), JSON.stringify(after))
        assert.deepStrictEqual(after.runs, [])
        assert.strictEqual(yield* Effect.provide(output("kept:1", "cat /kept"), layer()), "kept\n")
        assert.strictEqual(yield* Effect.provide(output(kept.id, "cat /kept"), layer()), "kept\n")
      })
    )

    it.scoped("is soon gone when its owner is killed, and so are its sandboxes; the next one cleans up", () =>
      Effect.gen(function* () {
        const { address, dataDirectory, layer, traces } = yield* place
        const seconds = yield* EngineTraces.uniqueSeconds
        const owner = yield* Process.start(
          Process.make(
            process.execPath,
            "--import",
            "tsx",
            `${Contree.checkout}/test/local/contreeOwner.ts`,
            dataDirectory,
            address,
            seconds
          ).pipe(Process.workingDirectory(Contree.checkout), Process.stderr("inherit"))
        )
        // Its own argument and the two sleeping processes, with what started them.
        yield* EngineTraces.within(20_000)(
          EngineTraces.processesNaming(`sleep ${seconds}`),
          (found) => found.length >= 2
        )
        assert.isAbove((yield* traces).overlays.length, 0)
        process.kill(owner.pid, "SIGKILL")
        yield* EngineTraces.within(10_000)(
          Effect.all([traces, EngineTraces.processesNaming(seconds)]),
          ([now, processes]) => EngineTraces.isGone(now) && processes.length === 0
        )
        yield* Effect.gen(function* () {
          assert.deepStrictEqual((yield* traces).runs, [])
          assert.strictEqual(yield* output("busybox:latest", "test ! -e /x && echo sound"), "sound\n")
        }).pipe(Effect.provide(layer()))
      })
    )

    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      it.scoped(`whose worker gets ${signal} fails what waits for it, and nothing of it is left`, () =>
        Effect.gen(function* () {
          const { layer, traces } = yield* place
          const seconds = yield* EngineTraces.uniqueSeconds
          yield* Effect.gen(function* () {
            const image = yield* Image.oci("busybox:latest")
            const waiting = yield* Effect.fork(Effect.flip(Image.run(image, Command.exec("sleep", seconds))))
            yield* EngineTraces.within(5000)(EngineTraces.processesNaming(seconds), (found) => found.length > 0)
            const worker = (yield* traces).processes.find(({ command }) => command.endsWith("/worker.js"))
            assert.isDefined(worker)
            process.kill(worker.pid, signal)
            yield* EngineTraces.within(5000)(
              Effect.all([traces, EngineTraces.processesNaming(seconds)]),
              ([now, processes]) => EngineTraces.isGone(now) && processes.length === 0
            )
            const error = yield* Fiber.join(waiting)
            assert.include(["Unavailable", "OperationFailed"], error._tag, error.message)
            const next = yield* Effect.flip(Image.list())
            assert.strictEqual(next._tag, "Unavailable", next.message)
          }).pipe(Effect.provide(layer({ retry: RetryPolicy.never })))
        })
      )
    }

    it.scoped("works by util-linux alone as by bubblewrap", () =>
      Effect.gen(function* () {
        const { layer } = yield* place
        yield* Effect.gen(function* () {
          const image = yield* Image.oci("busybox:latest")
          const { image: made } = yield* Image.run(image, "echo one > /one; rm /etc/passwd; exit 3", { tag: "made:1" })
          assert.strictEqual(yield* output(made, "cat /one; ls /etc | grep -c passwd || true"), "one\n0\n")
          assert.strictEqual(yield* output(image, "ls / | grep -c one || true; echo $GREETING"), "0\nhello\n")
        }).pipe(Effect.provide(layer({ launcher: "util-linux" })))
      })
    )

    it.scoped("takes its settings from the environment", () =>
      Effect.gen(function* () {
        const { address, dataDirectory, traces } = yield* place
        const environment = ConfigProvider.fromMap(
          new Map([
            ["CONTREE_DATA_DIR", dataDirectory],
            ["CONTREE_MIRRORS", `docker.io=http://${address}`],
            ["CONTREE_LAUNCHER", "util-linux"]
          ])
        )
        yield* Effect.gen(function* () {
          yield* Image.oci("busybox:latest")
          assert.isAbove((yield* traces).processes.length, 0)
          assert.strictEqual(yield* output("busybox:latest", "echo here"), "here\n")
        }).pipe(Effect.provide(LocalContree.layer), Effect.withConfigProvider(environment))
      })
    )
  })

  describe("an engine does not start, and says why,", () => {
    it.scoped("on a data folder on which another one works, which goes on", () =>
      Effect.gen(function* () {
        const { dataDirectory, layer } = yield* place
        yield* Effect.gen(function* () {
          yield* Image.oci("busybox:latest")
          const message = yield* reason(layer())
          assert.match(message, /another engine|in use/i)
          assert.include(message, dataDirectory)
          assert.strictEqual(yield* output("busybox:latest", "echo still here"), "still here\n")
        }).pipe(Effect.provide(layer()))
      })
    )

    it.scoped("in a data folder that cannot be made", () =>
      Effect.gen(function* () {
        const { folder, layer } = yield* place
        writeFileSync(`${folder}/file`, "")
        const message = yield* reason(layer({ dataDirectory: `${folder}/file/data` }))
        assert.include(message, `${folder}/file/data`)
        assert.include(message, "CONTREE_DATA_DIR")
      })
    )

    it.scoped("in a data folder whose socket's path is longer than the kernel takes", () =>
      Effect.gen(function* () {
        const { folder, layer } = yield* place
        const dataDirectory = `${folder}/${"d".repeat(90)}`
        const message = yield* reason(layer({ dataDirectory }))
        assert.include(message, dataDirectory)
        assert.include(message, "107 bytes")
        const fits = `${folder}/${"d".repeat(107 - folder.length - "//engine.sock".length)}`
        yield* Effect.scoped(Layer.build(layer({ dataDirectory: fits })))
      })
    )

    it.scoped("with a setting that makes no sense", () =>
      Effect.gen(function* () {
        const { layer } = yield* place
        assert.include(yield* reason(layer({ dataDirectory: "relative" })), "absolute path")
        assert.include(yield* reason(layer({ mirrors: [{ registry: "docker.io", url: "mirror" }] })), "https://mirror")
        assert.match(yield* reason(layer({ maxConcurrency: 0 })), /maxConcurrency/)
      })
    )

    it.scoped("where its folder is damaged", () =>
      Effect.gen(function* () {
        const { dataDirectory, layer } = yield* place
        mkdirSync(dataDirectory)
        writeFileSync(`${dataDirectory}/l`, "not a folder")
        const message = yield* reason(layer())
        assert.include(message, dataDirectory)
      })
    )
  })
})
