/**
 * Read-only views of images: the layers of a chain mounted as one tree.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/platform/Command"
import type { CommandExecutor } from "@effect/platform/CommandExecutor"
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import type * as Scope from "effect/Scope"
import * as Tool from "./internal/overlayCommand.js"
import type { Chain } from "./LayerStore.js"
import { LayerStore } from "./LayerStore.js"
import * as LayerStoreError from "./LayerStoreError.js"

/** One page of options, with its final zero. */
const MAX_OPTIONS_BYTES = 4095

/** The kernel's `OVL_MAX_STACK`. */
const MAX_LAYERS = 500

/**
 * The options of a read-only overlay of the chain, for a mount whose working directory is the folder of the layers.
 *
 * Fails with `TooLong` where the kernel would refuse the chain: above 500 layers or 4095 bytes of options.
 *
 * @since 0.1.0
 * @category constructors
 */
export const viewOptions = (chain: Chain): Effect.Effect<string, LayerStoreError.LayerStoreError> => {
  const options = `ro,userxattr,lowerdir=${chain.join(":")}`
  return chain.length <= MAX_LAYERS && options.length <= MAX_OPTIONS_BYTES
    ? Effect.succeed(options)
    : Effect.fail(
        LayerStoreError.make({
          operation: "mount",
          path: `${chain[0]}:…`,
          code: "E2BIG",
          reason: "TooLong",
          detail: `${chain.length} layers in ${options.length} bytes of options, the kernel takes ${MAX_LAYERS} in ${MAX_OPTIONS_BYTES}`
        })
      )
}

// `mount` reports a missing layer as a missing device: say which layer it is.
const explain = (store: LayerStore.Service, chain: Chain, refused: LayerStoreError.LayerStoreError) =>
  Effect.flatMap(store.layers, (present) => {
    const missing = chain.find((layer) => !HashSet.has(present, layer))
    return Effect.fail(
      missing === undefined
        ? refused
        : LayerStoreError.make({
            operation: "mount",
            path: store.path(missing),
            code: "ENOENT",
            detail: `the layer is not there, of an image of ${chain.length} layers`
          })
    )
  })

// A view that someone still reads is detached: it goes when its last reader does.
const unmount = (mountpoint: string): Effect.Effect<void, never, CommandExecutor> =>
  Tool.run(Command.make("umount", "-n", mountpoint), { operation: "unmount", path: mountpoint }).pipe(
    Effect.catchAll(() =>
      Tool.run(Command.make("umount", "-n", "-l", mountpoint), { operation: "unmount", path: mountpoint })
    ),
    Effect.catchAll((error) => Effect.logWarning("a view of an image stays mounted", error))
  )

/**
 * Mounts the chain read-only until the scope closes, and gives the absolute path at which its tree is seen.
 *
 * A chain of one layer is its own view, with no mount. The mount is made in the mount namespace of this process, which
 * must be allowed to: as root, or in a user namespace.
 *
 * @since 0.1.0
 * @category constructors
 */
export const view = Effect.fn("OverlayMount.view")(function* (
  chain: Chain
): Effect.fn.Return<string, LayerStoreError.LayerStoreError, LayerStore | CommandExecutor | Scope.Scope> {
  const store = yield* LayerStore
  // The kernel refuses a lower-only overlay of a single layer.
  if (chain.length === 1) {
    return store.path(chain[0])
  }
  const options = yield* viewOptions(chain)
  const mountpoint = yield* store.newMountpoint
  yield* Effect.acquireRelease(
    Tool.run(
      Command.make("mount", "-n", "-t", "overlay", "-o", options, "overlay", mountpoint).pipe(
        Command.workingDirectory(store.directory),
        // The mount API that util-linux 2.39 took up refuses an option above 255 bytes, and `lowerdir` is one.
        Command.env({ LIBMOUNT_FORCE_MOUNT2: "always" })
      ),
      { operation: "mount", path: mountpoint, reason: "Mount" }
    ).pipe(Effect.catchAll((refused) => explain(store, chain, refused))),
    () => unmount(mountpoint)
  )
  return mountpoint
})
