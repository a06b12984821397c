/**
 * Look-up of paths in the tree of an image, without ever leaving it.
 *
 * The kernel is never asked to follow a link: each part of a path is looked at by itself, the target of an absolute
 * link starts again at the image's root, and `..` stops there. Nobody changes the tree meanwhile.
 */
import * as Effect from "effect/Effect"
import type { Stats } from "node:fs"
import { ImagePathError } from "../ImagePathError.js"
import type * as LayerStoreError from "../LayerStoreError.js"
import * as Tree from "./overlayFileSystem.js"

/** Something in an image: its name there, where it is for the system, and what it is; never a link. */
export interface Place {
  /** Empty for the root. */
  readonly name: string
  readonly path: Tree.BytePath
  readonly stats: Stats
}

/** As the kernel's own limit. */
export const MAX_LINKS = 40

/** What a name with bytes beyond UTF-8 is shown with. */
const REPLACEMENT = "\uFFFD"

/** The parts of a path that are to be walked. */
export const parts = (path: string): Array<string> => path.split("/").filter((part) => part !== "" && part !== ".")

/** Whether there is nothing at a path. */
export const isMissing = (error: LayerStoreError.LayerStoreError) =>
  error.code === "ENOENT" || error.code === "ENOTDIR" || error.code === "ENAMETOOLONG"

/** The path that a request names, in its shortest form; `..` is left to the look-up, since links come first. */
export const normalize = (path: string): string => `/${parts(path).join("/")}`

/**
 * Finds what a path leads to, links followed. A name that a listing could only show with U+FFFD is found by the name
 * that was shown, where it is the only one.
 */
export const lookup = (
  root: Tree.BytePath,
  path: string
): Effect.Effect<Place, ImagePathError | LayerStoreError.LayerStoreError> =>
  Effect.gen(function* () {
    const fail = (reason: ImagePathError["reason"], detail: string) => new ImagePathError({ reason, path, detail })
    if (!path.startsWith("/") || path.includes("\0")) {
      return yield* fail("Invalid", "a path of an image starts with / and holds no NUL character")
    }
    const missing = fail("Missing", "the image has no such path")
    const find = (directory: Tree.BytePath, name: string) =>
      Effect.catchIf(
        Effect.map(Tree.lstat(Tree.join(directory, name)), (stats) => ({ name, stats })),
        isMissing,
        () => (path.includes(REPLACEMENT) ? findShown(directory, name) : Effect.fail(missing))
      )
    const findShown = Effect.fnUntraced(function* (directory: Tree.BytePath, name: string) {
      const shown = Buffer.from(name, "latin1").toString("utf8")
      const [only, ...others] = (yield* Effect.catchIf(Tree.names(directory), isMissing, () =>
        Effect.succeed([])
      )).filter((candidate) => Tree.display(Tree.latin1(candidate)) === shown)
      if (only === undefined || others.length > 0) return yield* missing
      return { name: only, stats: yield* Tree.lstat(Tree.join(directory, only)) }
    })

    const pending = parts(Tree.bytePath(path)).reverse()
    let at: Array<string> = []
    let stats = yield* Tree.lstat(root)
    let links = 0
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      const directory = Tree.join(root, at.join("/"))
      if (!stats.isDirectory()) return yield* missing
      if (part === "..") {
        at.pop()
        stats = yield* Tree.lstat(Tree.join(root, at.join("/")))
        continue
      }
      const found = yield* find(directory, part)
      if (!found.stats.isSymbolicLink()) {
        at.push(found.name)
        stats = found.stats
        continue
      }
      if (++links > MAX_LINKS) return yield* fail("Missing", "it leads through too many links")
      const target = yield* Tree.readLink(Tree.join(directory, found.name))
      if (target.startsWith("/")) {
        at = []
        stats = yield* Tree.lstat(root)
      }
      pending.push(...parts(target).reverse())
    }
    return { name: at.at(-1) ?? "", path: Tree.join(root, at.join("/")), stats }
  })
