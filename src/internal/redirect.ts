/**
 * Redirects of lookups.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** Where an answer sends its reader, if that is the same server: another one must not receive the token. */
const target = (
  request: HttpClientRequest.HttpClientRequest,
  response: HttpClientResponse.HttpClientResponse
): URL | undefined => {
  if (!redirects.has(response.status)) return undefined
  const { location } = response.headers
  if (location === undefined || !URL.canParse(location, request.url)) return undefined
  const url = new URL(location, request.url)
  return url.origin === new URL(request.url).origin ? url : undefined
}

/**
 * Follows the redirects of requests that only read. One that starts work would start it twice.
 *
 * An answer whose redirect is not followed is given as it is.
 */
export const follow = <E, R>(
  client: HttpClient.HttpClient.With<E, R>,
  most: number
): HttpClient.HttpClient.With<E, R> => {
  const exchange = (
    request: HttpClientRequest.HttpClientRequest,
    left: number
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, E, R> =>
    Effect.flatMap(client.execute(request), (response) => {
      const url = left > 0 && request.method === "GET" ? target(request, response) : undefined
      return url === undefined ? Effect.succeed(response) : exchange(HttpClientRequest.setUrl(request, url), left - 1)
    })
  return HttpClient.makeWith(
    Effect.flatMap((request: HttpClientRequest.HttpClientRequest) => exchange(request, most)),
    Effect.succeed<HttpClientRequest.HttpClientRequest>
  )
}
