import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option, Schema } from "effect"
import { OperationId } from "../../src/api/Images.js"
import * as ImageId from "../../src/ImageId.js"
import { ImageStore, StoredImage } from "../../src/local/ImageStore.js"
import { LayerSquash } from "../../src/local/LayerSquash.js"
import { type Chain, LayerName } from "../../src/local/LayerStore.js"
import * as LayerStoreError from "../../src/local/LayerStoreError.js"
import * as Squasher from "../../src/local/Squasher.js"

const depth = 4

const names = (count: number): Chain => {
  const [top, ...rest] = Array.from({ length: count }, (_, index) => LayerName.make((count - index).toString(36)))
  return top === undefined ? [LayerName.make("0")] : [top, ...rest]
}

const image = (chain: Chain) =>
  new StoredImage({
    id: Schema.decodeSync(ImageId.ImageId)("00000000-0000-4000-8000-000000000001"),
    kind: "run",
    chain,
    env: {},
    cwd: "",
    digest: Option.none(),
    operationId: Option.some(OperationId.make("00000000-0000-4000-8000-000000000002")),
    createdAt: DateTime.unsafeMake(0),
    tag: Option.none()
  })

/** Stores that know one squash at most, and a squash that does as it is told. */
const surroundings = (flatten: LayerSquash.Service["flatten"]) => {
  let squashed: Chain | undefined
  let calls = 0
  const unused = Effect.dieMessage("not of this test")
  return {
    calls: () => calls,
    provide: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      effect.pipe(
        Effect.provideService(LayerSquash, {
          squash: () => unused,
          flatten: (chain) =>
            Effect.zipRight(
              Effect.sync(() => calls++),
              flatten(chain)
            )
        }),
        Effect.provideService(ImageStore, {
          ...({} as ImageStore.Service),
          mountChain: (image) => Effect.sync(() => squashed ?? image.chain),
          squashed: (_, layer, base) => Effect.sync(() => void (squashed = [layer, base]))
        })
      )
  }
}

const shallow: LayerSquash.Service["flatten"] = (chain) =>
  Effect.succeed([LayerName.make("z"), chain[chain.length - 1] ?? chain[0]])

describe("Squasher", () => {
  it.scoped("leaves a chain alone that the kernel can mount, though its squash is not ready", () => {
    const { calls, provide } = surroundings(shallow)
    return provide(
      Effect.gen(function* () {
        const squasher = yield* Squasher.make(depth)
        yield* squasher.ensureMountable(image(names(depth + 101)))
        assert.strictEqual(calls(), 0)
      })
    )
  })

  it.scoped("squashes a chain before it is mounted where runs came faster than the squashes, once for all", () => {
    const { calls, provide } = surroundings(shallow)
    return provide(
      Effect.gen(function* () {
        const squasher = yield* Squasher.make(depth)
        const deep = image(names(depth + 102))
        yield* Effect.all(
          Array.from({ length: 5 }, () => squasher.ensureMountable(deep)),
          {
            concurrency: "unbounded"
          }
        )
        assert.strictEqual(calls(), 1)
      })
    )
  })

  it.scoped("says why a chain that is too deep could not be squashed", () => {
    const full = LayerStoreError.make({ operation: "link", path: "/l/1", code: "ENOSPC", detail: "no space" })
    const { provide } = surroundings(() => Effect.fail(full))
    return provide(
      Effect.gen(function* () {
        const squasher = yield* Squasher.make(depth)
        const error = yield* Effect.flip(squasher.ensureMountable(image(names(300))))
        assert.deepStrictEqual([error._tag, error.message], [full._tag, full.message])
      })
    )
  })
})
