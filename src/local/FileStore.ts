/**
 * The uploaded files of the engine, known by the digest of their content.
 *
 * Below the engine's data folder: `f/<digest>` holds a content once, whichever projects uploaded it; `f/new` what is
 * still being received. A content appears by one rename, so it is there whole or not at all.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { FileId, Sha256 } from "../api/Files.js"
import type { DatabaseError } from "./Database.js"
import { failed } from "./Database.js"
import * as FileStoreError from "./FileStoreError.js"
import * as Uuid from "../internal/uuid.js"

/**
 * An uploaded file of a project. `size` is in bytes, `updatedAt` when its content was uploaded last.
 *
 * @since 0.1.0
 * @category schemas
 */
export class StoredFile extends Schema.Class<StoredFile>("effect-contree/local/StoredFile")({
  id: FileId,
  sha256: Sha256,
  size: Schema.Int,
  createdAt: Schema.propertySignature(Schema.DateTimeUtcFromNumber).pipe(Schema.fromKey("created_at")),
  updatedAt: Schema.propertySignature(Schema.DateTimeUtcFromNumber).pipe(Schema.fromKey("updated_at"))
}) {}

/**
 * Which files a listing gives; times are milliseconds since the epoch, of the first upload.
 *
 * @since 0.1.0
 * @category models
 */
export interface FileFilter {
  readonly limit: number
  readonly offset: number
  readonly since: number | undefined
  readonly until: number | undefined
}

/**
 * Settings of the store.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface FileStoreOptions {
  /** The engine's data folder, absolute and existing. */
  readonly directory: string
  /** The most bytes that one upload may have. */
  readonly maxUploadBytes: number
  /** Whether an upload waits until its content is on the disk and survives a power failure. Default: false. */
  readonly durable?: boolean | undefined
}

/**
 * The uploaded files of the engine.
 *
 * @since 0.1.0
 * @category tags
 */
export class FileStore extends Context.Tag("effect-contree/local/FileStore")<FileStore, FileStore.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace FileStore {
  /**
   * Keeps and finds uploaded files.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /**
     * Receives a content in constant memory. A content that the project has already gives the same file, with a new
     * `updatedAt`. Of an upload that fails or is interrupted nothing is left. One that announces too many bytes fails
     * before it is read.
     */
    readonly upload: <E, R>(
      project: string,
      content: Stream.Stream<Uint8Array, E, R>,
      announcedBytes?: number | undefined
    ) => Effect.Effect<StoredFile, E | FileStoreError.FileStoreError | DatabaseError, R>
    readonly byId: (project: string, id: FileId) => Effect.Effect<Option.Option<StoredFile>, DatabaseError>
    readonly byDigest: (project: string, sha256: Sha256) => Effect.Effect<Option.Option<StoredFile>, DatabaseError>
    /** A page of a project's files, newest first. */
    readonly list: (project: string, filter: FileFilter) => Effect.Effect<ReadonlyArray<StoredFile>, DatabaseError>
    /** The absolute path of a file's content, for reading only: other projects may share it. */
    readonly path: (file: StoredFile) => string
    /**
     * Forgets the files of all projects that were uploaded last before a time, unless an operation that is not over
     * names them, and gives their number and the bytes of the contents that go with them. Without `apply` they stay.
     */
    readonly forget: (options: {
      readonly before: number
      readonly apply: boolean
    }) => Effect.Effect<
      { readonly files: number; readonly bytes: number },
      DatabaseError | FileStoreError.FileStoreError
    >
  }
}

/** How many bytes are read for nothing after the disk has refused one. */
const MOST_IGNORED = 64 * 1024 * 1024

/** For how many milliseconds a content may be there and not yet listed. */
const SETTLING = 60_000

const isDigest = Schema.is(Schema.typeSchema(Sha256))

/**
 * Opens the store. What a killed engine was receiving is removed, and so is every content that no project lists. A
 * file whose content is gone or cut, as a power failure may leave it, is no longer listed, so that its owner uploads
 * it again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: FileStoreOptions
): Effect.fn.Return<
  FileStore.Service,
  FileStoreError.FileStoreError | DatabaseError,
  SqlClient.SqlClient | FileSystem.FileSystem
> {
  const sql = yield* SqlClient.SqlClient
  const fs = yield* FileSystem.FileSystem
  const folder = `${options.directory}/f`
  const receiving = `${folder}/new`
  const contentPath = (sha256: string) => `${folder}/${sha256}`

  const orphaned = yield* Effect.gen(function* () {
    yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
    yield* fs.remove(receiving, { recursive: true, force: true })
    yield* fs.makeDirectory(receiving, { mode: 0o700 })
    return new Set((yield* fs.readDirectory(folder)).filter(isDigest))
  }).pipe(Effect.mapError(FileStoreError.fromPlatform))

  const listed = yield* SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ sha256: Sha256, size: Schema.Int }),
    execute: () => sql`SELECT DISTINCT sha256, size FROM files`
  })().pipe(Effect.mapError(failed("be read")))
  for (const { sha256, size } of listed) {
    const whole = yield* Effect.orElseSucceed(
      Effect.map(fs.stat(contentPath(sha256)), (info) => Number(info.size) === size),
      () => false
    )
    if (whole) {
      orphaned.delete(sha256)
    } else {
      yield* Effect.logWarning(`the content of the uploaded file ${sha256} is lost; upload it again`)
      yield* sql`DELETE FROM files WHERE sha256 = ${sha256}`.pipe(Effect.mapError(failed("forget a file")))
    }
  }
  yield* Effect.forEach(orphaned, (sha256) => Effect.ignoreLogged(fs.remove(contentPath(sha256))), { discard: true })

  /** Makes the names of the contents durable. */
  const settle = Effect.scoped(Effect.flatMap(fs.open(folder, { flag: "r" }), (directory) => directory.sync))

  const receive = <E, R>(
    content: Stream.Stream<Uint8Array, E, R>
  ): Effect.Effect<
    { readonly path: string; readonly sha256: Sha256; readonly size: number },
    E | FileStoreError.FileStoreError,
    R | Scope.Scope
  > =>
    Effect.gen(function* () {
      const path = yield* Effect.acquireRelease(
        Effect.map(Uuid.make, (name) => `${receiving}/${name}`),
        (path) => Effect.ignoreLogged(fs.remove(path, { force: true }))
      )
      const hash = createHash("sha256")
      let size = 0
      // An answer before the end of a request is lost with its connection, so the rest of a short one is read.
      let refused = Option.none<FileStoreError.FileStoreError>()
      let ignored = 0
      yield* Effect.scoped(
        Effect.gen(function* () {
          const file = yield* Effect.mapError(fs.open(path, { flag: "wx", mode: 0o600 }), FileStoreError.fromPlatform)
          yield* Stream.runForEach(content, (piece) =>
            Effect.suspend(() => {
              size += piece.length
              if (size > options.maxUploadBytes) return Effect.fail(FileStoreError.tooLarge(options.maxUploadBytes))
              if (Option.isSome(refused)) {
                ignored += piece.length
                return ignored > MOST_IGNORED ? Effect.fail(refused.value) : Effect.void
              }
              hash.update(piece)
              return Effect.catchAll(file.writeAll(piece), (error) =>
                Effect.sync(() => {
                  refused = Option.some(FileStoreError.fromPlatform(error))
                })
              )
            })
          )
          if (Option.isSome(refused)) return yield* refused.value
          if (options.durable === true) yield* Effect.mapError(file.sync, FileStoreError.fromPlatform)
        })
      )
      return { path, sha256: yield* Effect.orDie(Schema.decode(Sha256)(hash.digest("hex"))), size }
    })

  const columns = sql`id, sha256, size, created_at, updated_at`
  const record = SqlSchema.single({
    Request: Schema.Struct({
      id: Schema.String,
      project: Schema.String,
      sha256: Sha256,
      size: Schema.Int,
      created_at: Schema.Int,
      updated_at: Schema.Int
    }),
    Result: StoredFile,
    execute: (row) => sql`INSERT INTO files ${sql.insert(row)}
      ON CONFLICT (project, sha256) DO UPDATE SET updated_at = excluded.updated_at RETURNING ${columns}`
  })
  const findById = SqlSchema.findOne({
    Request: Schema.Struct({ project: Schema.String, id: FileId }),
    Result: StoredFile,
    execute: ({ id, project }) => sql`SELECT ${columns} FROM files WHERE project = ${project} AND id = ${id}`
  })
  const findByDigest = SqlSchema.findOne({
    Request: Schema.Struct({ project: Schema.String, sha256: Sha256 }),
    Result: StoredFile,
    execute: ({ project, sha256 }) =>
      sql`SELECT ${columns} FROM files WHERE project = ${project} AND sha256 = ${sha256}`
  })
  const decodeContents = Schema.decodeUnknown(Schema.Array(Schema.Struct({ sha256: Sha256, size: Schema.Int })))
  const decodeFiles = Schema.decodeUnknown(Schema.Array(StoredFile))

  const upload: FileStore.Service["upload"] = Effect.fn("FileStore.upload")(function* (
    project,
    content,
    announced = 0
  ) {
    if (announced > options.maxUploadBytes) return yield* FileStoreError.tooLarge(options.maxUploadBytes)
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const { path, sha256, size } = yield* receive(content)
        const now = yield* Clock.currentTimeMillis
        const id = yield* Uuid.make
        return yield* Effect.uninterruptible(
          // A content that is there already is replaced too: should the old one be damaged, this heals it.
          fs
            .rename(path, contentPath(sha256))
            .pipe(
              Effect.zipRight(options.durable === true ? settle : Effect.void),
              Effect.mapError(FileStoreError.fromPlatform),
              Effect.zipRight(
                record({ id, project, sha256, size, created_at: now, updated_at: now }).pipe(
                  Effect.catchTag("NoSuchElementException", Effect.die),
                  Effect.mapError(failed("store a file"))
                )
              )
            )
        )
      })
    )
  })

  const forget: FileStore.Service["forget"] = Effect.fn("FileStore.forget")(
    function* ({ apply, before }) {
      const unneeded = sql`updated_at < ${before} AND NOT EXISTS (SELECT 1 FROM operations
      WHERE status IN ('PENDING', 'ASSIGNED', 'EXECUTING') AND instr(operations.metadata, files.id) > 0)`
      const rows = yield* decodeContents(
        yield* apply
          ? sql`DELETE FROM files WHERE ${unneeded} RETURNING sha256, size`
          : sql`SELECT sha256, size FROM files WHERE ${unneeded}`
      )
      const stay = yield* decodeContents(
        yield* apply
          ? sql`SELECT DISTINCT sha256, size FROM files`
          : sql`SELECT DISTINCT sha256, size FROM files WHERE NOT (${unneeded})`
      )
      const listed = new Set(stay.map(({ sha256 }) => sha256))
      const gone = new Map(rows.filter(({ sha256 }) => !listed.has(sha256)).map(({ sha256, size }) => [sha256, size]))
      const settled = (yield* Clock.currentTimeMillis) - SETTLING
      let bytes = 0
      for (const [sha256, size] of gone) {
        bytes += size
        // One that an upload has just put there again is about to be listed.
        const modified = yield* Effect.option(Effect.map(fs.stat(contentPath(sha256)), ({ mtime }) => mtime))
        const isOld = Option.exists(Option.flatten(modified), (time) => time.getTime() < settled)
        if (apply && isOld) yield* fs.remove(contentPath(sha256), { force: true })
      }
      return { files: rows.length, bytes }
    },
    Effect.mapError((error) =>
      error._tag === "SqlError" || error._tag === "ParseError"
        ? failed("forget files")(error)
        : FileStoreError.fromPlatform(error)
    )
  )

  return {
    upload,
    forget,
    byId: (project, id) => Effect.mapError(findById({ project, id }), failed("read a file")),
    byDigest: (project, sha256) => Effect.mapError(findByDigest({ project, sha256 }), failed("read a file")),
    list: (project, filter) => {
      const conditions = [
        sql`project = ${project}`,
        ...(filter.since === undefined ? [] : [sql`created_at >= ${filter.since}`]),
        ...(filter.until === undefined ? [] : [sql`created_at <= ${filter.until}`])
      ]
      return sql`SELECT ${columns} FROM files WHERE ${sql.and(conditions)}
        ORDER BY seq DESC LIMIT ${filter.limit} OFFSET ${filter.offset}`.pipe(
        Effect.flatMap(decodeFiles),
        Effect.mapError(failed("list files"))
      )
    },
    path: ({ sha256 }) => contentPath(sha256)
  }
})

/**
 * The store over an open database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: FileStoreOptions
): Layer.Layer<FileStore, FileStoreError.FileStoreError | DatabaseError, SqlClient.SqlClient | FileSystem.FileSystem> =>
  Layer.effect(FileStore, make(options))
