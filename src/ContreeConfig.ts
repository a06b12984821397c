/**
 * Where the service is and how to talk to it.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import * as Text from "./internal/settingText.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as WaitPolicy from "./WaitPolicy.js"

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
 * - `project`: sent as the `Project` header.
 * - `auth`: the kind of the token. An `iam` token goes with a project; with `jwt` no project is ever sent. Default:
 *   `iam` where there is a project.
 * - `requestTimeout`: how long one request may take, default 60 seconds. Bytes that are uploaded get a second more for
 *   each 128 KiB. Where a body is streamed, in either direction, it is for the head of the answer, and `idleLimit` is
 *   for the body.
 * - `idleLimit`: how long a stream (events, a download, an archive, an upload) may stand still, default 60 seconds.
 * - `outputLimitBytes`: how much of stdout, and of stderr, a run keeps unless its command says otherwise; it is always
 *   sent. 0 to 10 MiB, default {@link defaultOutputLimitBytes}.
 * - `wait`: how operations are waited for, default `WaitPolicy.defaultPolicy`.
 * - `retry`: how safe requests are repeated, default `RetryPolicy.defaultPolicy`.
 * - `pageSize`: rows per request of a listing, 1 to 1000, default 100.
 * - `instanceConcurrency`, `importConcurrency`: how many instances, or imports, this client has running at once; further
 *   ones wait for their turn. `"server"` takes the limit that the service gives this token (`account.whoami`), looked
 *   up once, before the first of them. Default: no limit here.
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
  readonly auth?: AuthKind | undefined
  readonly requestTimeout?: Duration.DurationInput | undefined
  readonly idleLimit?: Duration.DurationInput | undefined
  readonly outputLimitBytes?: number | undefined
  readonly wait?: WaitPolicy.WaitPolicy | undefined
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  readonly pageSize?: number | undefined
  readonly instanceConcurrency?: Concurrency | undefined
  readonly importConcurrency?: Concurrency | undefined
  readonly tracePropagation?: boolean | undefined
  readonly longPolling?: boolean | undefined
}

/**
 * The kind of a token: of the service's identity management, with a project, or a self-contained one.
 *
 * @since 0.1.0
 * @category models
 */
export type AuthKind = "iam" | "jwt"

/**
 * How many at once: a number of at least 1, or as many as the service allows this token.
 *
 * @since 0.1.0
 * @category models
 */
export type Concurrency = number | "server"

/**
 * How much of stdout, and of stderr, a run keeps unless it is told otherwise: 1 MiB.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaultOutputLimitBytes = 1_048_576

/**
 * Tells whether these settings send a `Project` header.
 *
 * @since 0.1.0
 * @category guards
 */
export const sendsProject = ({ auth, project }: ContreeConfig): boolean => auth !== "jwt" && project !== undefined

/**
 * The names under which `fromEnvironment` looks for what the official clients read too, in their order.
 *
 * @since 0.1.0
 * @category configuration
 */
export const names = {
  token: ["CONTREE_TOKEN", "NEBIUS_API_KEY"],
  baseUrl: ["CONTREE_URL", "CONTREE_BASE_URL"],
  project: ["CONTREE_PROJECT", "NEBIUS_PROJECT_ID", "NEBIUS_AI_PROJECT"],
  auth: ["CONTREE_AUTH"]
} as const

/** The first name that is set, and not to an empty text, read; what cannot be read is named and never skipped. */
const first = <A>(names: readonly [string, ...ReadonlyArray<string>], read: Text.Reading<A>): Config.Config<A> => {
  const [head, ...others] = Arr.map(names, (name) =>
    Config.nonEmptyString(name).pipe(
      Config.mapOrFail((text) => Either.mapLeft(read(text.trim()), (why) => ConfigError.InvalidData([name], why)))
    )
  )
  return others.reduce(
    (config, other) => Config.orElseIf(config, { if: ConfigError.isMissingDataOnly, orElse: () => other }),
    head
  )
}

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)

const setting = <A>(name: string, read: Text.Reading<A>): Config.Config<A | undefined> => optional(first([name], read))

/** Without the keys that have no value, which would hide those of settings that these are spread over. */
const present = (settings: ContreeConfig): ContreeConfig => {
  const given: { -readonly [Key in keyof ContreeConfig]: ContreeConfig[Key] } = { ...settings }
  for (const key of Struct.keys(given)) if (given[key] === undefined) delete given[key]
  return given
}

/** Settings that cannot hold together. */
const consistent = (
  config: ContreeConfig & { readonly url: string | undefined }
): Either.Either<ContreeConfig, ConfigError.ConfigError> => {
  const { url, ...settings } = config
  if (settings.auth === "iam" && settings.project === undefined) {
    return Either.left(
      ConfigError.MissingData(
        ["CONTREE_AUTH"],
        `"iam" needs a project, and none is set under ${names.project.join(", ")}`
      )
    )
  }
  if (settings.auth === "jwt" && url === undefined) {
    return Either.left(
      ConfigError.MissingData(
        ["CONTREE_AUTH"],
        `"jwt" needs the address of its service, and none is set under ${names.baseUrl.join(", ")}`
      )
    )
  }
  return Either.right({ ...present(settings), baseUrl: url ?? hostedBaseUrl })
}

/**
 * The settings as the environment gives them. The first name that is set, and not to an empty text, wins:
 *
 * | setting | names |
 * | --- | --- |
 * | token (required) | `CONTREE_TOKEN`, `NEBIUS_API_KEY` |
 * | base URL | `CONTREE_URL`, `CONTREE_BASE_URL`, else {@link hostedBaseUrl} |
 * | project | `CONTREE_PROJECT`, `NEBIUS_PROJECT_ID`, `NEBIUS_AI_PROJECT`, else none |
 * | `auth` | `CONTREE_AUTH`: `iam` (needs a project) or `jwt` (needs a base URL; the project is not sent) |
 * | `requestTimeout`, `idleLimit` | `CONTREE_REQUEST_TIMEOUT`, `CONTREE_IDLE_LIMIT`: seconds, or as `2 minutes` |
 * | `outputLimitBytes` | `CONTREE_OUTPUT_LIMIT_BYTES` |
 * | `wait.deadline` | `CONTREE_WAIT_DEADLINE` |
 * | number of repetitions | `CONTREE_RETRIES`, 0 to 100; 0 repeats nothing |
 * | `pageSize` | `CONTREE_PAGE_SIZE` |
 * | `instanceConcurrency`, `importConcurrency` | `CONTREE_INSTANCE_CONCURRENCY`, `CONTREE_IMPORT_CONCURRENCY`: a number or `server` |
 * | `tracePropagation`, `longPolling` | `CONTREE_TRACE_PROPAGATION`, `CONTREE_LONG_POLLING`: `true` or `false` |
 *
 * The `ConfigError` of a setting that is missing, unreadable or in contradiction to another one names every name that
 * was looked up. It never holds the token.
 *
 * @since 0.1.0
 * @category configuration
 */
export const fromEnvironment: Config.Config<ContreeConfig> = Config.all({
  token: first(names.token, Text.secret),
  url: optional(first(names.baseUrl, Text.url)),
  project: optional(first(names.project, Text.text)),
  auth: optional(first(names.auth, Text.among("iam", "jwt"))),
  requestTimeout: setting("CONTREE_REQUEST_TIMEOUT", Text.duration),
  idleLimit: setting("CONTREE_IDLE_LIMIT", Text.duration),
  outputLimitBytes: setting("CONTREE_OUTPUT_LIMIT_BYTES", Text.whole(0, 10_485_760)),
  wait: Config.map(setting("CONTREE_WAIT_DEADLINE", Text.duration), (deadline) =>
    deadline === undefined ? undefined : { ...WaitPolicy.defaultPolicy, deadline }
  ),
  retry: Config.map(setting("CONTREE_RETRIES", Text.whole(0, 100)), (times) =>
    times === undefined ? undefined : times === 0 ? RetryPolicy.never : RetryPolicy.upTo(times)
  ),
  pageSize: setting("CONTREE_PAGE_SIZE", Text.whole(1, 1000)),
  instanceConcurrency: setting("CONTREE_INSTANCE_CONCURRENCY", Text.concurrency),
  importConcurrency: setting("CONTREE_IMPORT_CONCURRENCY", Text.concurrency),
  tracePropagation: setting("CONTREE_TRACE_PROPAGATION", Text.flag),
  longPolling: setting("CONTREE_LONG_POLLING", Text.flag)
}).pipe(Config.mapOrFail(consistent))
