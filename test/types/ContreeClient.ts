import type { HttpClient } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Config, type ConfigError, type Duration, type Effect, type Layer, type Scope, Stream } from "effect"
import type { WhoAmI } from "../../src/api/Account.js"
import type { FileRecord, UploadReceipt } from "../../src/api/Files.js"
import type { ImageRecord, OperationId } from "../../src/api/Images.js"
import type { FileItem, GrepResult } from "../../src/api/Inspect.js"
import type { SpawnRequest } from "../../src/api/Instances.js"
import type { OperationDetail, OperationSummary, ProcessResult } from "../../src/api/Operations.js"
import type { ExecRequest, ProcessNumber } from "../../src/api/Subprocesses.js"
import * as ContreeClient from "../../src/ContreeClient.js"
import type { ContreeConfig } from "../../src/ContreeConfig.js"
import type { RequestError, StartError } from "../../src/ContreeError.js"
import type { EventFrame } from "../../src/internal/eventStream.js"
import type { RetryBudget, RetryPolicy } from "../../src/RetryPolicy.js"
import type { WaitPolicy } from "../../src/WaitPolicy.js"

type Service = ContreeClient.ContreeClient.Service

/** What the methods of a group give. */
type Answers<Group> = {
  readonly [Name in keyof Group]: Group[Name] extends (...args: never) => infer A ? A : Group[Name]
}

type Asking<A> = Effect.Effect<A, RequestError>
type Starting<A> = Effect.Effect<A, StartError>
type Reading<A> = Stream.Stream<A, RequestError>

describe("the types of ContreeClient", () => {
  it("need a transport, and settings that may be missing only where they are looked up", () => {
    expectTypeOf(ContreeClient.make).toEqualTypeOf<
      (config: ContreeConfig) => Effect.Effect<Service, never, HttpClient.HttpClient>
    >()
    expectTypeOf(ContreeClient.layerWith).toEqualTypeOf<
      (config: ContreeConfig) => Layer.Layer<ContreeClient.ContreeClient, never, HttpClient.HttpClient>
    >()
    expectTypeOf(ContreeClient.layerConfig).toEqualTypeOf<
      (
        config?: Config.Config.Wrap<ContreeConfig>
      ) => Layer.Layer<ContreeClient.ContreeClient, ConfigError.ConfigError, HttpClient.HttpClient>
    >()
    expectTypeOf(ContreeClient.layer).toEqualTypeOf<Layer.Layer<ContreeClient.ContreeClient, ConfigError.ConfigError>>()
  })

  it("tell what starts work, which may leave its outcome open, from what only asks", () => {
    expectTypeOf<Answers<Service["account"]>>().toEqualTypeOf<{ readonly whoami: Asking<WhoAmI> }>()
    expectTypeOf<Answers<Service["images"]>>().toEqualTypeOf<{
      readonly list: Asking<ReadonlyArray<ImageRecord>>
      readonly import: Starting<OperationId>
      readonly tag: Asking<ImageRecord>
      readonly untag: Asking<void>
    }>()
    expectTypeOf<Answers<Omit<Service["files"], "upload">>>().toEqualTypeOf<{
      readonly list: Asking<ReadonlyArray<FileRecord>>
      readonly get: Asking<FileRecord>
      readonly exists: Asking<boolean>
    }>()
    expectTypeOf<Answers<Service["inspect"]>>().toEqualTypeOf<{
      readonly byTag: Asking<ImageRecord>
      readonly byId: Asking<ImageRecord>
      readonly list: Asking<ReadonlyArray<FileItem>>
      readonly download: Reading<Uint8Array>
      readonly hasDownload: Asking<void>
      readonly archive: Reading<Uint8Array>
      readonly hasArchive: Asking<void>
      readonly grep: Asking<typeof GrepResult.Type>
    }>()
    expectTypeOf<Answers<Service["instances"]>>().toEqualTypeOf<{ readonly spawn: Starting<OperationId> }>()
    expectTypeOf<Answers<Service["operations"]>>().toEqualTypeOf<{
      readonly list: Asking<ReadonlyArray<OperationSummary>>
      readonly get: Asking<OperationDetail>
      readonly poll: Asking<ContreeClient.ContreeClient.Poll>
      readonly cancel: Asking<boolean>
      readonly events: Reading<EventFrame>
    }>()
    expectTypeOf<Answers<Service["subprocesses"]>>().toEqualTypeOf<{
      readonly start: Starting<ProcessNumber>
      readonly get: Asking<typeof ProcessResult.Type>
      readonly signal: Asking<void>
      readonly writeStdin: Starting<void>
    }>()
    expectTypeOf<keyof Service>().toEqualTypeOf<
      "account" | "images" | "files" | "inspect" | "instances" | "operations" | "subprocesses" | "policy"
    >()
    expectTypeOf<Service["instances"]["spawn"]>().parameters.toEqualTypeOf<[request: SpawnRequest]>()
    expectTypeOf<Service["subprocesses"]["start"]>().parameters.toEqualTypeOf<[OperationId, ExecRequest]>()
  })

  it("give a stream's own failure with that of its upload, and none with bytes", () => {
    const upload = (service: Service) => ({
      bytes: service.files.upload(new Uint8Array()),
      safe: service.files.upload(Stream.empty),
      failing: service.files.upload(Stream.fail("disk" as const))
    })
    expectTypeOf<ReturnType<typeof upload>>().toEqualTypeOf<{
      bytes: Asking<UploadReceipt>
      safe: Asking<UploadReceipt>
      failing: Effect.Effect<UploadReceipt, RequestError | "disk">
    }>()
  })

  it("make a place among operations a matter of the scope", () => {
    type Slot = Effect.Effect<void, RequestError, Scope.Scope>
    expectTypeOf<Service["policy"]>().toEqualTypeOf<{
      readonly wait: WaitPolicy
      readonly retry: RetryPolicy
      readonly retryBudget: RetryBudget
      readonly pageSize: number
      readonly outputLimitBytes: number
      readonly idleLimit: Duration.Duration
      readonly instanceSlot: Slot
      readonly importSlot: Slot
    }>()
  })
})
