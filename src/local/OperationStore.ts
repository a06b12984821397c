/**
 * The engine's record of its operations. It outlives the engine.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { OperationId } from "../api/Images.js"
import { KnownKind, KnownStatus } from "../api/Operations.js"
import { ImageId } from "../ImageId.js"
import { ImageTag } from "../ImageTag.js"
import type { DatabaseError } from "./Database.js"
import { failed } from "./Database.js"

const JsonObject = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

const outcome = {
  status: KnownStatus,
  error: Schema.OptionFromNullOr(Schema.String),
  duration: Schema.propertySignature(Schema.OptionFromNullOr(Schema.DurationFromMillis)).pipe(
    Schema.fromKey("duration_ms")
  ),
  resultImageId: Schema.propertySignature(Schema.OptionFromNullOr(Schema.typeSchema(ImageId))).pipe(
    Schema.fromKey("result_image_id")
  ),
  resultTag: Schema.propertySignature(Schema.OptionFromNullOr(ImageTag)).pipe(Schema.fromKey("result_tag")),
  imageSize: Schema.propertySignature(Schema.OptionFromNullOr(Schema.Number)).pipe(Schema.fromKey("image_size")),
  metadata: JsonObject
}

/**
 * An operation as the engine keeps it. `metadata` is what the API shows, on the wire's form.
 *
 * @since 0.1.0
 * @category schemas
 */
export class StoredOperation extends Schema.Class<StoredOperation>("effect-contree/local/StoredOperation")({
  id: OperationId,
  project: Schema.String,
  kind: KnownKind,
  createdAt: Schema.propertySignature(Schema.DateTimeUtcFromNumber).pipe(Schema.fromKey("created_at")),
  imageId: Schema.propertySignature(Schema.OptionFromNullOr(Schema.typeSchema(ImageId))).pipe(
    Schema.fromKey("image_id")
  ),
  ...outcome
}) {}

/**
 * How an operation ended.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Outcome = Schema.Struct(outcome)

/**
 * How an operation ended.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = typeof Outcome.Type

/**
 * Which operations a listing gives; times are milliseconds since the epoch.
 *
 * @since 0.1.0
 * @category models
 */
export interface OperationFilter {
  readonly limit: number
  readonly offset: number
  readonly status: typeof KnownStatus.Type | undefined
  readonly kind: typeof KnownKind.Type | undefined
  readonly since: number | undefined
  readonly until: number | undefined
}

const OperationCount = Schema.Struct({ kind: KnownKind, status: KnownStatus, count: Schema.Int })

/**
 * The engine's record of its operations.
 *
 * @since 0.1.0
 * @category tags
 */
export class OperationStore extends Context.Tag("effect-contree/local/OperationStore")<
  OperationStore,
  OperationStore.Service
>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace OperationStore {
  /**
   * Reads and writes of operations.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    readonly insert: (operation: StoredOperation) => Effect.Effect<void, DatabaseError>
    readonly get: (project: string, id: OperationId) => Effect.Effect<Option.Option<StoredOperation>, DatabaseError>
    /** A page of the project's operations, newest first. */
    readonly list: (
      project: string,
      filter: OperationFilter
    ) => Effect.Effect<ReadonlyArray<StoredOperation>, DatabaseError>
    /** How many operations of all projects there are of each kind and status. */
    readonly counts: Effect.Effect<ReadonlyArray<typeof OperationCount.Type>, DatabaseError>
    readonly started: (id: OperationId) => Effect.Effect<void, DatabaseError>
    readonly finish: (id: OperationId, outcome: Outcome) => Effect.Effect<void, DatabaseError>
    /** Fails, with a reason, every operation that is not over: what a killed engine left. */
    readonly failOpen: (reason: string) => Effect.Effect<number, DatabaseError>
  }
}

/**
 * Makes the store over an open database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<OperationStore.Service, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const columns = sql`id, project, kind, status, error, created_at, duration_ms, image_id, result_image_id, result_tag,
    image_size, metadata`
  const open = sql`status IN ('PENDING', 'ASSIGNED', 'EXECUTING')`

  const find = SqlSchema.findOne({
    Request: Schema.Tuple(Schema.String, OperationId),
    Result: StoredOperation,
    execute: ([project, id]) => sql`SELECT ${columns} FROM operations WHERE id = ${id} AND project = ${project}`
  })
  const countAll = SqlSchema.findAll({
    Request: Schema.Void,
    Result: OperationCount,
    execute: () => sql`SELECT kind, status, count(*) AS count FROM operations GROUP BY kind, status`
  })
  const decode = Schema.decodeUnknown(Schema.Array(StoredOperation))
  const encode = Schema.encode(StoredOperation)
  const encodeOutcome = Schema.encode(Outcome)

  return {
    insert: (operation) =>
      encode(operation).pipe(
        Effect.flatMap((row) => sql`INSERT INTO operations ${sql.insert(row)}`),
        Effect.asVoid,
        Effect.mapError(failed("store an operation"))
      ),
    get: (project, id) => Effect.mapError(find([project, id]), failed("read an operation")),
    list: (project, filter) => {
      const conditions = [
        sql`project = ${project}`,
        ...(filter.status === undefined ? [] : [sql`status = ${filter.status}`]),
        ...(filter.kind === undefined ? [] : [sql`kind = ${filter.kind}`]),
        ...(filter.since === undefined ? [] : [sql`created_at >= ${filter.since}`]),
        ...(filter.until === undefined ? [] : [sql`created_at <= ${filter.until}`])
      ]
      return sql`SELECT ${columns} FROM operations WHERE ${sql.and(conditions)}
        ORDER BY seq DESC LIMIT ${filter.limit} OFFSET ${filter.offset}`.pipe(
        Effect.flatMap(decode),
        Effect.mapError(failed("list operations"))
      )
    },
    counts: Effect.mapError(countAll(), failed("count operations")),
    started: (id) =>
      sql`UPDATE operations SET status = 'EXECUTING' WHERE id = ${id} AND ${open}`.pipe(
        Effect.asVoid,
        Effect.mapError(failed("store an operation"))
      ),
    finish: (id, outcome) =>
      encodeOutcome(outcome).pipe(
        Effect.flatMap((row) => sql`UPDATE operations SET ${sql.update(row)} WHERE id = ${id}`),
        Effect.asVoid,
        Effect.mapError(failed("store an operation's result"))
      ),
    failOpen: (reason) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => sql`UPDATE operations SET status = 'FAILED', error = ${reason}, duration_ms = ${now} - created_at
          WHERE ${open} RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length),
        Effect.mapError(failed("close operations of the last run"))
      )
  }
})

/**
 * The store over an open database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<OperationStore, never, SqlClient.SqlClient> = Layer.effect(OperationStore, make)
