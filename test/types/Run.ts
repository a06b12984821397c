import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration, Effect, Option } from "effect"
import type { OperationId } from "../../src/api/Images.js"
import type { ProcessResult } from "../../src/api/Operations.js"
import type { TimedOut } from "../../src/ContreeError.js"
import * as Run from "../../src/Run.js"
import type { Dual } from "./Dual.js"

describe("the types of Run", () => {
  it("keep what kind of run it is when it must succeed", () => {
    expectTypeOf(Run.orFail).toEqualTypeOf<<R extends Run.Run>(run: R) => Effect.Effect<R, Run.CommandFailed>>()
    expectTypeOf(Run.succeeded).toEqualTypeOf<(run: Run.Run) => boolean>()
  })

  it("read results and outputs without any failure", () => {
    expectTypeOf(Run.fromProcessResult).toEqualTypeOf<
      (
        operationId: OperationId,
        result: typeof ProcessResult.Type,
        duration?: Option.Option<Duration.Duration>
      ) => Run.Run
    >()
    expectTypeOf(Run.partialOutput).toEqualTypeOf<
      (error: TimedOut) => Option.Option<{ readonly stdout: Run.Output; readonly stderr: Run.Output }>
    >()
    expectTypeOf(Run.head).toEqualTypeOf<Dual<Run.Output, [bytes: number], string>>()
    expectTypeOf(Run.tail).toEqualTypeOf<Dual<Run.Output, [bytes: number], string>>()
    expectTypeOf(Run.excerpt).toEqualTypeOf<
      Dual<Run.Output, [options: { readonly head: number; readonly tail: number }], string>
    >()
  })
})
