/**
 * Why a layer could not be written, read or removed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What a program would tell apart: a full disk, a refused access, a missing or an occupied path, a path beyond the
 * kernel's limits, a mount that the kernel or the machine refuses, layers that do not belong together, and the rest.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LayerStoreErrorReason = Schema.Literal(
  "DiskFull",
  "Denied",
  "Missing",
  "Occupied",
  "TooLong",
  "Mount",
  "Mismatch",
  "Failed"
)

/**
 * Why the store could not do it.
 *
 * @since 0.1.0
 * @category models
 */
export type LayerStoreErrorReason = typeof LayerStoreErrorReason.Type

const suggestions: Record<LayerStoreErrorReason, string> = {
  DiskFull:
    "Free space or inodes on the file system of the engine's data folder, or move the data folder to a larger one.",
  Denied:
    "Give the user that runs the engine ownership of the data folder, on ext4, xfs, btrfs or tmpfs (a folder inside a container's own root does not allow overlays).",
  Missing: "The layer or its folder was removed by something other than the engine: import the image again.",
  Occupied: "Give each engine a data folder of its own and leave what is in it to the engine.",
  TooLong: "The image holds a path or a chain beyond the kernel's limits: flatten the chain or shorten the path.",
  Mount: "Run `effect-contree doctor` to see whether this user may mount overlays here.",
  Mismatch: "The layers given do not belong to the image given: import the image again if it persists.",
  Failed: "Look at the detail; `effect-contree doctor` checks the data folder."
}

const reasonOf = (code: string): LayerStoreErrorReason => {
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return "DiskFull"
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "Denied"
    case "ENOENT":
      return "Missing"
    case "EEXIST":
    case "ENOTEMPTY":
      return "Occupied"
    case "ENAMETOOLONG":
      return "TooLong"
    default:
      return "Failed"
  }
}

/**
 * An operation on the layers of the data folder that did not succeed.
 *
 * `operation` and `path` name what was attempted, `code` is the system's error code (or the exit code of the tool
 * that was asked), `detail` its text, and `suggestion` what to do about it.
 *
 * @since 0.1.0
 * @category errors
 */
export class LayerStoreError extends Schema.TaggedError<LayerStoreError>("effect-contree/local/LayerStoreError")(
  "LayerStoreError",
  {
    operation: Schema.String,
    path: Schema.String,
    reason: LayerStoreErrorReason,
    code: Schema.String,
    detail: Schema.String,
    suggestion: Schema.String
  }
) {
  override get message(): string {
    return `${this.operation} ${this.path}: ${this.detail}. ${this.suggestion}`
  }
}

/**
 * Builds a `LayerStoreError`; its reason follows from the system's error code unless it is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly operation: string
  readonly path: string
  readonly code: string
  readonly detail: string
  readonly reason?: LayerStoreErrorReason | undefined
}): LayerStoreError => {
  const reason = options.reason ?? reasonOf(options.code)
  return new LayerStoreError({
    operation: options.operation,
    path: options.path,
    reason,
    code: options.code,
    detail: options.detail,
    suggestion: suggestions[reason]
  })
}
