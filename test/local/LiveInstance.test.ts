import { assert, layer as suite } from "@effect/vitest"
import { Chunk, Clock, Effect, Layer, Option, Stream } from "effect"
import * as Image from "../../src/Image.js"
import * as LocalContree from "../../src/local/LocalContree.js"
import * as Operation from "../../src/Operation.js"
import * as Contree from "../fixtures/Contree.js"
import { Registry } from "../fixtures/Registry.js"
import { createHash } from "node:crypto"

const hello = "docker://docker.io/library/busybox:latest"

const engine = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { address } = yield* Registry
    return LocalContree.layerWith(Contree.engineOptions(address, `${yield* Contree.temporaryFolder}/data`))
  })
).pipe(Layer.provide(Contree.busyboxRegistry))

suite(engine, { excludeTestServices: true, timeout: "4 minutes" })("a live instance on the engine", (it) => {
  it.scoped("gives lines while it runs, to whoever attaches too, and leaves its image behind", () =>
    Effect.gen(function* () {
      const base = yield* Image.oci(hello)
      const instance = yield* Image.start(base, "echo prêt; sleep 1; echo done > /result; echo done; echo oops >&2")
      const attached = yield* Effect.flatMap(Operation.idFromString(instance.id), (id) => Operation.attach(id))
      const [own, other, errors] = yield* Effect.all(
        [instance.stdoutLines, attached.stdoutLines, instance.stderrLines].map((lines) =>
          Stream.runCollect(
            Stream.mapEffect(lines, (line) => Effect.map(Clock.currentTimeMillis, (at) => ({ line, at })))
          )
        ),
        { concurrency: "unbounded" }
      ).pipe(Effect.map((all) => all.map(Chunk.toReadonlyArray)))
      assert.deepStrictEqual(
        own?.map(({ line }) => line),
        ["prêt", "done"]
      )
      assert.deepStrictEqual(
        other?.map(({ line }) => line),
        ["prêt", "done"]
      )
      assert.deepStrictEqual(
        errors?.map(({ line }) => line),
        ["oops"]
      )
      assert.isAtLeast((own?.[1]?.at ?? 0) - (own?.[0]?.at ?? 0), 700)
      const run = yield* instance.exit
      assert.deepStrictEqual([run.exitCode, run.stdout.text], [0, "prêt\ndone\n"])
      const kept = yield* Image.run(yield* instance.image, "cat /result", { disposable: true })
      assert.strictEqual(kept.stdout.text, "done\n")
    })
  )

  it.effect("is cancelled when its scope closes", () =>
    Effect.gen(function* () {
      const base = yield* Image.oci(hello)
      const id = yield* Effect.scoped(
        Effect.gen(function* () {
          const instance = yield* Image.start(base, "echo up; sleep 600")
          assert.isTrue(Option.isSome(yield* Stream.runHead(instance.stdoutLines)))
          return instance.id
        })
      )
      assert.strictEqual((yield* Operation.get(id)).status, "CANCELLED")
      const events = yield* Stream.runCollect(Operation.events(id, { follow: true }))
      assert.strictEqual(Option.getOrUndefined(Chunk.last(events))?._tag, "Completion")
    })
  )

  it.scoped("reads what it is given, in order and whole, until its end", () =>
    Effect.gen(function* () {
      const base = yield* Image.oci(hello)
      const sum = yield* Image.start(base, "md5sum", { stdin: "open", disposable: true })
      const bytes = new Uint8Array(3_000_000).map((_, index) => index % 251)
      yield* Stream.make(bytes.subarray(0, 1_000_001), bytes.subarray(1_000_001)).pipe(Stream.run(sum.stdin))
      const { stdout } = yield* sum.exit
      assert.strictEqual(stdout.text.slice(0, 32), createHash("md5").update(bytes).digest("hex"))
      assert.strictEqual((yield* Effect.flip(sum.write("more")))._tag, "Conflict")
      assert.isFalse(yield* sum.interrupt)
    })
  )

  it.scoped("runs further processes that see its files, take input, and end by a signal or with their scope", () =>
    Effect.gen(function* () {
      const base = yield* Image.oci(hello)
      const main = yield* Image.start(base, "echo made > /file; echo up; exec sleep 600", { disposable: true })
      yield* Stream.runHead(main.stdoutLines)
      const cat = yield* main.exec("cat /file -", { stdin: "open" })
      yield* Stream.make("given\n").pipe(Stream.run(cat.stdin))
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(cat.stdoutLines)), ["made", "given"])
      const done = yield* cat.exit
      assert.deepStrictEqual([done.exitCode, done.stdout.text], [0, "made\ngiven\n"])

      const sleeper = yield* main.exec("echo on; exec sleep 601")
      yield* Stream.runHead(sleeper.stdoutLines)
      assert.isTrue(yield* sleeper.signal("TERM"))
      assert.deepStrictEqual((yield* sleeper.exit).signal, Option.some(15))
      assert.isFalse(yield* sleeper.kill)

      const scoped = yield* Effect.scoped(
        Effect.tap(main.exec("echo on; exec sleep 602"), ({ stdoutLines }) => Stream.runHead(stdoutLines))
      )
      assert.deepStrictEqual((yield* scoped.exit).signal, Option.some(9))

      assert.isTrue(yield* main.interrupt)
      const { exitCode, signal } = yield* main.exit
      assert.deepStrictEqual([exitCode, signal], [130, Option.some(2)])
      assert.strictEqual((yield* Effect.flip(main.image))._tag, "NotFound")
    })
  )
})
