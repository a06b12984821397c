/** JSON bodies: how large they may be, and that nothing else is taken for one. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import { ApiFailure } from "../../api/Failure.js"

const failed = (request: HttpServerRequest.HttpServerRequest, status: 400 | 413, error: string) =>
  new HttpServerError.RequestError({ request, reason: "Decode", cause: new ApiFailure({ status, error }) })

/** The whole body as text. One that is too large is given up without ending the connection, so that it can be said. */
const textOf = (request: HttpServerRequest.HttpServerRequest, limit: number) =>
  Effect.async<string, HttpServerError.RequestError>((resume) => {
    const source = NodeHttpServerRequest.toIncomingMessage(request)
    const tooLarge = () => failed(request, 413, `The body may have ${limit} bytes at most`)
    if (Number(request.headers["content-length"] ?? 0) > limit) return resume(Effect.fail(tooLarge()))
    const chunks: Array<Buffer> = []
    let size = 0
    const done = (result: Effect.Effect<string, HttpServerError.RequestError>) => {
      source.off("data", onData).off("end", onEnd).off("error", onError).off("close", onError)
      resume(result)
    }
    const onData = (chunk: Buffer) => {
      size += chunk.length
      chunks.push(chunk)
      if (size > limit) {
        source.pause()
        done(Effect.fail(tooLarge()))
      }
    }
    const onEnd = () => {
      const bytes = Buffer.concat(chunks)
      const text = bytes.toString("utf8")
      // What is no UTF-8 would be changed silently.
      done(
        text.includes("\uFFFD") && !Buffer.from(text).equals(bytes)
          ? Effect.fail(failed(request, 400, "The request's body is not UTF-8"))
          : Effect.succeed(text)
      )
    }
    const onError = () => done(Effect.fail(failed(request, 400, "The request's body broke off")))
    source.on("data", onData).on("end", onEnd).on("error", onError).on("close", onError)
  })

/** The request with readers that are bounded. A body that is streamed is its endpoint's own affair. */
const bounded = (request: HttpServerRequest.HttpServerRequest, limit: number): HttpServerRequest.HttpServerRequest => {
  const notJson = Effect.fail(failed(request, 400, "The body must be JSON (Content-Type: application/json)"))
  const text = textOf(request, limit)
  const readers: PropertyDescriptorMap = {
    text: { value: text },
    json: {
      value: Effect.tryMap(text, {
        try: (text): unknown => (text === "" ? null : JSON.parse(text)),
        catch: () => failed(request, 400, "The request's body could not be read as JSON")
      })
    },
    arrayBuffer: { value: notJson },
    multipart: { value: notJson },
    urlParamsBody: { value: notJson }
  }
  return Object.create(request, readers)
}

/** Bounds what the endpoints read as JSON. */
export const boundedBodies =
  (limit: number) =>
  <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
    Effect.updateService(app, HttpServerRequest.HttpServerRequest, (request) => bounded(request, limit))
