import { assert, layer as suite } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Context } from "effect"
import * as Image from "../../src/Image.js"
import * as LocalContree from "../../src/local/LocalContree.js"
import * as Operation from "../../src/Operation.js"
import * as Run from "../../src/Run.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineMemory from "../fixtures/EngineMemory.js"
import { Registry } from "../fixtures/Registry.js"

class Place extends Context.Tag("effect-contree/test/ManyPlace")<Place, { readonly dataDirectory: string }>() {}

const engine = Layer.unwrapScoped(
  Effect.gen(function* () {
    const registry = yield* Registry
    const dataDirectory = `${yield* Contree.temporaryFolder}/data`
    return Layer.merge(
      Layer.succeed(Place, { dataDirectory }),
      LocalContree.layerWith({ ...Contree.engineOptions(registry.address, dataDirectory), maxConcurrency: 2 })
    )
  })
).pipe(Layer.provide(Contree.busyboxRegistry))

const queued = 150

suite(engine, { excludeTestServices: true })("the engine with very many runs", (it) => {
  it.effect("carries out all that are queued at once, without an error and without growing", () =>
    Effect.gen(function* () {
      const { dataDirectory } = yield* Place
      const base = yield* Image.oci("busybox:latest")
      const round = Effect.forEach(
        Array.from({ length: queued }, (_, index) => index),
        (index) => Effect.flatMap(Image.run(base, `echo ${index} > /kept`), Run.orFail),
        { concurrency: "unbounded" }
      )
      // The first round makes the heap as large as it has to be.
      yield* round
      const before = yield* EngineMemory.residentBytes(dataDirectory)
      const images = new Set((yield* round).map(({ image }) => image.id))
      const after = yield* EngineMemory.residentBytes(dataDirectory)
      assert.strictEqual(images.size, queued)
      assert.strictEqual(yield* Stream.runCount(Operation.stream({ status: "FAILED" })), 0)
      assert.isBelow(after - before, 64 * 1024 * 1024)
    })
  )
})
