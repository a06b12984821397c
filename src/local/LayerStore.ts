/**
 * The layers of all images on disk, and the folders in which new layers come to be.
 *
 * Below the engine's data folder: `l/<layer>` (a flat root of an import, or the upper directory of a kept run),
 * `r/<run>` (a run in progress: `u` upper, `w` work, and what the sandbox adds) and `t/<name>` (everything
 * temporary). A layer appears in `l` by one rename, so it is there whole or not at all.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Tool from "./internal/overlayCommand.js"
import * as Tree from "./internal/overlayFileSystem.js"
import * as Temporaries from "./internal/overlayTemporaries.js"
import type * as LayerStoreError from "./LayerStoreError.js"

/**
 * The name of a layer: a counter in base 36, short because the options of a mount hold at most 4095 bytes of them,
 * and never given twice within a data folder.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LayerName = Schema.String.pipe(
  Schema.pattern(/^(0|[1-9a-z][0-9a-z]{0,9})$/),
  Schema.brand("effect-contree/local/LayerName")
)

/**
 * The name of a layer.
 *
 * @since 0.1.0
 * @category models
 */
export type LayerName = typeof LayerName.Type

/**
 * The layers of an image, topmost first; the last one is a flat root.
 *
 * @since 0.1.0
 * @category models
 */
export type Chain = readonly [LayerName, ...ReadonlyArray<LayerName>]

/**
 * A run in progress: `directory` is its own (absolute, mode 0700), with the overlay's `upper` and `work` directories
 * in it. It goes with its scope; a commit takes the upper directory out of it. Both want its overlay unmounted: a
 * folder in which this process still sees a mount is kept, with a warning, until the next start.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  readonly name: string
  readonly directory: string
  readonly upper: string
  readonly work: string
  /** What the upper directory's own inode was given, so that a change of it by the run can be seen. */
  readonly root: { readonly mode: number; readonly uid: number; readonly gid: number }
}

/**
 * A directory that is to become a layer as it is: the flat root of an import, or a squashed delta. It goes with its
 * scope unless it is committed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Import {
  readonly name: string
  readonly root: string
}

/**
 * What a layer holds: the bytes of its regular files, each inode once, and the number of its entries. Whiteouts count
 * as entries.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerCost {
  readonly bytes: number
  readonly entries: number
}

/**
 * Settings of the store.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface LayerStoreOptions<E, R> {
  /** The engine's data folder, absolute; it is created where missing. One engine uses it at a time. */
  readonly directory: string
  /** The layers that the database lists; every other one is what a killed engine left and is removed. */
  readonly known: Effect.Effect<HashSet.HashSet<LayerName>, E, R>
  /** Whether a commit waits until its layer is on the disk and survives a power failure. Default: false. */
  readonly durable?: boolean | undefined
}

/**
 * Service of the layers on disk.
 *
 * @since 0.1.0
 * @category tags
 */
export class LayerStore extends Context.Tag("effect-contree/local/LayerStore")<LayerStore, LayerStore.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace LayerStore {
  /**
   * Makes, keeps and removes layers.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** The folder of the layers: the working directory of a mount whose options name layers. */
    readonly directory: string
    /** The absolute path of a layer. */
    readonly path: (layer: LayerName) => string
    /** Whether the layer is there. */
    readonly has: (layer: LayerName) => Effect.Effect<boolean, LayerStoreError.LayerStoreError>
    /** The layers there are now. */
    readonly layers: Effect.Effect<HashSet.HashSet<LayerName>, LayerStoreError.LayerStoreError>
    /** A folder for a run over a chain with this topmost layer, whose root's mode, owner and time the upper takes. */
    readonly newRun: (top: LayerName) => Effect.Effect<Run, LayerStoreError.LayerStoreError, Scope.Scope>
    /** Fails with `Missing` when a layer of the chain is not there. */
    readonly verify: (chain: Chain) => Effect.Effect<void, LayerStoreError.LayerStoreError>
    /** Whether the run has written nothing, so that its result is the image that it ran on. */
    readonly isEmpty: (run: Run) => Effect.Effect<boolean, LayerStoreError.LayerStoreError>
    /**
     * Turns the upper directory of an unmounted run into a layer, by one rename. An engine that dies before its
     * database lists the layer removes it at its next start; whoever fails to list it calls `remove`.
     */
    readonly commit: (run: Run) => Effect.Effect<LayerName, LayerStoreError.LayerStoreError>
    /** An empty directory in the temporaries, mode 0700. */
    readonly newImport: Effect.Effect<Import, LayerStoreError.LayerStoreError, Scope.Scope>
    /** As `commit`, for the root of an import. */
    readonly commitImport: (imported: Import) => Effect.Effect<LayerName, LayerStoreError.LayerStoreError>
    /** An empty directory to mount on; it is removed with its scope, but never what is mounted on it. */
    readonly newMountpoint: Effect.Effect<string, LayerStoreError.LayerStoreError, Scope.Scope>
    /** Walks a layer; in proportion to its entries, so for a large one off the path of a reply. */
    readonly cost: (layer: LayerName) => Effect.Effect<LayerCost, LayerStoreError.LayerStoreError>
    /** Removes layers: they are gone on return, their space follows in the background. Missing ones are ignored. */
    readonly remove: (layers: Iterable<LayerName>) => Effect.Effect<void, LayerStoreError.LayerStoreError>
    /** Walks the whole store: an inode that several layers share counts once. */
    readonly size: Effect.Effect<LayerCost, LayerStoreError.LayerStoreError>
  }
}

const isLayerName = Schema.is(LayerName)

const MARK = "last-layer-"

const highest = (names: Iterable<LayerName>): number => {
  let max = -1
  for (const name of names) {
    max = Math.max(max, Number.parseInt(name, 36))
  }
  return max
}

const measure = (root: Tree.BytePath): Effect.Effect<LayerCost, LayerStoreError.LayerStoreError> =>
  Effect.gen(function* () {
    const seen = new Set<number>()
    const pending = [root]
    let bytes = 0
    let entries = 0
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      const at = directory
      // Below the root a layer may be on its way out while the whole store is measured.
      const children = yield* Effect.catchIf(
        Tree.list(at),
        (error) => error.reason === "Missing" && at !== root,
        () => Effect.succeed([])
      )
      entries += children.length
      yield* Effect.forEach(
        children,
        (child) => {
          const path = Tree.join(at, child.name)
          if (child.isDirectory()) {
            pending.push(path)
          }
          return child.isFile()
            ? Effect.map(Tree.lstat(path), (stats) => {
                bytes += seen.has(stats.ino) ? 0 : stats.size
                if (stats.nlink > 1) {
                  seen.add(stats.ino)
                }
              }).pipe(
                Effect.catchIf(
                  (error) => error.reason === "Missing",
                  () => Effect.void
                )
              )
            : Effect.void
        },
        { concurrency: Tree.CONCURRENCY, discard: true }
      )
    }
    return { bytes, entries }
  })

/**
 * Opens the store: creates its folders, moves aside what a killed engine left, and removes that in the background.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <E, R>(
  options: LayerStoreOptions<E, R>
): Effect.Effect<
  LayerStore.Service,
  LayerStoreError.LayerStoreError | E,
  R | CommandExecutor.CommandExecutor | Scope.Scope
> =>
  Effect.gen(function* () {
    const executor = yield* CommandExecutor.CommandExecutor
    yield* Tree.ensureDirectory(Tree.bytePath(options.directory))
    const data = yield* Tree.resolve(Tree.bytePath(options.directory))
    const layers = Tree.join(data, "l")
    const runs = Tree.join(data, "r")
    const temporaries = Tree.join(data, "t")
    for (const directory of [layers, runs, temporaries]) {
      yield* Tree.ensureDirectory(directory)
      yield* Tree.makePrivate(directory)
    }

    const { create, discard, discardQuietly } = yield* Temporaries.make(temporaries)

    const listLayers = Effect.map(Tree.list(layers), (entries) =>
      entries.map((entry) => entry.name).filter(isLayerName)
    )
    const listed = yield* options.known
    const present = yield* listLayers
    const marks = (yield* Tree.list(data)).flatMap(({ name }) => {
      const mark = name.startsWith(MARK) ? name.slice(MARK.length) : ""
      return isLayerName(mark) ? [mark] : []
    })
    const last = yield* Ref.make(highest([...present, ...listed, ...marks]))
    // The highest name must outlive its layer, or a later start would give it again: it is kept in the name of an
    // empty file, since a rename needs no space.
    let marked = highest(marks)
    const markPath = (counter: number) => Tree.join(data, MARK + counter.toString(36))
    if (marks.length === 0) {
      yield* Tree.writeText(markPath(0), "")
      marked = 0
    }
    const marking = yield* Effect.makeSemaphore(1)
    const outlive = (names: ReadonlyArray<LayerName>) =>
      Effect.gen(function* () {
        const counter = yield* Ref.get(last)
        if (highest(names) > marked) {
          yield* Tree.rename(markPath(marked), markPath(counter))
          marked = counter
        }
      }).pipe(Effect.uninterruptible, marking.withPermits(1))

    const unlisted = present.filter((name) => !HashSet.has(listed, name))
    yield* outlive(unlisted)
    yield* Effect.forEach(unlisted, (name) => discard(Tree.join(layers, name)), { discard: true })
    yield* Effect.flatMap(
      Tree.list(runs),
      Effect.forEach((entry) => discard(Tree.join(runs, entry.name)), { discard: true })
    )

    const flush = (path: Tree.BytePath) =>
      options.durable === true
        ? Tool.run(Command.make("sync", "-f", Tree.display(path)), {
            operation: "flush",
            path: Tree.display(path)
          }).pipe(Effect.provideService(CommandExecutor.CommandExecutor, executor))
        : Effect.void
    const settle = options.durable === true ? Tree.syncDirectory(layers) : Effect.void

    const admit = (directory: Tree.BytePath) =>
      Effect.gen(function* () {
        yield* flush(directory)
        const name = LayerName.make((yield* Ref.updateAndGet(last, (n) => n + 1)).toString(36))
        yield* Effect.uninterruptible(
          Tree.rename(directory, Tree.join(layers, name)).pipe(
            Effect.zipRight(settle),
            Effect.tapError(() => discardQuietly(Tree.join(layers, name)))
          )
        )
        return name
      })

    let run = 0
    const newRun = Effect.fnUntraced(function* (top: LayerName) {
      const name = (run++).toString(36)
      const directory = Tree.join(runs, name)
      const upper = Tree.join(directory, "u")
      const work = Tree.join(directory, "w")
      const root = Tree.attributesOf(yield* Tree.lstat(Tree.join(layers, top)))
      yield* Effect.acquireRelease(Tree.makeDirectory(directory), () => discardQuietly(directory))
      yield* Tree.makeOverlayFolders(directory, upper, work, root)
      return {
        name,
        directory: Tree.display(directory),
        upper: Tree.display(upper),
        work: Tree.display(work),
        root: { mode: root.mode, uid: root.uid, gid: root.gid }
      }
    })

    const verify = (chain: Chain) =>
      Effect.forEach(chain, (name) => Tree.lstat(Tree.join(layers, name)), { discard: true })

    const isEmpty = Effect.fnUntraced(function* (candidate: Run) {
      const { attributes, isEmpty } = yield* Tree.lookInto(Tree.bytePath(candidate.upper))
      const { gid, mode, uid } = attributes
      return isEmpty && mode === candidate.root.mode && uid === candidate.root.uid && gid === candidate.root.gid
    })

    const newImport = Effect.map(Effect.acquireRelease(create, discardQuietly), (path): Import => ({
      name: path.slice(temporaries.length + 1),
      root: Tree.display(path)
    }))

    const newMountpoint = Effect.map(
      Effect.acquireRelease(create, (path) => Effect.ignoreLogged(Tree.removeDirectory(path))),
      Tree.display
    )

    const remove = Effect.fn("LayerStore.remove")(function* (names: Iterable<LayerName>) {
      const gone = Array.from(names)
      yield* outlive(gone)
      yield* Effect.forEach(
        gone,
        (name) =>
          Effect.catchIf(
            discard(Tree.join(layers, name)),
            (error) => error.reason === "Missing",
            () => Effect.void
          ),
        { discard: true }
      )
    })

    return {
      directory: Tree.display(layers),
      path: (layer) => Tree.display(Tree.join(layers, layer)),
      has: (layer) =>
        Effect.catchIf(
          Effect.as(Tree.lstat(Tree.join(layers, layer)), true),
          (error) => error.reason === "Missing",
          () => Effect.succeed(false)
        ),
      layers: Effect.map(listLayers, HashSet.fromIterable),
      newRun,
      verify,
      isEmpty,
      commit: Effect.fn("LayerStore.commit")((candidate: Run) => admit(Tree.bytePath(candidate.upper))),
      newImport,
      commitImport: Effect.fn("LayerStore.commitImport")((imported: Import) => admit(Tree.bytePath(imported.root))),
      newMountpoint,
      cost: Effect.fn("LayerStore.cost")((layer: LayerName) => measure(Tree.join(layers, layer))),
      remove,
      size: Effect.withSpan(measure(layers), "LayerStore.size")
    }
  })

/**
 * The store as a layer; it goes on removing what was discarded when its scope closes, and then ends.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E, R>(
  options: LayerStoreOptions<E, R>
): Layer.Layer<
  LayerStore,
  LayerStoreError.LayerStoreError | E,
  Exclude<R, Scope.Scope> | CommandExecutor.CommandExecutor
> => Layer.scoped(LayerStore, make(options))
