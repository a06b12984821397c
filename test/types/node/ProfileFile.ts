import type { FileSystem, HttpClient, Path } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { ConfigError, ConfigProvider, Effect, Layer } from "effect"
import type { ContreeClient } from "../../../src/ContreeClient.js"
import type { ContreeConfig } from "../../../src/ContreeConfig.js"
import * as ProfileFile from "../../../src/node/ProfileFile.js"

type Files = FileSystem.FileSystem | Path.Path
type Read<A> = (options?: ProfileFile.Options | undefined) => Effect.Effect<A, ConfigError.ConfigError, Files>

describe("the types of ProfileFile", () => {
  it("read files and fail as settings do", () => {
    expectTypeOf(ProfileFile.read).toEqualTypeOf<Read<ProfileFile.Profile>>()
    expectTypeOf(ProfileFile.configProvider).toEqualTypeOf<Read<ConfigProvider.ConfigProvider>>()
    expectTypeOf(ProfileFile.config).toEqualTypeOf<Read<ContreeConfig>>()
    expectTypeOf(ProfileFile.layerConfigProvider).toEqualTypeOf<
      (options?: ProfileFile.Options | undefined) => Layer.Layer<never, ConfigError.ConfigError, Files>
    >()
    expectTypeOf(ProfileFile.layerWith).toEqualTypeOf<
      (
        options?: ProfileFile.Options | undefined
      ) => Layer.Layer<ContreeClient, ConfigError.ConfigError, Files | HttpClient.HttpClient>
    >()
    expectTypeOf(ProfileFile.layer).toEqualTypeOf<Layer.Layer<ContreeClient, ConfigError.ConfigError, Files>>()
  })
})
