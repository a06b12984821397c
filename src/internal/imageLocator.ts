/**
 * Where the API finds what a program names: an image by its id or by a tag.
 */
import * as Effect from "effect/Effect"
import type { ImageRecord } from "../api/Images.js"
import { ContreeClient } from "../ContreeClient.js"
import type { RequestError, StartError } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import type { Input } from "../Image.js"
import type { ImageId } from "../ImageId.js"
import * as ImageRef from "../ImageRef.js"
import type { ImageTag } from "../ImageTag.js"
import type { InvalidImageRef } from "../InvalidImageRef.js"

export type Locator = { readonly _tag: "Id"; readonly id: ImageId } | { readonly _tag: "Tag"; readonly tag: ImageTag }

export const locate = (input: Input): Effect.Effect<Locator, InvalidImageRef> => {
  if (typeof input === "object" && input._tag === "Image") return Effect.succeed({ _tag: "Id", id: input.id })
  return Effect.flatMap(
    typeof input === "object" && input._tag === "LazyImage" ? Effect.succeed(input.ref) : ImageRef.fromInput(input),
    (ref) =>
      ref._tag === "Uuid"
        ? Effect.succeed<Locator>({ _tag: "Id", id: ref.id })
        : Effect.map(ImageRef.localTag(ref), (tag): Locator => ({ _tag: "Tag", tag }))
  )
}

/** A locator as a spawn request names it. */
export const named = (locator: Locator): string => (locator._tag === "Id" ? locator.id : `tag:${locator.tag}`)

export const describe = (locator: Locator): string =>
  locator._tag === "Id" ? `image ${locator.id}` : `image tag "${locator.tag}"`

const missing = (locator: Locator, error: ContreeError.NotFound | ContreeError.RequestRejected) =>
  new ContreeError.NotFound({
    request: error.request,
    status: error.status,
    what: describe(locator),
    detail: `There is no ${describe(locator)} in this project`,
    suggestion:
      locator._tag === "Id"
        ? "Check the UUID and the client's project"
        : "Check the tag with Image.list, or fetch the image with Image.oci"
  })

/** What the service knows of an image. */
export const lookUp = Effect.fnUntraced(function* (
  locator: Locator
): Effect.fn.Return<ImageRecord, RequestError, ContreeClient> {
  const { inspect } = yield* ContreeClient
  return yield* (locator._tag === "Id" ? inspect.byId(locator.id) : inspect.byTag(locator.tag)).pipe(
    Effect.catchTag("NotFound", (error) => Effect.fail(missing(locator, error)))
  )
})

/**
 * The contract leaves open how a server refuses a run of an unknown tag, so a refused one is looked up.
 */
export const explainRefusal =
  (locator: Locator) =>
  (error: StartError): Effect.Effect<never, StartError, ContreeClient> => {
    if (error._tag === "NotFound") return Effect.fail(missing(locator, error))
    if (error._tag !== "RequestRejected" || error.status === undefined) return Effect.fail(error)
    return lookUp(locator).pipe(
      Effect.matchEffect({
        onFailure: (reason) => Effect.fail(reason._tag === "NotFound" ? missing(locator, error) : error),
        onSuccess: () => Effect.fail(error)
      })
    )
  }
