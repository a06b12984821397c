/**
 * Whom a browser may send here: the hosts that the server answers to, and the origins whose pages may read the answers.
 *
 * A page of a foreign origin reaches a server on loopback in two ways. It can send requests across origins, which the
 * `Origin` header tells; and its own name can be made to mean 127.0.0.1, which the `Host` header tells.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { isIP } from "node:net"
import { ApiFailure } from "../../api/Failure.js"
import { respond } from "./failures.js"
import { methodsOf } from "./routes.js"

/**
 * Which hosts and origins are allowed beside loopback and addresses; `*` allows all.
 */
export interface Access {
  readonly hosts: ReadonlyArray<string>
  readonly origins: ReadonlyArray<string>
}

/** The name or address in a `Host` header, without its port; none when it is no host. */
const hostOf = (header: string): string | undefined => {
  if (!/^[\w.\-:[\]]+$/.test(header)) return undefined
  const host = header.replace(/:\d*$/, "").toLowerCase()
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host
}

/** An address is nothing that somebody else's name server could change. */
export const isAllowedHost = (header: string | undefined, allowed: ReadonlyArray<string>): boolean => {
  if (allowed.includes("*")) return true
  const host = header === undefined ? undefined : hostOf(header)
  return (
    host !== undefined &&
    (isIP(host) > 0 || host === "localhost" || host.endsWith(".localhost") || allowed.includes(host))
  )
}

const isAllowedOrigin = (origin: string, { headers }: HttpServerRequest.HttpServerRequest, { origins }: Access) =>
  origins.includes("*") ||
  origins.includes(origin) ||
  origin === `http://${headers["host"]}` ||
  origin === `https://${headers["host"]}`

const exposed = "Location, Retry-After, Content-Disposition, X-Request-Id"

const corsHeaders = (origin: string, { origins }: Access): Readonly<Record<string, string>> => ({
  "access-control-allow-origin": origins.includes("*") ? "*" : origin,
  "access-control-expose-headers": exposed,
  vary: "Origin, Accept-Encoding"
})

const preflight = (request: HttpServerRequest.HttpServerRequest, origin: string, access: Access) =>
  HttpServerResponse.empty({
    status: 204,
    headers: {
      ...corsHeaders(origin, access),
      "access-control-allow-methods": methodsOf(request.url).join(", "),
      "access-control-allow-headers": "authorization, content-type, project, prefer, last-event-id, traceparent, b3",
      "access-control-max-age": "7200",
      ...(request.headers["access-control-request-private-network"] === "true"
        ? { "access-control-allow-private-network": "true" }
        : {})
    }
  })

/** Refuses foreign hosts and origins, and lets the pages of allowed origins read the answers. */
export const hosts =
  (access: Access) =>
  <E, R>(app: HttpApp.Default<E, R>): HttpApp.Default<E, R> =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const { headers, method } = request
      if (!isAllowedHost(headers["host"], access.hosts)) {
        const error = "The server does not go by the name in the header Host; its setting --allowed-host adds one"
        return Effect.succeed(respond(new ApiFailure({ status: 403, error })))
      }
      const origin = headers["origin"]
      if (origin === undefined) return app
      if (!isAllowedOrigin(origin, request, access)) {
        const error = "Pages of this origin may not use the server; its setting --cors-origin adds one"
        return Effect.succeed(respond(new ApiFailure({ status: 403, error })))
      }
      return method === "OPTIONS" && headers["access-control-request-method"] !== undefined
        ? Effect.succeed(preflight(request, origin, access))
        : Effect.map(app, HttpServerResponse.setHeaders(corsHeaders(origin, access)))
    })
