/**
 * The engine behind the API: the handlers of every endpoint.
 *
 * @since 0.1.0
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import { ContreeApi } from "../ContreeApi.js"
import type { AccessToken } from "./AccessToken.js"
import { accountGroup } from "./server/account.js"
import { authorization } from "./server/authorization.js"
import { boundedBodies } from "./server/bodies.js"
import { compression } from "./server/compression.js"
import * as Drain from "./server/drain.js"
import { failures } from "./server/failures.js"
import { filesGroup } from "./server/files.js"
import { type Access, hosts } from "./server/hosts.js"
import { imagesGroup } from "./server/images.js"
import { inspectGroup } from "./server/inspect.js"
import { instancesGroup } from "./server/instances.js"
import { operationsGroup } from "./server/operations.js"
import { type Needs, pages } from "./server/pages.js"
import { redirects } from "./server/redirects.js"
import { recorded } from "./server/requests.js"
import { subprocessesGroup } from "./server/subprocesses.js"

/**
 * Settings of the server.
 *
 * - `tokens`: every request must bear one of them. Without this every caller is allowed: the permissions of the socket
 *   are the check.
 * - `access`: the hosts and origins that are allowed beside loopback; without it there is no such check.
 * - `maxJsonBytes`: the most bytes that a JSON body may have.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly tokens: ReadonlyArray<AccessToken> | undefined
  readonly access: Access | undefined
  readonly maxJsonBytes: number
}

/** What happens to every request on its way to the API, and to every answer on its way back. */
const around = ({ access, maxJsonBytes, tokens }: Options) =>
  HttpApiBuilder.middleware(
    Effect.map(
      Effect.context<Needs>(),
      (context) => (app: HttpApp.Default) =>
        boundedBodies(maxJsonBytes)(app).pipe(
          redirects,
          pages(tokens, context),
          failures,
          access === undefined ? identity : hosts(access),
          compression,
          recorded
        )
    )
  )

/**
 * The handlers of the API over an engine.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options) =>
  Layer.mergeAll(
    HttpApiBuilder.api(ContreeApi).pipe(
      Layer.provide([
        accountGroup,
        filesGroup,
        imagesGroup,
        inspectGroup,
        instancesGroup,
        operationsGroup,
        subprocessesGroup
      ]),
      Layer.provide([authorization(options.tokens), Drain.engine])
    ),
    around(options)
  )
