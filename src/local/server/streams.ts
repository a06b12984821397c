/** Answers whose body is a stream. */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * An answer of bytes as they come. A body that fails breaks the connection: a client must not take it for whole, as it
 * would a chunked body that ends.
 */
export const streamed = <E>(
  request: HttpServerRequest,
  body: Stream.Stream<Uint8Array, E>,
  options: {
    readonly contentType: string
    readonly contentLength?: number | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(
    Stream.tapErrorCause(body, (cause) =>
      Effect.zipRight(
        Effect.logWarning("an answer broke off", cause),
        Effect.sync(() => NodeHttpServerRequest.toServerResponse(request).destroy())
      )
    ),
    options
  )
