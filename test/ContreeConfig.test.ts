import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { HttpClient } from "@effect/platform"
import {
  Config,
  ConfigError,
  ConfigProvider,
  Duration,
  Effect,
  Either,
  Fiber,
  Layer,
  Redacted,
  Schedule,
  TestClock
} from "effect"
import { inspect } from "node:util"
import * as ContreeClient from "../src/ContreeClient.js"
import * as ContreeConfig from "../src/ContreeConfig.js"
import * as RetryPolicy from "../src/RetryPolicy.js"
import * as WaitPolicy from "../src/WaitPolicy.js"
import * as Scripted from "./fixtures/ScriptedService.js"

/** The settings in an environment, with the token in clear. */
const read = (environment: Record<string, string>) =>
  ConfigProvider.fromMap(new Map(Object.entries(environment)))
    .load(ContreeConfig.fromEnvironment)
    .pipe(Effect.map(({ token, ...rest }) => ({ ...rest, token: token === undefined ? "" : Redacted.value(token) })))

describe("the settings from the environment", () => {
  const hosted = { baseUrl: ContreeConfig.hostedBaseUrl, token: "t" }
  const rows: ReadonlyArray<readonly [environment: Record<string, string>, settings: object]> = [
    [{ CONTREE_TOKEN: "t" }, hosted],
    [{ NEBIUS_API_KEY: "t" }, hosted],
    [{ NEBIUS_API_KEY: "other", CONTREE_TOKEN: "t" }, hosted],
    [{ NEBIUS_API_KEY: "t", CONTREE_TOKEN: "" }, hosted],
    [
      { CONTREE_TOKEN: "t", CONTREE_URL: "http://a" },
      { ...hosted, baseUrl: "http://a" }
    ],
    [
      { CONTREE_TOKEN: "t", CONTREE_BASE_URL: "http://b" },
      { ...hosted, baseUrl: "http://b" }
    ],
    [
      { CONTREE_TOKEN: "t", CONTREE_BASE_URL: "http://b", CONTREE_URL: "http://a" },
      { ...hosted, baseUrl: "http://a" }
    ],
    [
      { CONTREE_TOKEN: "t", CONTREE_BASE_URL: "http://b", CONTREE_URL: "" },
      { ...hosted, baseUrl: "http://b" }
    ],
    [
      { CONTREE_TOKEN: "t", CONTREE_PROJECT: "p" },
      { ...hosted, project: "p" }
    ],
    [
      { CONTREE_TOKEN: "t", NEBIUS_PROJECT_ID: "q" },
      { ...hosted, project: "q" }
    ],
    [
      { CONTREE_TOKEN: "t", NEBIUS_AI_PROJECT: "r" },
      { ...hosted, project: "r" }
    ],
    [
      { CONTREE_TOKEN: "t", NEBIUS_AI_PROJECT: "r", NEBIUS_PROJECT_ID: "q", CONTREE_PROJECT: "p" },
      { ...hosted, project: "p" }
    ],
    [
      { CONTREE_TOKEN: "t", NEBIUS_AI_PROJECT: "r", NEBIUS_PROJECT_ID: "q" },
      { ...hosted, project: "q" }
    ],
    [{ CONTREE_TOKEN: "t", CONTREE_PROJECT: "", CONTREE_URL: "", CONTREE_BASE_URL: "" }, hosted]
  ]
  it.effect.each(rows)("are those of the first name that is set: %j", ([environment, settings]) =>
    Effect.map(read(environment), (actual) => deepStrictEqual<object>(actual, settings))
  )

  it.effect("need a token, and say under which names", () =>
    Effect.gen(function* () {
      for (const environment of [{}, { CONTREE_TOKEN: "", NEBIUS_API_KEY: "" }, { CONTREE_URL: "http://a" }]) {
        const error = yield* Effect.flip(read(environment))
        assert.isTrue(ConfigError.isConfigError(error))
        assert.include(String(error), "CONTREE_TOKEN")
        assert.include(String(error), "NEBIUS_API_KEY")
      }
    })
  )

  const settings: ReadonlyArray<
    readonly [name: string, text: string, setting: keyof ContreeConfig.ContreeConfig, value: unknown]
  > = [
    ["CONTREE_REQUEST_TIMEOUT", "90", "requestTimeout", Duration.seconds(90)],
    ["CONTREE_REQUEST_TIMEOUT", "1.5", "requestTimeout", Duration.millis(1500)],
    ["CONTREE_IDLE_LIMIT", "2 minutes", "idleLimit", Duration.minutes(2)],
    ["CONTREE_IDLE_LIMIT", "500millis", "idleLimit", Duration.millis(500)],
    ["CONTREE_OUTPUT_LIMIT_BYTES", "0", "outputLimitBytes", 0],
    ["CONTREE_PAGE_SIZE", " 1000 ", "pageSize", 1000],
    ["CONTREE_INSTANCE_CONCURRENCY", "server", "instanceConcurrency", "server"],
    ["CONTREE_INSTANCE_CONCURRENCY", "8", "instanceConcurrency", 8],
    ["CONTREE_IMPORT_CONCURRENCY", "SERVER", "importConcurrency", "server"],
    ["CONTREE_TRACE_PROPAGATION", "false", "tracePropagation", false],
    ["CONTREE_LONG_POLLING", "1", "longPolling", true],
    ["CONTREE_RETRIES", "0", "retry", RetryPolicy.never],
    ["CONTREE_PROJECT", " p ", "project", "p"]
  ]
  it.effect.each(settings)("have a name for each: %s=%s", ([name, text, setting, value]) =>
    Effect.gen(function* () {
      const config = yield* read({ CONTREE_TOKEN: "t", [name]: text })
      deepStrictEqual<unknown>(config[setting], value)
      const unset = yield* read({ CONTREE_TOKEN: "t", [name]: "" })
      deepStrictEqual<object>(unset, hosted)
    })
  )

  it.effect("set the wait's deadline and the number of repetitions, and leave the rest of their policies", () =>
    Effect.gen(function* () {
      const { retry, wait } = yield* read({
        CONTREE_TOKEN: "t",
        CONTREE_WAIT_DEADLINE: "1 hour",
        CONTREE_RETRIES: "2"
      })
      deepStrictEqual(wait, { ...WaitPolicy.defaultPolicy, deadline: Duration.hours(1) })
      const pauses = yield* Schedule.run(retry?.schedule ?? Schedule.stop, 0, [1, 2, 3, 4, 5]).pipe(
        Effect.fork,
        Effect.tap(() => TestClock.adjust("1 hour")),
        Effect.flatMap(Fiber.join)
      )
      assert.lengthOf(pauses, 3)
    })
  )

  const unreadable: ReadonlyArray<readonly [name: string, text: string, expected: string]> = [
    ["CONTREE_REQUEST_TIMEOUT", "soon", "seconds"],
    ["CONTREE_REQUEST_TIMEOUT", "-1", "seconds"],
    ["CONTREE_IDLE_LIMIT", "1 fortnight", "seconds"],
    ["CONTREE_WAIT_DEADLINE", "infinity", "seconds"],
    ["CONTREE_OUTPUT_LIMIT_BYTES", "10485761", "from 0 to 10485760"],
    ["CONTREE_PAGE_SIZE", "0", "from 1 to 1000"],
    ["CONTREE_PAGE_SIZE", "1e2", "from 1 to 1000"],
    ["CONTREE_INSTANCE_CONCURRENCY", "many", "whole number"],
    ["CONTREE_IMPORT_CONCURRENCY", "0", "whole number"],
    ["CONTREE_TRACE_PROPAGATION", "maybe", "true"],
    ["CONTREE_LONG_POLLING", "2", "true"],
    ["CONTREE_RETRIES", "-1", "from 0 to 100"],
    ["CONTREE_AUTH", "oauth", "iam or jwt"],
    ["CONTREE_URL", "contree.dev", "address"],
    ["CONTREE_URL", "ftp://contree.dev", "address"],
    ["CONTREE_BASE_URL", "http://[", "address"],
    ["CONTREE_URL", "https://me:secret@contree.dev", "without a name or password"]
  ]
  it.effect.each(unreadable)(
    "that cannot be read name the variable and what was expected: %s=%s",
    ([name, text, says]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(read({ CONTREE_TOKEN: "t", [name]: text }))
        assert.isTrue(ConfigError.isConfigError(error))
        assert.include(String(error), name)
        assert.include(String(error), says)
        assert.notInclude(String(error), "secret")
      })
  )

  it.effect("that cannot be read are not skipped for the next name", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        read({ CONTREE_TOKEN: "t", CONTREE_URL: "nowhere", CONTREE_BASE_URL: "http://b" })
      )
      assert.include(String(error), "CONTREE_URL")
    })
  )

  const kinds: ReadonlyArray<readonly [environment: Record<string, string>, says: ReadonlyArray<string>]> = [
    [{ CONTREE_AUTH: "iam" }, ["CONTREE_AUTH", "CONTREE_PROJECT", "NEBIUS_PROJECT_ID", "NEBIUS_AI_PROJECT"]],
    [{ CONTREE_AUTH: "jwt" }, ["CONTREE_AUTH", "CONTREE_URL", "CONTREE_BASE_URL"]]
  ]
  it.effect.each(kinds)("that contradict the kind of the token name every name: %j", ([environment, says]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(read({ CONTREE_TOKEN: "t", ...environment }))
      for (const name of says) assert.include(String(error), name)
    })
  )

  it.effect("with a token that no header can carry say so without showing it", () =>
    Effect.gen(function* () {
      for (const token of ["very secret", "very\nsecret", "very-s\u00e9cret"]) {
        const error = yield* Effect.flip(read({ NEBIUS_API_KEY: token }))
        assert.include(String(error), "NEBIUS_API_KEY")
        assert.notInclude(String(error) + JSON.stringify(error) + inspect(error, { depth: 9 }), token)
      }
    })
  )

  it.effect("never show the token", () =>
    Effect.gen(function* () {
      const provider = ConfigProvider.fromMap(new Map([["CONTREE_TOKEN", "very-secret"]]))
      const config = yield* provider.load(ContreeConfig.fromEnvironment)
      assert.notInclude(
        inspect(config, { depth: 9, showHidden: true }) + JSON.stringify(config) + String(config),
        "very-secret"
      )
    })
  )
})

describe("ContreeClient.layerConfig", () => {
  const transport = Layer.succeed(
    HttpClient.HttpClient,
    Scripted.make({ "GET /v1/whoami": Scripted.failure(401) }).httpClient
  )

  it.effect("fails without a token before any request", () =>
    Effect.gen(function* () {
      const built = yield* Effect.either(Layer.build(Layer.provide(ContreeClient.layerConfig(), transport))).pipe(
        Effect.scoped,
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))
      )
      assert.isTrue(Either.isLeft(built) && ConfigError.isConfigError(built.left))
    })
  )

  it.effect("takes settings from wherever the program says", () =>
    Effect.gen(function* () {
      const service = Scripted.make({ "GET /x/v1/whoami": Scripted.failure(401, "no") })
      const client = ContreeClient.layerConfig(
        Config.all({ token: Config.redacted("MY_TOKEN"), baseUrl: Config.string("MY_URL") })
      )
      const error = yield* Effect.flatMap(ContreeClient.ContreeClient, ({ account }) => account.whoami).pipe(
        Effect.provide(Layer.provide(client, Layer.succeed(HttpClient.HttpClient, service.httpClient))),
        Effect.withConfigProvider(
          ConfigProvider.fromMap(
            new Map([
              ["MY_TOKEN", "mine"],
              ["MY_URL", `${Scripted.baseUrl}/x/`]
            ])
          )
        ),
        Effect.flip
      )
      assert.propertyVal(error, "detail", "no")
      assert.strictEqual(service.requests[0]?.headers["authorization"], "Bearer mine")
    })
  )
})
