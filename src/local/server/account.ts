/** The handler that tells who the caller is. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Caller, Permission, WhoAmI } from "../../api/Account.js"
import { ContreeApi } from "../../ContreeApi.js"
import { Engine } from "../Engine.js"

export const accountGroup = HttpApiBuilder.group(ContreeApi, "account", (handlers) =>
  Effect.gen(function* () {
    const { config } = yield* Engine
    return handlers.handle("whoami", () =>
      Effect.map(
        Caller,
        ({ expires, permissions, tokenId }) =>
          new WhoAmI({
            tokenId,
            tokenExpiration: Option.map(expires, (at) => Math.floor(DateTime.toEpochMillis(at) / 1000)),
            permissions: Object.fromEntries(Permission.literals.map((name) => [name, permissions.has(name)])),
            operationsStat: {},
            limits: {
              instance_max_timeout: config.maxRunTimeoutSeconds,
              images_import_max_timeout: config.maxImportTimeoutSeconds,
              instance_max_concurrency: config.maxConcurrency,
              images_import_max_concurrency: config.maxImportConcurrency
            }
          })
      )
    )
  })
)
