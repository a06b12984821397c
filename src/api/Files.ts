/**
 * Endpoints for uploaded files, which are known by the digest of their content.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { Permits } from "./Account.js"
import { failure } from "./Failure.js"
import { nullable } from "./Nullable.js"
import { paging, timeWindow } from "./Query.js"
import { Timestamp } from "./Timestamp.js"

/**
 * The id of an uploaded file: a UUID.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FileId = Schema.UUID.pipe(Schema.brand("FileId")).annotations({ identifier: "FileId" })

/**
 * The id of an uploaded file: a UUID.
 *
 * @since 0.1.0
 * @category models
 */
export type FileId = typeof FileId.Type

/**
 * The SHA-256 digest of a file's content: 64 hex digits, read in either case, kept in lower case.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Sha256 = Schema.transform(
  Schema.String,
  Schema.String.pipe(
    Schema.pattern(/^[0-9a-f]{64}$/, { message: () => "a SHA-256 digest has 64 hexadecimal digits" }),
    Schema.brand("Sha256")
  ),
  { strict: true, decode: (text) => text.toLowerCase(), encode: (digest) => digest }
).annotations({ identifier: "Sha256" })

/**
 * The SHA-256 digest of a file's content in lower case.
 *
 * @since 0.1.0
 * @category models
 */
export type Sha256 = typeof Sha256.Type

/** `-1` is the service's word for a size that it does not know. */
const size = Schema.optionalWith(Schema.Number, { default: () => -1, nullable: true })

/**
 * An uploaded file as the service keeps it. `size` is in bytes, `-1` when unknown; `updatedAt` is when the content was
 * uploaded last.
 *
 * @since 0.1.0
 * @category schemas
 */
export class FileRecord extends Schema.Class<FileRecord>("File")({
  id: Schema.propertySignature(FileId).pipe(Schema.fromKey("uuid")),
  sha256: Sha256,
  size,
  createdAt: nullable(Timestamp).pipe(Schema.fromKey("created_at")),
  updatedAt: nullable(Timestamp).pipe(Schema.fromKey("updated_at"))
}) {}

/**
 * The answer to an upload.
 *
 * @since 0.1.0
 * @category schemas
 */
export class UploadReceipt extends Schema.Class<UploadReceipt>("UploadReceipt")(
  {
    id: Schema.propertySignature(FileId).pipe(Schema.fromKey("uuid")),
    sha256: Sha256,
    size
  },
  HttpApiSchema.annotations({ status: 201 })
) {}

const byDigest = Schema.Struct({ sha256: Sha256 })
const missing = failure(404, "No file with this content was uploaded")

/**
 * Endpoints for uploaded files. The body of an upload is the content itself; it may be chunked.
 *
 * With `sha256` or `uuid`, `list` answers with that one file or 404, as it did for clients before `get` and `exists`.
 *
 * @since 0.1.0
 * @category schemas
 */
export class FilesGroup extends HttpApiGroup.make("files")
  .add(
    HttpApiEndpoint.post("upload", "/files")
      .annotate(Permits, ["spawn", "spawn_disposable"])
      .setPayload(HttpApiSchema.Uint8Array({ contentType: "application/octet-stream" }))
      .addSuccess(UploadReceipt)
      .addError(failure(413, "The file is larger than the server takes"))
  )
  .add(
    HttpApiEndpoint.get("list", "/files")
      .setUrlParams(
        Schema.Struct({
          ...paging,
          ...timeWindow,
          sha256: Schema.optional(Sha256),
          id: Schema.optional(FileId).pipe(Schema.fromKey("uuid"))
        })
      )
      .addSuccess(Schema.Union(Schema.Struct({ files: Schema.Array(FileRecord) }), FileRecord))
      .addError(missing)
  )
  .add(HttpApiEndpoint.get("get", "/files/:sha256").setPath(byDigest).addSuccess(FileRecord).addError(missing))
  .add(
    HttpApiEndpoint.head("exists", "/files/:sha256")
      .setPath(byDigest)
      .addSuccess(HttpApiSchema.Empty(200))
      .addError(missing)
  ) {}
