/** The check of who asks: the bearer token, the project that it is asked for, and what the endpoint demands. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Caller, Permission, Permits } from "../../api/Account.js"
import { ApiFailure } from "../../api/Failure.js"
import { Authorization, ContreeApi } from "../../ContreeApi.js"
import type { AccessToken } from "../AccessToken.js"
import * as AccessTokens from "../AccessToken.js"
import { currentCaller } from "./requests.js"

const refuse = (status: 401 | 403, error: string) => Effect.fail(new ApiFailure({ status, error }))

/** What each endpoint demands, by its method and its path. */
const demands: ReadonlyMap<string, ReadonlyArray<Permission>> = (() => {
  const all = new Map<string, ReadonlyArray<Permission>>()
  HttpApi.reflect(ContreeApi, {
    onGroup: () => {},
    onEndpoint: ({ endpoint: { annotations, method, path } }) => {
      all.set(
        `${method} ${path}`,
        Option.getOrElse(Context.getOption(annotations, Permits), () => ["list"])
      )
    }
  })
  return all
})()

/** Fails unless the caller has one of the permissions; an empty list asks for none. */
export const check = (permissions: ReadonlySet<Permission>, anyOf: ReadonlyArray<Permission>) =>
  anyOf.length === 0 || anyOf.some((permission) => permissions.has(permission))
    ? Effect.void
    : refuse(403, `The token may not do this: it lacks the permission ${anyOf.join(" or ")}`)

/** For what an endpoint's annotation cannot say, because it depends on the request. */
export const demand = (...anyOf: ReadonlyArray<Permission>): Effect.Effect<void, ApiFailure, Caller> =>
  Effect.flatMap(Caller, ({ permissions }) => check(permissions, anyOf))

/** The project that a request is about: the header chooses only for a token that has a choice. */
const projectOf = ({ project, projects }: AccessToken, header: string | undefined) => {
  if (projects === undefined) return Effect.succeed(project ?? AccessTokens.defaultProject)
  if (header === undefined || header === "") {
    return project === undefined
      ? refuse(401, "The token may use several projects: name one in the header Project")
      : Effect.succeed(project)
  }
  if (!AccessTokens.isProjectName(header)) return refuse(403, "The header Project does not name a project")
  return projects === "*" || header === project || projects.includes(header)
    ? Effect.succeed(header)
    : refuse(403, `The token may not use the project ${JSON.stringify(header)}`)
}

/** Whoever reaches a socket without tokens may do everything. */
const anyone = Caller.of({
  tokenId: AccessTokens.idOf(""),
  project: AccessTokens.defaultProject,
  permissions: new Set(Permission.literals),
  expires: Option.none()
})

/** The token that a request bears, if it still counts. */
export const authenticated = Effect.fnUntraced(function* (tokens: ReadonlyArray<AccessToken>, text: string) {
  const found = AccessTokens.find(tokens, text)
  if (Option.isNone(found)) return yield* refuse(401, "The bearer token is missing or unknown")
  const now = yield* DateTime.now
  return Option.exists(found.value.expires, DateTime.lessThanOrEqualTo(now))
    ? yield* refuse(401, "The bearer token has expired")
    : found.value
})

export const authorization = (tokens: ReadonlyArray<AccessToken> | undefined) =>
  Layer.succeed(
    Authorization,
    Authorization.of({
      bearer: (given) =>
        Effect.gen(function* () {
          if (tokens === undefined) return anyone
          const token = yield* authenticated(tokens, Redacted.value(given))
          const { headers } = yield* HttpServerRequest.HttpServerRequest
          const project = yield* projectOf(token, headers["project"])
          const permissions = new Set(token.permissions)
          const { route } = yield* HttpRouter.RouteContext
          const caller = Caller.of({ tokenId: token.id, project, permissions, expires: token.expires })
          yield* FiberRef.set(currentCaller, Option.some(caller))
          yield* check(permissions, demands.get(`${route.method} ${route.path}`) ?? ["list"])
          return caller
        })
    })
  )
