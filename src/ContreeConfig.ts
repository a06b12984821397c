/**
 * Where the service is and how to talk to it.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { RetryPolicy } from "./RetryPolicy.js"
import type { WaitPolicy } from "./WaitPolicy.js"

/**
 * The address of the hosted service.
 *
 * @since 0.1.0
 * @category configuration
 */
export const hostedBaseUrl = "https://api.tokenfactory.nebius.com/sandboxes"

/**
 * Settings of a client.
 *
 * - `baseUrl`: the address before `/v1`; a path prefix is kept. Default {@link hostedBaseUrl}.
 * - `token`: the bearer token.
 * - `project`: sent as the `Project` header; IAM tokens need it, JWT tokens do not.
 * - `requestTimeout`: how long one request may take, default 60 seconds.
 * - `wait`: how operations are waited for, default `WaitPolicy.defaultPolicy`.
 * - `retry`: how safe requests are repeated, default `RetryPolicy.defaultPolicy`.
 * - `pageSize`: rows per request of a listing, 1 to 1000, default 100.
 * - `tracePropagation`: send the headers `traceparent` and `b3`, default true. Browsers ask the server's
 *   permission for them, so a client in a browser may want to turn them off.
 * - `longPolling`: ask the server to keep its answer to a look at an operation back until there is news (the header
 *   `Prefer: wait`, RFC 7240), default true. The same holds for it in a browser.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface ContreeConfig {
  readonly baseUrl?: string | undefined
  readonly token?: Redacted.Redacted | undefined
  readonly project?: string | undefined
  readonly requestTimeout?: Duration.DurationInput | undefined
  readonly wait?: WaitPolicy | undefined
  readonly retry?: RetryPolicy | undefined
  readonly pageSize?: number | undefined
  readonly tracePropagation?: boolean | undefined
  readonly longPolling?: boolean | undefined
}

/**
 * The settings as the environment gives them. The first name that is set, and not to an empty text, wins:
 *
 * | setting | names |
 * | --- | --- |
 * | token (required) | `CONTREE_TOKEN`, `NEBIUS_API_KEY` |
 * | base URL | `CONTREE_URL`, `CONTREE_BASE_URL`, else {@link hostedBaseUrl} |
 * | project | `CONTREE_PROJECT`, `NEBIUS_PROJECT_ID`, `NEBIUS_AI_PROJECT`, else none |
 *
 * @since 0.1.0
 * @category configuration
 */
export const fromEnvironment: Config.Config<ContreeConfig> = Config.all({
  token: Config.nonEmptyString("CONTREE_TOKEN").pipe(
    Config.orElse(() => Config.nonEmptyString("NEBIUS_API_KEY")),
    (token) => Config.redacted(token)
  ),
  baseUrl: Config.nonEmptyString("CONTREE_URL").pipe(
    Config.orElse(() => Config.nonEmptyString("CONTREE_BASE_URL")),
    Config.withDefault(hostedBaseUrl)
  ),
  project: Config.nonEmptyString("CONTREE_PROJECT").pipe(
    Config.orElse(() => Config.nonEmptyString("NEBIUS_PROJECT_ID")),
    Config.orElse(() => Config.nonEmptyString("NEBIUS_AI_PROJECT")),
    Config.option,
    Config.map(Option.getOrUndefined)
  )
})
