/**
 * An upload: its body, its own failure, and when it may be sent again.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError } from "../ContreeError.js"
import type { Repetition } from "./repeating.js"
import { retrySafely } from "./repeating.js"
import * as Bytes from "./bytes.js"

const contentType = "application/octet-stream"

/** What is uploaded: bytes, or a stream that is sent as it comes. */
export type Content<E> = Uint8Array | Stream.Stream<Uint8Array, E>

/**
 * Browsers send a body that is made on the way over HTTP/2 at most, and some send the text "[object ReadableStream]"
 * instead. What has `XMLHttpRequest` is taken for one.
 */
const isBrowser = "XMLHttpRequest" in globalThis

/**
 * Sends a content until it is there. A stream that may not give the same bytes again is sent again only while nothing
 * of it was taken.
 */
export const send = <A, E>(options: {
  readonly content: Content<E>
  readonly repeatable: boolean
  readonly repetition: Repetition
  readonly request: HttpClientRequest.HttpClientRequest
  readonly exchange: (request: HttpClientRequest.HttpClientRequest) => Effect.Effect<A, RequestError>
}): Effect.Effect<A, RequestError | E> =>
  Effect.suspend(() => {
    const { content, exchange, repeatable, repetition, request } = options
    if (content instanceof Uint8Array) {
      return exchange(HttpClientRequest.bodyUint8Array(request, content, contentType)).pipe(
        retrySafely(repetition, "PUT")
      )
    }
    if (isBrowser) {
      return Effect.flatMap(Stream.runCollect(content), (pieces) => send({ ...options, content: Bytes.concat(pieces) }))
    }
    const state = { taken: false, failure: Option.none<Cause.Cause<E>>() }
    const body = content.pipe(
      Stream.mapChunks((chunk) => {
        state.taken = true
        return chunk
      }),
      Stream.tapErrorCause((cause) =>
        Effect.sync(() => {
          state.failure = Option.some(cause)
        })
      )
    )
    return exchange(HttpClientRequest.bodyStream(request, body, { contentType })).pipe(
      retrySafely(repetition, "PUT", () => Option.isNone(state.failure) && (repeatable || !state.taken)),
      // What the connection makes of a body that fails says less than the failure itself.
      Effect.catchAll((error): Effect.Effect<never, RequestError | E> =>
        Option.match(state.failure, { onNone: () => Effect.fail(error), onSome: Effect.failCause })
      )
    )
  })
