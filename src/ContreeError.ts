/**
 * Everything that can go wrong between a program and ConTree: one class for each thing that a
 * program would do differently about.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { Console, Effect } from "effect"
 *
 * export const program = Image.use("myapp:ready", { strict: true }).pipe(
 *   Effect.catchTags({
 *     NotFound: (error) => Console.error(`build it first: ${error.what} is missing`),
 *     Unauthorized: (error) => Console.error(error.suggestion)
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { CapturedStream } from "./api/StreamRepr.js"

/**
 * The request that failed. The path carries no query and no secret.
 *
 * @since 0.1.0
 * @category models
 */
export const RequestInfo = Schema.Struct({ method: Schema.String, path: Schema.String })

/**
 * The request that failed.
 *
 * @since 0.1.0
 * @category models
 */
export type RequestInfo = typeof RequestInfo.Type

const fields = {
  /** The request that failed; absent when the failure came before any request. */
  request: Schema.optional(RequestInfo),
  /** The HTTP status of the answer, if there was one. */
  status: Schema.optional(Schema.Int),
  /** The server's own words, or what this library saw. Tokens are scrubbed. */
  detail: Schema.String,
  /** What to do about it. */
  suggestion: Schema.String
}

const sentence = (error: {
  readonly request?: RequestInfo | undefined
  readonly status?: number | undefined
  readonly detail: string
  readonly suggestion: string
}): string => {
  const where =
    error.request === undefined
      ? ""
      : ` (${error.request.method} ${error.request.path}${error.status === undefined ? "" : `: ${error.status}`})`
  // What a server says may be a whole sentence already.
  return `${error.detail.replace(/\.$/, "")}${where}. ${error.suggestion}`
}

/**
 * The image, tag or operation does not exist in this project.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotFound extends Schema.TaggedError<NotFound>("effect-contree/NotFound")("NotFound", {
  ...fields,
  /** What was looked for, such as `image tag "ubuntu:latest"`. */
  what: Schema.String
}) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The token or the project is missing or not known to the server.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unauthorized extends Schema.TaggedError<Unauthorized>("effect-contree/Unauthorized")(
  "Unauthorized",
  fields
) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The token may not do this.
 *
 * @since 0.1.0
 * @category errors
 */
export class Forbidden extends Schema.TaggedError<Forbidden>("effect-contree/Forbidden")("Forbidden", fields) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The thing is in a state that does not allow the call, such as an operation that is over.
 *
 * @since 0.1.0
 * @category errors
 */
export class Conflict extends Schema.TaggedError<Conflict>("effect-contree/Conflict")("Conflict", fields) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The request itself is wrong: an option out of its bounds, found here or by the server.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequestRejected extends Schema.TaggedError<RequestRejected>("effect-contree/RequestRejected")(
  "RequestRejected",
  fields
) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The server asks to slow down. Nothing was started.
 *
 * @since 0.1.0
 * @category errors
 */
export class RateLimited extends Schema.TaggedError<RateLimited>("effect-contree/RateLimited")("RateLimited", {
  ...fields,
  /** How long the server asks to wait. */
  retryAfter: Schema.optionalWith(Schema.Duration, { as: "Option" })
}) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The service could not be reached, or cannot answer now.
 *
 * @since 0.1.0
 * @category errors
 */
export class Unavailable extends Schema.TaggedError<Unavailable>("effect-contree/Unavailable")("Unavailable", {
  ...fields,
  /** How long the server asks to wait. */
  retryAfter: Schema.optionalWith(Schema.Duration, { as: "Option" }),
  /** True when it is certain that the request was not processed, so that repeating it is safe. */
  notStarted: Schema.optionalWith(Schema.Boolean, { default: () => false }),
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * A limit on time ran out. `limit` says which one.
 *
 * - `request`: one HTTP request took longer than the client's request timeout.
 * - `idle`: a stream stood still longer than the client's idle limit.
 * - `wait`: an operation was not over at the wait's deadline; it was cancelled.
 *
 * A command that hits its own `timeout` is not an error: see `Run.timedOut`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TimedOut extends Schema.TaggedError<TimedOut>("effect-contree/TimedOut")("TimedOut", {
  ...fields,
  limit: Schema.Literal("request", "idle", "wait"),
  after: Schema.Duration,
  /** The operation that was waited for. */
  operationId: Schema.optional(Schema.String),
  /** What the command had written when the wait ended, where the server could tell. See `Run.partialOutput`. */
  partial: Schema.optional(Schema.Struct({ stdout: CapturedStream, stderr: CapturedStream }))
}) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * A request that starts work was sent and no answer came: it may or may not have started.
 *
 * It is never repeated by this library. `suggestion` says where to look, `lookFor` what to look for.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>("effect-contree/OutcomeUnknown")(
  "OutcomeUnknown",
  {
    ...fields,
    /** What may have started, and when by this machine's clock. */
    lookFor: Schema.optional(
      Schema.Struct({
        kind: Schema.Literal("instance", "image_import", "subprocess", "stdin"),
        /** The image of a run, the address of an import, the operation of a process. */
        of: Schema.String,
        from: Schema.DateTimeUtc,
        to: Schema.DateTimeUtc
      })
    ),
    cause: Schema.optional(Schema.Defect)
  }
) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The server accepted the work and could not do it: an import that the registry refused, a sandbox
 * that did not start. A command that exits with a non-zero code is not a failed operation.
 *
 * @since 0.1.0
 * @category errors
 */
export class OperationFailed extends Schema.TaggedError<OperationFailed>("effect-contree/OperationFailed")(
  "OperationFailed",
  {
    ...fields,
    operationId: Schema.String,
    kind: Schema.String
  }
) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * Somebody cancelled the operation.
 *
 * @since 0.1.0
 * @category errors
 */
export class OperationCancelled extends Schema.TaggedError<OperationCancelled>("effect-contree/OperationCancelled")(
  "OperationCancelled",
  {
    ...fields,
    operationId: Schema.String,
    kind: Schema.String
  }
) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * The server's answer does not have the shape that the contract gives it.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnexpectedResponse extends Schema.TaggedError<UnexpectedResponse>("effect-contree/UnexpectedResponse")(
  "UnexpectedResponse",
  { ...fields, cause: Schema.optional(Schema.Defect) }
) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * What the program itself supplies could not be read: a stream that failed, or content that changed between two
 * readings. No command was started with it.
 *
 * @since 0.1.0
 * @category errors
 */
export class InputFailed extends Schema.TaggedError<InputFailed>("effect-contree/InputFailed")("InputFailed", {
  ...fields,
  /** What could not be read, such as `standard input` or `the content of "/app/data.csv"`. */
  what: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return sentence(this)
  }
}

/**
 * What a single request to the API can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export const RequestError = Schema.Union(
  NotFound,
  Unauthorized,
  Forbidden,
  Conflict,
  RequestRejected,
  RateLimited,
  Unavailable,
  TimedOut,
  UnexpectedResponse
)

/**
 * What a single request to the API can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type RequestError = typeof RequestError.Type

/**
 * What starting an import or a run can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type StartError = RequestError | OutcomeUnknown

/**
 * What waiting for an operation can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type WaitError = RequestError | OperationFailed | OperationCancelled

/**
 * Every error of the client.
 *
 * @since 0.1.0
 * @category errors
 */
export const ContreeError = Schema.Union(
  ...RequestError.members,
  OutcomeUnknown,
  OperationFailed,
  OperationCancelled,
  InputFailed
)

/**
 * Every error of the client.
 *
 * @since 0.1.0
 * @category errors
 */
export type ContreeError = typeof ContreeError.Type

/**
 * Tells whether a value is one of the client's errors.
 *
 * @since 0.1.0
 * @category guards
 */
export const isContreeError: (u: unknown) => u is ContreeError = Schema.is(ContreeError)

/**
 * Tells whether an error is about the caller's credentials or rights.
 *
 * @since 0.1.0
 * @category guards
 */
export const isAuth = (error: ContreeError): error is Unauthorized | Forbidden =>
  error._tag === "Unauthorized" || error._tag === "Forbidden"

/**
 * Tells whether the same call may succeed later without any change.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTransient = (error: ContreeError): error is RateLimited | Unavailable | TimedOut =>
  error._tag === "RateLimited" || error._tag === "Unavailable" || (error._tag === "TimedOut" && error.limit !== "wait")

/**
 * Tells whether a server that is well only put the request off: 425 and 429. Nothing was started.
 *
 * @since 0.1.0
 * @category guards
 */
export const isPutOff = (error: ContreeError): error is RateLimited | Unavailable =>
  error._tag === "RateLimited" || (error._tag === "Unavailable" && error.status === 425)

/**
 * How long the server asked to wait before the next try.
 *
 * @since 0.1.0
 * @category getters
 */
export const retryAfter = (error: ContreeError): Option.Option<Duration.Duration> =>
  error._tag === "RateLimited" || error._tag === "Unavailable" ? error.retryAfter : Option.none()
