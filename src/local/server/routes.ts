/** What the API's declaration says of a request's path, for what happens before or without an endpoint. */
import * as HttpApi from "@effect/platform/HttpApi"
import { ContreeApi } from "../../ContreeApi.js"

interface Route {
  readonly method: string
  readonly path: string
  readonly pattern: RegExp
}

const routes: ReadonlyArray<Route> = (() => {
  const all: Array<Route> = []
  HttpApi.reflect(ContreeApi, {
    onGroup: () => {},
    onEndpoint: ({ endpoint: { method, path } }) => {
      all.push({ method, path, pattern: new RegExp(`^${path.replace(/:\w+/g, "[^/]+")}$`) })
    }
  })
  return all
})()

/** The path of a request without its query. */
export const pathOf = (url: string): string => url.split(/[?#]/, 1)[0] ?? url

const matching = (url: string) => {
  const path = pathOf(url)
  return routes.filter(({ pattern }) => pattern.test(path))
}

/** The declared path that a request means, such as `/v1/images/:id/tag`. */
export const declaredPath = (url: string): string | undefined => matching(url)[0]?.path

/** The methods that the path of a request has. */
export const methodsOf = (url: string): ReadonlyArray<string> => {
  const methods = new Set(matching(url).map(({ method }) => method))
  if (methods.has("GET")) methods.add("HEAD")
  return [...methods]
}
