/**
 * Flattening of deep chains: many deltas become one, by hard links.
 *
 * An overlay takes at most 500 layers and each one costs a little at every mount and look-up. The squash compares what
 * the whole chain shows (the view) with what its lower part shows (the base), and visits only what the deltas touched.
 * It therefore needs no extended attributes, which Node cannot read: that a delta's directory replaced the base's one
 * shows in the names that the base has and the view has not.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tool from "./internal/overlayCommand.js"
import * as Tree from "./internal/overlayFileSystem.js"
import type { Chain } from "./LayerStore.js"
import { LayerStore } from "./LayerStore.js"
import * as LayerStoreError from "./LayerStoreError.js"
import * as OverlayMount from "./OverlayMount.js"

/**
 * The depth above which a chain is to be flattened.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaultMaxDepth = 48

/**
 * What a squash works on; every path is absolute, and all but the view and the base lie on one file system.
 *
 * @since 0.1.0
 * @category models
 */
export interface SquashOptions {
  /** What the deltas over the base show, mounted. */
  readonly view: string
  /** What lies below the deltas: a flat root, or the view of several layers. */
  readonly base: string
  /** The deltas, topmost first. */
  readonly deltas: ReadonlyArray<string>
  /** An empty directory, which becomes the one delta that shows the same over the same base. */
  readonly into: string
}

/**
 * Service that turns many layers into one.
 *
 * @since 0.1.0
 * @category tags
 */
export class LayerSquash extends Context.Tag("effect-contree/local/LayerSquash")<LayerSquash, LayerSquash.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace LayerSquash {
  /**
   * Makes one layer of many.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /**
     * Fills `into`. The work is in proportion to the deltas and to the listings of the directories that they touch.
     * After a failure or an interruption nothing is under way, and what `into` holds is to be removed.
     */
    readonly squash: (options: SquashOptions) => Effect.Effect<void, LayerStoreError.LayerStoreError>
    /**
     * Squashes all layers of the chain but the `keep` lowest (default: 1, the flat root) into a new layer, and gives
     * the shorter chain, which shows the same. The layers squashed stay for those who use them. A chain with fewer
     * than two layers to squash is given back.
     */
    readonly flatten: (
      chain: Chain,
      options?: { readonly keep?: number | undefined }
    ) => Effect.Effect<Chain, LayerStoreError.LayerStoreError>
  }
}

const COPY_ATTRIBUTES = [
  `tar -C "$1" --format=posix --numeric-owner --acls --xattrs --xattrs-include='user.*' --no-recursion --null -T - -cf -`,
  `tar -C "$2" --numeric-owner --same-owner --acls --xattrs --xattrs-include='user.*' -xpf -`
].join(" | ")

/** A directory of the view that at least one delta touched. */
interface Touched {
  /** Its path below the root, "" for the root itself. */
  readonly at: string
  /** The roots of the deltas that hold it as a directory, topmost first. */
  readonly deltas: ReadonlyArray<Tree.BytePath>
  /** Whether the base has a directory there too, which would shine through. */
  readonly inBase: boolean
}

/** What the deltas say about one name in a directory. */
interface Claim {
  readonly top: Tree.BytePath
  readonly isDirectory: boolean
  readonly directories: Array<Tree.BytePath>
  /** Whether deltas further down can still add to the directory. */
  open: boolean
}

const below = (at: string, name: string): string => (at === "" ? name : `${at}/${name}`)

const claimsOf = (
  deltas: ReadonlyArray<Tree.BytePath>,
  listings: ReadonlyArray<ReadonlyArray<Tree.Entry>>
): Map<string, Claim> => {
  const claims = new Map<string, Claim>()
  listings.forEach((entries, index) => {
    const delta = deltas[index]
    if (delta === undefined) {
      return
    }
    for (const entry of entries) {
      const isDirectory = entry.isDirectory()
      const claim = claims.get(entry.name)
      if (claim === undefined) {
        claims.set(entry.name, { top: delta, isDirectory, directories: isDirectory ? [delta] : [], open: isDirectory })
      } else if (claim.open && isDirectory) {
        claim.directories.push(delta)
      } else {
        claim.open = false
      }
    }
  })
  return claims
}

const directoriesByName = (entries: ReadonlyArray<Tree.Entry>): Map<string, boolean> =>
  new Map(entries.map((entry) => [entry.name, entry.isDirectory()]))

/**
 * Makes the service over the layers on disk.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.gen(function* () {
  const store = yield* LayerStore
  const executor = yield* CommandExecutor.CommandExecutor
  const tool = (command: Command.Command, operation: string, path: Tree.BytePath) =>
    Effect.provideService(
      Tool.run(command, { operation, path: Tree.display(path) }),
      CommandExecutor.CommandExecutor,
      executor
    )

  // Whiteouts are hard links of one inode, because only a tool can make the device, until the file system's limit of
  // links (65 000 on ext4) asks for the next one.
  const pool = Tree.bytePath((yield* store.newImport).root)
  const making = yield* Effect.makeSemaphore(1)
  let whiteouts = 0
  const whiteoutPath = () => Tree.join(pool, whiteouts.toString(36))
  const nextWhiteout = (used: number) =>
    Effect.suspend(() => {
      if (whiteouts !== used) {
        return Effect.void
      }
      const fresh = Tree.join(pool, (used + 1).toString(36))
      return Effect.map(
        tool(Command.make("mknod", Tree.display(fresh), "c", "0", "0"), "create whiteout", fresh),
        () => {
          whiteouts = used + 1
        }
      )
    }).pipe(Effect.uninterruptible, making.withPermits(1))
  const whiteout = (path: Tree.BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
    Effect.suspend(() => {
      const used = whiteouts
      return (used === 0 ? nextWhiteout(0) : Effect.void).pipe(
        Effect.zipRight(Effect.suspend(() => Tree.link(whiteoutPath(), path))),
        Effect.catchIf(
          (error) => error.code === "EMLINK",
          () => Effect.zipRight(nextWhiteout(Math.max(used, 1)), whiteout(path))
        )
      )
    })

  // A file that very many squashes share meets the same limit; then a copy takes its place.
  const share = (from: Tree.BytePath, to: Tree.BytePath) =>
    Effect.catchIf(
      Tree.link(from, to),
      (error) => error.code === "EMLINK",
      () => tool(Command.make("cp", "-a", "--", Tree.display(from), Tree.display(to)), "copy", to)
    )

  const squash = Effect.fn("LayerSquash.squash")(function* (options: SquashOptions) {
    const view = Tree.bytePath(options.view)
    const base = Tree.bytePath(options.base)
    const into = Tree.bytePath(options.into)
    const made: Array<{ readonly at: string; readonly attributes: Tree.Attributes }> = []

    const visit = Effect.fnUntraced(function* ({ at, deltas, inBase }: Touched) {
      const here = Tree.join(into, at)
      if (at !== "") {
        yield* Tree.makeDirectory(here)
      }
      const listings = yield* Effect.forEach(deltas, (delta) => Tree.list(Tree.join(delta, at)), {
        concurrency: Tree.CONCURRENCY
      })
      const shown = directoriesByName(yield* Tree.list(Tree.join(view, at)))
      const beneath = directoriesByName(inBase ? yield* Tree.list(Tree.join(base, at)) : [])
      const stats = yield* Tree.lstat(Tree.join(view, at))
      made.push({ at, attributes: Tree.attributesOf(stats) })
      const inner: Array<Touched> = []
      const calls: Array<Effect.Effect<void, LayerStoreError.LayerStoreError>> = []
      for (const [name, claim] of claimsOf(deltas, listings)) {
        const isDirectory = shown.get(name)
        if (isDirectory === undefined) {
          continue
        }
        if (isDirectory !== claim.isDirectory) {
          return yield* LayerStoreError.make({
            operation: "squash",
            path: Tree.display(Tree.join(view, below(at, name))),
            code: "EINVAL",
            reason: "Mismatch",
            detail: "the topmost layer that has this path does not show in the view"
          })
        }
        if (isDirectory) {
          inner.push({ at: below(at, name), deltas: claim.directories, inBase: beneath.get(name) === true })
        } else {
          calls.push(share(Tree.join(claim.top, below(at, name)), Tree.join(here, name)))
        }
      }
      for (const name of beneath.keys()) {
        if (!shown.has(name)) {
          calls.push(whiteout(Tree.join(here, name)))
        }
      }
      yield* Effect.forEach(calls, (call) => call, { concurrency: Tree.CONCURRENCY, discard: true })
      return inner
    })

    let pending: Array<Touched> = [{ at: "", deltas: options.deltas.map(Tree.bytePath), inBase: true }]
    while (pending.length > 0) {
      pending = (yield* Effect.forEach(pending, visit, { concurrency: 4 })).flat()
    }

    // Last, since every name made in a directory moves its time.
    yield* Effect.forEach(made, ({ at, attributes }) => Tree.setAttributes(Tree.join(into, at), attributes), {
      concurrency: Tree.CONCURRENCY,
      discard: true
    })
    // Node sets times to the microsecond and knows no extended attributes: an archive of the bare directories carries
    // nanoseconds, access lists and user attributes over. GNU tar is asked for it; without it the above stands.
    yield* tool(
      Command.make("sh", "-c", COPY_ATTRIBUTES, "sh", options.view, options.into).pipe(
        Command.stdin(
          Stream.fromIterable(made).pipe(
            Stream.grouped(1000),
            Stream.map((group) => Buffer.from(Array.from(group, ({ at }) => `./${at}\0`).join(""), "latin1"))
          )
        )
      ),
      "carry attributes to",
      into
    ).pipe(
      Effect.catchAll((error) =>
        Effect.logDebug("times of squashed directories are exact to the microsecond only", error)
      )
    )
  })

  const flatten = Effect.fn("LayerSquash.flatten")(function* (
    chain: Chain,
    options?: { readonly keep?: number | undefined }
  ) {
    const cut = chain.length - Math.max(1, options?.keep ?? 1)
    const [upmost, ...lower] = chain.slice(cut)
    if (cut < 2 || upmost === undefined) {
      return chain
    }
    const base: Chain = [upmost, ...lower]
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const into = yield* store.newImport
        const [view, beneath] = yield* Effect.zip(OverlayMount.view(chain), OverlayMount.view(base))
        yield* squash({ view, base: beneath, deltas: chain.slice(0, cut).map(store.path), into: into.root })
        const squashed = yield* store.commitImport(into)
        const shorter: Chain = [squashed, ...base]
        return shorter
      })
    ).pipe(Effect.provideService(LayerStore, store), Effect.provideService(CommandExecutor.CommandExecutor, executor))
  })

  return LayerSquash.of({ squash, flatten })
})

/**
 * The squash over the store, with its one whiteout inode among the store's temporaries.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  LayerSquash,
  LayerStoreError.LayerStoreError,
  LayerStore | CommandExecutor.CommandExecutor
> = Layer.scoped(LayerSquash, make)
