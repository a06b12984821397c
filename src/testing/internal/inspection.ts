/** What the API shows of the files of an image. */
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import type { ApiFailure } from "../../api/Failure.js"
import type { FileItem } from "../../api/Inspect.js"
import * as FileTree from "../FileTree.js"
import { refuse } from "./refusal.js"
import * as TarArchive from "./tarArchive.js"

const typeBits = { File: 0o100000, Folder: 0o040000, Link: 0o120000 } as const

const itemOf = (name: string, entry: FileTree.Entry): FileItem => ({
  name,
  size:
    entry._tag === "File"
      ? entry.bytes.length
      : entry._tag === "Link"
        ? new TextEncoder().encode(entry.target).length
        : 4096,
  owner: entry.uid === 0 ? "root" : entry.uid,
  group: entry.gid === 0 ? "root" : entry.gid,
  uid: entry.uid,
  gid: entry.gid,
  mode: typeBits[entry._tag] | (entry.mode & 0o7777),
  mtime: Math.floor(entry.mtime / 1000),
  nlink:
    entry._tag === "Folder"
      ? HashMap.reduce(entry.entries, 2, (count, below) => (below._tag === "Folder" ? count + 1 : count))
      : 1,
  isDirectory: entry._tag === "Folder",
  isRegular: entry._tag === "File",
  isSymlink: entry._tag === "Link",
  isSocket: false,
  isFifo: false,
  target: entry._tag === "Link" ? entry.target : ""
})

const absolute = (path: string): Either.Either<string, ApiFailure> =>
  path.startsWith("/") && !path.includes("\0")
    ? Either.right(FileTree.normalize(path))
    : Either.left(refuse(400, `path: ${JSON.stringify(path)} is not absolute`))

const entryAt = (tree: FileTree.FileTree, path: string): Either.Either<readonly [string, FileTree.Entry], ApiFailure> =>
  Either.flatMap(absolute(path), (path) =>
    Either.mapBoth(FileTree.get(tree, path), {
      onLeft: () => refuse(404, `There is no ${path} in the image`),
      onRight: (entry) => [path, entry] as const
    })
  )

/** What a folder holds; a file is listed as itself. */
export const list = (tree: FileTree.FileTree, path: string): Either.Either<ReadonlyArray<FileItem>, ApiFailure> =>
  Either.flatMap(entryAt(tree, path), ([path, entry]) =>
    entry._tag === "Folder"
      ? Either.mapBoth(FileTree.list(entry, "/"), {
          onLeft: (error) => refuse(404, error.message),
          onRight: (entries) => entries.map(([name, entry]) => itemOf(name, entry))
        })
      : Either.left(refuse(422, `${path} is not a folder`))
  )

/** The content of a file. */
export const download = (tree: FileTree.FileTree, path: string): Either.Either<Uint8Array, ApiFailure> =>
  Either.flatMap(entryAt(tree, path), ([path, entry]) =>
    entry._tag === "File" ? Either.right(entry.bytes) : Either.left(refuse(422, `${path} is not a regular file`))
  )

/** A file or a folder as the pieces of a tar archive; its members are under its name. */
export const archive = (tree: FileTree.FileTree, path: string): Either.Either<ReadonlyArray<Uint8Array>, ApiFailure> =>
  Either.map(entryAt(tree, path), ([path, entry]) => {
    const name = path.split("/").at(-1) ?? ""
    return TarArchive.pack(
      FileTree.walkFrom(entry, name)
        .filter(([member]) => member !== "/")
        .map(([member, entry]) => [member.replace(/^\//, ""), entry])
    )
  })
