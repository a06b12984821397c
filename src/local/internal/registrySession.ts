/**
 * Requests to one registry (or mirror) about one repository: authentication, redirects, time limits and repetition.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as RegistryAuth from "../RegistryAuth.js"
import { make as makeError, type RegistryError, type RegistryErrorReason } from "../RegistryError.js"

/** @internal */
export interface Policy {
  readonly attempts: number
  readonly baseDelay: Duration.Duration
  /** The longest wait between attempts: a registry that asks for more is not asked again. */
  readonly maxDelay: Duration.Duration
  readonly responseTimeout: Duration.Duration
  /** The longest pause within a body. */
  readonly idleTimeout: Duration.Duration
}

/** @internal */
export interface Target {
  /** As messages name it: `ghcr.io`, `127.0.0.1:5000`. */
  readonly registry: string
  /** What stands before `/v2/`. */
  readonly base: string
  readonly repository: string
  /** The reference as a whole, for messages. */
  readonly image: string
  readonly credentials: Option.Option<RegistryAuth.Credentials>
}

/** @internal */
export interface Session {
  readonly target: Target
  /** Gets `/v2/<repository>/<path>`; the answer has a status of success, and its body lives as long as the scope. */
  readonly get: (
    path: string,
    headers: Readonly<Record<string, string>>
  ) => Effect.Effect<HttpClientResponse, RegistryError, Scope.Scope>
  /** Reads a body of at most `limit` bytes. */
  readonly read: (response: HttpClientResponse, limit: number) => Effect.Effect<Uint8Array, RegistryError>
  readonly error: (
    reason: RegistryErrorReason,
    detail: string,
    extra?: { readonly status?: number; readonly resetAt?: Option.Option<DateTime.Utc> }
  ) => RegistryError
}

/** A failure with what decides about another attempt. */
class Refused extends Data.TaggedError("Refused")<{
  readonly error: RegistryError
  readonly transient: boolean
  readonly after: Option.Option<Duration.Duration>
}> {}

const MOST_REDIRECTS = 5
const LONGEST_EXPLANATION = 300
const SMALL_BODY = 64 * 1024

const Explanation = Schema.parseJson(
  Schema.Struct({
    errors: Schema.NonEmptyArray(
      Schema.Struct({ code: Schema.optional(Schema.String), message: Schema.optional(Schema.String) })
    )
  })
)

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)
const isSuccess = (status: number): boolean => status >= 200 && status < 300

const parseUrl = Option.liftThrowable((location: string, base: string) => new URL(location, base))

/** What lies under the error of a request: Node's own has the code that says what happened. */
const describeTransport = (error: HttpClientError.RequestError | HttpClientError.ResponseError): string => {
  let cause: unknown = error.cause
  let text = error.message
  for (let depth = 0; cause instanceof Error && depth < 4; depth++) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : ""
    text = cause.message === "" ? code : cause.message.includes(code) ? cause.message : `${cause.message} (${code})`
    cause = cause.cause
  }
  return text
}

/** When a registry that refuses for now would be asked again. Docker Hub gives a Unix time in a header of its own. */
const retryTime = (response: HttpClientResponse, now: number): Option.Option<DateTime.Utc> => {
  const asked = response.headers["retry-after"]?.trim()
  const hub = response.headers["x-retry-after"]?.trim()
  if (asked !== undefined) {
    return /^\d{1,9}$/.test(asked) ? DateTime.make(now + Number(asked) * 1000) : DateTime.make(Date.parse(asked))
  }
  return hub !== undefined && /^\d{10}$/.test(hub) ? DateTime.make(Number(hub) * 1000) : Option.none()
}

/** @internal */
export const open = (httpClient: HttpClient.HttpClient, target: Target, policy: Policy): Effect.Effect<Session> =>
  Effect.gen(function* () {
    // Addresses of redirects are signed, so they must not get into spans; and no registry is to see our trace.
    const client = httpClient.pipe(
      HttpClient.withTracerDisabledWhen(() => true),
      HttpClient.withTracerPropagation(false),
      HttpClient.withScope
    )
    const authorization = yield* Ref.make(Option.none<Redacted.Redacted>())
    const origin = Option.map(parseUrl(target.base, target.base), (url) => url.origin)
    const secure = target.base.startsWith("https:")

    const secrets = Option.match(target.credentials, {
      onNone: (): ReadonlyArray<string> => [],
      onSome: (credentials) => [
        Redacted.value(credentials.password),
        Redacted.value(RegistryAuth.basic(credentials)).slice("Basic ".length)
      ]
    }).filter((secret) => secret !== "")
    // A server may repeat in its answer what it was sent.
    const scrub = (text: string): string => secrets.reduce((clean, secret) => clean.replaceAll(secret, "***"), text)

    const error: Session["error"] = (reason, detail, extra) =>
      makeError({
        reason,
        registry: target.registry,
        image: target.image,
        status: Option.fromNullable(extra?.status),
        resetAt: extra?.resetAt ?? Option.none(),
        detail: scrub(detail)
      })

    const refused = (
      error: RegistryError,
      options?: { readonly transient?: boolean; readonly after?: Option.Option<Duration.Duration> }
    ): Refused => new Refused({ error, transient: options?.transient ?? false, after: options?.after ?? Option.none() })

    const bounded = (
      response: HttpClientResponse,
      limit: number
    ): Effect.Effect<{ readonly bytes: Uint8Array; readonly whole: boolean }, RegistryError> =>
      response.stream.pipe(
        Stream.timeoutFail(
          () => error("Unavailable", `it paused for ${Duration.format(policy.idleTimeout)}`),
          policy.idleTimeout
        ),
        Stream.runFoldWhile(
          { pieces: [] as ReadonlyArray<Uint8Array>, size: 0 },
          ({ size }) => size <= limit,
          ({ pieces, size }, piece) => ({ pieces: [...pieces, piece], size: size + piece.length })
        ),
        Effect.mapBoth({
          onSuccess: ({ pieces, size }) => ({ bytes: Buffer.concat(pieces), whole: size <= limit }),
          onFailure: (cause) =>
            cause._tag === "RegistryError" ? cause : error("Unavailable", describeTransport(cause))
        })
      )

    const read: Session["read"] = (response, limit) =>
      Effect.flatMap(bounded(response, limit), ({ bytes, whole }) =>
        whole
          ? Effect.succeed(bytes)
          : Effect.fail(
              error("Protocol", `it sent a document of more than ${limit} bytes`, { status: response.status })
            )
      )

    const send = (url: URL, headers: Readonly<Record<string, string>>, secret: Option.Option<Redacted.Redacted>) =>
      client
        .execute(
          HttpClientRequest.get(url, {
            headers: Option.match(secret, {
              onNone: () => headers,
              onSome: (value) => ({ ...headers, authorization: Redacted.value(value) })
            })
          })
        )
        .pipe(
          Effect.mapError((cause) => refused(error("Unavailable", describeTransport(cause)), { transient: true })),
          Effect.timeoutFail({
            duration: policy.responseTimeout,
            onTimeout: () =>
              refused(error("Unavailable", `it did not answer within ${Duration.format(policy.responseTimeout)}`), {
                transient: true
              })
          })
        )

    /** Turns an answer that is no success into a failure that says what the registry says. */
    const refusal = Effect.fnUntraced(function* (response: HttpClientResponse, what: string) {
      const text = yield* bounded(response, SMALL_BODY).pipe(
        Effect.map(({ bytes }) => new TextDecoder().decode(bytes)),
        Effect.orElseSucceed(() => "")
      )
      const said = Option.match(Schema.decodeOption(Explanation)(text), {
        onNone: () => "",
        onSome: ({ errors: [first] }) => [first.code, first.message].filter((part) => part !== undefined).join(": ")
      })
      const { status } = response
      const answer = `(status ${status}${said === "" ? "" : `, ${said.slice(0, LONGEST_EXPLANATION)}`})`
      const now = yield* Clock.currentTimeMillis
      const resetAt = retryTime(response, now)
      const after = Option.map(resetAt, (time) => Duration.millis(Math.max(0, DateTime.toEpochMillis(time) - now)))
      switch (status) {
        case 401:
        case 403: {
          const who = Option.isSome(target.credentials) ? "with the credentials given" : "without credentials"
          return refused(error("Unauthorized", `it does not give out ${what} ${who} ${answer}`, { status }))
        }
        case 404:
          return refused(error("NotFound", `it does not have ${what} ${answer}`, { status }))
        case 429:
          return refused(error("RateLimited", `it limits the number of pulls ${answer}`, { status, resetAt }), {
            transient: true,
            after
          })
        default:
          return status >= 500 || status === 408 || status === 425
            ? refused(error("Unavailable", `it is in trouble ${answer}`, { status }), { transient: true, after })
            : refused(error("Protocol", `it gave an answer that was not expected ${answer}`, { status }))
      }
    })

    const drain = (response: HttpClientResponse) => Effect.ignore(bounded(response, SMALL_BODY))

    const requireSafe = (url: URL, what: string): Effect.Effect<void, Refused> =>
      url.protocol === "https:" || (url.protocol === "http:" && !secure)
        ? Effect.void
        : Effect.fail(refused(error("Protocol", `its ${what} leads from https to ${url.protocol}//${url.host}`)))

    const fetchToken = Effect.fnUntraced(function* (challenge: RegistryAuth.Challenge) {
      const url = yield* Option.match(RegistryAuth.tokenUrl(challenge, target.repository), {
        onNone: () => Effect.fail(refused(error("Protocol", "it does not say where it gives out tokens"))),
        onSome: Effect.succeed
      })
      yield* requireSafe(url, "token server")
      const response = yield* send(
        url,
        { accept: "application/json" },
        Option.map(target.credentials, RegistryAuth.basic)
      )
      if (!isSuccess(response.status)) return yield* yield* refusal(response, `a token of ${url.host}`)
      const text = yield* Effect.mapError(read(response, SMALL_BODY), (error) => refused(error))
      const answer = yield* Effect.mapError(
        Schema.decode(RegistryAuth.TokenAnswer)(new TextDecoder().decode(text)),
        () => refused(error("Protocol", `the answer of its token server ${url.host} holds no token`))
      )
      return RegistryAuth.bearer(answer)
    })

    const answerChallenge = Effect.fnUntraced(function* (response: HttpClientResponse, what: string) {
      const challenges = RegistryAuth.parseChallenges(response.headers["www-authenticate"] ?? "")
      const bearer = challenges.find(({ scheme }) => scheme === "bearer")
      if (bearer !== undefined) {
        yield* drain(response)
        return yield* fetchToken(bearer)
      }
      if (challenges.some(({ scheme }) => scheme === "basic") && Option.isSome(target.credentials)) {
        yield* drain(response)
        return RegistryAuth.basic(target.credentials.value)
      }
      return yield* yield* refusal(response, what)
    })

    /** Follows redirects; what authorizes at the registry goes to no other place. */
    const follow = Effect.fnUntraced(function* (
      start: URL,
      headers: Readonly<Record<string, string>>,
      secret: Option.Option<Redacted.Redacted>
    ) {
      let url = start
      for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
        const home = Option.contains(origin, url.origin)
        const response = yield* send(url, headers, home ? secret : Option.none())
        const location = response.headers["location"]
        if (!isRedirect(response.status) || location === undefined) return { home, response }
        const next = parseUrl(location, url.href)
        if (Option.isNone(next)) return yield* refused(error("Protocol", "it redirects to what is no address"))
        yield* requireSafe(next.value, "redirect")
        yield* drain(response)
        url = next.value
      }
      return yield* refused(error("Protocol", `it redirects more than ${MOST_REDIRECTS} times`))
    })

    const once = Effect.fnUntraced(function* (path: string, headers: Readonly<Record<string, string>>) {
      const url = parseUrl(`${target.base}/v2/${target.repository}/${path}`, target.base)
      if (Option.isNone(url)) return yield* refused(error("Protocol", `${target.base} is no address`))
      const what = path.startsWith("blobs/") ? `the blob ${path.slice("blobs/".length)}` : "the image"
      const first = yield* follow(url.value, headers, yield* Ref.get(authorization))
      let response = first.response
      // Another host that refuses has no say in where credentials are sent.
      if (response.status === 401 && first.home) {
        const secret = Option.some(yield* answerChallenge(response, what))
        yield* Ref.set(authorization, secret)
        response = (yield* follow(url.value, headers, secret)).response
      }
      return isSuccess(response.status) ? response : yield* yield* refusal(response, what)
    })

    const isWorthIt = ({ after, transient }: Refused): boolean =>
      transient && Option.match(after, { onNone: () => true, onSome: Duration.lessThanOrEqualTo(policy.maxDelay) })

    const again = Schedule.identity<Refused>().pipe(
      Schedule.intersect(Schedule.jittered(Schedule.exponential(policy.baseDelay))),
      Schedule.intersect(Schedule.recurs(policy.attempts - 1)),
      Schedule.modifyDelay(([[{ after }]], delay) =>
        Option.getOrElse(after, () => Duration.min(delay, policy.maxDelay))
      )
    )

    return {
      target,
      read,
      error,
      get: (path, headers) =>
        once(path, headers).pipe(
          Effect.retry({ schedule: again, while: isWorthIt }),
          Effect.mapError(({ error }) => error)
        )
    }
  })
