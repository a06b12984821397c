/** Failures of the double as the service would answer them, and as the client would report them. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import { Permits, type Permission } from "../../api/Account.js"
import { ApiFailure, type FailureStatus } from "../../api/Failure.js"
import { ContreeApi } from "../../ContreeApi.js"
import type { RequestError, RequestInfo } from "../../ContreeError.js"
import * as ContreeError from "../../ContreeError.js"
import * as Faults from "../../internal/faults.js"
import type { Method } from "./methods.js"

/** A request that the service refuses. */
export const refuse = (status: FailureStatus, error: string, retryAfterSeconds?: number): ApiFailure =>
  new ApiFailure({ status, error, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) })

/** `poll` is `get` that waits. */
const endpointOf = (method: Method): readonly [group: string, name: string] => {
  const [group = "", name = ""] = method.split(".")
  return [group, method === "operations.poll" ? "get" : name]
}

interface Endpoint {
  readonly method: string
  readonly path: string
  readonly annotations: Context.Context<never>
}

const groups: Readonly<Record<string, { readonly endpoints: Readonly<Record<string, Endpoint>> }>> = ContreeApi.groups

const declared = (method: Method): Endpoint | undefined => {
  const [group, name] = endpointOf(method)
  return groups[group]?.endpoints[name]
}

/** The permissions that an endpoint asks for; one of them is enough. */
export const permitsOf = (method: Method): ReadonlyArray<Permission> =>
  Option.getOrElse(
    Option.flatMap(Option.fromNullable(declared(method)), ({ annotations }) => Context.getOption(annotations, Permits)),
    (): ReadonlyArray<Permission> => ["list"]
  )

/** The request that a method stands for, as the declaration of the API has it. */
export const requestOf = (method: Method, path: Readonly<Record<string, string | number>> = {}): RequestInfo => {
  const endpoint = declared(method)
  return {
    method: endpoint?.method ?? "GET",
    path: Object.entries(path).reduce(
      (text, [key, value]) => text.replace(`:${key}`, String(value)),
      endpoint?.path ?? "/"
    )
  }
}

/** The client's error for an answer with a failure status. */
export const fromAnswer = (
  request: RequestInfo,
  answer: {
    readonly status: number
    readonly detail: string
    readonly retryAfter?: Duration.Duration | undefined
  }
): RequestError =>
  Faults.fromStatus({
    request,
    status: answer.status,
    detail: answer.detail,
    retryAfter: Option.fromNullable(answer.retryAfter)
  })

/** The client's error for an answer that did not come. */
export const lost = (request: RequestInfo): RequestError =>
  new ContreeError.Unavailable({
    request,
    detail: "The connection broke before the whole answer was there",
    retryAfter: Option.none(),
    suggestion: "Try again, and check the network"
  })
