/**
 * How contents are hashed before they are uploaded.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Sha256 } from "./api/Files.js"
import { Sha256State } from "./internal/sha256.js"

/**
 * Starts SHA-256 digests of contents that come in pieces.
 *
 * Nothing has to be provided: the default is written in JavaScript and runs everywhere, at a tenth of the speed of
 * `NodeHasher.layer` of `effect-contree/node`.
 *
 * @since 0.1.0
 * @category tags
 */
export class Hasher extends Context.Reference<Hasher>()("effect-contree/Hasher", {
  defaultValue: (): Hasher.Service => ({ sha256: () => new Sha256State() })
}) {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Hasher {
  /**
   * A digest that is being made: `update` takes the next bytes, `digest` ends it, in lower-case hexadecimal.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Digest {
    readonly update: (bytes: Uint8Array) => void
    readonly digest: () => string
  }

  /**
   * What starts digests.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly sha256: () => Digest
  }
}

/** A digest of so much takes some milliseconds; then other fibers get their turn. */
const turnBytes = 1_048_576

/**
 * The SHA-256 digest of a stream, in constant memory.
 *
 * @example
 * ```ts
 * import { Hasher } from "effect-contree"
 * import { Effect, Stream } from "effect"
 *
 * const digest = Effect.runSync(Hasher.sha256(Stream.make(new TextEncoder().encode("abc"))))
 *
 * assert.strictEqual(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const sha256 = Effect.fn("Hasher.sha256")(function* <E, R>(
  content: Stream.Stream<Uint8Array, E, R>
): Effect.fn.Return<Sha256, E, R> {
  const digest = (yield* Hasher).sha256()
  let sinceTurn = 0
  yield* Stream.runForEach(content, (bytes) => {
    digest.update(bytes)
    sinceTurn += bytes.length
    if (sinceTurn < turnBytes) return Effect.void
    sinceTurn = 0
    return Effect.yieldNow()
  })
  return yield* Effect.orDie(Schema.decode(Sha256)(digest.digest()))
})
