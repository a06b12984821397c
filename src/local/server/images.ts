/** The handlers of images and their tags. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller } from "../../api/Account.js"
import { ImageRecord } from "../../api/Images.js"
import { ContreeApi } from "../../ContreeApi.js"
import type { ImageId } from "../../ImageId.js"
import { Engine } from "../Engine.js"
import { ImageStore, type StoredImage } from "../ImageStore.js"
import { notFound, orInternal, started, window } from "./answers.js"

/** An image as the API shows it. */
export const toRecord = (image: StoredImage): ImageRecord =>
  new ImageRecord({
    id: image.id,
    tag: image.tag,
    createdAt: Option.some(image.createdAt),
    operationId: image.operationId
  })

export const imagesGroup = HttpApiBuilder.group(ContreeApi, "images", (handlers) =>
  Effect.gen(function* () {
    const images = yield* ImageStore
    const engine = yield* Engine
    const existing = (project: string, id: ImageId) =>
      Effect.flatMap(
        images.byId(project, id),
        Option.match({ onNone: () => Effect.fail(notFound(`There is no image ${id}`)), onSome: Effect.succeed })
      )
    return handlers
      .handle("list", ({ urlParams }) =>
        Effect.all([Caller, window(urlParams)]).pipe(
          Effect.flatMap(([{ project }, window]) =>
            images.list(project, {
              ...window,
              tagged: urlParams.tagged ?? false,
              tagPrefix: urlParams.tagPrefix,
              id: urlParams.id,
              kind: urlParams.kind
            })
          ),
          Effect.map((images) => ({ images: images.map(toRecord) })),
          orInternal
        )
      )
      .handle("import", ({ payload }) =>
        Caller.pipe(
          Effect.flatMap(({ project }) => engine.startImport(project, payload)),
          Effect.map(started),
          orInternal
        )
      )
      .handle("tag", ({ path, payload }) =>
        Caller.pipe(
          Effect.flatMap(({ project }) =>
            Effect.zipLeft(existing(project, path.id), images.tag(project, path.id, payload.tag))
          ),
          Effect.map((image) => new ImageRecord({ ...toRecord(image), tag: Option.some(payload.tag) })),
          orInternal
        )
      )
      .handle("untag", ({ path, urlParams }) =>
        Caller.pipe(
          Effect.flatMap(({ project }) =>
            Effect.zipRight(existing(project, path.id), images.untag(project, path.id, urlParams.tag))
          ),
          Effect.filterOrFail(
            (had) => had,
            () => notFound(`Image ${path.id} does not have the tag ${JSON.stringify(urlParams.tag)}`)
          ),
          Effect.as(HttpServerResponse.empty({ status: 204 })),
          orInternal
        )
      )
  })
)
