/**
 * Error answers of the API: one body for every status.
 *
 * @since 0.1.0
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"

/**
 * The statuses that the API declares for failures.
 *
 * @since 0.1.0
 * @category models
 */
export type FailureStatus = 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 425 | 429 | 500 | 501 | 502 | 503 | 504

/**
 * A failed request as the API reports it. The server fails with it; the client turns it into a `ContreeError`.
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiFailure extends Schema.TaggedError<ApiFailure>("effect-contree/ApiFailure")("ApiFailure", {
  status: Schema.Int,
  error: Schema.String,
  retryAfterSeconds: Schema.optional(Schema.Int)
}) {
  override get message(): string {
    return this.error
  }
}

/**
 * The JSON body of every failure. `error` is text, or an object or list for validation errors.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FailureBody = Schema.Struct({
  error: Schema.Unknown,
  status: Schema.optional(Schema.Number),
  traceback: Schema.optional(Schema.Array(Schema.String))
}).annotations({ identifier: "Error" })

/**
 * The text of a failure's `error`, whatever its shape.
 *
 * @since 0.1.0
 * @category getters
 */
export const failureText = (error: unknown): string =>
  typeof error === "string" ? error : (JSON.stringify(error) ?? "")

/**
 * The schema of one declared failure status.
 *
 * `HttpApi` tells errors of one shape apart by the first member that accepts the value, hence the filter.
 *
 * @since 0.1.0
 * @category schemas
 */
export const failure = (status: FailureStatus, description: string) =>
  Schema.transform(
    FailureBody,
    Schema.typeSchema(ApiFailure).pipe(Schema.filter((failure) => failure.status === status)),
    {
      strict: true,
      decode: (body) => new ApiFailure({ status, error: failureText(body.error) }),
      encode: (failure) => ({ error: failure.error, status })
    }
  ).annotations(HttpApiSchema.annotations({ status, description }))
