/**
 * Files of this machine on their way into images, and files of images on their way to this machine.
 *
 * @example
 * ```ts
 * import { Command, Image } from "effect-contree"
 * import { LocalFiles } from "effect-contree/node"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const sources = yield* LocalFiles.directory("./app", { at: "/app", exclude: ["node_modules", "*.log"] })
 *   const { image } = yield* Image.run("node:22", Command.files(Command.shell("cd /app && npm ci && npm test"), sources))
 *   return yield* LocalFiles.download(image, "/app/coverage.json", "./coverage.json")
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Stream from "effect/Stream"
import type { ContreeClient } from "../ContreeClient.js"
import * as FileUpload from "../FileUpload.js"
import type * as Image from "../Image.js"
import * as ImageFiles from "../ImageFiles.js"
import { matcher } from "./internal/glob.js"
import * as Unpack from "./internal/unpack.js"
import { type ArchiveRefused, fromPlatform, LocalFileError } from "./LocalFileError.js"

/**
 * A source of what a local file holds when it is uploaded. It keeps the file's permission bits unless `mode` is given.
 *
 * The file is read as a stream, so its size does not matter; one that changes between its two readings makes the upload
 * fail with `InputFailed`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const file = Effect.fn("LocalFiles.file")(function* (
  path: string,
  placement: FileUpload.Placement = {}
): Effect.fn.Return<FileUpload.Source, LocalFileError, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const info = yield* Effect.mapError(fs.stat(path), fromPlatform(path))
  if (info.type !== "File") {
    return yield* new LocalFileError({ path, detail: `it is not a file (${info.type})` })
  }
  return FileUpload.fromStream(fs.stream(path), { ...placement, mode: placement.mode ?? info.mode & 0o777 })
})

/**
 * Which files of a folder are taken, and where they go.
 *
 * - `at`: the folder of the image, default `/`.
 * - `include`: patterns of which a file's path has to match one, default all; `exclude`: of files and folders that are
 *   left out. Patterns are as in `.gitignore`: `*.log` at any depth, `/dist` at the top only, `src/**` below a folder.
 * - `links`: `follow` (the default) takes a symbolic link for the file that it leads to, and fails when that is out of
 *   the folder or missing; `skip` leaves links out.
 * - `uid`, `gid`: the owner of all files, default 0 and 0; `mode` instead of each file's own.
 *
 * @since 0.1.0
 * @category models
 */
export interface DirectoryOptions extends FileUpload.Placement {
  readonly at?: string | undefined
  readonly include?: ReadonlyArray<string> | undefined
  readonly exclude?: ReadonlyArray<string> | undefined
  readonly links?: "follow" | "skip" | undefined
}

/**
 * The files of a local folder and of all below it, as sources for `Command.files`, by the paths that they get.
 *
 * Permission bits are kept. Empty folders are not, since a run is given files only. Links to folders are left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const directory = Effect.fn("LocalFiles.directory")(function* (
  folder: string,
  options: DirectoryOptions = {}
): Effect.fn.Return<Readonly<Record<string, FileUpload.Source>>, LocalFileError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const included = matcher(options.include ?? ["**"])
  const excluded = matcher(options.exclude ?? [])
  const { at = "/", gid, mode, uid } = options
  const root = yield* Effect.mapError(fs.realPath(folder), fromPlatform(folder))
  const found: Record<string, FileUpload.Source> = {}

  const visit = (relative: string): Effect.Effect<void, LocalFileError, FileSystem.FileSystem> =>
    Effect.gen(function* () {
      const local = paths.join(root, relative)
      const names = yield* Effect.mapError(fs.readDirectory(local), fromPlatform(local))
      yield* Effect.forEach(names.sort(), (name) => take(relative === "" ? name : `${relative}/${name}`), {
        discard: true
      })
    })

  const take = (relative: string): Effect.Effect<void, LocalFileError, FileSystem.FileSystem> =>
    Effect.gen(function* () {
      if (excluded(relative)) return
      const local = paths.join(root, relative)
      const isLink = yield* Effect.isSuccess(fs.readLink(local))
      if (isLink && options.links === "skip") return
      const info = yield* Effect.mapError(fs.stat(local), fromPlatform(local))
      if (isLink) {
        const target = yield* Effect.mapError(fs.realPath(local), fromPlatform(local))
        if (!target.startsWith(root + paths.sep)) {
          return yield* new LocalFileError({ path: local, detail: `the link leads out of ${root}, to ${target}` })
        }
      }
      if (info.type === "Directory") {
        if (!isLink) yield* visit(relative)
        return
      }
      if (info.type !== "File" || !included(relative)) return
      found[`${at.replace(/\/+$/, "")}/${relative}`] = yield* file(local, { uid, gid, mode })
    })

  yield* visit("")
  return found
})

/** A file that is only seen under its name once it is whole, and of which nothing stays otherwise. */
const replacing = <A, E, R>(
  target: string,
  make: (temporary: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | LocalFileError, R | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    // In the same folder, so that it is on the same file system and can be renamed.
    const scratch = yield* fs
      .makeTempDirectoryScoped({ directory: paths.dirname(target), prefix: ".contree-" })
      .pipe(Effect.mapError(fromPlatform(target)))
    const temporary = paths.join(scratch, "new")
    const made = yield* make(temporary)
    yield* Effect.uninterruptible(Effect.mapError(fs.rename(temporary, target), fromPlatform(target)))
    return made
  }).pipe(Effect.scoped)

const isFolder = (fs: FileSystem.FileSystem, path: string): Effect.Effect<boolean> =>
  fs.stat(path).pipe(
    Effect.map((info) => info.type === "Directory"),
    Effect.orElseSucceed(() => false)
  )

/**
 * Writes a file of an image to this machine and gives the path that it has there.
 *
 * When `localPath` is a folder the file keeps its name in it. The file appears whole under its name, in the place of one
 * that was there; after a failure or an interruption nothing has changed.
 *
 * @since 0.1.0
 * @category combinators
 */
export const download: {
  (
    path: string,
    localPath: string
  ): (
    image: Image.Input
  ) => Effect.Effect<string, ImageFiles.ReadError | LocalFileError, ContreeClient | FileSystem.FileSystem | Path.Path>
  (
    image: Image.Input,
    path: string,
    localPath: string
  ): Effect.Effect<string, ImageFiles.ReadError | LocalFileError, ContreeClient | FileSystem.FileSystem | Path.Path>
} = dual(
  3,
  Effect.fn("LocalFiles.download")(function* (
    image: Image.Input,
    path: string,
    localPath: string
  ): Effect.fn.Return<
    string,
    ImageFiles.ReadError | LocalFileError,
    ContreeClient | FileSystem.FileSystem | Path.Path
  > {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const given = paths.resolve(localPath)
    const target = (yield* isFolder(fs, given)) ? paths.join(given, paths.basename(path)) : given
    yield* replacing(target, (temporary) =>
      Effect.scoped(
        Effect.gen(function* () {
          const to = yield* Effect.mapError(fs.open(temporary, { flag: "wx" }), fromPlatform(target))
          yield* Stream.runForEach(ImageFiles.stream(image, path), (bytes) =>
            Effect.mapError(to.writeAll(bytes), fromPlatform(target))
          )
        })
      )
    )
    return target
  })
)

/**
 * What came of an archive. `leftOut` names the entries that were passed over and says why: devices, pipes, and links
 * that lead out of the folder.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unpacked {
  readonly files: number
  readonly directories: number
  readonly links: number
  readonly bytes: number
  readonly leftOut: ReadonlyArray<{ readonly path: string; readonly why: string }>
}

/**
 * How much an archive may hold: `maxBytes`, default 16 GiB, in at most `maxEntries`, default a million.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExtractOptions {
  readonly maxBytes?: number | undefined
  readonly maxEntries?: number | undefined
}

const tarStream = Effect.tryPromise({
  try: () => import("tar-stream"),
  catch: (cause) =>
    new LocalFileError({
      path: "tar-stream",
      detail: "the package is needed for archives: npm install tar-stream",
      cause
    })
})

const unpackTo = Effect.fnUntraced(function* <E, R>(
  archive: Stream.Stream<Uint8Array, E, R>,
  folder: string,
  top: string,
  options: ExtractOptions
): Effect.fn.Return<Unpacked, E | LocalFileError | ArchiveRefused, R | FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const { extract } = yield* tarStream
  const target = paths.resolve(folder)
  const there = yield* Effect.mapError(fs.exists(target), fromPlatform(target))
  if (there) {
    const names = yield* Effect.mapError(fs.readDirectory(target), fromPlatform(target))
    if (names.length > 0) {
      return yield* new LocalFileError({ path: target, detail: "the folder is not empty; extract into a new one" })
    }
  }
  const context = yield* Effect.context<R>()
  return yield* replacing(target, (temporary) =>
    Effect.zipRight(
      Effect.mapError(fs.makeDirectory(temporary), fromPlatform(target)),
      Unpack.unpack(extract(), Stream.provideContext(archive, context), temporary, top, {
        maxBytes: options.maxBytes ?? 16 * 1024 ** 3,
        maxEntries: options.maxEntries ?? 1_000_000
      })
    )
  )
})

/**
 * Unpacks a tar archive into a folder that is new or empty.
 *
 * Nothing outside of the folder is written, read or linked, whatever the archive holds: a name that is absolute, holds
 * `..` or lies below a link is refused with `ArchiveRefused`; links that lead out, devices and pipes are left out and
 * named. Permission bits and times of files are kept; owners, set-user-id bits and extended attributes are not. The
 * folder appears whole; after a failure or an interruption nothing has changed.
 *
 * @since 0.1.0
 * @category combinators
 */
export const unpack = <E, R>(
  archive: Stream.Stream<Uint8Array, E, R>,
  folder: string,
  options: ExtractOptions = {}
): Effect.Effect<Unpacked, E | LocalFileError | ArchiveRefused, R | FileSystem.FileSystem | Path.Path> =>
  Effect.withSpan(unpackTo(archive, folder, "", options), "LocalFiles.unpack")

const lastPart = (path: string): string => /([^/]*)\/*$/.exec(path)?.[1] ?? ""

/**
 * Writes what a folder of an image holds, or one file of it, into a folder of this machine that is new or empty. The
 * rules are those of {@link unpack}.
 *
 * @since 0.1.0
 * @category combinators
 */
export const extract: {
  (
    path: string,
    folder: string,
    options?: ExtractOptions | undefined
  ): (
    image: Image.Input
  ) => Effect.Effect<
    Unpacked,
    ImageFiles.ReadError | LocalFileError | ArchiveRefused,
    ContreeClient | FileSystem.FileSystem | Path.Path
  >
  (
    image: Image.Input,
    path: string,
    folder: string,
    options?: ExtractOptions | undefined
  ): Effect.Effect<
    Unpacked,
    ImageFiles.ReadError | LocalFileError | ArchiveRefused,
    ContreeClient | FileSystem.FileSystem | Path.Path
  >
} = dual(
  (args) => typeof args[2] === "string",
  Effect.fn("LocalFiles.extract")(function* (
    image: Image.Input,
    path: string,
    folder: string,
    options: ExtractOptions = {}
  ) {
    return yield* unpackTo(ImageFiles.archive(image, path), folder, lastPart(path), options)
  })
)
