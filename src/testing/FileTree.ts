/**
 * The files of an image in memory: an immutable tree of folders, files and symbolic links.
 *
 * @example
 * ```ts
 * import { FileTree } from "effect-contree/testing"
 * import { Either } from "effect"
 *
 * const tree = FileTree.make({
 *   "/app/main.py": "print(6 * 7)\n",
 *   "/app/run": { content: "#!/bin/sh\n", mode: 0o755 },
 *   "/app/latest": { target: "main.py" }
 * })
 *
 * console.log(Either.getOrThrow(FileTree.readText(tree, "/app/latest"))) // print(6 * 7)
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"

/**
 * What every entry of a tree has: permission bits, owner and group by number, and when it was changed last, in
 * milliseconds since the epoch.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attributes {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number
}

/**
 * A regular file.
 *
 * @since 0.1.0
 * @category models
 */
export interface File extends Attributes {
  readonly _tag: "File"
  readonly bytes: Uint8Array
}

/**
 * A symbolic link.
 *
 * @since 0.1.0
 * @category models
 */
export interface Link extends Attributes {
  readonly _tag: "Link"
  readonly target: string
}

/**
 * A folder and what is in it. A whole tree is its root folder.
 *
 * @since 0.1.0
 * @category models
 */
export interface Folder extends Attributes {
  readonly _tag: "Folder"
  readonly entries: HashMap.HashMap<string, Entry>
}

/**
 * An entry of a tree.
 *
 * @since 0.1.0
 * @category models
 */
export type Entry = File | Link | Folder

/**
 * The files of an image: the root folder. Trees never change; each change gives a new tree that shares the rest.
 *
 * @since 0.1.0
 * @category models
 */
export type FileTree = Folder

/**
 * A path could not be used as wanted. The codes are those of the system: `ENOENT` (nothing there), `ENOTDIR` (what
 * should be a folder is none), `EISDIR` (a folder, where a file was wanted), `ELOOP` (links that lead nowhere but to
 * each other), `ENOSPC` (more was written than the run may write).
 *
 * @since 0.1.0
 * @category errors
 */
export class FileError extends Data.TaggedError("FileError")<{
  readonly code: "ENOENT" | "ENOTDIR" | "EISDIR" | "ELOOP" | "ENOSPC"
  readonly path: string
}> {
  override get message(): string {
    return `${this.code}: ${reasons[this.code]}: ${this.path}`
  }
}

const reasons = {
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  ELOOP: "too many levels of symbolic links",
  ENOSPC: "no space left on device"
} as const

const utf8 = new TextEncoder()
const text = new TextDecoder()

const attributes = (given: Partial<Attributes>, mode: number): Attributes => ({
  mode: given.mode ?? mode,
  uid: given.uid ?? 0,
  gid: given.gid ?? 0,
  mtime: given.mtime ?? 0
})

/**
 * A regular file; text is kept as UTF-8. Left out: mode 0644, owned by 0:0, changed at the epoch.
 *
 * @since 0.1.0
 * @category constructors
 */
export const file = (content: string | Uint8Array, given: Partial<Attributes> = {}): File => ({
  _tag: "File",
  bytes: typeof content === "string" ? utf8.encode(content) : content,
  ...attributes(given, 0o644)
})

/**
 * A symbolic link.
 *
 * @since 0.1.0
 * @category constructors
 */
export const link = (target: string, given: Partial<Attributes> = {}): Link => ({
  _tag: "Link",
  target,
  ...attributes(given, 0o777)
})

/**
 * An empty folder. Left out: mode 0755, owned by 0:0, changed at the epoch.
 *
 * @since 0.1.0
 * @category constructors
 */
export const folder = (given: Partial<Attributes> = {}): Folder => ({
  _tag: "Folder",
  entries: HashMap.empty(),
  ...attributes(given, 0o755)
})

/**
 * A tree in which nothing is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const empty: FileTree = folder()

const sizeOf = (entry: Entry): number => (entry._tag === "File" ? entry.bytes.length : 0)

/** The names of a path; those of an absolute one are counted from the root. */
const names = (path: string): ReadonlyArray<string> => path.split("/").filter((name) => name !== "" && name !== ".")

/**
 * An absolute path without `.`, `..` and doubled slashes; a relative one is taken from `from`.
 *
 * @since 0.1.0
 * @category getters
 */
export const normalize = (path: string, from = "/"): string => {
  const kept: Array<string> = []
  for (const name of names(path.startsWith("/") ? path : `${from}/${path}`)) {
    if (name === "..") kept.pop()
    else kept.push(name)
  }
  return `/${kept.join("/")}`
}

/** As many links as Linux follows. */
const mostLinks = 40

interface Found {
  /** Where the entry is, with all links on the way followed. */
  readonly path: ReadonlyArray<string>
  readonly entry: Option.Option<Entry>
}

/** Follows a path from the root: the links on the way, and one at its end when `last` says so. */
const walk = (tree: FileTree, path: string, last: boolean): Either.Either<Found, FileError> => {
  let left = names(path)
  let links = 0
  let at: Array<readonly [string, Folder]> = []
  const here = () => at.at(-1)?.[1] ?? tree
  for (;;) {
    const [name, ...rest] = left
    if (name === undefined) return Either.right({ path: at.map(([name]) => name), entry: Option.some(here()) })
    left = rest
    if (name === "..") {
      at = at.slice(0, -1)
      continue
    }
    const entry = HashMap.get(here().entries, name)
    const place = [...at.map(([name]) => name), name]
    if (Option.isNone(entry)) {
      return rest.length === 0
        ? Either.right({ path: place, entry })
        : Either.left(new FileError({ code: "ENOENT", path }))
    }
    if (entry.value._tag === "Link" && (rest.length > 0 || last)) {
      links += 1
      if (links > mostLinks) return Either.left(new FileError({ code: "ELOOP", path }))
      if (entry.value.target.startsWith("/")) at = []
      left = [...names(entry.value.target), ...rest]
      continue
    }
    if (rest.length === 0) return Either.right({ path: place, entry })
    if (entry.value._tag !== "Folder") return Either.left(new FileError({ code: "ENOTDIR", path }))
    at = [...at, [name, entry.value]]
  }
}

const existing = (found: Found, path: string): Either.Either<Entry, FileError> =>
  Either.fromOption(found.entry, () => new FileError({ code: "ENOENT", path }))

/**
 * The entry at a path, links followed.
 *
 * @since 0.1.0
 * @category getters
 */
export const get = (tree: FileTree, path: string): Either.Either<Entry, FileError> =>
  Either.flatMap(walk(tree, path, true), (found) => existing(found, path))

/**
 * The entry at a path; a link at its end is given as such.
 *
 * @since 0.1.0
 * @category getters
 */
export const getLink = (tree: FileTree, path: string): Either.Either<Entry, FileError> =>
  Either.flatMap(walk(tree, path, false), (found) => existing(found, path))

/**
 * The path of an entry with all links followed.
 *
 * @since 0.1.0
 * @category getters
 */
export const realPath = (tree: FileTree, path: string): Either.Either<string, FileError> =>
  Either.flatMap(walk(tree, path, true), (found) => Either.map(existing(found, path), () => `/${found.path.join("/")}`))

/**
 * The content of a file.
 *
 * @since 0.1.0
 * @category getters
 */
export const read = (tree: FileTree, path: string): Either.Either<Uint8Array, FileError> =>
  Either.flatMap(get(tree, path), (entry) =>
    entry._tag === "File" ? Either.right(entry.bytes) : Either.left(new FileError({ code: "EISDIR", path }))
  )

/**
 * The content of a file as UTF-8.
 *
 * @since 0.1.0
 * @category getters
 */
export const readText = (tree: FileTree, path: string): Either.Either<string, FileError> =>
  Either.map(read(tree, path), (bytes) => text.decode(bytes))

/**
 * What a folder holds, by name in the order of their bytes.
 *
 * @since 0.1.0
 * @category getters
 */
export const list = (
  tree: FileTree,
  path: string
): Either.Either<ReadonlyArray<readonly [name: string, entry: Entry]>, FileError> =>
  Either.flatMap(get(tree, path), (entry) =>
    entry._tag === "Folder" ? Either.right(sorted(entry)) : Either.left(new FileError({ code: "ENOTDIR", path }))
  )

const sorted = (folder: Folder): ReadonlyArray<readonly [string, Entry]> =>
  HashMap.toEntries(folder.entries).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

/**
 * An entry and all that is below it, each with its path from the root; a folder comes before what it holds.
 *
 * @since 0.1.0
 * @category getters
 */
export const walkFrom = (entry: Entry, path = ""): ReadonlyArray<readonly [path: string, entry: Entry]> => [
  [path === "" ? "/" : path, entry],
  ...(entry._tag === "Folder" ? sorted(entry).flatMap(([name, below]) => walkFrom(below, `${path}/${name}`)) : [])
]

/**
 * How many bytes the files of a tree have that another tree does not share with it.
 *
 * @since 0.1.0
 * @category getters
 */
export const bytesAdded = (entry: Entry, before: Option.Option<Entry>): number => {
  if (Option.isSome(before) && before.value === entry) return 0
  if (entry._tag !== "Folder") return sizeOf(entry)
  const old =
    Option.isSome(before) && before.value._tag === "Folder" ? before.value.entries : HashMap.empty<string, Entry>()
  return HashMap.reduce(entry.entries, 0, (sum, below, name) => sum + bytesAdded(below, HashMap.get(old, name)))
}

/** Changes the folder at a place whose links have been followed; what is missing on the way is made. */
const changeAt = (
  tree: Folder,
  place: ReadonlyArray<string>,
  made: Attributes,
  change: (folder: Folder) => Folder
): Folder => {
  const [name, ...rest] = place
  if (name === undefined) return change(tree)
  const below = Option.getOrUndefined(HashMap.get(tree.entries, name))
  const inside = below?._tag === "Folder" ? below : folder({ ...made, mode: 0o755 })
  const changed = changeAt(inside, rest, made, change)
  return changed === inside && below === inside ? tree : { ...tree, entries: HashMap.set(tree.entries, name, changed) }
}

/** The place of a path whose folders may be missing: links are followed as far as there are any. */
const placeOf = (tree: FileTree, path: string): Either.Either<ReadonlyArray<string>, FileError> => {
  const all = names(normalize(path))
  let at: Array<string> = []
  for (const [index, name] of all.entries()) {
    const found = walk(tree, `/${[...at, name].join("/")}`, index < all.length - 1)
    if (Either.isLeft(found)) {
      if (found.left.code !== "ENOENT") return Either.left(new FileError({ code: found.left.code, path }))
      at.push(name)
      continue
    }
    const { entry } = found.right
    if (index < all.length - 1 && Option.isSome(entry) && entry.value._tag !== "Folder") {
      return Either.left(new FileError({ code: "ENOTDIR", path }))
    }
    at = [...found.right.path]
  }
  return Either.right(at)
}

/**
 * Puts an entry at a path, in place of what is there. Folders on the way are made where they are missing, with the
 * entry's owner; links on the way are followed, one at the end is replaced.
 *
 * @since 0.1.0
 * @category combinators
 */
export const set: {
  (path: string, entry: Entry): (tree: FileTree) => Either.Either<FileTree, FileError>
  (tree: FileTree, path: string, entry: Entry): Either.Either<FileTree, FileError>
} = dual(3, (tree: FileTree, path: string, entry: Entry): Either.Either<FileTree, FileError> =>
  Either.flatMap(placeOf(tree, path), (place) => {
    const name = place.at(-1)
    if (name === undefined) {
      return entry._tag === "Folder" ? Either.right(entry) : Either.left(new FileError({ code: "EISDIR", path }))
    }
    return Either.right(
      changeAt(tree, place.slice(0, -1), entry, (parent) => ({
        ...parent,
        entries: HashMap.set(parent.entries, name, entry)
      }))
    )
  })
)

/**
 * Takes away what is at a path, with all that is below it. A link is taken away, not what it leads to.
 *
 * @since 0.1.0
 * @category combinators
 */
export const remove: {
  (path: string): (tree: FileTree) => Either.Either<FileTree, FileError>
  (tree: FileTree, path: string): Either.Either<FileTree, FileError>
} = dual(2, (tree: FileTree, path: string): Either.Either<FileTree, FileError> =>
  Either.flatMap(walk(tree, path, false), (found) =>
    Either.flatMap(existing(found, path), (entry) => {
      const name = found.path.at(-1)
      return name === undefined
        ? Either.left(new FileError({ code: "EISDIR", path }))
        : Either.right(
            changeAt(tree, found.path.slice(0, -1), entry, (parent) => ({
              ...parent,
              entries: HashMap.remove(parent.entries, name)
            }))
          )
    })
  )
)

/**
 * What {@link make} puts at a path: text or bytes for a file, `content` with attributes, `target` for a link, and
 * attributes alone for a folder.
 *
 * @since 0.1.0
 * @category models
 */
export type Content =
  | string
  | Uint8Array
  | (Partial<Attributes> & {
      readonly content?: string | Uint8Array | undefined
      readonly target?: string | undefined
    })

const entryOf = (content: Content): Entry => {
  if (typeof content === "string" || content instanceof Uint8Array) return file(content)
  if (content.content !== undefined) return file(content.content, content)
  return content.target === undefined ? folder(content) : link(content.target, content)
}

/**
 * A tree from what is at each path, over another tree where one is given. Folders need not be named. A path that leads
 * through a file or a loop of links replaces what is in its way.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (contents: Readonly<Record<string, Content>>, base: FileTree = empty): FileTree =>
  Object.entries(contents).reduce<FileTree>((tree, [path, content]) => {
    const entry = entryOf(content)
    return Either.getOrElse(set(tree, path, entry), () => {
      const place = names(normalize(path))
      const name = place.at(-1) ?? ""
      return changeAt(tree, place.slice(0, -1), entry, (parent) => ({
        ...parent,
        entries: HashMap.set(parent.entries, name, entry)
      }))
    })
  }, base)
