/**
 * Reading the files of an image; nothing runs for it, and the image needs no tool of its own.
 *
 * Each verb takes whatever names an image and looks a reference up once for the call, since a tag may move. A program
 * that reads more than once resolves its reference first (`Image.resolve`), which saves the requests and makes all
 * reads see the same file system. The result of a disposable run has no image, so there is nothing to read.
 *
 * @example
 * ```ts
 * import { Image, ImageFiles } from "effect-contree"
 * import { Effect, Stream } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const { image } = yield* Image.run("node:22", "npm test > /report.txt")
 *   const report = yield* ImageFiles.readText(image, "/report.txt")
 *   const sources = yield* ImageFiles.walk(image, "/app").pipe(
 *     Stream.filter((entry) => entry.kind === "file" && entry.path.endsWith(".ts")),
 *     Stream.runCount
 *   )
 *   return { report, sources }
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { FileItem, GrepMatch as WireMatch } from "./api/Inspect.js"
import { ContreeClient } from "./ContreeClient.js"
import type { RequestError } from "./ContreeError.js"
import * as ContreeError from "./ContreeError.js"
import * as Image from "./Image.js"
import type { ImageId } from "./ImageId.js"
import type { InvalidImageRef } from "./InvalidImageRef.js"
import * as Bytes from "./internal/bytes.js"

/**
 * What an entry of a folder is. `other` is a device, or something that this version does not know.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "file" | "directory" | "symlink" | "socket" | "fifo" | "other"

/**
 * An entry of a folder. A link is an entry of its own: nothing here says what it leads to.
 *
 * - `path`: the full path in the image, `name` its last part.
 * - `mode`: the permission bits, such as `0o755`.
 * - `size`: in bytes.
 * - `owner`, `group`: their names in the image where it has them, else their numbers as text.
 * - `links`: how many names the file has.
 * - `target`: where a symbolic link leads, as it stands in the link.
 *
 * @since 0.1.0
 * @category models
 */
export class Entry extends Data.TaggedClass("Entry")<{
  readonly path: string
  readonly name: string
  readonly kind: Kind
  readonly mode: number
  readonly size: number
  readonly uid: number
  readonly gid: number
  readonly owner: string
  readonly group: string
  readonly modifiedAt: DateTime.Utc
  readonly links: number
  readonly target: Option.Option<string>
}> {}

/**
 * A file is larger than the program wants to hold in memory. `size` is its size in bytes, where it could be found out.
 *
 * @since 0.1.0
 * @category errors
 */
export class FileTooLarge extends Schema.TaggedError<FileTooLarge>("effect-contree/FileTooLarge")("FileTooLarge", {
  path: Schema.String,
  limitBytes: Schema.Number,
  size: Schema.OptionFromUndefinedOr(Schema.Number)
}) {
  override get message(): string {
    const size = Option.match(this.size, { onNone: () => "more bytes", onSome: (size) => `${size} bytes` })
    return `${JSON.stringify(this.path)} has ${size}, and at most ${this.limitBytes} were asked for. Raise maxBytes, or read it with ImageFiles.stream`
  }
}

/**
 * What reading can fail with: `NotFound` names the image or the path that is missing, and a path of another type than
 * the verb reads is `RequestRejected`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ReadError = InvalidImageRef | RequestError

/** Bytes that a program holds in memory unless it says otherwise. */
const defaultMaxBytes = 16_777_216

const checkPath = (path: string): Effect.Effect<string, ContreeError.RequestRejected> =>
  path.startsWith("/") && !path.includes("\0")
    ? Effect.succeed(path)
    : new ContreeError.RequestRejected({
        detail: `${JSON.stringify(path)} is not an absolute path`,
        suggestion: 'Give one such as "/app/report.txt"; no request was made'
      })

const withoutTrailingSlash = (path: string): string => path.replace(/(?<=.)\/+$/, "")

const join = (folder: string, name: string): string => (folder.endsWith("/") ? `${folder}${name}` : `${folder}/${name}`)

/** The server says 404 for a missing image as for a missing path; the program should see what was missing. */
const explain =
  (image: ImageId, path: string) =>
  (error: RequestError): RequestError =>
    error._tag === "NotFound"
      ? new ContreeError.NotFound({
          request: error.request,
          status: error.status,
          detail: error.detail,
          what: `${JSON.stringify(path)} in image ${image}`,
          suggestion: "Look at the folder with ImageFiles.list, and check the image's UUID"
        })
      : error

const kindOf = (item: FileItem): Kind => {
  if (item.isSymlink) return "symlink"
  if (item.isDirectory) return "directory"
  if (item.isRegular) return "file"
  if (item.isSocket) return "socket"
  return item.isFifo ? "fifo" : "other"
}

const fromItem =
  (folder: string) =>
  (item: FileItem): Entry =>
    new Entry({
      path: join(folder, item.name),
      name: item.name,
      kind: kindOf(item),
      mode: item.mode & 0o7777,
      size: item.size,
      uid: item.uid,
      gid: item.gid,
      owner: String(item.owner),
      group: String(item.group),
      modifiedAt: Option.getOrElse(DateTime.make(item.mtime * 1000), () => DateTime.unsafeMake(0)).pipe(DateTime.toUtc),
      links: item.nlink,
      target: item.target === "" ? Option.none() : Option.some(item.target)
    })

/** The image's id and the service, for a verb that reads `path`. */
const opened = Effect.fnUntraced(function* (
  image: Image.Input,
  path: string
): Effect.fn.Return<{ readonly id: ImageId; readonly client: ContreeClient.Service }, ReadError, ContreeClient> {
  yield* checkPath(path)
  const client = yield* ContreeClient
  const { id } = yield* Image.resolve(image)
  return { id, client }
})

const listOf = (client: ContreeClient.Service, id: ImageId, path: string) =>
  client.inspect
    .list(id, path)
    .pipe(Effect.mapBoth({ onFailure: explain(id, path), onSuccess: (items) => items.map(fromItem(path)) }))

/**
 * What a folder of an image holds.
 *
 * @since 0.1.0
 * @category getters
 */
export const list: {
  (path: string): (image: Image.Input) => Effect.Effect<ReadonlyArray<Entry>, ReadError, ContreeClient>
  (image: Image.Input, path: string): Effect.Effect<ReadonlyArray<Entry>, ReadError, ContreeClient>
} = dual(
  2,
  Effect.fn("ImageFiles.list")(function* (
    image: Image.Input,
    path: string
  ): Effect.fn.Return<ReadonlyArray<Entry>, ReadError, ContreeClient> {
    const { client, id } = yield* opened(image, path)
    return yield* listOf(client, id, path)
  })
)

/**
 * How a tree is walked.
 *
 * - `concurrency`: how many folders are asked for at the same time, default 8.
 * - `descend`: which folders are entered, default all.
 *
 * @since 0.1.0
 * @category models
 */
export interface WalkOptions {
  readonly concurrency?: number | undefined
  readonly descend?: ((folder: Entry) => boolean) | undefined
}

/**
 * All entries below a folder, a folder before what it holds. Symbolic links are given and not followed, so the walk
 * ends. Folders are asked for as the stream is consumed.
 *
 * @example
 * ```ts
 * import { ImageFiles } from "effect-contree"
 * import { Stream } from "effect"
 *
 * export const bytes = ImageFiles.walk("node:22", "/usr/lib").pipe(
 *   Stream.filter((entry) => entry.kind === "file"),
 *   Stream.runFold(0, (sum, entry) => sum + entry.size)
 * )
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const walk: {
  (
    path: string,
    options?: WalkOptions | undefined
  ): (image: Image.Input) => Stream.Stream<Entry, ReadError, ContreeClient>
  (image: Image.Input, path: string, options?: WalkOptions | undefined): Stream.Stream<Entry, ReadError, ContreeClient>
} = dual(
  (args) => typeof args[1] === "string",
  (image: Image.Input, path: string, options: WalkOptions = {}): Stream.Stream<Entry, ReadError, ContreeClient> => {
    const concurrency = Math.max(1, options.concurrency ?? 8)
    const descend = options.descend ?? (() => true)
    return Stream.unwrap(
      Effect.map(opened(image, path), ({ client, id }) =>
        // The folders that are still to be asked for, the next ones first: depth before breadth keeps them few.
        Stream.paginateChunkEffect<ReadonlyArray<string>, Entry, RequestError, never>([path], (folders) =>
          Effect.map(
            Effect.forEach(folders.slice(0, concurrency), (folder) => listOf(client, id, folder), { concurrency }),
            (listings) => {
              const entries = listings.flat()
              const found = entries.filter((entry) => entry.kind === "directory" && descend(entry))
              const next = [...found.map((entry) => entry.path), ...folders.slice(concurrency)]
              return [Chunk.unsafeFromArray(entries), next.length === 0 ? Option.none() : Option.some(next)] as const
            }
          )
        )
      )
    ).pipe(Stream.withSpan("ImageFiles.walk"))
  }
)

/**
 * Tells whether a path is there, whatever it is; a symbolic link counts for what it leads to. An image that is missing
 * is `NotFound`.
 *
 * @since 0.1.0
 * @category getters
 */
export const exists: {
  (path: string): (image: Image.Input) => Effect.Effect<boolean, ReadError, ContreeClient>
  (image: Image.Input, path: string): Effect.Effect<boolean, ReadError, ContreeClient>
} = dual(
  2,
  Effect.fn("ImageFiles.exists")(function* (
    image: Image.Input,
    path: string
  ): Effect.fn.Return<boolean, ReadError, ContreeClient> {
    const { client, id } = yield* opened(image, path)
    return yield* client.inspect.hasArchive(id, path).pipe(
      Effect.as(true),
      // 422: it is there, and of a type that cannot be archived.
      Effect.catchTag("RequestRejected", (error) => (error.status === 422 ? Effect.succeed(true) : Effect.fail(error))),
      Effect.catchTag("NotFound", () => Effect.as(Image.use(id, { strict: true }), false))
    )
  })
)

/**
 * The entry of a path, as `lstat` would give it. The root has none, as it is in no folder.
 *
 * It costs a listing of the folder that the path is in: read a folder once with {@link list} for many of its entries.
 *
 * @since 0.1.0
 * @category getters
 */
export const stat: {
  (path: string): (image: Image.Input) => Effect.Effect<Entry, ReadError, ContreeClient>
  (image: Image.Input, path: string): Effect.Effect<Entry, ReadError, ContreeClient>
} = dual(
  2,
  Effect.fn("ImageFiles.stat")(function* (
    image: Image.Input,
    path: string
  ): Effect.fn.Return<Entry, ReadError, ContreeClient> {
    const { client, id } = yield* opened(image, path)
    return yield* statOf(client, id, path)
  })
)

const statOf = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  id: ImageId,
  given: string
): Effect.fn.Return<Entry, RequestError> {
  const path = withoutTrailingSlash(given)
  const slash = path.lastIndexOf("/")
  if (path === "/") {
    return yield* new ContreeError.RequestRejected({
      detail: "The root of an image is in no folder, so nothing describes it",
      suggestion: 'List it: ImageFiles.list(image, "/")'
    })
  }
  const folder = slash === 0 ? "/" : path.slice(0, slash)
  const entries = yield* Effect.mapError(listOf(client, id, folder), (error) =>
    error._tag === "NotFound" ? explain(id, path)(error) : error
  )
  const entry = entries.find(({ name }) => name === path.slice(slash + 1))
  if (entry !== undefined) return entry
  return yield* new ContreeError.NotFound({
    what: `${JSON.stringify(path)} in image ${id}`,
    detail: `There is no ${JSON.stringify(path)} in image ${id}`,
    suggestion: "Look at the folder with ImageFiles.list"
  })
})

/**
 * The content of a file as it comes. A connection that breaks off is a failure, never an end.
 *
 * @since 0.1.0
 * @category getters
 */
export const stream: {
  (path: string): (image: Image.Input) => Stream.Stream<Uint8Array, ReadError, ContreeClient>
  (image: Image.Input, path: string): Stream.Stream<Uint8Array, ReadError, ContreeClient>
} = dual(2, (image: Image.Input, path: string): Stream.Stream<Uint8Array, ReadError, ContreeClient> =>
  Stream.unwrap(
    Effect.map(opened(image, path), ({ client, id }) =>
      Stream.mapError(client.inspect.download(id, path), explain(id, path))
    )
  ).pipe(Stream.withSpan("ImageFiles.stream"))
)

/**
 * A file or folder as a POSIX tar archive, as it comes. `LocalFiles.extract` of `effect-contree/node` unpacks one.
 *
 * The members of `/etc` are `etc/…`; a file is one member under its own name.
 *
 * @since 0.1.0
 * @category getters
 */
export const archive: {
  (path: string): (image: Image.Input) => Stream.Stream<Uint8Array, ReadError, ContreeClient>
  (image: Image.Input, path: string): Stream.Stream<Uint8Array, ReadError, ContreeClient>
} = dual(2, (image: Image.Input, path: string): Stream.Stream<Uint8Array, ReadError, ContreeClient> =>
  Stream.unwrap(
    Effect.map(opened(image, path), ({ client, id }) =>
      Stream.mapError(client.inspect.archive(id, path), explain(id, path))
    )
  ).pipe(Stream.withSpan("ImageFiles.archive"))
)

/**
 * How much of a file a program holds in memory: at most `maxBytes`, default 16 MiB.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReadOptions {
  readonly maxBytes?: number | undefined
}

const readWhole = Effect.fnUntraced(function* (
  image: Image.Input,
  path: string,
  options: ReadOptions
): Effect.fn.Return<Uint8Array, ReadError | FileTooLarge, ContreeClient> {
  const { client, id } = yield* opened(image, path)
  const limitBytes = options.maxBytes ?? defaultMaxBytes
  const tooLarge = statOf(client, id, path).pipe(
    Effect.option,
    Effect.flatMap((entry) =>
      Effect.fail(
        new FileTooLarge({
          path,
          limitBytes,
          // The size of a link is that of its text.
          size: Option.map(
            Option.filter(entry, ({ kind }) => kind === "file"),
            ({ size }) => size
          )
        })
      )
    )
  )
  let length = 0
  const chunks = yield* client.inspect.download(id, path).pipe(
    Stream.mapError(explain(id, path)),
    Stream.mapEffect((bytes) => {
      length += bytes.length
      return length <= limitBytes ? Effect.succeed(bytes) : tooLarge
    }),
    Stream.runCollect
  )
  return Bytes.concat(chunks)
})

/**
 * The content of a file as bytes. One that is larger than `maxBytes` (default 16 MiB) is `FileTooLarge`, and is not
 * fetched further.
 *
 * @since 0.1.0
 * @category getters
 */
export const readBytes: {
  (
    path: string,
    options?: ReadOptions | undefined
  ): (image: Image.Input) => Effect.Effect<Uint8Array, ReadError | FileTooLarge, ContreeClient>
  (
    image: Image.Input,
    path: string,
    options?: ReadOptions | undefined
  ): Effect.Effect<Uint8Array, ReadError | FileTooLarge, ContreeClient>
} = dual(
  (args) => typeof args[1] === "string",
  Effect.fn("ImageFiles.readBytes")(function* (image: Image.Input, path: string, options: ReadOptions = {}) {
    return yield* readWhole(image, path, options)
  })
)

const utf8 = new TextDecoder()

/**
 * The content of a file as UTF-8 text, where each malformed sequence becomes U+FFFD. One that is larger than
 * `maxBytes` (default 16 MiB) is `FileTooLarge`.
 *
 * @since 0.1.0
 * @category getters
 */
export const readText: {
  (
    path: string,
    options?: ReadOptions | undefined
  ): (image: Image.Input) => Effect.Effect<string, ReadError | FileTooLarge, ContreeClient>
  (
    image: Image.Input,
    path: string,
    options?: ReadOptions | undefined
  ): Effect.Effect<string, ReadError | FileTooLarge, ContreeClient>
} = dual(
  (args) => typeof args[1] === "string",
  Effect.fn("ImageFiles.readText")(function* (image: Image.Input, path: string, options: ReadOptions = {}) {
    return utf8.decode(yield* readWhole(image, path, options))
  })
)

/**
 * Where and how a search looks, with ripgrep's meaning: hidden files are searched, links are not followed, files with
 * NUL bytes are passed over.
 *
 * - `paths`: at most 16 files or folders to look in, default `/`.
 * - `globs`: which files are searched, such as `*.ts`; after `!` those that are not.
 * - `case`: default `sensitive`; `smart` is insensitive for patterns in lower case.
 * - `before`, `after`: lines of context, 0 to 50, default 0.
 * - `maxPerFile`: matches of one file, `maxTotal`: of all, default 1000; each at most 10000.
 *
 * @since 0.1.0
 * @category models
 */
export interface GrepOptions {
  readonly paths?: string | ReadonlyArray<string> | undefined
  readonly globs?: string | ReadonlyArray<string> | undefined
  readonly case?: "sensitive" | "insensitive" | "smart" | undefined
  readonly before?: number | undefined
  readonly after?: number | undefined
  readonly maxPerFile?: number | undefined
  readonly maxTotal?: number | undefined
}

/**
 * A line that matched, or one of its context.
 *
 * - `lineNumber`: from 1; `absoluteOffset`: of the line in the file, in bytes.
 * - `text`: the line with its end, cut at 4096 bytes; `lineBytes`: its whole length.
 * - `submatches`: where the patterns matched, as byte offsets in the line; empty for context.
 *
 * @since 0.1.0
 * @category models
 */
export type GrepMatch = typeof WireMatch.Type

/**
 * What a search found, in the server's order; `truncated` says that a limit cut it short.
 *
 * @since 0.1.0
 * @category models
 */
export interface GrepResult {
  readonly matches: ReadonlyArray<GrepMatch>
  readonly truncated: boolean
}

const many = (value: string | ReadonlyArray<string>): ReadonlyArray<string> =>
  typeof value === "string" ? [value] : value

/**
 * Searches the files of an image for lines that one of 1 to 16 regular expressions (Rust's syntax) matches.
 *
 * @example
 * ```ts
 * import { ImageFiles } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const todos = ImageFiles.grep("myapp:latest", ["TODO", "FIXME"], { paths: "/app", globs: ["*.ts", "!dist/**"] }).pipe(
 *   Effect.map(({ matches }) => matches.map(({ lineNumber, path }) => `${path}:${lineNumber}`))
 * )
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const grep: {
  (
    pattern: string | ReadonlyArray<string>,
    options?: GrepOptions | undefined
  ): (image: Image.Input) => Effect.Effect<GrepResult, ReadError, ContreeClient>
  (
    image: Image.Input,
    pattern: string | ReadonlyArray<string>,
    options?: GrepOptions | undefined
  ): Effect.Effect<GrepResult, ReadError, ContreeClient>
} = dual(
  (args) => typeof args[1] === "string" || Array.isArray(args[1]),
  Effect.fn("ImageFiles.grep")(function* (
    image: Image.Input,
    pattern: string | ReadonlyArray<string>,
    options: GrepOptions = {}
  ): Effect.fn.Return<GrepResult, ReadError, ContreeClient> {
    const paths = many(options.paths ?? "/")
    yield* Effect.forEach(paths, checkPath, { discard: true })
    const { client, id } = yield* opened(image, "/")
    return yield* client.inspect
      .grep(id, {
        pattern: many(pattern),
        path: paths,
        ...(options.globs === undefined ? {} : { glob: many(options.globs) }),
        ...(options.maxPerFile === undefined ? {} : { maxCount: options.maxPerFile }),
        ...(options.maxTotal === undefined ? {} : { maxTotal: options.maxTotal }),
        ...(options.case === undefined ? {} : { case: options.case }),
        ...(options.before === undefined ? {} : { before: options.before }),
        ...(options.after === undefined ? {} : { after: options.after })
      })
      .pipe(
        Effect.mapBoth({
          onFailure: explain(id, paths.join(", ")),
          onSuccess: ({ matches, truncated }) => ({ matches, truncated })
        })
      )
  })
)
