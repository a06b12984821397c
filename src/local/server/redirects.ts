/** Redirects to the addresses that end in a slash, for who leaves it out. */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { ContreeApi } from "../../ContreeApi.js"

/** The paths of the API that end in a slash, as they are without it. */
const slashed = Object.values(ContreeApi.groups).flatMap((group) =>
  Object.values(group.endpoints).flatMap(({ method, path }) =>
    method === "GET" && path.endsWith("/") ? [new RegExp(`^${path.slice(0, -1).replace(/:[a-z]+/gi, "[^/]+")}$`)] : []
  )
)

/**
 * `inspect` leads to `inspect/`, since what is relative to one is not relative to the other, and the router takes both
 * for the same. Relative itself: a proxy in front may have put a prefix before the path.
 */
export const redirects = <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) => {
    const [path = "", ...query] = url.split("?")
    if ((method !== "GET" && method !== "HEAD") || !slashed.some((pattern) => pattern.test(path))) return app
    const location = [`${path.slice(path.lastIndexOf("/") + 1)}/`, ...query].join("?")
    return Effect.succeed(HttpServerResponse.empty({ status: 307, headers: { location } }))
  })
