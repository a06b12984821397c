/**
 * Endpoints that look at an image without running anything.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { ImageId } from "../ImageId.js"
import { ImageTag } from "../ImageTag.js"
import { failure } from "./Failure.js"
import { ImageRecord } from "./Images.js"

const missing = failure(404, "No such image")

/**
 * Endpoints that look at an image without running anything.
 *
 * `byTag` answers 302 to the image's own address; a client that follows it receives the image.
 *
 * @since 0.1.0
 * @category schemas
 */
export class InspectGroup extends HttpApiGroup.make("inspect")
  .add(
    HttpApiEndpoint.get("byTag", "/inspect/")
      .setUrlParams(Schema.Struct({ tag: ImageTag }))
      .addSuccess(ImageRecord)
      .addError(missing)
  )
  .add(
    HttpApiEndpoint.get("byId", "/inspect/:id/")
      .setPath(Schema.Struct({ id: ImageId }))
      .addSuccess(ImageRecord)
      .addError(missing)
  ) {}
