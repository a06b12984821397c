/**
 * Images as trees to read from, without running anything in them.
 *
 * The layers of an image are mounted read-only in the worker's own mount namespace: only the kernel can tell which
 * folders of a layer hide those below, since Node reads no extended attributes. The tree is then read with plain calls
 * of the file system. Mounts are shared, and kept for the next request.
 *
 * @since 0.1.0
 */
import type { CommandExecutor } from "@effect/platform/CommandExecutor"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { FileItem } from "../api/Inspect.js"
import { ImagePathError } from "./ImagePathError.js"
import * as ImagePath from "./internal/imagePath.js"
import * as LeastRecentlyUsed from "./internal/leastRecentlyUsed.js"
import * as OwnerNames from "./internal/ownerNames.js"
import * as Tree from "./internal/overlayFileSystem.js"
import type { Chain, LayerStore } from "./LayerStore.js"
import type * as LayerStoreError from "./LayerStoreError.js"
import { ID_COUNT, MountNamespace } from "./MountNamespace.js"
import * as OverlayMount from "./OverlayMount.js"

/**
 * The tree of an image, open for reading. Every path starts with `/`; links in it are followed, and none leads out of
 * the image.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenImage {
  /** The folder that shows the tree to the system. Its links must not be followed. */
  readonly root: string
  /** What the ids of the tree's files are stored with added. */
  readonly idShift: number
  /**
   * What a folder holds, in the order of the names' bytes. A name that is not UTF-8 is shown with U+FFFD and found by
   * the name so shown.
   */
  readonly list: (
    path: string
  ) => Effect.Effect<ReadonlyArray<FileItem>, ImagePathError | LayerStoreError.LayerStoreError>
  /** A regular file: its size in bytes, and its content as a stream that holds a descriptor while it is read. */
  readonly file: (path: string) => Effect.Effect<
    {
      readonly size: number
      readonly content: Stream.Stream<Uint8Array, LayerStoreError.LayerStoreError>
    },
    ImagePathError | LayerStoreError.LayerStoreError
  >
}

/**
 * Service that opens images for reading.
 *
 * @since 0.1.0
 * @category tags
 */
export class ImageView extends Context.Tag("effect-contree/local/ImageView")<ImageView, ImageView.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace ImageView {
  /**
   * Opens images for reading.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /**
     * Opens the image of these layers until the scope closes. What is read of an image while the garbage collector removes it breaks
     * off with an error.
     */
    readonly open: (chain: Chain) => Effect.Effect<OpenImage, LayerStoreError.LayerStoreError, Scope.Scope>
  }
}

/** Of the mounts that nobody reads, the latest are kept. */
const CAPACITY = 64

/** The owner of what no id of an image owns, as the kernel shows it in a sandbox. */
const NOBODY = 65_534

/**
 * The id that an image knows a file's owner by.
 *
 * @since 0.1.0
 * @category getters
 */
export const imageId = (id: number, shift: number): number =>
  shift === 0 ? id : id >= shift && id < shift + ID_COUNT ? id - shift : NOBODY

const itemOf = Effect.fnUntraced(function* (
  directory: Tree.BytePath,
  name: string,
  names: OwnerNames.OwnerNames,
  shift: number
) {
  const path = Tree.join(directory, name)
  const stats = yield* Tree.lstat(path)
  const uid = imageId(stats.uid, shift)
  const gid = imageId(stats.gid, shift)
  const item: FileItem = {
    name: Tree.display(Tree.latin1(name)),
    size: stats.size,
    owner: names.users.get(uid) ?? uid,
    group: names.groups.get(gid) ?? gid,
    uid,
    gid,
    mode: stats.mode,
    mtime: Math.floor(stats.mtimeMs / 1000),
    nlink: stats.nlink,
    isDirectory: stats.isDirectory(),
    isRegular: stats.isFile(),
    isSymlink: stats.isSymbolicLink(),
    isSocket: stats.isSocket(),
    isFifo: stats.isFIFO(),
    target: stats.isSymbolicLink() ? Tree.display(Tree.latin1(yield* Tree.readLink(path))) : ""
  }
  return item
})

/**
 * Makes the service; the mounts that it made end with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  ImageView.Service,
  never,
  LayerStore | MountNamespace | CommandExecutor | Scope.Scope
> = Effect.gen(function* () {
  const { idShift } = yield* MountNamespace
  const views = yield* LeastRecentlyUsed.make({
    capacity: CAPACITY,
    hash: (chain: Chain) => chain.join(":"),
    lookup: (chain) =>
      Effect.gen(function* () {
        const root = yield* OverlayMount.view(chain)
        const names = yield* Effect.cached(OwnerNames.ownerNames(Tree.bytePath(root)))
        return { root, names }
      })
  })

  const open = Effect.fn("ImageView.open")(function* (chain: Chain) {
    const { names, root } = yield* views.get(chain)
    const at = Tree.bytePath(root)
    const wrongType = (path: string, detail: string) => new ImagePathError({ reason: "WrongType", path, detail })
    const opened: OpenImage = {
      root,
      idShift,
      list: Effect.fn("ImageView.list")(function* (path) {
        const place = yield* ImagePath.lookup(at, path)
        if (!place.stats.isDirectory()) return yield* wrongType(path, "it is not a folder")
        const entries = (yield* Tree.names(place.path)).sort((a, b) => (a < b ? -1 : 1))
        const owners = yield* names
        return yield* Effect.forEach(entries, (name) => itemOf(place.path, name, owners, idShift), {
          concurrency: Tree.CONCURRENCY
        })
      }),
      file: Effect.fn("ImageView.file")(function* (path) {
        const place = yield* ImagePath.lookup(at, path)
        if (!place.stats.isFile()) return yield* wrongType(path, "it is not a regular file")
        const { size } = place.stats
        return { size, content: Tree.content(place.path, size) }
      })
    }
    return opened
  })

  return { open }
})

/**
 * The service over the layers on disk, in the worker's mount namespace.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ImageView, never, LayerStore | MountNamespace | CommandExecutor> = Layer.scoped(
  ImageView,
  make
)
