import { describe, expectTypeOf, it } from "@effect/vitest"
import type { FileSystem, HttpClient, Path } from "@effect/platform"
import type { Config, ConfigError, ConfigProvider, Duration, Effect, Layer, Option, Scope } from "effect"
import { Stream } from "effect"
import type { UploadReceipt } from "../../src/api/Files.js"
import * as ContreeClient from "../../src/ContreeClient.js"
import * as ContreeConfig from "../../src/ContreeConfig.js"
import * as ContreeError from "../../src/ContreeError.js"
import * as ProfileFile from "../../src/node/ProfileFile.js"
import * as RetryPolicy from "../../src/RetryPolicy.js"

type Service = ContreeClient.ContreeClient.Service
type Files = FileSystem.FileSystem | Path.Path

describe("the types of the client's settings and policies", () => {
  it("say what a layer needs and how it fails", () => {
    expectTypeOf(ContreeClient.make).returns.toEqualTypeOf<Effect.Effect<Service, never, HttpClient.HttpClient>>()
    expectTypeOf(ContreeConfig.fromEnvironment).toEqualTypeOf<Config.Config<ContreeConfig.ContreeConfig>>()
    expectTypeOf(ProfileFile.read).returns.toEqualTypeOf<
      Effect.Effect<ProfileFile.Profile, ConfigError.ConfigError, Files>
    >()
    expectTypeOf(ProfileFile.configProvider).returns.toEqualTypeOf<
      Effect.Effect<ConfigProvider.ConfigProvider, ConfigError.ConfigError, Files>
    >()
    expectTypeOf(ProfileFile.config).returns.toEqualTypeOf<
      Effect.Effect<ContreeConfig.ContreeConfig, ConfigError.ConfigError, Files>
    >()
    expectTypeOf(ProfileFile.layerConfigProvider).returns.toEqualTypeOf<
      Layer.Layer<never, ConfigError.ConfigError, Files>
    >()
    expectTypeOf(ProfileFile.layerWith).returns.toEqualTypeOf<
      Layer.Layer<ContreeClient.ContreeClient, ConfigError.ConfigError, Files | HttpClient.HttpClient>
    >()
    expectTypeOf(ProfileFile.layer).toEqualTypeOf<
      Layer.Layer<ContreeClient.ContreeClient, ConfigError.ConfigError, Files>
    >()
  })

  it("give a stream's own failure with that of its upload, and none with bytes", () => {
    const upload = (service: Service) => ({
      bytes: service.files.upload(new Uint8Array()),
      safe: service.files.upload(Stream.empty),
      failing: service.files.upload(Stream.fail("disk" as const))
    })
    expectTypeOf<ReturnType<typeof upload>>().toEqualTypeOf<{
      bytes: Effect.Effect<UploadReceipt, ContreeError.RequestError>
      safe: Effect.Effect<UploadReceipt, ContreeError.RequestError>
      failing: Effect.Effect<UploadReceipt, ContreeError.RequestError | "disk">
    }>()
  })

  it("tell a start, which may leave its outcome open, from a request that only reads", () => {
    expectTypeOf<Effect.Effect.Error<ReturnType<Service["instances"]["spawn"]>>>().toEqualTypeOf<
      ContreeError.RequestError | ContreeError.OutcomeUnknown
    >()
    expectTypeOf<
      Effect.Effect.Error<ReturnType<Service["images"]["import"]>>
    >().toEqualTypeOf<ContreeError.StartError>()
    expectTypeOf<
      Effect.Effect.Error<ReturnType<Service["operations"]["get"]>>
    >().toEqualTypeOf<ContreeError.RequestError>()
    expectTypeOf<
      Stream.Stream.Error<ReturnType<Service["inspect"]["download"]>>
    >().toEqualTypeOf<ContreeError.RequestError>()
    expectTypeOf<ContreeError.TimedOut["limit"]>().toEqualTypeOf<"request" | "idle" | "wait">()
  })

  it("make a place among operations a matter of the scope", () => {
    type Slot = Effect.Effect<void, ContreeError.RequestError, Scope.Scope>
    expectTypeOf<Service["policy"]["instanceSlot"]>().toEqualTypeOf<Slot>()
    expectTypeOf<Service["policy"]["importSlot"]>().toEqualTypeOf<Slot>()
    expectTypeOf<Service["policy"]["idleLimit"]>().toEqualTypeOf<Duration.Duration>()
  })

  it("narrow errors by the guards", () => {
    expectTypeOf(ContreeError.isPutOff).guards.toEqualTypeOf<ContreeError.RateLimited | ContreeError.Unavailable>()
    expectTypeOf(ContreeError.retryAfter).returns.toEqualTypeOf<Option.Option<Duration.Duration>>()
    expectTypeOf(RetryPolicy.makeBudget).returns.toEqualTypeOf<Effect.Effect<RetryPolicy.RetryBudget>>()
    expectTypeOf(RetryPolicy.upTo).returns.toEqualTypeOf<RetryPolicy.RetryPolicy>()
  })
})
