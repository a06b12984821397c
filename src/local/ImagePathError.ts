/**
 * What is wrong with a path of an image.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A path that cannot be read in an image.
 *
 * - `Invalid`: it is not an absolute path.
 * - `Missing`: the image has nothing there.
 * - `WrongType`: what is there cannot be read so.
 *
 * @since 0.1.0
 * @category errors
 */
export class ImagePathError extends Schema.TaggedError<ImagePathError>("effect-contree/local/ImagePathError")(
  "ImagePathError",
  {
    reason: Schema.Literal("Invalid", "Missing", "WrongType"),
    path: Schema.String,
    detail: Schema.String
  }
) {
  override get message(): string {
    return `${JSON.stringify(this.path)}: ${this.detail}`
  }
}
