/** The handlers that look at an image without running anything. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller } from "../../api/Account.js"
import { ContreeApi } from "../../ContreeApi.js"
import { ImageStore } from "../ImageStore.js"
import { notFound, notYet, orInternal } from "./answers.js"
import { toRecord } from "./images.js"

export const inspectGroup = HttpApiBuilder.group(ContreeApi, "inspect", (handlers) =>
  Effect.gen(function* () {
    const images = yield* ImageStore
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
      .handle("byId", ({ path }) =>
        Caller.pipe(
          Effect.flatMap(({ project }) => images.byId(project, path.id)),
          Effect.flatMap(
            Option.match({
              onNone: () => Effect.fail(notFound(`There is no image ${path.id}`)),
              onSome: (image) => Effect.succeed(toRecord(image))
            })
          ),
          orInternal
        )
      )
      .handle("list", () => notYet)
      .handle("download", () => notYet)
      .handle("hasDownload", () => notYet)
      .handle("archive", () => notYet)
      .handle("hasArchive", () => notYet)
      .handle("grep", () => notYet)
  })
)
