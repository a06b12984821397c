/** The handlers that look at an image without running anything. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Caller } from "../../api/Account.js"
import { ApiFailure, type FailureStatus } from "../../api/Failure.js"
import { FileItem } from "../../api/Inspect.js"
import { ContreeApi } from "../../ContreeApi.js"
import type { ImageId } from "../../ImageId.js"
import type { DatabaseError } from "../Database.js"
import * as ImageArchive from "../ImageArchive.js"
import type { ImagePathError } from "../ImagePathError.js"
import { ImageSearch, type ImageSearchError } from "../ImageSearch.js"
import { ImageStore } from "../ImageStore.js"
import { ImageView, type OpenImage } from "../ImageView.js"
import { listingText } from "../internal/listingText.js"
import type { LayerStoreError } from "../LayerStoreError.js"
import { notFound, orInternal } from "./answers.js"
import { toRecord } from "./images.js"
import { streamed } from "./streams.js"

const pathStatus = { Invalid: 400, Missing: 404, WrongType: 422 } as const satisfies Record<
  ImagePathError["reason"],
  FailureStatus
>

const searchStatus = { Invalid: 400, TooMuch: 422, Missing: 501, Failed: 500 } as const satisfies Record<
  ImageSearchError["reason"],
  FailureStatus
>

const refused = (
  error: ApiFailure | DatabaseError | ImagePathError | ImageSearchError | LayerStoreError
): ApiFailure => {
  switch (error._tag) {
    case "ApiFailure":
      return error
    case "ImagePathError":
      return new ApiFailure({ status: pathStatus[error.reason], error: `path ${error.message}` })
    case "ImageSearchError":
      return new ApiFailure({ status: searchStatus[error.reason], error: error.message })
    case "DatabaseError":
    case "LayerStoreError":
      return new ApiFailure({ status: 500, error: error.message })
  }
}

const encodeItem = Schema.encode(FileItem)

/** So many entries of a listing are encoded in one go. */
const BATCH = 500

const batches = <A>(items: ReadonlyArray<A>) => Stream.grouped(Stream.fromIterable(items), BATCH)

/** A listing as JSON, piece by piece: a folder may hold very many files. */
const listingJson = (path: string, files: ReadonlyArray<FileItem>) =>
  batches(files).pipe(
    Stream.mapEffect((batch) => Effect.orDie(Effect.forEach(batch, (item) => encodeItem(item)))),
    Stream.map((items) => items.map((item) => JSON.stringify(item)).join(",")),
    Stream.intersperse(","),
    (items) =>
      Stream.concat(Stream.make(`{"path":${JSON.stringify(path)},"files":[`), Stream.concat(items, Stream.make("]}")))
  )

/** The quoted name for readers that know no other, with the whole name beside it where that says less. */
const attachment = (fileName: string): string => {
  const quoted = fileName.replace(/[^\x20-\x7e]/g, "_").replace(/["\\]/g, "\\$&")
  return quoted === fileName
    ? `attachment; filename="${quoted}"`
    : `attachment; filename="${quoted}"; filename*=UTF-8''${encodeURIComponent(fileName).replace(/['()*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)}`
}

const text = "text/plain; charset=utf-8"

export const inspectGroup = HttpApiBuilder.group(ContreeApi, "inspect", (handlers) =>
  Effect.gen(function* () {
    const images = yield* ImageStore
    const views = yield* ImageView
    const searches = yield* ImageSearch

    const stored = Effect.fnUntraced(function* (id: ImageId) {
      const { project } = yield* Caller
      return yield* Effect.flatMap(
        images.byId(project, id),
        Option.match({ onNone: () => Effect.fail(notFound(`There is no image ${id}`)), onSome: Effect.succeed })
      )
    })
    /** The image, open until the answer is out. */
    const open = (id: ImageId) => stored(id).pipe(Effect.flatMap(images.mountChain), Effect.flatMap(views.open))
    const archive = (image: OpenImage, path: string) =>
      Effect.map(ImageArchive.make(image, path), ({ content, fileName }) => ({
        content,
        contentType: "application/x-tar",
        headers: { "content-disposition": attachment(fileName) }
      }))

    return handlers
      .handleRaw("byTag", ({ urlParams }) =>
        Caller.pipe(
          Effect.flatMap(({ project }) => images.byTag(project, urlParams.tag)),
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail(notFound(`There is no image with the tag ${JSON.stringify(urlParams.tag)}`)),
              // Relative, as the hosted service's is: a proxy in front may have put a prefix before the path.
              onSome: (image) =>
                Effect.succeed(HttpServerResponse.empty({ status: 302, headers: { location: `${image.id}/` } }))
            })
          ),
          orInternal
        )
      )
      .handle("byId", ({ path }) => Effect.map(stored(path.id), toRecord).pipe(orInternal))
      .handleRaw("list", ({ path: { id }, request, urlParams }) =>
        Effect.gen(function* () {
          const files = yield* (yield* open(id)).list(urlParams.path)
          const [contentType, body] =
            urlParams.text === undefined
              ? (["application/json", listingJson(urlParams.path, files)] as const)
              : ([text, Stream.map(batches(listingText(files)), (lines) => Array.from(lines).join(""))] as const)
          return streamed(request, Stream.encodeText(body), { contentType })
        }).pipe(Effect.mapError(refused))
      )
      .handleRaw("download", ({ path: { id }, request, urlParams }) =>
        Effect.gen(function* () {
          const { content, size } = yield* (yield* open(id)).file(urlParams.path)
          return streamed(request, content, {
            contentType: urlParams.text === undefined ? "application/octet-stream" : text,
            contentLength: size
          })
        }).pipe(Effect.mapError(refused))
      )
      .handleRaw("hasDownload", ({ path: { id }, urlParams }) =>
        Effect.gen(function* () {
          const { size } = yield* (yield* open(id)).file(urlParams.path)
          return HttpServerResponse.empty({
            status: 200,
            headers: { "content-type": "application/octet-stream", "content-length": String(size) }
          })
        }).pipe(Effect.mapError(refused))
      )
      .handleRaw("archive", ({ path: { id }, request, urlParams }) =>
        Effect.gen(function* () {
          const { content, ...options } = yield* archive(yield* open(id), urlParams.path)
          return streamed(request, content, options)
        }).pipe(Effect.mapError(refused))
      )
      .handleRaw("hasArchive", ({ path: { id }, urlParams }) =>
        Effect.gen(function* () {
          const { contentType, headers } = yield* archive(yield* open(id), urlParams.path)
          return HttpServerResponse.empty({ status: 200, headers: { ...headers, "content-type": contentType } })
        }).pipe(Effect.mapError(refused))
      )
      .handle("grep", ({ path: { id }, urlParams }) =>
        Effect.flatMap(open(id), (image) => searches.search(image, urlParams)).pipe(Effect.mapError(refused))
      )
  })
)
