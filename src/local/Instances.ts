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
import type { OperationId } from "../api/Images.js"
import type { ProcessResult } from "../api/Operations.js"

/**
 * A process of a running instance.
 *
 * @since 0.1.0
 * @category models
 */
export interface InstanceProcess {
  /** The result so far: `exitCode` and `signal` are -1 while it runs. */
  readonly result: Effect.Effect<typeof ProcessResult.Type>
}

/**
 * A running instance. Process 1 is its own command.
 *
 * @since 0.1.0
 * @category models
 */
export interface Instance {
  readonly process: (spid: number) => Option.Option<InstanceProcess>
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
  return {
    show: (id, instance) =>
      Effect.acquireRelease(
        Effect.sync(() => void shown.set(id, instance)),
        () => Effect.sync(() => shown.delete(id))
      ),
    find: (id) => Effect.sync(() => Option.fromNullable(shown.get(id)))
  }
})

/**
 * The service as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Instances> = Layer.effect(Instances, make)
