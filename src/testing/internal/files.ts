/** The files of a running instance as a command handler sees them. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { Files } from "../CommandHandler.js"
import * as FileTree from "../FileTree.js"

const text = new TextDecoder()

/** What is written belongs to `uid` and `gid`; at most `maxBytes` more than `original` holds. */
export const make = (
  files: SynchronizedRef.SynchronizedRef<FileTree.FileTree>,
  options: {
    readonly cwd: string
    readonly uid: number
    readonly gid: number
    readonly original: FileTree.FileTree
    readonly maxBytes: number
  }
): Files => {
  const at = (path: string) => (path.startsWith("/") ? path : `${options.cwd}/${path}`)
  const look = <A>(read: (tree: FileTree.FileTree) => Either.Either<A, FileTree.FileError>) =>
    Effect.flatMap(SynchronizedRef.get(files), read)
  const change = (
    path: string,
    change: (tree: FileTree.FileTree) => Effect.Effect<FileTree.FileTree, FileTree.FileError>
  ) =>
    SynchronizedRef.updateEffect(files, (tree) =>
      Effect.filterOrFail(
        change(tree),
        (changed) => FileTree.bytesAdded(changed, Option.some(options.original)) <= options.maxBytes,
        () => new FileTree.FileError({ code: "ENOSPC", path })
      )
    )
  /** The attributes of what is made now. */
  const made = Effect.map(Clock.currentTimeMillis, (mtime) => ({ uid: options.uid, gid: options.gid, mtime }))
  const entry = (path: string) => look((tree) => FileTree.get(tree, at(path)))

  return {
    tree: SynchronizedRef.get(files),
    update: (update) => change("/", update),
    get: entry,
    exists: (path) => Effect.match(entry(path), { onFailure: () => false, onSuccess: () => true }),
    read: (path) => look((tree) => FileTree.read(tree, at(path))),
    readText: (path) =>
      Effect.map(
        look((tree) => FileTree.read(tree, at(path))),
        (bytes) => text.decode(bytes)
      ),
    list: (path) =>
      Effect.map(
        look((tree) => FileTree.list(tree, at(path))),
        (entries) => entries.map(([name]) => name)
      ),
    write: (path, content, attributes = {}) =>
      Effect.flatMap(made, (made) =>
        change(path, (tree) => {
          const old = FileTree.get(tree, at(path))
          if (Either.isRight(old) && old.right._tag === "Folder") {
            return new FileTree.FileError({ code: "EISDIR", path })
          }
          const kept = Either.match(old, {
            onLeft: () => made,
            onRight: ({ gid, mode, uid }) => ({ mode, uid, gid, mtime: made.mtime })
          })
          // A link to a file is written through.
          const place = Either.getOrElse(FileTree.realPath(tree, at(path)), () => at(path))
          return FileTree.set(tree, place, FileTree.file(content, { ...kept, ...attributes }))
        })
      ),
    makeFolder: (path) =>
      Effect.flatMap(made, (made) =>
        change(path, (tree) =>
          Either.match(FileTree.get(tree, at(path)), {
            onLeft: () => FileTree.set(tree, at(path), FileTree.folder(made)),
            onRight: (entry) =>
              entry._tag === "Folder"
                ? Either.right(tree)
                : Either.left(new FileTree.FileError({ code: "ENOTDIR", path }))
          })
        )
      ),
    symlink: (target, path) =>
      Effect.flatMap(made, (made) => change(path, (tree) => FileTree.set(tree, at(path), FileTree.link(target, made)))),
    remove: (path) => change(path, (tree) => FileTree.remove(tree, at(path)))
  }
}
