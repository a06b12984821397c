/**
 * SHA-256 by Node's own implementation, ten times as fast as the portable one.
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { Hasher } from "../Hasher.js"

/**
 * Hashes by `node:crypto` what is uploaded.
 *
 * @example
 * ```ts
 * import { FileUpload } from "effect-contree"
 * import { NodeHasher } from "effect-contree/node"
 * import { Effect } from "effect"
 *
 * export const upload = FileUpload.upload("hello\n").pipe(Effect.provide(NodeHasher.layer))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<never> = Layer.succeed(Hasher, {
  sha256: () => {
    const hash = createHash("sha256")
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex") }
  }
})
