/**
 * Keeps images shallow: when a chain of layers has grown deep, its layers are squashed into one in the background.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { DatabaseError } from "./Database.js"
import { ImageStore, type StoredImage } from "./ImageStore.js"
import { LayerSquash } from "./LayerSquash.js"
import type { Chain } from "./LayerStore.js"
import type { LayerStoreError } from "./LayerStoreError.js"

/**
 * Keeps images shallow: when a chain of layers has grown deep, its layers are squashed into one in the background.
 *
 * @since 0.1.0
 * @category tags
 */
export class Squasher extends Context.Tag("effect-contree/local/Squasher")<Squasher, Squasher.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Squasher {
  /**
   * What the engine tells of each image that it makes.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** Squashes the chain in the background if it has just grown beyond the depth. */
    readonly consider: (chain: Chain) => Effect.Effect<void>
    /**
     * Waits until the image can be mounted with a layer on top: where runs have come faster than the background
     * squashes, its chain is squashed now.
     */
    readonly ensureMountable: (image: StoredImage) => Effect.Effect<void, DatabaseError | LayerStoreError>
  }
}

/**
 * By how many layers a chain may exceed the depth while its squash is under way. The kernel takes 500 layers and 4095
 * bytes of their names, which the deepest setting and this stay below.
 */
const SLACK = 100

/**
 * Makes the service; what it is squashing is given up with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  depth: number
): Effect.fn.Return<Squasher.Service, never, ImageStore | LayerSquash | Scope.Scope> {
  const images = yield* ImageStore
  const { flatten } = yield* LayerSquash
  const running = yield* FiberSet.make()
  const turn = yield* Effect.makeSemaphore(1)

  const squash = Effect.fn("Squasher.squash")(function* (chain: Chain) {
    yield* Effect.annotateCurrentSpan("layers", chain.length)
    const [layer, base] = yield* flatten(chain)
    if (base !== undefined) yield* images.squashed(chain[0], layer, base)
  })

  return {
    // Images that a chain's next runs make before its squash is ready are deep too; only every depth-th is squashed.
    consider: (chain) =>
      (chain.length - 1) % depth === 1 && chain.length - 1 > depth
        ? squash(chain).pipe(
            turn.withPermits(1),
            Effect.tapError((error) => Effect.logWarning("an image could not be squashed; it stays deep", error)),
            Effect.ignore,
            FiberSet.run(running),
            Effect.asVoid
          )
        : Effect.void,
    ensureMountable: (image) =>
      Effect.flatMap(images.mountChain(image), ({ length }) =>
        length - 1 <= depth + SLACK
          ? Effect.void
          : // Whoever waited for the turn may find it done.
            Effect.flatMap(images.mountChain(image), (chain) =>
              chain.length - 1 <= depth + SLACK ? Effect.void : squash(chain)
            ).pipe(turn.withPermits(1))
      )
  }
})

/**
 * The service over the stores; `depth` is the number of layers above the base from which a chain counts as deep.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (depth: number): Layer.Layer<Squasher, never, ImageStore | LayerSquash> =>
  Layer.scoped(Squasher, make(depth))
