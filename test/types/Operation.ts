import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Either, Scope, Stream } from "effect"
import type { OperationDetail, OperationStatus, OperationSummary } from "../../src/api/Operations.js"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { RequestError, StartError, WaitError } from "../../src/ContreeError.js"
import type { Instance } from "../../src/Instance.js"
import type { InstanceEvent } from "../../src/InstanceEvent.js"
import * as Operation from "../../src/Operation.js"
import type * as Run from "../../src/Run.js"
import type { WaitPolicy } from "../../src/WaitPolicy.js"
import type { Dual } from "./Dual.js"

type Id = Operation.OperationId
type Asking<A> = Effect.Effect<A, RequestError, ContreeClient>

describe("the types of Operation", () => {
  it("read ids and states without any service", () => {
    expectTypeOf(Operation.idFromString).toEqualTypeOf<
      (input: string) => Either.Either<Id, Operation.InvalidOperationId>
    >()
    expectTypeOf(Operation.isTerminal).toEqualTypeOf<(status: OperationStatus) => boolean>()
  })

  it("ask for what an operation is and has", () => {
    expectTypeOf(Operation.get).toEqualTypeOf<(id: Id) => Asking<OperationDetail>>()
    expectTypeOf(Operation.cancel).toEqualTypeOf<(id: Id) => Asking<boolean>>()
    expectTypeOf(Operation.output).toEqualTypeOf<
      (id: Id) => Asking<{ readonly stdout: Run.Output; readonly stderr: Run.Output }>
    >()
    expectTypeOf(Operation.stream).toEqualTypeOf<
      (options?: Operation.ListOptions) => Stream.Stream<OperationSummary, RequestError, ContreeClient>
    >()
    expectTypeOf(Operation.events).toEqualTypeOf<
      (
        id: Id,
        options?: {
          readonly follow?: boolean | undefined
          readonly since?: number | undefined
          readonly spid?: number | undefined
        }
      ) => Stream.Stream<InstanceEvent, RequestError, ContreeClient>
    >()
    expectTypeOf(Operation.attach).toEqualTypeOf<
      (
        id: Id,
        options?: { readonly wait?: WaitPolicy | undefined } | undefined
      ) => Effect.Effect<Instance, RequestError, ContreeClient | Scope.Scope>
    >()
  })

  it("wait for one with its errors, and for many with none", () => {
    expectTypeOf(Operation.wait).toEqualTypeOf<
      (id: Id, policy?: WaitPolicy | undefined) => Effect.Effect<OperationDetail, WaitError, ContreeClient>
    >()
    expectTypeOf(Operation.waitAll).toEqualTypeOf<
      Dual<
        Iterable<Id>,
        [options?: Operation.WaitAllOptions | undefined],
        Effect.Effect<ReadonlyArray<Either.Either<OperationDetail, WaitError>>, never, ContreeClient>
      >
    >()
    expectTypeOf(Operation.perform).toEqualTypeOf<
      (
        kind: "image_import" | "instance",
        start: (client: ContreeClient.Service) => Effect.Effect<Id, StartError>,
        policy?: WaitPolicy | undefined
      ) => Effect.Effect<OperationDetail, StartError | WaitError, ContreeClient>
    >()
  })
})
