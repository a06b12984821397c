/**
 * What the state of an operation means.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { OperationDetail, OperationStatus } from "../api/Operations.js"
import * as ContreeError from "../ContreeError.js"

/** Whether an operation in this state is over. */
export const isTerminal = (status: OperationStatus): boolean =>
  status === "SUCCESS" || status === "FAILED" || status === "CANCELLED"

/** The operation as a result, where it is over: success, or the error that it ended with. */
export const verdict = (
  operation: OperationDetail
): Option.Option<Effect.Effect<OperationDetail, ContreeError.OperationFailed | ContreeError.OperationCancelled>> => {
  const { id } = operation
  const over = { operationId: id, kind: operation.kind, request: { method: "GET", path: `/v1/operations/${id}` } }
  switch (operation.status) {
    case "SUCCESS":
      return Option.some(Effect.succeed(operation))
    case "FAILED":
      return Option.some(
        new ContreeError.OperationFailed({
          ...over,
          detail: Option.getOrElse(operation.error, () => `Operation ${id} failed; the server gave no reason`),
          suggestion: "The message is the server's; what was asked for stands in the operation's metadata"
        })
      )
    case "CANCELLED":
      return Option.some(
        new ContreeError.OperationCancelled({
          ...over,
          detail: `Operation ${id} was cancelled`,
          suggestion: "Somebody else cancelled it; start it again if it is still wanted"
        })
      )
    default:
      return Option.none()
  }
}
