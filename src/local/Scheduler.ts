/**
 * Whose turn it is: how many runs and imports are carried out at once, and in which order the others follow.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/**
 * The kinds of work, each with places of its own: a slow registry does not hold up commands.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Lane = Schema.Literal("run", "import")

/**
 * The kinds of work, each with places of its own.
 *
 * @since 0.1.0
 * @category models
 */
export type Lane = typeof Lane.Type

/**
 * A project has as much work waiting as it may have.
 *
 * @since 0.1.0
 * @category errors
 */
export class QueueFull extends Schema.TaggedError<QueueFull>("effect-contree/local/QueueFull")("QueueFull", {
  project: Schema.String,
  limit: Schema.Int,
  retryAfterSeconds: Schema.Int
}) {
  override get message(): string {
    return `${this.limit} operations of the project ${JSON.stringify(this.project)} wait already. Try again once some of them are over, or raise the engine's maxQueued`
  }
}

/**
 * A place in the queue. `turn` waits for the place to work; `leave` gives it back, or leaves the queue, and may be
 * called at any time and more than once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ticket {
  readonly turn: Effect.Effect<void>
  readonly leave: Effect.Effect<void>
}

/**
 * How much is carried out and how much waits.
 *
 * @since 0.1.0
 * @category models
 */
export interface Load {
  readonly working: number
  readonly waiting: number
}

/**
 * Whose turn it is.
 *
 * @since 0.1.0
 * @category tags
 */
export class Scheduler extends Context.Tag("effect-contree/local/Scheduler")<Scheduler, Scheduler.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Scheduler {
  /**
   * Places for work.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /**
     * Takes a place in the queue at once. Among projects the places go round in turn, within a project in the order
     * of the calls. Whoever has a ticket must `leave`.
     */
    readonly enqueue: (lane: Lane, project: string) => Effect.Effect<Ticket, QueueFull>
    readonly load: (lane: Lane) => Effect.Effect<Load>
  }
}

/**
 * Settings of the scheduler.
 *
 * - `maxConcurrency`, `maxImportConcurrency`: runs and imports at once; at least 1.
 * - `maxQueued`: how many operations of one project may wait; without it there is no bound.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly maxConcurrency: number
  readonly maxImportConcurrency: number
  readonly maxQueued?: number | undefined
}

/** When somebody who was refused may ask again: a run is mostly over by then. */
const RETRY_AFTER_SECONDS = 1

interface Waiter {
  state: "waiting" | "working" | "gone"
  proceed: () => void
}

class Places {
  working = 0
  waiting = 0
  /** The project whose turn is next comes first. None has an empty queue. */
  private readonly queues = new Map<string, Array<Waiter>>()

  constructor(private readonly places: number) {}

  waitingOf(project: string): number {
    return this.queues.get(project)?.length ?? 0
  }

  get isBusy(): boolean {
    return this.working >= this.places
  }

  enter(project: string): Waiter {
    const waiter: Waiter = { state: "waiting", proceed: () => {} }
    if (!this.isBusy) {
      this.working++
      waiter.state = "working"
      return waiter
    }
    this.waiting++
    const queue = this.queues.get(project)
    if (queue === undefined) this.queues.set(project, [waiter])
    else queue.push(waiter)
    return waiter
  }

  leave(project: string, waiter: Waiter): void {
    if (waiter.state === "waiting") {
      this.waiting--
      const queue = this.queues.get(project) ?? []
      queue.splice(queue.indexOf(waiter), 1)
      if (queue.length === 0) this.queues.delete(project)
    } else if (waiter.state === "working") {
      this.working--
      this.next()
    }
    waiter.state = "gone"
  }

  private next(): void {
    for (const [project, queue] of this.queues) {
      const waiter = queue.shift()
      // Behind the others, until its turn comes round again.
      this.queues.delete(project)
      if (queue.length > 0) this.queues.set(project, queue)
      if (waiter === undefined) continue
      this.waiting--
      this.working++
      waiter.state = "working"
      waiter.proceed()
      return
    }
  }
}

/**
 * Makes the scheduler.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Scheduler.Service => {
  const lanes: Record<Lane, Places> = {
    run: new Places(Math.max(1, Math.floor(options.maxConcurrency))),
    import: new Places(Math.max(1, Math.floor(options.maxImportConcurrency)))
  }
  const waitingOf = (project: string) => lanes.run.waitingOf(project) + lanes.import.waitingOf(project)
  return {
    enqueue: (lane, project) =>
      Effect.suspend(() => {
        const places = lanes[lane]
        const limit = options.maxQueued
        if (limit !== undefined && places.isBusy && waitingOf(project) >= limit) {
          return new QueueFull({ project, limit, retryAfterSeconds: RETRY_AFTER_SECONDS })
        }
        const waiter = places.enter(project)
        return Effect.succeed<Ticket>({
          turn: Effect.async<void>((resume) => {
            if (waiter.state === "working") resume(Effect.void)
            else if (waiter.state === "waiting") waiter.proceed = () => resume(Effect.void)
          }),
          leave: Effect.sync(() => places.leave(project, waiter))
        })
      }),
    load: (lane) => Effect.sync(() => ({ working: lanes[lane].working, waiting: lanes[lane].waiting }))
  }
}

/**
 * The scheduler as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<Scheduler> => Layer.sync(Scheduler, () => make(options))
