/**
 * An image, and what an operation that is over has made: apart from the verbs, which need operations and instances.
 */
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import type { OperationDetail } from "../api/Operations.js"
import * as ContreeError from "../ContreeError.js"
import type { ImageId } from "../ImageId.js"
import * as Run from "../Run.js"

/**
 * An image that the service knows: an immutable snapshot of a file system.
 *
 * `tag` is the tag under which it was found or made; an image may have more.
 *
 * @since 0.1.0
 * @category models
 */
export class Image extends Pipeable.Class(
  Data.TaggedClass("Image")<{
    readonly id: ImageId
    readonly tag: Option.Option<string>
    readonly createdAt: Option.Option<DateTime.Utc>
  }>
) {}

/** The id of the image that an operation has made, if it has. */
export const resultImage = (operation: OperationDetail): Option.Option<ImageId> =>
  Option.orElse(
    Option.flatMap(operation.result, (result) => result.image),
    () => operation.resultImageId
  )

/** The image that an operation has made. */
export const imageOf = (operation: OperationDetail): Effect.Effect<Image, ContreeError.UnexpectedResponse> =>
  Option.match(resultImage(operation), {
    onNone: () =>
      Effect.fail(
        new ContreeError.UnexpectedResponse({
          request: { method: "GET", path: `/v1/operations/${operation.id}` },
          detail: `Operation ${operation.id} succeeded without an image`,
          suggestion: "Look at the operation's metadata; this is a fault of the server"
        })
      ),
    onSome: (id) =>
      Effect.succeed(
        new Image({
          id,
          tag: Option.flatMap(operation.result, (result) => result.tag),
          createdAt: operation.createdAt
        })
      )
  })

/** The result of a run that is over. */
export const runOf = (operation: OperationDetail): Effect.Effect<Run.Run, ContreeError.UnexpectedResponse> =>
  Option.match(
    Option.flatMap(operation.metadata, (metadata) => metadata.result),
    {
      onNone: () =>
        Effect.fail(
          new ContreeError.UnexpectedResponse({
            request: { method: "GET", path: `/v1/operations/${operation.id}` },
            detail: `Operation ${operation.id} succeeded without a result`,
            suggestion: "Look at the operation's metadata; this is a fault of the server"
          })
        ),
      onSome: (result) => Effect.succeed(Run.fromProcessResult(operation.id, result, operation.duration))
    }
  )
