/**
 * What can go wrong with files of this machine.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as Schema from "effect/Schema"

/**
 * A file or folder of this machine could not be read or written.
 *
 * @since 0.1.0
 * @category errors
 */
export class LocalFileError extends Schema.TaggedError<LocalFileError>("effect-contree/LocalFileError")(
  "LocalFileError",
  {
    path: Schema.String,
    detail: Schema.String,
    cause: Schema.optional(Schema.Defect)
  }
) {
  override get message(): string {
    return `${this.path}: ${this.detail}`
  }
}

/**
 * An archive that was to be unpacked is not one, is larger than allowed, or holds a name that would have led out of the
 * folder. Nothing of it is left.
 *
 * @since 0.1.0
 * @category errors
 */
export class ArchiveRefused extends Schema.TaggedError<ArchiveRefused>("effect-contree/ArchiveRefused")(
  "ArchiveRefused",
  {
    reason: Schema.Literal("Malformed", "TooLarge", "UnsafeName"),
    /** The entry that it failed at, empty where it was none. */
    entry: Schema.String,
    detail: Schema.String
  }
) {
  override get message(): string {
    return `The archive was refused${this.entry === "" ? "" : ` at ${JSON.stringify(this.entry)}`}: ${this.detail}`
  }
}

/** @internal */
export const fromPlatform =
  (path: string) =>
  (error: PlatformError): LocalFileError =>
    new LocalFileError({ path, detail: error.message, cause: error })
