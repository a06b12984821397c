import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { HttpClient } from "@effect/platform"
import { Config, ConfigError, ConfigProvider, Effect, Either, Layer, Redacted } from "effect"
import { inspect } from "node:util"
import * as ContreeClient from "../src/ContreeClient.js"
import * as ContreeConfig from "../src/ContreeConfig.js"
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

  it("asks for a transport and nothing else", () => {
    expectTypeOf(ContreeClient.layerConfig).returns.toEqualTypeOf<
      Layer.Layer<ContreeClient.ContreeClient, ConfigError.ConfigError, HttpClient.HttpClient>
    >()
    expectTypeOf(ContreeClient.layerWith).returns.toEqualTypeOf<
      Layer.Layer<ContreeClient.ContreeClient, never, HttpClient.HttpClient>
    >()
    expectTypeOf(ContreeClient.layer).toEqualTypeOf<Layer.Layer<ContreeClient.ContreeClient, ConfigError.ConfigError>>()
    expectTypeOf(ContreeConfig.fromEnvironment).toEqualTypeOf<Config.Config<ContreeConfig.ContreeConfig>>()
  })
})
