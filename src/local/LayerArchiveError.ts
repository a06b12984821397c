/**
 * Why the layer of an image could not be unpacked.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What a program would tell apart: a name or a link that leads out of the image, an archive that is damaged, a
 * feature that is not supported, content beyond the limits, and a disk that refuses.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LayerArchiveErrorReason = Schema.Literal("UnsafePath", "Malformed", "Unsupported", "TooLarge", "Io")

/**
 * Why a layer could not be unpacked.
 *
 * @since 0.1.0
 * @category models
 */
export type LayerArchiveErrorReason = typeof LayerArchiveErrorReason.Type

const suggestions: Record<LayerArchiveErrorReason, string> = {
  UnsafePath: "do not use this image: no usual tool packs such an entry",
  Malformed: "pull the image again, and have it built again if that does not help",
  Unsupported: "build the image with a usual tool (buildkit, buildah, kaniko), as gzip, zstd or plain tar",
  TooLarge: "raise the engine's limit of unpacked bytes or entries if the image is known to be that large",
  Io: "see that the engine's data folder has room and belongs to the user that runs the engine"
}

/**
 * A layer that was not unpacked; what it had written is removed by the import.
 *
 * `layer` is the layer's digest (or the name that the caller gave it), `entry` the name of the tar entry or, for
 * `Io`, the path at fault, and empty where the archive as a whole is at fault.
 *
 * @since 0.1.0
 * @category errors
 */
export class LayerArchiveError extends Schema.TaggedError<LayerArchiveError>("effect-contree/local/LayerArchiveError")(
  "LayerArchiveError",
  {
    reason: LayerArchiveErrorReason,
    layer: Schema.String,
    entry: Schema.String,
    detail: Schema.String,
    suggestion: Schema.String
  }
) {
  override get message(): string {
    const entry = this.entry === "" ? "" : `, entry ${JSON.stringify(this.entry)}`
    return `Layer ${this.layer}${entry}: ${this.detail}; ${this.suggestion}.`
  }
}

/** How much of an entry's name an error keeps, in characters. */
const LONGEST_NAME = 300

/**
 * Builds a `LayerArchiveError` with the suggestion that belongs to its reason.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly reason: LayerArchiveErrorReason
  readonly layer: string
  readonly entry: string
  readonly detail: string
}): LayerArchiveError =>
  new LayerArchiveError({
    ...options,
    entry: options.entry.length > LONGEST_NAME ? `${options.entry.slice(0, LONGEST_NAME)}…` : options.entry,
    suggestion: suggestions[options.reason]
  })
