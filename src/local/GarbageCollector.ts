/**
 * Frees what nobody needs any more: images without a tag that were not used lately, the layers that only they had, and
 * where it is asked for old operations and uploaded files.
 *
 * Kept are: images with a tag in any project, every image of the public project, images that were made or used lately,
 * and what an operation needs that is not over. A layer is kept as long as one image or one squash of a kept image has
 * it.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type DatabaseError, failed } from "./Database.js"
import { FileStore } from "./FileStore.js"
import type { FileStoreError } from "./FileStoreError.js"
import { LayerName, LayerStore } from "./LayerStore.js"
import type { LayerStoreError } from "./LayerStoreError.js"

/**
 * What is to be freed.
 *
 * - `keepRecent`: images that were made, imported or run on within this time stay. Default: 7 days.
 * - `operationsOlderThan`: operations that are over and were started this long ago go too, with their event logs.
 *   Default: they stay.
 * - `filesOlderThan`: uploaded files whose last upload is this long ago go too, unless a waiting or running operation
 *   has them. Default: they stay.
 * - `publicProject`: the project whose images all stay.
 * - `apply`: `false` only says what would be freed. Default: `false`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const GarbageOptions = Schema.Struct({
  keepRecent: Schema.optionalWith(Schema.Duration, { default: () => Duration.days(7) }),
  operationsOlderThan: Schema.optional(Schema.Duration),
  filesOlderThan: Schema.optional(Schema.Duration),
  publicProject: Schema.optional(Schema.String),
  apply: Schema.optionalWith(Schema.Boolean, { default: () => false })
})

/**
 * What is to be freed; everything may be left out.
 *
 * @since 0.1.0
 * @category models
 */
export interface GarbageOptions extends Schema.Struct.Constructor<typeof GarbageOptions.fields> {}

/**
 * What was freed, or would be. `layerBytes` counts a file that a layer shares with one that stays.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Garbage = Schema.Struct({
  images: Schema.Int,
  layers: Schema.Int,
  layerBytes: Schema.Number,
  operations: Schema.Int,
  files: Schema.Int,
  fileBytes: Schema.Number
})

/**
 * What was freed, or would be.
 *
 * @since 0.1.0
 * @category models
 */
export type Garbage = typeof Garbage.Type

const Chains = Schema.Struct({ chain: Schema.parseJson(Schema.Array(LayerName)) })
const Names = Schema.Struct({ name: LayerName })

/**
 * Frees what nobody needs in a data folder. An engine that runs may do it at any time: each row goes only if nothing needs it at that
 * moment, rows go before their layers, and a layer that a killed engine did not get to goes at its next start.
 *
 * @since 0.1.0
 * @category constructors
 */
export const collect = Effect.fn("GarbageCollector.collect")(function* (
  directory: string,
  given: GarbageOptions
): Effect.fn.Return<
  Garbage,
  DatabaseError | LayerStoreError | FileStoreError,
  SqlClient.SqlClient | LayerStore | FileStore | FileSystem.FileSystem
> {
  const { apply, filesOlderThan, keepRecent, operationsOlderThan, publicProject } = GarbageOptions.make(given)
  const sql = yield* SqlClient.SqlClient
  const layers = yield* LayerStore
  const files = yield* FileStore
  const fs = yield* FileSystem.FileSystem
  const now = yield* Clock.currentTimeMillis
  const since = now - Duration.toMillis(keepRecent)

  const open = sql`status IN ('PENDING', 'ASSIGNED', 'EXECUTING')`
  const unneeded = sql`images.created_at < ${since}
    AND images.project IS NOT ${publicProject ?? null}
    AND images.id NOT IN (SELECT image_id FROM tags)
    AND images.id NOT IN (SELECT image_id FROM operations WHERE image_id IS NOT NULL AND (created_at >= ${since} OR ${open}))
    AND images.id NOT IN (SELECT result_image_id FROM operations
      WHERE result_image_id IS NOT NULL AND (created_at >= ${since} OR ${open}))
    AND images.operation_id NOT IN (SELECT id FROM operations WHERE ${open})`
  const chains = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Chains,
    execute: () =>
      apply
        ? sql`DELETE FROM images WHERE ${unneeded} RETURNING chain`
        : sql`SELECT chain FROM images WHERE ${unneeded}`
  })
  const kept = apply ? sql`1` : sql`NOT (${unneeded})`
  const inKept = sql`SELECT value FROM images, json_each(images.chain) WHERE ${kept}`
  const squashes = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Names,
    execute: () =>
      apply
        ? sql`DELETE FROM squashes WHERE top NOT IN (${inKept}) RETURNING layer AS name`
        : sql`SELECT layer AS name FROM squashes WHERE top NOT IN (${inKept})`
  })
  const needed = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Names,
    execute: () => sql`SELECT DISTINCT value AS name FROM (${inKept})
      UNION SELECT layer FROM squashes WHERE top IN (${inKept})
      UNION SELECT base FROM squashes WHERE top IN (${inKept})`
  })
  const [gone, gonesquashes, stay] = yield* Effect.all([chains(), squashes(), needed()]).pipe(
    Effect.mapError(failed("find what nobody needs"))
  )
  const staying = new Set(stay.map(({ name }) => name))
  const freed = [...new Set([...gone.flatMap(({ chain }) => chain), ...gonesquashes.map(({ name }) => name)])].filter(
    (name) => !staying.has(name)
  )

  let layerBytes = 0
  for (const name of freed) {
    layerBytes += yield* Effect.match(layers.cost(name), { onFailure: () => 0, onSuccess: ({ bytes }) => bytes })
  }
  if (apply) yield* layers.remove(freed)

  const before = (age: Duration.Duration | undefined) => now - Duration.toMillis(age ?? Duration.zero)
  const old = sql`created_at < ${before(operationsOlderThan)} AND NOT (${open})`
  const operations =
    operationsOlderThan === undefined
      ? []
      : yield* Effect.mapError(
          apply ? sql`DELETE FROM operations WHERE ${old} RETURNING id` : sql`SELECT id FROM operations WHERE ${old}`,
          failed("find old operations")
        )
  if (apply) {
    // The logs of operations, see EventLog.
    yield* Effect.forEach(
      operations,
      ({ id }) => Effect.ignoreLogged(fs.remove(`${directory}/e/${String(id)}`, { force: true })),
      { discard: true }
    )
  }
  const forgotten =
    filesOlderThan === undefined
      ? { files: 0, bytes: 0 }
      : yield* files.forget({ before: before(filesOlderThan), apply })
  return {
    images: gone.length,
    layers: freed.length,
    layerBytes,
    operations: operations.length,
    files: forgotten.files,
    fileBytes: forgotten.bytes
  }
})
