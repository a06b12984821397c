/**
 * The instances that run now, and their processes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { ApiFailure } from "../api/Failure.js"
import type { OperationId } from "../api/Images.js"
import type { ProcessResult } from "../api/Operations.js"
import type { StdinRepr } from "../api/StreamRepr.js"
import type { ExecRequest } from "../api/Subprocesses.js"

/**
 * A process of a running instance.
 *
 * @since 0.1.0
 * @category models
 */
export interface InstanceProcess {
  /** The result so far: `exitCode` and `signal` are -1 while it runs. */
  readonly result: Effect.Effect<typeof ProcessResult.Type>
  /** Sends a signal to the process's group. */
  readonly signal: (number: number) => Effect.Effect<void, ApiFailure>
  /** Writes to the standard input, in the order of the calls, and ends it where that is said. */
  readonly writeStdin: (input: typeof StdinRepr.Type) => Effect.Effect<void, ApiFailure>
}

/**
 * A running instance. Process 1 is its own command.
 *
 * @since 0.1.0
 * @category models
 */
export interface Instance {
  readonly process: (spid: number) => Option.Option<InstanceProcess>
  /** Starts one more process, and gives its number. */
  readonly start: (request: ExecRequest) => Effect.Effect<number, ApiFailure>
}

/**
 * The instances that run now.
 *
 * @since 0.1.0
 * @category tags
 */
export class Instances extends Context.Tag("effect-contree/local/Instances")<Instances, Instances.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Instances {
  /**
   * Finds instances by their operations.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** Shows an instance until the scope closes. */
    readonly show: (id: OperationId, instance: Instance) => Effect.Effect<void, never, Scope.Scope>
    readonly find: (id: OperationId) => Effect.Effect<Option.Option<Instance>>
    /** Whether an instance has ended, and its end is not recorded yet. */
    readonly isEnding: (id: OperationId) => Effect.Effect<boolean>
    /** Its end is recorded. */
    readonly forget: (id: OperationId) => Effect.Effect<void>
  }
}

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Instances.Service> = Effect.sync(() => {
  const shown = new Map<OperationId, Instance>()
  const ending = new Set<OperationId>()
  return {
    show: (id, instance) =>
      Effect.acquireRelease(
        Effect.sync(() => void shown.set(id, instance)),
        () =>
          Effect.sync(() => {
            shown.delete(id)
            ending.add(id)
          })
      ),
    find: (id) => Effect.sync(() => Option.fromNullable(shown.get(id))),
    isEnding: (id) => Effect.sync(() => ending.has(id)),
    forget: (id) => Effect.sync(() => void ending.delete(id))
  }
})

/**
 * The service as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Instances> = Layer.effect(Instances, make)
