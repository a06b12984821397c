/**
 * What a data folder holds, and how much of the disk that takes. It may be measured while an engine runs.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type DatabaseError, failed } from "./Database.js"
import * as Tree from "./internal/overlayFileSystem.js"
import type { LayerStoreError } from "./LayerStoreError.js"

const Part = Schema.Struct({ count: Schema.Int, bytes: Schema.Number })

/**
 * Numbers and bytes on the disk: `images` are those of all projects, with the bytes of `layers`, where a file that
 * layers share counts once; `files` the uploaded ones; `operations` with the bytes of the database; `logs` the event logs of operations;
 * `work` what runs, imports and removals have for the moment.
 *
 * @since 0.1.0
 * @category schemas
 */
export const DiskUsage = Schema.Struct({
  images: Schema.Int,
  tags: Schema.Int,
  layers: Part,
  files: Part,
  operations: Part,
  logs: Part,
  work: Part
})

/**
 * Numbers and bytes on the disk.
 *
 * @since 0.1.0
 * @category models
 */
export type DiskUsage = typeof DiskUsage.Type

const BLOCK = 512

/** The bytes on the disk below a folder, each inode once; what goes meanwhile does not count. */
const measure = (root: Tree.BytePath): Effect.Effect<number> =>
  Effect.gen(function* () {
    const seen = new Set<number>()
    const pending = [root]
    let bytes = 0
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      const at = directory
      yield* Effect.forEach(
        yield* Effect.orElseSucceed(Tree.list(at), () => []),
        (child) => {
          const path = Tree.join(at, child.name)
          if (child.isDirectory()) pending.push(path)
          return Tree.lstat(path).pipe(
            Effect.map((stats) => {
              if (stats.nlink > 1 && !child.isDirectory()) {
                if (seen.has(stats.ino)) return
                seen.add(stats.ino)
              }
              bytes += stats.blocks * BLOCK
            }),
            Effect.ignore
          )
        },
        { concurrency: Tree.CONCURRENCY, discard: true }
      )
    }
    return bytes
  })

const count = (path: Tree.BytePath) =>
  Effect.map(
    Effect.orElseSucceed(Tree.list(path), () => []),
    ({ length }) => length
  )

const Counts = Schema.Tuple(
  Schema.Struct({ images: Schema.Int, tags: Schema.Int, files: Schema.Int, operations: Schema.Int })
)

/**
 * Measures a data folder.
 *
 * @since 0.1.0
 * @category constructors
 */
export const of = Effect.fn("DiskUsage.of")(function* (
  directory: string
): Effect.fn.Return<DiskUsage, DatabaseError | LayerStoreError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const data = Tree.bytePath(directory)
  const at = (name: string) => Tree.join(data, name)
  const [counts] = yield* sql`SELECT (SELECT COUNT(*) FROM images) AS images, (SELECT COUNT(*) FROM tags) AS tags,
    (SELECT COUNT(DISTINCT sha256) FROM files) AS files, (SELECT COUNT(*) FROM operations) AS operations`.pipe(
    Effect.flatMap(Schema.decodeUnknown(Counts)),
    Effect.mapError(failed("be read"))
  )
  const database = (yield* Tree.list(data)).filter(({ name }) => name.startsWith("contree.db"))
  let databaseBytes = 0
  for (const { name } of database) {
    databaseBytes += yield* Effect.match(Tree.lstat(at(name)), { onFailure: () => 0, onSuccess: ({ size }) => size })
  }
  const receiving = yield* measure(at("f/new"))
  return {
    images: counts.images,
    tags: counts.tags,
    layers: { count: yield* count(at("l")), bytes: yield* measure(at("l")) },
    files: { count: counts.files, bytes: (yield* measure(at("f"))) - receiving },
    operations: { count: counts.operations, bytes: databaseBytes },
    logs: { count: yield* count(at("e")), bytes: yield* measure(at("e")) },
    work: {
      count: (yield* count(at("r"))) + (yield* count(at("t"))) + (yield* count(at("f/new"))),
      bytes: (yield* measure(at("r"))) + (yield* measure(at("t"))) + receiving
    }
  }
})

const units = ["B", "KB", "MB", "GB", "TB"] as const

/**
 * Bytes for people: `1.5 GB`.
 *
 * @since 0.1.0
 * @category getters
 */
export const displayBytes = (bytes: number): string => {
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/**
 * The usage as a table.
 *
 * @since 0.1.0
 * @category getters
 */
export const render = (usage: DiskUsage): string => {
  const rows: ReadonlyArray<readonly [string, number, number | undefined]> = [
    ["images", usage.images, undefined],
    ["tags", usage.tags, undefined],
    ["layers", usage.layers.count, usage.layers.bytes],
    ["uploaded files", usage.files.count, usage.files.bytes],
    ["operations", usage.operations.count, usage.operations.bytes],
    ["event logs", usage.logs.count, usage.logs.bytes],
    ["work in progress", usage.work.count, usage.work.bytes]
  ]
  return rows
    .map(([name, number, bytes]) =>
      `${name.padEnd(18)}${String(number).padStart(8)}  ${bytes === undefined ? "" : displayBytes(bytes).padStart(10)}`.trimEnd()
    )
    .join("\n")
}
