/**
 * What goes wrong in the test double, and when: by method and by the number of the call.
 *
 * @example
 * ```ts
 * import { FaultPlan } from "effect-contree/testing"
 *
 * // The first spawn is refused, the second call of `poll` takes a second, and an event stream breaks off.
 * export const plan = FaultPlan.none.pipe(
 *   FaultPlan.answer("instances.spawn", 429, { retryAfter: "1 second" }),
 *   FaultPlan.delay("operations.poll", "1 second", { call: 2 }),
 *   FaultPlan.breakOff("operations.events", 3)
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import * as Pipeable from "effect/Pipeable"
import type { FailureStatus } from "../api/Failure.js"
import type { StartError } from "../ContreeError.js"
import type { Method as AnyMethod } from "./internal/methods.js"

/**
 * The name of a method of the service, such as `instances.spawn`.
 *
 * @since 0.1.0
 * @category models
 */
export type Method = AnyMethod

/**
 * The methods that give a stream.
 *
 * @since 0.1.0
 * @category models
 */
export type StreamMethod = "inspect.download" | "inspect.archive" | "operations.events"

/**
 * What goes wrong.
 *
 * - `Fail`: the call fails with an error, and does nothing.
 * - `Answer`: the service answers with a status, and does nothing; the error is what the client makes of it.
 * - `Delay`: the call takes so much longer.
 * - `Lose`: the call does what it should, and the answer to it is lost.
 * - `BreakOff`: a stream fails after so many elements.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault = Data.TaggedEnum<{
  Fail: { readonly error: StartError }
  Answer: {
    readonly status: FailureStatus
    readonly detail: string
    readonly retryAfter: Duration.Duration | undefined
  }
  Delay: { readonly duration: Duration.Duration }
  Lose: {}
  BreakOff: { readonly after: number }
}>

/**
 * The constructors of faults.
 *
 * @since 0.1.0
 * @category constructors
 */
export const Fault = Data.taggedEnum<Fault>()

/**
 * The calls of a method that a fault is for.
 *
 * - `call`: the first of them, counted from 1 when the plan was made. Default 1.
 * - `times`: how many calls. Default 1; `Infinity` for all from there on.
 *
 * @since 0.1.0
 * @category models
 */
export interface When {
  readonly call?: number | undefined
  readonly times?: number | undefined
}

/**
 * A fault of some calls of a method.
 *
 * @since 0.1.0
 * @category models
 */
export interface PlannedFault {
  readonly method: Method
  readonly from: number
  readonly times: number
  readonly fault: Fault
}

/**
 * What goes wrong, and when. Where several faults are planned for one call, delays add up and the last of the others
 * is what happens.
 *
 * @since 0.1.0
 * @category models
 */
export class FaultPlan extends Pipeable.Class(
  Data.TaggedClass("FaultPlan")<{ readonly faults: ReadonlyArray<PlannedFault> }>
) {}

/**
 * Nothing goes wrong.
 *
 * @since 0.1.0
 * @category constructors
 */
export const none: FaultPlan = new FaultPlan({ faults: [] })

/** Whether an argument is the plan, by which data-first and data-last calls are told apart. */
const isDataFirst = (args: IArguments): boolean => args[0] instanceof FaultPlan

/**
 * Plans a fault.
 *
 * @since 0.1.0
 * @category combinators
 */
export const add: {
  (method: Method, fault: Fault, when?: When | undefined): (self: FaultPlan) => FaultPlan
  (self: FaultPlan, method: Method, fault: Fault, when?: When | undefined): FaultPlan
} = dual(
  isDataFirst,
  (self: FaultPlan, method: Method, fault: Fault, when: When = {}): FaultPlan =>
    new FaultPlan({
      faults: [...self.faults, { method, from: when.call ?? 1, times: when.times ?? 1, fault }]
    })
)

/**
 * Plans that a call fails with an error, and does nothing.
 *
 * @since 0.1.0
 * @category combinators
 */
export const fail: {
  (method: Method, error: StartError, when?: When | undefined): (self: FaultPlan) => FaultPlan
  (self: FaultPlan, method: Method, error: StartError, when?: When | undefined): FaultPlan
} = dual(isDataFirst, (self: FaultPlan, method: Method, error: StartError, when?: When): FaultPlan =>
  add(self, method, Fault.Fail({ error }), when)
)

/**
 * How an answer is made up.
 *
 * @since 0.1.0
 * @category models
 */
export interface AnswerOptions extends When {
  readonly detail?: string | undefined
  readonly retryAfter?: Duration.DurationInput | undefined
}

/**
 * Plans that the service answers with a status. The call fails with the error that the client makes of it: a 429 with
 * `RateLimited`, a 504 to a spawn with `OutcomeUnknown`.
 *
 * The double stands for the client and its service together, so what the client would repeat by itself is over: the
 * error is the one that is left after that.
 *
 * @since 0.1.0
 * @category combinators
 */
export const answer: {
  (method: Method, status: FailureStatus, options?: AnswerOptions | undefined): (self: FaultPlan) => FaultPlan
  (self: FaultPlan, method: Method, status: FailureStatus, options?: AnswerOptions | undefined): FaultPlan
} = dual(
  isDataFirst,
  (self: FaultPlan, method: Method, status: FailureStatus, options: AnswerOptions = {}): FaultPlan =>
    add(
      self,
      method,
      Fault.Answer({
        status,
        detail: options.detail ?? `A planned fault: status ${status}`,
        retryAfter: options.retryAfter === undefined ? undefined : Duration.decode(options.retryAfter)
      }),
      options
    )
)

/**
 * Plans that a call takes longer, by the `Clock`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const delay: {
  (method: Method, duration: Duration.DurationInput, when?: When | undefined): (self: FaultPlan) => FaultPlan
  (self: FaultPlan, method: Method, duration: Duration.DurationInput, when?: When | undefined): FaultPlan
} = dual(isDataFirst, (self: FaultPlan, method: Method, duration: Duration.DurationInput, when?: When): FaultPlan =>
  add(self, method, Fault.Delay({ duration: Duration.decode(duration) }), when)
)

/**
 * Plans that a call does what it should and its answer is lost: a spawn fails with `OutcomeUnknown`, and the command
 * runs.
 *
 * @since 0.1.0
 * @category combinators
 */
export const loseAnswer: {
  (method: Method, when?: When | undefined): (self: FaultPlan) => FaultPlan
  (self: FaultPlan, method: Method, when?: When | undefined): FaultPlan
} = dual(isDataFirst, (self: FaultPlan, method: Method, when?: When): FaultPlan =>
  add(self, method, Fault.Lose(), when)
)

/**
 * Plans that a stream fails with `Unavailable` after so many elements, as a connection that breaks.
 *
 * @since 0.1.0
 * @category combinators
 */
export const breakOff: {
  (method: StreamMethod, after: number, when?: When | undefined): (self: FaultPlan) => FaultPlan
  (self: FaultPlan, method: StreamMethod, after: number, when?: When | undefined): FaultPlan
} = dual(isDataFirst, (self: FaultPlan, method: StreamMethod, after: number, when?: When): FaultPlan =>
  add(self, method, Fault.BreakOff({ after }), when)
)

/**
 * The faults of a call, by the number of the call from 1.
 *
 * @since 0.1.0
 * @category getters
 */
export const faultsOf = (self: FaultPlan, method: Method, call: number): ReadonlyArray<Fault> =>
  self.faults
    .filter((planned) => planned.method === method && call >= planned.from && call < planned.from + planned.times)
    .map(({ fault }) => fault)
