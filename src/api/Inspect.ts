/**
 * Endpoints that look at an image without running anything.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { ImageId } from "../ImageId.js"
import { ImageTag } from "../ImageTag.js"
import { failure } from "./Failure.js"
import { ImageRecord } from "./Images.js"

const missing = failure(404, "No such image, or no such path in it")
const wrongType = failure(422, "The path is not of a type that can be read so")

/**
 * A file, folder or link of an image.
 *
 * - `name`: relative to the listed folder.
 * - `mode`: permission and type bits, as `stat` gives them.
 * - `mtime`: Unix seconds.
 * - `target`: where a link leads, empty otherwise.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FileItem = Schema.Struct({
  name: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("path")),
  size: Schema.Number,
  owner: Schema.Union(Schema.String, Schema.Number),
  group: Schema.Union(Schema.String, Schema.Number),
  uid: Schema.Number,
  gid: Schema.Number,
  mode: Schema.Number,
  mtime: Schema.Number,
  nlink: Schema.Number,
  isDirectory: Schema.propertySignature(Schema.Boolean).pipe(Schema.fromKey("is_dir")),
  isRegular: Schema.propertySignature(Schema.Boolean).pipe(Schema.fromKey("is_regular")),
  isSymlink: Schema.propertySignature(Schema.Boolean).pipe(Schema.fromKey("is_symlink")),
  isSocket: Schema.propertySignature(Schema.Boolean).pipe(Schema.fromKey("is_socket")),
  isFifo: Schema.propertySignature(Schema.Boolean).pipe(Schema.fromKey("is_fifo")),
  target: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("symlink_to"))
}).annotations({ identifier: "FileItem" })

/**
 * A file, folder or link of an image.
 *
 * @since 0.1.0
 * @category models
 */
export type FileItem = typeof FileItem.Type

/**
 * What a folder of an image holds.
 *
 * @since 0.1.0
 * @category schemas
 */
export const DirectoryListing = Schema.Struct({
  path: Schema.String,
  files: Schema.Array(FileItem)
}).annotations({ identifier: "DirectoryListing" })

const GrepCount = (most: number, least: number) =>
  Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.between(least, most)))

const Text = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(1024))

/**
 * What is searched for in an image, with ripgrep's meaning.
 *
 * - `pattern`: 1 to 16 regular expressions in Rust's syntax, any of which may match a line.
 * - `path`: 0 to 16 places to look in, default `/`.
 * - `glob`: names to search or, after `!`, to leave out.
 * - `maxCount`: matches per file; `maxTotal`: of all, default 1000.
 * - `before`, `after`: lines of context, 0 to 50.
 *
 * @since 0.1.0
 * @category schemas
 */
export const GrepQuery = Schema.Struct({
  pattern: Schema.Array(Text).pipe(Schema.minItems(1), Schema.maxItems(16)),
  path: Schema.optional(Schema.Array(Schema.String).pipe(Schema.maxItems(16))),
  glob: Schema.optional(Schema.Array(Schema.String)),
  maxCount: GrepCount(10_000, 1).pipe(Schema.fromKey("max_count")),
  maxTotal: GrepCount(10_000, 1).pipe(Schema.fromKey("max_total")),
  case: Schema.optional(Schema.Literal("sensitive", "insensitive", "smart")),
  before: GrepCount(50, 0),
  after: GrepCount(50, 0)
})

/**
 * A line that matched, or one of its context.
 *
 * - `lineNumber`: from 1; `absoluteOffset`: of the line in the file, in bytes.
 * - `text`: the line with its end, cut at 4096 bytes; `lineBytes`: its whole length.
 * - `submatches`: where the patterns matched, as byte offsets in the line; empty for context.
 *
 * @since 0.1.0
 * @category schemas
 */
export const GrepMatch = Schema.Struct({
  path: Schema.String,
  lineNumber: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("line_number")),
  absoluteOffset: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("absolute_offset")),
  text: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("line_text")),
  lineBytes: Schema.propertySignature(Schema.Number).pipe(Schema.fromKey("line_bytes")),
  submatches: Schema.Array(Schema.Struct({ text: Schema.String, start: Schema.Number, end: Schema.Number })),
  type: Schema.Literal("match", "context")
}).annotations({ identifier: "GrepMatch" })

/**
 * What a search found; `truncated` says that a limit cut it short.
 *
 * @since 0.1.0
 * @category schemas
 */
export const GrepResult = Schema.Struct({
  path: Schema.String,
  patterns: Schema.Array(Schema.String),
  truncated: Schema.Boolean,
  matches: Schema.Array(GrepMatch)
}).annotations({ identifier: "GrepResult" })

/** Says in the API's description that an answer may be text, too: what the query asks for is no part of its schema. */
const orText = OpenApi.annotations({
  transform: (operation) => {
    const answer = operation["responses"]["200"]
    const content = { ...answer.content, "text/plain": { schema: { type: "string" } } }
    return { ...operation, responses: { ...operation["responses"], 200: { ...answer, content } } }
  }
})

/** What a caller is given is the image, where the redirect leads; the answer itself is the redirect. */
const byRedirect = OpenApi.annotations({
  transform: (operation) => {
    const { 200: _image, ...failures } = operation["responses"]
    const location = { description: "The image's own address, relative to this one", schema: { type: "string" } }
    const redirect = { description: "The image has the tag", headers: { Location: { ...location, required: true } } }
    return { ...operation, responses: { 302: redirect, ...failures } }
  }
})

const byId = Schema.Struct({ id: ImageId })
const atPath = Schema.Struct({ path: Schema.String })

/** What the content of a path would be answered with, without it. */
const headOf = <const Name extends string, const Path extends `/${string}`>(name: Name, path: Path) =>
  HttpApiEndpoint.head(name, path)
    .setPath(byId)
    .setUrlParams(atPath)
    .addSuccess(HttpApiSchema.Empty(200))
    .addError(missing)
    .addError(wrongType)

/** Present with any value, the empty one included. */
const asText = Schema.optional(Schema.String)

/**
 * Endpoints that look at an image without running anything.
 *
 * `byTag` answers 302 to the image's own address; a client that follows it receives the image. `list` and `download`
 * answer with text for `text`. `download` and `archive` (POSIX tar) are streams.
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
      .annotateContext(byRedirect)
  )
  .add(HttpApiEndpoint.get("byId", "/inspect/:id/").setPath(byId).addSuccess(ImageRecord).addError(missing))
  .add(
    HttpApiEndpoint.get("list", "/inspect/:id/list")
      .setPath(byId)
      .setUrlParams(Schema.Struct({ path: Schema.String, text: asText }))
      .addSuccess(DirectoryListing)
      .addError(missing)
      .addError(wrongType)
      .annotateContext(orText)
  )
  .add(
    HttpApiEndpoint.get("download", "/inspect/:id/download")
      .setPath(byId)
      .setUrlParams(Schema.Struct({ path: Schema.String, text: asText }))
      .addSuccess(HttpApiSchema.Uint8Array({ contentType: "application/octet-stream" }))
      .addError(missing)
      .addError(wrongType)
      .annotateContext(orText)
  )
  .add(headOf("hasDownload", "/inspect/:id/download"))
  .add(
    HttpApiEndpoint.get("archive", "/inspect/:id/archive")
      .setPath(byId)
      .setUrlParams(atPath)
      .addSuccess(HttpApiSchema.Uint8Array({ contentType: "application/x-tar" }))
      .addError(missing)
      .addError(wrongType)
  )
  .add(headOf("hasArchive", "/inspect/:id/archive"))
  .add(
    HttpApiEndpoint.get("grep", "/inspect/:id/grep")
      .setPath(byId)
      .setUrlParams(GrepQuery)
      .addSuccess(GrepResult)
      .addError(missing)
      .addError(failure(422, "A line is too long to be searched"))
      .addError(failure(501, "The server has no ripgrep to search with"))
  ) {}
