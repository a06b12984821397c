/**
 * Uploaded files in the upper folder of a run, from before it starts: they are the first of what it writes.
 *
 * Each path is walked part by part through what is placed already and, below that, the image, so that the kernel is
 * never asked to follow a link. A folder of the image that a file goes into is made above it with the same owner, mode
 * and time, as the kernel does when something is written there; overlayfs shows both as one. The content is copied,
 * since a command may write to its copy.
 */
import * as Effect from "effect/Effect"
import type { Stats } from "node:fs"
import type { LayerStoreError } from "../LayerStoreError.js"
import * as SandboxError from "../SandboxError.js"
import * as ImagePath from "./imagePath.js"
import * as Tree from "./overlayFileSystem.js"

/** A content and where it goes. Ids are those of the image. */
export interface PlacedFile {
  /** From the root of the image, whether or not it begins with `/`. */
  readonly path: string
  /** The absolute path of the content, which is only read. */
  readonly content: string
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

export interface PlaceOptions {
  /** The tree of the image, read-only. */
  readonly image: string
  readonly upper: string
  /** What the ids of the image are stored with added; none where only one owner can be stored. */
  readonly idShift: number | undefined
  readonly files: ReadonlyArray<PlacedFile>
}

const FOLDER_MODE = 0o755

/** What the sandbox mounts its own on, so that nobody would see a file there. */
const covered = new Set(["proc", "dev"])

const unlessMissing = (
  stats: Effect.Effect<Stats, LayerStoreError>
): Effect.Effect<Stats | undefined, LayerStoreError> =>
  Effect.catchIf(stats, ImagePath.isMissing, () => Effect.succeed(undefined))

/** A folder above one of the image, or a new one. */
interface Folder {
  readonly attributes: Tree.Attributes
  isNew: boolean
  hasNews: boolean
}

/**
 * Places the files, in their order. Fails with `InvalidSpec` for a path that is a folder in the image, leads through
 * something that is none, or is covered in a sandbox.
 */
export const place = Effect.fnUntraced(function* (
  options: PlaceOptions
): Effect.fn.Return<void, SandboxError.SandboxError | LayerStoreError> {
  const image = Tree.bytePath(options.image)
  const upper = Tree.bytePath(options.upper)
  const root: Folder = { attributes: Tree.attributesOf(yield* Tree.lstat(upper)), isNew: false, hasNews: false }
  const folders = new Map<string, Folder>([["", root]])
  const stored = (id: number, own: number) => (options.idShift === undefined ? own : id + options.idShift)

  const placeOne = Effect.fnUntraced(function* (file: PlacedFile) {
    const fail = (detail: string) =>
      Effect.fail(SandboxError.make("InvalidSpec", `files: ${JSON.stringify(file.path)} ${detail}`))
    const owner = { uid: stored(file.uid, root.attributes.uid), gid: stored(file.gid, root.attributes.gid) }

    const find = (at: ReadonlyArray<string>) =>
      Effect.flatMap(unlessMissing(Tree.lstat(Tree.join(upper, at.join("/")))), (placed) =>
        placed === undefined
          ? unlessMissing(Tree.lstat(Tree.join(image, at.join("/"))))
          : Effect.succeed<Stats | undefined>(placed)
      )
    /** Where the parts lead to; a link at the end is followed only when asked, what is missing are new folders. */
    const walk = Effect.fnUntraced(function* (parts: ReadonlyArray<string>, followLast: boolean) {
      const pending = [...parts].reverse()
      let at: Array<string> = []
      let links = 0
      for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
        if (part === "..") {
          at.pop()
          continue
        }
        const next = [...at, part]
        const stats = yield* find(next)
        if (stats?.isSymbolicLink() === true && (followLast || pending.length > 0)) {
          if (++links > ImagePath.MAX_LINKS) return yield* fail("leads through too many links")
          const target = yield* Tree.readLink(Tree.join(image, next.join("/")))
          if (target.startsWith("/")) at = []
          pending.push(...ImagePath.parts(target).reverse())
          continue
        }
        if (stats !== undefined && !stats.isDirectory() && pending.length > 0) {
          return yield* fail(`leads through ${Tree.display(Tree.latin1(next.join("/")))}, which is no folder`)
        }
        at = next
      }
      return at
    })

    const parts = ImagePath.parts(Tree.bytePath(file.path))
    const at = yield* walk(parts, false)
    const found = yield* find(at)
    const leadsTo = found?.isSymbolicLink() === true ? yield* find(yield* walk(parts, true)) : found
    if (at.length === 0 || leadsTo?.isDirectory() === true) {
      return yield* fail("is a folder in the image: name the file in it too")
    }
    if (covered.has(at[0] ?? "")) return yield* fail(`is covered by the sandbox's own /${at[0]}`)

    for (let depth = 1; depth < at.length; depth++) {
      const path = at.slice(0, depth).join("/")
      if (folders.has(path)) continue
      const below = yield* unlessMissing(Tree.lstat(Tree.join(image, path)))
      yield* Tree.makeDirectory(Tree.join(upper, path))
      folders.set(path, {
        attributes: below === undefined ? { ...owner, mode: FOLDER_MODE, mtimeMs: 0 } : Tree.attributesOf(below),
        isNew: below === undefined,
        hasNews: false
      })
      const parent = folders.get(at.slice(0, depth - 1).join("/"))
      if (below === undefined && parent !== undefined) parent.hasNews = true
    }
    const parent = folders.get(at.slice(0, -1).join("/"))
    if (parent !== undefined) parent.hasNews = true
    const target = Tree.join(upper, at.join("/"))
    yield* Effect.catchIf(Tree.unlink(target), ImagePath.isMissing, () => Effect.void)
    yield* Tree.copyFile(Tree.bytePath(file.content), target)
    yield* Tree.setOwnerAndMode(target, { ...owner, mode: file.mode })
  })

  yield* Effect.forEach(options.files, placeOne, { discard: true })
  // Last, since each new entry changes the time of its folder.
  yield* Effect.forEach(
    folders,
    ([path, { attributes, hasNews, isNew }]) =>
      isNew || hasNews
        ? Tree.setOwnerAndMode(Tree.join(upper, path), attributes)
        : Tree.setAttributes(Tree.join(upper, path), attributes),
    { discard: true }
  )
})
