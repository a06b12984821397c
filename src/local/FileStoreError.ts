/**
 * What can go wrong with uploaded files.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as Schema from "effect/Schema"

/**
 * Why an uploaded file could not be kept or read.
 *
 * - `TooLarge`: it has more bytes than one upload may have.
 * - `DiskFull`: the file system of the data folder has no space left.
 * - `Failed`: anything else that the system refused.
 *
 * @since 0.1.0
 * @category models
 */
export type FileStoreErrorReason = "TooLarge" | "DiskFull" | "Failed"

/**
 * An uploaded file could not be kept or read; nothing of it is left.
 *
 * @since 0.1.0
 * @category errors
 */
export class FileStoreError extends Schema.TaggedError<FileStoreError>("effect-contree/local/FileStoreError")(
  "FileStoreError",
  {
    reason: Schema.Literal("TooLarge", "DiskFull", "Failed"),
    detail: Schema.String,
    suggestion: Schema.String
  }
) {
  override get message(): string {
    return `${this.detail}. ${this.suggestion}`
  }
}

/**
 * The error of an upload with more than `limit` bytes.
 *
 * @since 0.1.0
 * @category errors
 */
export const tooLarge = (limit: number): FileStoreError =>
  new FileStoreError({
    reason: "TooLarge",
    detail: `The file has more than ${limit} bytes`,
    suggestion: "Split it, or raise the engine's maxUploadBytes"
  })

const codeOf = (error: PlatformError): string => {
  const cause = error._tag === "SystemError" ? error.cause : undefined
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
}

/**
 * Turns what the system refused into a {@link FileStoreError}.
 *
 * @since 0.1.0
 * @category errors
 */
export const fromPlatform = (error: PlatformError): FileStoreError => {
  const code = codeOf(error)
  return code === "ENOSPC" || code === "EDQUOT"
    ? new FileStoreError({
        reason: "DiskFull",
        detail: "The file system of the engine's data folder is full",
        suggestion: "Free space on it; nothing of the upload was kept"
      })
    : new FileStoreError({
        reason: "Failed",
        detail: error.message,
        suggestion: "Give the user that runs the engine the ownership of its data folder"
      })
}
