/**
 * The images of the engine and their tags, each in its project. A project sees its own images, and the public ones:
 * those that are tagged in the public project, where the engine has one.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as HashSet from "effect/HashSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { ImageKind, OperationId } from "../api/Images.js"
import { ImageId } from "../ImageId.js"
import { ImageTag } from "../ImageTag.js"
import type { DatabaseError } from "./Database.js"
import { failed } from "./Database.js"
import type { Chain } from "./LayerStore.js"
import { LayerName } from "./LayerStore.js"

/**
 * An image as the engine keeps it.
 *
 * - `chain`: its layers, topmost first.
 * - `env`, `cwd`: what its commands start with.
 * - `digest`: that of the imported manifest.
 * - `operationId`: what made it; none for an image of another project.
 * - `tag`: the tag that it got last, if it has one; one of the reading project before a public one.
 *
 * @since 0.1.0
 * @category schemas
 */
export class StoredImage extends Schema.Class<StoredImage>("effect-contree/local/StoredImage")({
  id: Schema.typeSchema(ImageId),
  kind: Schema.typeSchema(ImageKind),
  chain: Schema.parseJson(Schema.NonEmptyArray(LayerName)),
  env: Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String })),
  cwd: Schema.String,
  digest: Schema.OptionFromNullOr(Schema.String),
  operationId: Schema.propertySignature(Schema.OptionFromNullOr(OperationId)).pipe(Schema.fromKey("operation_id")),
  createdAt: Schema.propertySignature(Schema.DateTimeUtcFromNumber).pipe(Schema.fromKey("created_at")),
  tag: Schema.OptionFromNullOr(ImageTag)
}) {}

/**
 * What the engine knows of an image when it stores it.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewImage extends Omit<StoredImage, "createdAt" | "tag" | "operationId"> {
  readonly project: string
  readonly operationId: OperationId
}

/**
 * Which images a listing gives; times are milliseconds since the epoch.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImageFilter {
  readonly limit: number
  readonly offset: number
  readonly tagged: boolean
  readonly tagPrefix: string | undefined
  readonly id: ImageId | undefined
  readonly kind: ImageKind | undefined
  readonly since: number | undefined
  readonly until: number | undefined
}

/**
 * The images of the engine and their tags.
 *
 * @since 0.1.0
 * @category tags
 */
export class ImageStore extends Context.Tag("effect-contree/local/ImageStore")<ImageStore, ImageStore.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace ImageStore {
  /**
   * Reads and writes of images, tags and squashed chains.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    readonly insert: (image: NewImage) => Effect.Effect<void, DatabaseError>
    /** An image that the project sees. */
    readonly byId: (project: string, id: ImageId) => Effect.Effect<Option.Option<StoredImage>, DatabaseError>
    /** The image with the project's own tag, else with the public one. */
    readonly byTag: (project: string, tag: ImageTag) => Effect.Effect<Option.Option<StoredImage>, DatabaseError>
    /** The image of the project itself that was imported last from a manifest with this digest. */
    readonly byDigest: (project: string, digest: string) => Effect.Effect<Option.Option<StoredImage>, DatabaseError>
    /**
     * No longer takes images of any project for the manifest with this digest that lack a layer, so that an import
     * pulls it anew.
     */
    readonly disown: <E, R>(
      digest: string,
      has: (layer: LayerName) => Effect.Effect<boolean, E, R>
    ) => Effect.Effect<void, E | DatabaseError, R>
    /**
     * Makes an image of the project from the layers of another project's import of the same manifest; `false` says that
     * there is none.
     */
    readonly adopt: (
      image: Pick<NewImage, "project" | "id" | "operationId">,
      digest: string
    ) => Effect.Effect<boolean, DatabaseError>
    /** How many images all projects have. */
    readonly count: Effect.Effect<number, DatabaseError>
    /** A page of the images that the project sees, newest first. */
    readonly list: (project: string, filter: ImageFilter) => Effect.Effect<ReadonlyArray<StoredImage>, DatabaseError>
    /** Gives the image the tag in the project, and takes the project's tag from any other. */
    readonly tag: (project: string, id: ImageId, tag: ImageTag) => Effect.Effect<void, DatabaseError>
    /** Takes one of the project's tags from the image, or all; `false` says that it did not have the tag. */
    readonly untag: (project: string, id: ImageId, tag: ImageTag | undefined) => Effect.Effect<boolean, DatabaseError>
    /**
     * The chain to mount for an image: where the layers below some point have been squashed, the squashed layer
     * stands for them.
     */
    readonly mountChain: (image: StoredImage) => Effect.Effect<Chain>
    /** Records that `layer` over `base` shows the same as everything from `top` down. */
    readonly squashed: (top: LayerName, layer: LayerName, base: LayerName) => Effect.Effect<void, DatabaseError>
  }
}

const shortened = (chain: Chain, squashes: HashMap.HashMap<LayerName, readonly [LayerName, LayerName]>): Chain => {
  for (let index = 0; index < chain.length; index++) {
    const name = chain[index]
    const squash = name === undefined ? Option.none() : HashMap.get(squashes, name)
    if (Option.isSome(squash)) {
      const [layer, base] = squash.value
      const [top, ...rest] = [...chain.slice(0, index), layer, base]
      return top === undefined ? chain : [top, ...rest]
    }
  }
  return chain
}

/**
 * All layers that an image or a squash needs.
 *
 * @since 0.1.0
 * @category getters
 */
export const knownLayers: Effect.Effect<HashSet.HashSet<LayerName>, DatabaseError, SqlClient.SqlClient> = Effect.gen(
  function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* SqlSchema.findAll({
      Request: Schema.Void,
      Result: Schema.Struct({ name: LayerName }),
      execute: () => sql`SELECT DISTINCT value AS name FROM images, json_each(images.chain)
        UNION SELECT layer FROM squashes`
    })()
    return HashSet.fromIterable(rows.map((row) => row.name))
  }
).pipe(Effect.mapError(failed("list its layers")))

const Squash = Schema.Struct({ top: LayerName, layer: LayerName, base: LayerName })

/**
 * - `publicProject`: every project sees the tagged images of this one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly publicProject?: string | undefined
}

/**
 * Makes the store over an open database.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ImageStore.Service, DatabaseError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  // No project equals NULL.
  const shared = options.publicProject ?? null

  const columns = (project: string) => sql`images.id, images.kind, images.chain, images.env, images.cwd, images.digest,
    iif(images.project = ${project}, images.operation_id, NULL) AS operation_id, images.created_at`
  /** An image that a project has tagged stays visible to it when the public tag moves on. */
  const visible = (project: string) => sql`(images.project = ${project} OR (images.project = ${shared}
    AND EXISTS (SELECT 1 FROM tags WHERE tags.image_id = images.id AND tags.project IN (${shared}, ${project}))))`
  /** A public tag is hidden by the project's own one of the same name. */
  const latestTag = (project: string, prefix = "") => sql`(SELECT tag FROM tags WHERE tags.image_id = images.id
    AND (tags.project = ${project} OR (tags.project = ${shared}
      AND NOT EXISTS (SELECT 1 FROM tags AS own WHERE own.project = ${project} AND own.tag = tags.tag)))
    AND substr(tag, 1, ${prefix.length}) = ${prefix}
    ORDER BY tags.project = ${project} DESC, moved_at DESC, tag LIMIT 1)`

  const InProject = <A, I, R>(schema: Schema.Schema<A, I, R>) => Schema.Tuple(Schema.String, schema)
  const findById = SqlSchema.findOne({
    Request: InProject(Schema.typeSchema(ImageId)),
    Result: StoredImage,
    execute: ([project, id]) => sql`SELECT ${columns(project)}, ${latestTag(project)} AS tag FROM images
      WHERE id = ${id} AND ${visible(project)}`
  })
  const findByTag = SqlSchema.findOne({
    Request: InProject(ImageTag),
    Result: StoredImage,
    execute: ([project, tag]) => sql`SELECT ${columns(project)}, tags.tag FROM tags
      JOIN images ON images.id = tags.image_id
      WHERE tags.tag = ${tag} AND tags.project IN (${project}, ${shared})
      ORDER BY tags.project = ${project} DESC LIMIT 1`
  })
  const findByDigest = SqlSchema.findOne({
    Request: InProject(Schema.String),
    Result: StoredImage,
    execute: ([project, digest]) => sql`SELECT ${columns(project)}, ${latestTag(project)} AS tag FROM images
      WHERE digest = ${digest} AND project = ${project} ORDER BY seq DESC LIMIT 1`
  })
  const chainsOf = SqlSchema.findAll({
    Request: Schema.String,
    Result: Schema.Struct({ id: Schema.String, chain: StoredImage.fields.chain }),
    execute: (digest) => sql`SELECT id, chain FROM images WHERE digest = ${digest}`
  })
  const countAll = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ count: Schema.Int }),
    execute: () => sql`SELECT count(*) AS count FROM images`
  })
  const decodeImages = Schema.decodeUnknown(Schema.Array(StoredImage))

  // The tag column of a row is that of the filter where there is one, else the tag that the image got last.
  const list = (project: string, filter: ImageFilter) => {
    const conditions = [
      ...(filter.tagged || filter.tagPrefix !== undefined ? [sql`tag IS NOT NULL`] : []),
      ...(filter.id === undefined ? [] : [sql`id = ${filter.id}`]),
      ...(filter.kind === undefined ? [] : [sql`kind = ${filter.kind}`]),
      ...(filter.since === undefined ? [] : [sql`created_at >= ${filter.since}`]),
      ...(filter.until === undefined ? [] : [sql`created_at <= ${filter.until}`])
    ]
    return sql`SELECT * FROM (SELECT ${columns(project)}, images.seq, ${latestTag(project, filter.tagPrefix)} AS tag
        FROM images WHERE ${visible(project)})
      WHERE ${sql.and(conditions)} ORDER BY seq DESC LIMIT ${filter.limit} OFFSET ${filter.offset}`
  }

  const known = yield* SqlSchema.findAll({
    Request: Schema.Void,
    Result: Squash,
    execute: () => sql`SELECT top, layer, base FROM squashes`
  })().pipe(Effect.mapError(failed("be read")))
  const squashes = yield* Ref.make(HashMap.fromIterable(known.map((row) => [row.top, [row.layer, row.base] as const])))

  return {
    insert: ({ operationId, project, ...image }) =>
      Effect.gen(function* () {
        const createdAt = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
        const { tag: _, ...row } = yield* Schema.encode(StoredImage)(
          new StoredImage({ ...image, operationId: Option.some(operationId), createdAt, tag: Option.none() })
        )
        yield* sql`INSERT INTO images ${sql.insert({ ...row, project })}`
      }).pipe(Effect.mapError(failed("store an image"))),
    byId: (project, id) => Effect.mapError(findById([project, id]), failed("read an image")),
    byTag: (project, tag) => Effect.mapError(findByTag([project, tag]), failed("read a tag")),
    byDigest: (project, digest) => Effect.mapError(findByDigest([project, digest]), failed("read an image")),
    disown: Effect.fnUntraced(function* (digest, has) {
      const rows = yield* Effect.mapError(chainsOf(digest), failed("read an image"))
      for (const { chain, id } of rows) {
        if (yield* Effect.every(chain, has)) continue
        yield* Effect.logWarning(`image ${id} lacks a layer; its next import pulls it anew`)
        yield* Effect.mapError(sql`UPDATE images SET digest = NULL WHERE id = ${id}`, failed("disown an image"))
      }
    }),
    // One statement, so that the layers cannot go between their being found and their being listed.
    adopt: ({ id, operationId, project }, digest) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => sql`INSERT INTO images (id, kind, chain, env, cwd, digest, operation_id, created_at, project)
          SELECT ${id}, kind, chain, env, cwd, digest, ${operationId}, ${now}, ${project} FROM images
          WHERE digest = ${digest} ORDER BY seq DESC LIMIT 1 RETURNING id`
      ).pipe(
        Effect.map((rows) => rows.length > 0),
        Effect.mapError(failed("store an image"))
      ),
    count: countAll().pipe(
      Effect.map(([row]) => row?.count ?? 0),
      Effect.mapError(failed("count images"))
    ),
    list: (project, filter) =>
      list(project, filter).pipe(Effect.flatMap(decodeImages), Effect.mapError(failed("list images"))),
    tag: (project, id, tag) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => sql`INSERT INTO tags (project, tag, image_id, moved_at) VALUES (${project}, ${tag}, ${id}, ${now})
          ON CONFLICT (project, tag) DO UPDATE SET image_id = excluded.image_id, moved_at = excluded.moved_at`
      ).pipe(Effect.asVoid, Effect.mapError(failed("move a tag"))),
    untag: (project, id, tag) =>
      (tag === undefined
        ? sql`DELETE FROM tags WHERE project = ${project} AND image_id = ${id} RETURNING tag`
        : sql`DELETE FROM tags WHERE project = ${project} AND image_id = ${id} AND tag = ${tag} RETURNING tag`
      ).pipe(
        Effect.map((rows) => tag === undefined || rows.length > 0),
        Effect.mapError(failed("remove a tag"))
      ),
    mountChain: (image) => Effect.map(Ref.get(squashes), (squashes) => shortened(image.chain, squashes)),
    squashed: (top, layer, base) =>
      sql`INSERT INTO squashes ${sql.insert({ top, layer, base })}`.pipe(
        Effect.mapError(failed("record a squashed layer")),
        Effect.zipRight(Ref.update(squashes, HashMap.set(top, [layer, base] as const)))
      )
  }
})

/**
 * The store over an open database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<ImageStore, DatabaseError, SqlClient.SqlClient> =>
  Layer.effect(ImageStore, make(options))
