/**
 * Endpoints for images and their tags.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { ImageId } from "../ImageId.js"
import { ImageTag } from "../ImageTag.js"
import { Permits } from "./Account.js"
import { failure } from "./Failure.js"
import { nullable } from "./Nullable.js"
import { Flag, paging, timeWindow } from "./Query.js"
import { Timestamp, WholeSeconds } from "./Timestamp.js"

/**
 * The id of an operation: a UUID.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OperationId = Schema.UUID.pipe(Schema.brand("OperationId")).annotations({ identifier: "OperationId" })

/**
 * The id of an operation: a UUID.
 *
 * @since 0.1.0
 * @category models
 */
export type OperationId = typeof OperationId.Type

/**
 * An image as the service describes it. `tag` is one of its tags, if it has any.
 *
 * @since 0.1.0
 * @category schemas
 */
export class ImageRecord extends Schema.Class<ImageRecord>("Image")({
  id: Schema.propertySignature(ImageId).pipe(Schema.fromKey("uuid")),
  tag: nullable(Schema.String),
  createdAt: nullable(Timestamp).pipe(Schema.fromKey("created_at")),
  operationId: nullable(OperationId).pipe(Schema.fromKey("operation_uuid"))
}) {}

/**
 * A page of a listing of images.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageList = Schema.Struct({ images: Schema.Array(ImageRecord) })

/**
 * How an image came to be: made by a run, or imported from a registry.
 *
 * @since 0.1.0
 * @category models
 */
export type ImageKind = "run" | "imported"

/**
 * {@link ImageKind} as the query parameter `kind`: `0` for runs, `1` for imports.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageKind = Schema.transformLiterals(["0", "run"], ["1", "imported"])

/**
 * Which images a listing gives.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageQuery = Schema.Struct({
  ...paging,
  ...timeWindow,
  tagged: Schema.optional(Flag),
  tagPrefix: Schema.optional(Schema.String).pipe(Schema.fromKey("tag")),
  id: Schema.optional(ImageId).pipe(Schema.fromKey("uuid")),
  kind: Schema.optional(ImageKind)
})

/**
 * Name and password for a registry. They travel with one import and are not stored.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RegistryCredentials = Schema.Struct({
  username: Schema.String,
  password: Schema.Redacted(Schema.String)
})

/**
 * The body of an import request.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImportRequest = Schema.Struct({
  registry: Schema.Struct({
    url: Schema.String,
    credentials: Schema.optionalWith(RegistryCredentials, { nullable: true, exact: true })
  }),
  tag: Schema.optionalWith(ImageTag, { nullable: true, exact: true }),
  timeout: Schema.optionalWith(WholeSeconds, { nullable: true, exact: true })
}).annotations({ identifier: "ImportRequest" })

/**
 * The answer to a request that starts an operation.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Started = Schema.Struct({
  operationId: Schema.propertySignature(OperationId).pipe(Schema.fromKey("uuid"))
})
  .annotations({ identifier: "Started" })
  .annotations(HttpApiSchema.annotations({ status: 201 }))

const byId = Schema.Struct({ id: ImageId })

/**
 * Endpoints for images and their tags.
 *
 * @since 0.1.0
 * @category schemas
 */
export class ImagesGroup extends HttpApiGroup.make("images")
  .add(HttpApiEndpoint.get("list", "/images").setUrlParams(ImageQuery).addSuccess(ImageList))
  .add(
    HttpApiEndpoint.post("import", "/images/import")
      .setPayload(ImportRequest)
      .addSuccess(Started)
      .annotate(Permits, ["import"])
      .addError(failure(404, "No such registry or image"))
  )
  .add(
    HttpApiEndpoint.patch("tag", "/images/:id/tag")
      .setPath(byId)
      .setPayload(Schema.Struct({ tag: ImageTag }))
      .annotate(Permits, ["set_image_tag"])
      .addSuccess(ImageRecord)
      .addError(failure(404, "No such image"))
  )
  .add(
    HttpApiEndpoint.del("untag", "/images/:id/tag")
      .setPath(byId)
      .setUrlParams(Schema.Struct({ tag: Schema.optional(ImageTag) }))
      .annotate(Permits, ["set_image_tag"])
      .addSuccess(HttpApiSchema.NoContent)
      .addError(failure(404, "No such image, or the image does not have the tag"))
  ) {}
