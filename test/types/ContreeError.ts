import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Duration, Effect, type Option } from "effect"
import * as ContreeError from "../../src/ContreeError.js"

type Guard<A extends ContreeError.ContreeError> = (error: ContreeError.ContreeError) => error is A

describe("the types of ContreeError", () => {
  it("say which errors a request, a start and a wait can have", () => {
    expectTypeOf<ContreeError.RequestError>().toEqualTypeOf<
      | ContreeError.NotFound
      | ContreeError.Unauthorized
      | ContreeError.Forbidden
      | ContreeError.Conflict
      | ContreeError.RequestRejected
      | ContreeError.RateLimited
      | ContreeError.Unavailable
      | ContreeError.TimedOut
      | ContreeError.UnexpectedResponse
    >()
    expectTypeOf<ContreeError.StartError>().toEqualTypeOf<ContreeError.RequestError | ContreeError.OutcomeUnknown>()
    expectTypeOf<ContreeError.WaitError>().toEqualTypeOf<
      ContreeError.RequestError | ContreeError.OperationFailed | ContreeError.OperationCancelled
    >()
    expectTypeOf<ContreeError.ContreeError>().toEqualTypeOf<
      ContreeError.StartError | ContreeError.WaitError | ContreeError.InputFailed
    >()
    expectTypeOf<ContreeError.TimedOut["limit"]>().toEqualTypeOf<"request" | "idle" | "wait">()
  })

  it("narrow errors by the guards", () => {
    expectTypeOf(ContreeError.isContreeError).toEqualTypeOf<(u: unknown) => u is ContreeError.ContreeError>()
    expectTypeOf(ContreeError.isAuth).toEqualTypeOf<Guard<ContreeError.Unauthorized | ContreeError.Forbidden>>()
    expectTypeOf(ContreeError.isTransient).toEqualTypeOf<
      Guard<ContreeError.RateLimited | ContreeError.Unavailable | ContreeError.TimedOut>
    >()
    expectTypeOf(ContreeError.isPutOff).toEqualTypeOf<Guard<ContreeError.RateLimited | ContreeError.Unavailable>>()
    expectTypeOf(ContreeError.retryAfter).toEqualTypeOf<
      (error: ContreeError.ContreeError) => Option.Option<Duration.Duration>
    >()
  })

  it("are narrowed when one of them is caught", () => {
    const caught = (failing: Effect.Effect<never, ContreeError.ContreeError>) =>
      Effect.catchTag(failing, "NotFound", (error) => Effect.succeed(error))
    expectTypeOf<ReturnType<typeof caught>>().branded.toEqualTypeOf<
      Effect.Effect<ContreeError.NotFound, Exclude<ContreeError.ContreeError, ContreeError.NotFound>>
    >()
  })
})
