/**
 * What the handlers of all groups share: failures in the contract's shape, the window of a listing, and the answer to a
 * request that started an operation.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { ApiFailure } from "../../api/Failure.js"
export { window } from "../../internal/listingWindow.js"
import type { DatabaseError } from "../Database.js"
import type { StoredOperation } from "../OperationStore.js"

/** What is asked for is not there. */
export const notFound = (error: string) => new ApiFailure({ status: 404, error })

/** A failure of the database is the server's. */
export const orInternal = <A, R>(
  effect: Effect.Effect<A, ApiFailure | DatabaseError, R>
): Effect.Effect<A, ApiFailure, R> =>
  Effect.mapError(effect, (error) =>
    error._tag === "DatabaseError" ? new ApiFailure({ status: 500, error: error.message }) : error
  )

/** The answer to a request that started an operation: what was asked for with all defaults, and the operation. */
export const started = (operation: StoredOperation) =>
  HttpServerResponse.unsafeJson(
    { ...operation.metadata, uuid: operation.id },
    { status: 201, headers: { location: `/v1/operations/${operation.id}` } }
  )

/** An endpoint that this version does not have yet. */
export const notYet = Effect.fail(
  new ApiFailure({ status: 501, error: "This version of the engine does not have this endpoint yet" })
)
