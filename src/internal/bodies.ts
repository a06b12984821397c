/**
 * Bodies that come or go for long: they may take as long as they like, but not stand still, and not break off unseen.
 */
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError, RequestInfo } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import { fromTransport } from "./faults.js"
import type { Scrub } from "./secrets.js"
import { WholeResponse } from "./wholeResponse.js"

const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** The length that an answer announces; a body that is unpacked on the way has another one. */
const announced = (
  response: HttpClientResponse.HttpClientResponse,
  headers: Headers.Headers = response.headers
): number | undefined => {
  const { "content-encoding": encoding = "identity", "content-length": length } = headers
  return encoding === "identity" && response.request.method !== "HEAD" && length !== undefined && /^\d+$/.test(length)
    ? Number(length)
    : undefined
}

const brokenOff = (request: RequestInfo, status: number, detail: string): RequestError =>
  new ContreeError.Unavailable({
    request,
    status,
    detail,
    retryAfter: Option.none(),
    suggestion: "Try again, and check the network"
  })

const shortened = (request: RequestInfo, status: number, came: number, expected: number): RequestError =>
  brokenOff(request, status, `The answer broke off: ${came} of ${expected} bytes came`)

/** An answer with its whole body, so that one that stalls or breaks is a fault of the exchange like any other. */
export const whole = (
  response: HttpClientResponse.HttpClientResponse,
  request: RequestInfo
): Effect.Effect<HttpClientResponse.HttpClientResponse, RequestError | HttpClientError.ResponseError> =>
  Effect.flatMap(response.arrayBuffer, (body) => {
    // Each look at the headers of an answer of `fetch` copies them all.
    const { headers } = response
    const expected = announced(response, headers)
    return expected !== undefined && body.byteLength < expected && !bodiless.has(response.status)
      ? Effect.fail(shortened(request, response.status, body.byteLength, expected))
      : Effect.succeed(new WholeResponse(response, headers, body))
  })

/** What is told of something that stood still. */
export const stoodStill = (request: RequestInfo, what: string, after: Duration.Duration): RequestError =>
  new ContreeError.TimedOut({
    request,
    detail: `${what} for ${Duration.format(after)}`,
    suggestion: "Try again, or raise idleLimit",
    limit: "idle",
    after
  })

/**
 * The body of an answer as it comes. One that stands still longer than the limit, breaks off, or is shorter than it
 * was announced is a failure, never an end.
 */
export const arriving = (options: {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly request: RequestInfo
  readonly idleLimit: Duration.Duration
  readonly scrub: Scrub
}): Stream.Stream<Uint8Array, RequestError> =>
  Stream.suspend(() => {
    const { idleLimit, request, response, scrub } = options
    const expected = announced(response)
    let came = 0
    return response.stream.pipe(
      Stream.catchAll((error) =>
        error.reason === "EmptyBody" ? Stream.empty : Stream.fail(fromTransport(error, scrub))
      ),
      Stream.timeoutFail(() => stoodStill(request, "Nothing came of the answer's body", idleLimit), idleLimit),
      Stream.mapChunks((chunk) => {
        for (const bytes of chunk) came += bytes.byteLength
        return chunk
      }),
      Stream.concat(
        Stream.suspend(() =>
          expected === undefined || came >= expected
            ? Stream.empty
            : Stream.fail(shortened(request, response.status, came, expected))
        )
      )
    )
  })

/** The slowest line that an upload is still waited for: about one megabit a second. */
const slowestBytesPerSecond = 128 * 1024

/**
 * Sends a request with a limit on its time. Bytes get a second more for each 128 KiB; a streamed body may take as long
 * as it moves, and the limit starts when it is out.
 */
export const withinLimits = <E>(options: {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly where: RequestInfo
  readonly requestTimeout: Duration.Duration
  readonly idleLimit: Duration.Duration
  readonly send: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, E>
}): Effect.Effect<HttpClientResponse.HttpClientResponse, E | RequestError> => {
  const { idleLimit, request, requestTimeout, send, where } = options
  const noAnswer = (after: Duration.Duration): RequestError =>
    new ContreeError.TimedOut({
      request: where,
      detail: `No answer within ${Duration.format(after)}`,
      suggestion: "Try again, or raise requestTimeout",
      limit: "request",
      after
    })
  const { body } = request
  if (body._tag !== "Stream") {
    const bytes = body._tag === "Uint8Array" ? body.body.byteLength : 0
    const limit = Duration.sum(requestTimeout, Duration.seconds(Math.floor(bytes / slowestBytesPerSecond)))
    return Effect.timeoutFail(send(request), { duration: limit, onTimeout: () => noAnswer(limit) })
  }
  return Effect.gen(function* () {
    const progress = { movedAt: yield* Clock.currentTimeMillis, sent: false }
    const moved = Effect.map(Clock.currentTimeMillis, (now) => {
      progress.movedAt = now
    })
    const stream = body.stream.pipe(
      Stream.chunks,
      Stream.tap(() => moved),
      Stream.flattenChunks,
      Stream.onEnd(
        Effect.andThen(moved, () => {
          progress.sent = true
        })
      )
    )
    const watch: Effect.Effect<never, RequestError> = Effect.gen(function* () {
      while (true) {
        const limit = progress.sent ? requestTimeout : idleLimit
        const left = Duration.toMillis(limit) - ((yield* Clock.currentTimeMillis) - progress.movedAt)
        if (left <= 0) {
          return yield* Effect.fail(
            progress.sent ? noAnswer(limit) : stoodStill(where, "The request's body did not move", limit)
          )
        }
        yield* Effect.sleep(left)
      }
    })
    const streamed = HttpClientRequest.bodyStream(request, stream, {
      contentType: body.contentType,
      contentLength: body.contentLength
    })
    return yield* Effect.raceFirst(send(streamed), watch)
  })
}
