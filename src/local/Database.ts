/**
 * The engine's database: images, tags, operations and uploaded files of all projects, in one SQLite file of the data
 * folder.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as LibsqlClient from "@effect/sql-libsql/LibsqlClient"
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Libsql from "@libsql/client"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Durability } from "./EngineConfig.js"

/**
 * The database could not be opened, read or written.
 *
 * @since 0.1.0
 * @category errors
 */
export class DatabaseError extends Schema.TaggedError<DatabaseError>("effect-contree/local/DatabaseError")(
  "DatabaseError",
  {
    operation: Schema.String,
    detail: Schema.String,
    suggestion: Schema.String,
    cause: Schema.optional(Schema.Defect)
  }
) {
  /** Whether it may be otherwise soon: another process has the file, or the disk is full. */
  get transient(): boolean {
    return /^SQLITE_(FULL|BUSY|IOERR)/.test(codeOf(this.cause))
  }
  override get message(): string {
    return `The engine's database could not ${this.operation}: ${this.detail}. ${this.suggestion}`
  }
}

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" ? cause.code : ""

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const suggestionOf = (code: string): string =>
  code.startsWith("SQLITE_FULL")
    ? "Free some space on the disk of the data folder"
    : code.startsWith("SQLITE_CORRUPT") || code.startsWith("SQLITE_NOTADB")
      ? "The file contree.db is damaged: restore it from a copy, or move the data folder away and import again"
      : code.startsWith("SQLITE_READONLY") || code.startsWith("SQLITE_CANTOPEN") || code.startsWith("SQLITE_PERM")
        ? "Make the data folder writable for this user, or name another with --data-dir"
        : "Look at the detail; nothing that was acknowledged is lost"

/**
 * Turns a failure of the SQL client into a {@link DatabaseError} that names the operation.
 *
 * @since 0.1.0
 * @category errors
 */
export const failed =
  (operation: string) =>
  (error: SqlError | ParseError): DatabaseError => {
    const cause = error._tag === "SqlError" ? error.cause : error
    return new DatabaseError({ operation, detail: textOf(cause), suggestion: suggestionOf(codeOf(cause)), cause })
  }

const openFailed = (cause: unknown): DatabaseError =>
  new DatabaseError({
    operation: "be opened",
    detail: textOf(cause),
    suggestion: suggestionOf(codeOf(cause)),
    cause
  })

const open = (url: string) =>
  Effect.acquireRelease(Effect.try({ try: () => Libsql.createClient({ url }), catch: openFailed }), (client) =>
    Effect.sync(() => client.close())
  )

/**
 * A write transaction that stays open on a file of its own: the system gives the lock back however the engine
 * dies, which a file with a process id in it would not.
 */
const lock = (directory: string, url: string) =>
  Effect.flatMap(open(url), (client) =>
    Effect.tryPromise({
      try: () => client.transaction("write"),
      catch: (cause) =>
        codeOf(cause).startsWith("SQLITE_BUSY")
          ? new DatabaseError({
              operation: "be opened",
              detail: `Another engine works on ${directory}`,
              suggestion:
                "End it, use it over HTTP (effect-contree serve), or give this one its own data folder (dataDirectory, --data-dir)",
              cause
            })
          : openFailed(cause)
    })
  )

/** A new database beside layers would make garbage of them all. */
const ensureNotLost = Effect.fnUntraced(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const exists = yield* Effect.orElseSucceed(fs.exists(path.join(directory, "contree.db")), () => true)
  if (exists) return
  const layers = yield* Effect.orElseSucceed(fs.readDirectory(path.join(directory, "l")), () => [])
  if (layers.length > 0) {
    return yield* new DatabaseError({
      operation: "be opened",
      detail: `${directory} has layers of images and no contree.db that lists them`,
      suggestion: "Restore the file contree.db from a copy, or move the data folder away and import again"
    })
  }
})

const migrations = Migrator.fromRecord({
  "0001_images_tags_operations": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE images (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      kind TEXT NOT NULL CHECK (kind IN ('run', 'imported')),
      chain TEXT NOT NULL,
      env TEXT NOT NULL,
      cwd TEXT NOT NULL,
      digest TEXT,
      operation_id TEXT NOT NULL,
      created_at INTEGER NOT NULL
    ) STRICT`
    yield* sql`CREATE INDEX images_digest ON images (digest) WHERE digest IS NOT NULL`
    yield* sql`CREATE TABLE tags (
      tag TEXT PRIMARY KEY,
      image_id TEXT NOT NULL REFERENCES images (id),
      moved_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID`
    yield* sql`CREATE INDEX tags_image ON tags (image_id)`
    yield* sql`CREATE TABLE squashes (
      top TEXT PRIMARY KEY,
      layer TEXT NOT NULL,
      base TEXT NOT NULL
    ) STRICT, WITHOUT ROWID`
    yield* sql`CREATE TABLE operations (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      kind TEXT NOT NULL,
      status TEXT NOT NULL,
      error TEXT,
      created_at INTEGER NOT NULL,
      duration_ms INTEGER,
      image_id TEXT,
      result_image_id TEXT,
      result_tag TEXT,
      image_size INTEGER,
      metadata TEXT NOT NULL
    ) STRICT`
    yield* sql`CREATE INDEX operations_open ON operations (id) WHERE status IN ('PENDING', 'ASSIGNED', 'EXECUTING')`
  }),
  "0002_projects": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`ALTER TABLE images ADD COLUMN project TEXT NOT NULL DEFAULT 'default'`
    yield* sql`ALTER TABLE operations ADD COLUMN project TEXT NOT NULL DEFAULT 'default'`
    yield* sql`CREATE INDEX images_project ON images (project, seq)`
    yield* sql`CREATE INDEX operations_project ON operations (project, seq)`
    yield* sql`CREATE INDEX operations_count ON operations (kind, status)`
    // A tag is unique in its project only, and a primary key cannot be altered.
    yield* sql`CREATE TABLE project_tags (
      project TEXT NOT NULL,
      tag TEXT NOT NULL,
      image_id TEXT NOT NULL REFERENCES images (id),
      moved_at INTEGER NOT NULL,
      PRIMARY KEY (project, tag)
    ) STRICT, WITHOUT ROWID`
    yield* sql`INSERT INTO project_tags SELECT 'default', tag, image_id, moved_at FROM tags`
    yield* sql`DROP TABLE tags`
    yield* sql`ALTER TABLE project_tags RENAME TO tags`
    yield* sql`CREATE INDEX tags_image ON tags (image_id)`
  }),
  "0003_files": Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE files (
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      project TEXT NOT NULL,
      sha256 TEXT NOT NULL,
      size INTEGER NOT NULL,
      created_at INTEGER NOT NULL,
      updated_at INTEGER NOT NULL,
      UNIQUE (project, sha256)
    ) STRICT`
  })
})

/**
 * Opens the database of a data folder and brings it to the present form. It fails when another engine has it open.
 *
 * A write survives the end of the process at any instant. What a power failure may cost with the durability `process`
 * is the last moments before it, never the soundness of the file (write-ahead log, `synchronous=NORMAL`); with `power`
 * each write is on the disk before it returns (`synchronous=FULL`).
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  directory: string,
  options: { readonly durability?: Durability | undefined } = {}
): Layer.Layer<SqlClient.SqlClient, DatabaseError, FileSystem.FileSystem | Path.Path> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const path = yield* Path.Path
      yield* lock(directory, `file:${path.join(directory, "engine.lock")}`)
      yield* ensureNotLost(directory)
      const liveClient = yield* open(`file:${path.join(directory, "contree.db")}`)
      const prepare = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`PRAGMA journal_mode = WAL`
        yield* options.durability === "power" ? sql`PRAGMA synchronous = FULL` : sql`PRAGMA synchronous = NORMAL`
        yield* sql`PRAGMA foreign_keys = ON`
        yield* Migrator.make({})({ loader: migrations, table: "migrations" })
      }).pipe(
        Effect.catchTags({
          SqlError: (error) => Effect.fail(failed("be opened")(error)),
          MigrationError: (error) => Effect.fail(openFailed(error))
        })
      )
      return Layer.tap(LibsqlClient.layer({ liveClient }), (context) => Effect.provide(prepare, context))
    })
  )

/**
 * The database for reading, beside an engine that may have it open. It must be of the present form.
 *
 * @since 0.1.0
 * @category layers
 */
export const readerLayer = (directory: string): Layer.Layer<SqlClient.SqlClient, DatabaseError, Path.Path> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const path = yield* Path.Path
      const liveClient = yield* open(`file:${path.join(directory, "contree.db")}`)
      return Layer.tap(LibsqlClient.layer({ liveClient }), (context) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`PRAGMA query_only = ON`
        }).pipe(Effect.mapError(failed("be opened")), Effect.provide(context))
      )
    })
  )
