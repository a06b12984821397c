/**
 * Bodies that come or go for long: they may take as long as they like, but not stand still, and not break off unseen.
 */
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RequestError, RequestInfo } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import { fromTransport } from "./faults.js"
import { Relay } from "./relay.js"
import type { Scrub } from "./secrets.js"
import { within } from "./timeLimit.js"
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

/** How many pieces of a body are read ahead of whoever takes them; a piece of `fetch` has at most 64 KiB. */
const readAhead = 16

/**
 * The body of an answer as it comes. One that stands still longer than the limit, breaks off, or is shorter than it
 * was announced is a failure, never an end.
 *
 * One fiber reads and one watches over it: a timer for each piece would cost more than the reading.
 */
export const arriving = (options: {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly request: RequestInfo
  readonly idleLimit: Duration.Duration
  readonly scrub: Scrub
}): Stream.Stream<Uint8Array, RequestError> => {
  const { idleLimit, request, response, scrub } = options
  return Stream.unwrapScoped(
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const relay = new Relay<Uint8Array, RequestError>(readAhead)
      const expected = announced(response)
      const limitMillis = Duration.toMillis(idleLimit)
      let came = 0
      /** Since when the next piece is waited for; nobody waits while the taker is behind. */
      let since: number | undefined = clock.unsafeCurrentTimeMillis()
      const room = Effect.map(relay.room, () => {
        since = clock.unsafeCurrentTimeMillis()
      })

      const read = Stream.suspend(() => response.stream).pipe(
        Stream.runForEachChunk((chunk) => {
          for (const bytes of chunk) came += bytes.byteLength
          const hasRoom = relay.offer(chunk)
          since = hasRoom ? clock.unsafeCurrentTimeMillis() : undefined
          return hasRoom ? Effect.void : room
        }),
        Effect.catchAll((error) =>
          error.reason === "EmptyBody" ? Effect.void : Effect.fail(fromTransport(error, scrub))
        ),
        Effect.filterOrFail(
          () => expected === undefined || came >= expected,
          () => shortened(request, response.status, came, expected ?? 0)
        ),
        Effect.onExit((exit) => Effect.sync(() => relay.finish(exit)))
      )
      const watch = Effect.gen(function* () {
        while (true) {
          const left = since === undefined ? limitMillis : limitMillis - (clock.unsafeCurrentTimeMillis() - since)
          if (left <= 0) {
            relay.finish(Exit.fail(stoodStill(request, "Nothing came of the answer's body", idleLimit)))
            return
          }
          yield* Effect.sleep(left)
        }
      })
      yield* Effect.forkScoped(read)
      yield* Effect.forkScoped(watch)
      return relay.stream
    })
  )
}

/** The slowest line that an upload is still waited for: about one megabit a second. */
const slowestBytesPerSecond = 128 * 1024

/**
 * Sends a request with a limit on its time. Bytes get a second more for each 128 KiB; a streamed body may take as long
 * as it moves, and the limit starts when it is out.
 */
export const withinLimits = <E, R>(options: {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly where: RequestInfo
  readonly requestTimeout: Duration.Duration
  readonly idleLimit: Duration.Duration
  readonly send: (
    request: HttpClientRequest.HttpClientRequest
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
}): Effect.Effect<HttpClientResponse.HttpClientResponse, E | RequestError, R> => {
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
    return within(send(request), { limit, onTimeout: () => noAnswer(limit) })
  }
  return Effect.gen(function* () {
    const clock = yield* Effect.clock
    const progress = { movedAt: clock.unsafeCurrentTimeMillis() }
    const out = yield* Deferred.make<void>()
    const stream = body.stream.pipe(
      Stream.mapChunks((chunk) => {
        progress.movedAt = clock.unsafeCurrentTimeMillis()
        return chunk
      }),
      Stream.onEnd(Deferred.succeed(out, undefined))
    )
    const watch: Effect.Effect<never, RequestError> = Effect.gen(function* () {
      while (!(yield* Deferred.isDone(out))) {
        const left = Duration.toMillis(idleLimit) - (clock.unsafeCurrentTimeMillis() - progress.movedAt)
        if (left <= 0) return yield* Effect.fail(stoodStill(where, "The request's body did not move", idleLimit))
        // The end of the body is waited for too: from then on the other limit holds, which may be the shorter one.
        yield* Effect.raceFirst(Effect.sleep(left), Deferred.await(out))
      }
      yield* Effect.sleep(requestTimeout)
      return yield* Effect.fail(noAnswer(requestTimeout))
    })
    const streamed = HttpClientRequest.bodyStream(request, stream, {
      contentType: body.contentType,
      contentLength: body.contentLength
    })
    return yield* Effect.raceFirst(send(streamed), watch)
  })
}
