/** gzip for clients that accept it. */
import * as Headers from "@effect/platform/Headers"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import { constants, createGzip, gzip } from "node:zlib"

/** Whether an `Accept-Encoding` takes gzip: named or by `*`, and not with a weight of nothing. */
export const acceptsGzip = (header: string | undefined): boolean => {
  let any = false
  for (const part of (header ?? "").toLowerCase().split(",")) {
    const [name, ...parameters] = part.split(";").map((text) => text.trim())
    const refused = parameters.some((parameter) => /^q\s*=\s*0(?:\.0*)?$/.test(parameter))
    if (name === "gzip" || name === "x-gzip") return !refused
    if (name === "*") any = !refused
  }
  return any
}

const compressible = /^(?:text\/|application\/(?:json|x-tar)\b)/

/** Below this a packet is not saved. */
const smallest = 256

const squeeze = (bytes: Uint8Array) =>
  Effect.async<Uint8Array>((resume) => {
    gzip(bytes, { level: 6 }, (error, squeezed) =>
      resume(error === null ? Effect.succeed(squeezed) : Effect.die(error))
    )
  })

const compress = (response: HttpServerResponse.HttpServerResponse) => {
  const { body } = response
  const contentType = body.contentType ?? response.headers["content-type"] ?? ""
  if (!compressible.test(contentType) || response.headers["content-encoding"] !== undefined) {
    return Effect.succeed(response)
  }
  const headers = pipe(
    Headers.remove(response.headers, "content-length"),
    Headers.set("vary", "Accept-Encoding"),
    Headers.set("content-encoding", "gzip")
  )
  const { status } = response
  if (body._tag === "Uint8Array" && body.body.length >= smallest) {
    return Effect.map(squeeze(body.body), (bytes) =>
      HttpServerResponse.uint8Array(bytes, { status, headers, contentType })
    )
  }
  if (body._tag === "Stream") {
    // A frame of an event stream must reach the client at once.
    const flush = contentType.startsWith("text/event-stream") ? constants.Z_SYNC_FLUSH : constants.Z_NO_FLUSH
    const squeezed = body.stream.pipe(
      NodeStream.pipeThroughDuplex(
        () => createGzip({ level: 1, flush }),
        (error) => error
      )
    )
    return Effect.succeed(HttpServerResponse.stream(squeezed, { status, headers, contentType }))
  }
  return Effect.succeed(HttpServerResponse.setHeader(response, "vary", "Accept-Encoding"))
}

/** Compresses JSON, text, events and archives. */
export const compression = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers, method }) =>
    method !== "HEAD" && acceptsGzip(headers["accept-encoding"]) ? Effect.flatMap(app, compress) : app
  )
