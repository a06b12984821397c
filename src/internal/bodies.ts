/**
 * Bodies that come or go for long: they may take as long as they like, but not stand still, and not break off unseen.
 */
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
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

type Pull = Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<RequestError>>

/**
 * Limits how long each pull may take, and not how long the one who pulls takes in between. One fiber watches over all
 * of them: a timer for each would cost more than the reading.
 */
const watched = (
  pull: Pull,
  limit: Duration.Duration,
  stoodStill: () => RequestError
): Effect.Effect<Pull, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const limitMillis = Duration.toMillis(limit)
    let reading: Fiber.RuntimeFiber<Chunk.Chunk<Uint8Array>, Option.Option<RequestError>> | undefined
    let since = 0
    let isStill = false

    const watch = Effect.gen(function* () {
      while (true) {
        const left = reading === undefined ? limitMillis : limitMillis - (clock.unsafeCurrentTimeMillis() - since)
        if (left > 0) {
          yield* Effect.sleep(left)
          continue
        }
        isStill = true
        return reading
      }
    })
    yield* Effect.forkScoped(
      Effect.flatMap(watch, (reading) => (reading === undefined ? Effect.void : Fiber.interruptFork(reading)))
    )

    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.forkDaemon(Effect.interruptible(pull)), (fiber) => {
        reading = fiber
        since = clock.unsafeCurrentTimeMillis()
        return restore(Fiber.await(fiber)).pipe(
          Effect.onInterrupt(() => Fiber.interrupt(fiber)),
          Effect.flatMap((exit) => {
            reading = undefined
            return isStill && Exit.isInterrupted(exit) ? Effect.fail(Option.some(stoodStill())) : exit
          })
        )
      })
    )
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
}): Stream.Stream<Uint8Array, RequestError> => {
  const { idleLimit, request, response, scrub } = options
  return Stream.fromPull(
    Effect.gen(function* () {
      const expected = announced(response)
      let came = 0
      const pull = Effect.mapError(
        yield* Stream.toPull(response.stream),
        Option.flatMap((error) =>
          error.reason === "EmptyBody" ? Option.none() : Option.some(fromTransport(error, scrub))
        )
      )
      const next = yield* watched(pull, idleLimit, () =>
        stoodStill(request, "Nothing came of the answer's body", idleLimit)
      )
      return Effect.matchEffect(next, {
        onSuccess: (chunk) => {
          for (const bytes of chunk) came += bytes.byteLength
          return Effect.succeed(chunk)
        },
        onFailure: (end) =>
          Effect.fail(
            Option.orElse(end, () =>
              expected === undefined || came >= expected
                ? Option.none()
                : Option.some(shortened(request, response.status, came, expected))
            )
          )
      })
    })
  )
}

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
