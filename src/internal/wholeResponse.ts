/**
 * An answer whose whole body is there: it is read from memory, as often as one likes.
 */
import type * as Cookies from "@effect/platform/Cookies"
import type * as Headers from "@effect/platform/Headers"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import type * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"

/** Statuses whose answers have no body. */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

const utf8 = new TextDecoder()

/**
 * An answer with its body. A `Response` of the web would do the same, at several times the cost of the rest of a call.
 */
export class WholeResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number

  constructor(
    private readonly head: HttpClientResponse.HttpClientResponse,
    readonly headers: Headers.Headers,
    private readonly body: ArrayBuffer
  ) {
    super()
    this.request = head.request
    this.status = head.status
  }

  get cookies(): Cookies.Cookies {
    return this.head.cookies
  }

  get remoteAddress(): Option.Option<string> {
    return this.head.remoteAddress
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer> {
    return Effect.succeed(this.body)
  }

  get text(): Effect.Effect<string> {
    return Effect.sync(() => utf8.decode(this.body))
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return Effect.tryMap(this.text, {
      try: (text): unknown => (text === "" ? null : JSON.parse(text)),
      catch: (cause) =>
        new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
    })
  }

  get stream(): Stream.Stream<Uint8Array, HttpClientError.ResponseError> {
    return this.web.stream
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return this.web.formData
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.ResponseError> {
    return this.web.urlParamsBody
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  private get web(): HttpClientResponse.HttpClientResponse {
    const body = bodiless.has(this.status) ? null : this.body
    return HttpClientResponse.fromWeb(this.request, new Response(body, { status: this.status, headers: this.headers }))
  }
}
