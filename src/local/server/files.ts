/** The handlers of uploaded files. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type { RequestError } from "@effect/platform/HttpServerError"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller } from "../../api/Account.js"
import { ApiFailure } from "../../api/Failure.js"
import { FileRecord, UploadReceipt } from "../../api/Files.js"
import { ContreeApi } from "../../ContreeApi.js"
import type { DatabaseError } from "../Database.js"
import { FileStore, type StoredFile } from "../FileStore.js"
import type { FileStoreError } from "../FileStoreError.js"
import { notFound, orInternal, window } from "./answers.js"

const toRecord = ({ createdAt, id, sha256, size, updatedAt }: StoredFile): FileRecord =>
  new FileRecord({ id, sha256, size, createdAt: Option.some(createdAt), updatedAt: Option.some(updatedAt) })

const refused = (error: DatabaseError | FileStoreError | RequestError): ApiFailure => {
  switch (error._tag) {
    case "DatabaseError":
      return new ApiFailure({ status: 500, error: error.message })
    case "RequestError":
      return new ApiFailure({ status: 400, error: "The upload broke off before it was whole" })
    case "FileStoreError":
      return new ApiFailure({
        status: error.reason === "TooLarge" ? 413 : error.reason === "DiskFull" ? 503 : 500,
        error: error.message
      })
  }
}

const encodeReceipt = HttpServerResponse.schemaJson(UploadReceipt)

export const filesGroup = HttpApiBuilder.group(ContreeApi, "files", (handlers) =>
  Effect.gen(function* () {
    const files = yield* FileStore
    const orMissing = Effect.fnUntraced(function* (found: Option.Option<StoredFile>, what: string) {
      return yield* Option.match(found, {
        onNone: () => Effect.fail(notFound(`There is no uploaded file ${what}`)),
        onSome: (file) => Effect.succeed(toRecord(file))
      })
    })
    const byDigest = (sha256: StoredFile["sha256"]) =>
      Effect.gen(function* () {
        const { project } = yield* Caller
        return yield* orMissing(yield* files.byDigest(project, sha256), sha256)
      }).pipe(orInternal)
    return handlers
      .handleRaw("upload", ({ request }) =>
        Effect.gen(function* () {
          const { project } = yield* Caller
          const announced = Number(request.headers["content-length"] ?? 0)
          const { id, sha256, size } = yield* files.upload(project, request.stream, announced)
          return yield* Effect.orDie(encodeReceipt(new UploadReceipt({ id, sha256, size }), { status: 201 }))
        }).pipe(
          Effect.mapError(refused),
          // The rest of a refused upload is not read: the connection ends with the answer.
          Effect.catchIf(
            ({ status }) => status === 413,
            ({ error, status }) =>
              Effect.succeed(
                HttpServerResponse.unsafeJson({ error, status }, { status, headers: { connection: "close" } })
              )
          )
        )
      )
      .handle("list", ({ urlParams: { id, sha256, ...page } }) =>
        Effect.gen(function* () {
          const { project } = yield* Caller
          if (sha256 !== undefined) return yield* byDigest(sha256)
          if (id !== undefined) return yield* orMissing(yield* files.byId(project, id), id)
          return { files: (yield* files.list(project, yield* window(page))).map(toRecord) }
        }).pipe(orInternal)
      )
      .handle("get", ({ path }) => byDigest(path.sha256))
      .handle("exists", ({ path }) => Effect.asVoid(byDigest(path.sha256)))
  })
)
