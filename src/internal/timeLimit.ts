/**
 * A limit on the time of an effect that runs often: one fiber sleeps for all that run by a clock, where
 * `Effect.timeout` starts two for each and races them.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Scheduler from "effect/Scheduler"

/** Until when something may run, and what happens then. */
interface Limit {
  readonly at: number
  readonly over: () => void
}

/** The limits of what runs by a clock. Its fiber sleeps until the next one, and lives while there are any. */
class Watch {
  private readonly limits = new Set<Limit>()
  private sleeper: Fiber.RuntimeFiber<void> | undefined
  private wakesAt = Number.POSITIVE_INFINITY

  constructor(private readonly clock: Clock.Clock) {}

  add(limit: Limit): Effect.Effect<void> {
    this.limits.add(limit)
    if (this.sleeper !== undefined && this.wakesAt <= limit.at) return Effect.void
    this.wakesAt = limit.at
    return Effect.map(Effect.forkDaemon(Effect.interruptible(this.watch)), (fiber) => {
      this.stop()
      this.sleeper = fiber
    })
  }

  /** Whoever makes one call after another keeps the fiber: it is looked at only after the caller has run. */
  remove(limit: Limit, scheduler: Scheduler.Scheduler): void {
    if (!this.limits.delete(limit) || this.limits.size > 0) return
    scheduler.scheduleTask(() => {
      if (this.limits.size === 0) this.stop()
    }, 0)
  }

  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.clock.unsafeCurrentTimeMillis()
    this.wakesAt = Number.POSITIVE_INFINITY
    for (const limit of this.limits) {
      if (limit.at > now) this.wakesAt = Math.min(this.wakesAt, limit.at)
      else {
        this.limits.delete(limit)
        limit.over()
      }
    }
    if (this.limits.size > 0) return Effect.zipRight(this.clock.sleep(Duration.millis(this.wakesAt - now)), this.watch)
    this.sleeper = undefined
    return Effect.void
  })

  private stop(): void {
    const { sleeper } = this
    this.sleeper = undefined
    sleeper?.unsafeInterruptAsFork(FiberId.none)
  }
}

const watches = new WeakMap<Clock.Clock, Watch>()

const watchOf = (clock: Clock.Clock): Watch => {
  const known = watches.get(clock)
  if (known !== undefined) return known
  const watch = new Watch(clock)
  watches.set(clock, watch)
  return watch
}

/** Interrupts an effect that is not done in time, waits for its end, and fails. */
export const within = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  options: { readonly limit: Duration.Duration; readonly onTimeout: () => E2 }
): Effect.Effect<A, E | E2, R> =>
  Effect.clockWith((clock) =>
    Effect.uninterruptibleMask((restore) =>
      // Its failure is its caller's, who sees it, and no unhandled one.
      Effect.flatMap(Effect.forkDaemon(Effect.exit(restore(effect))), (fiber) => {
        const watch = watchOf(clock)
        let resumed: (effect: Effect.Effect<A, E | E2>) => void = () => {}
        const limit: Limit = {
          at: clock.unsafeCurrentTimeMillis() + Duration.toMillis(options.limit),
          over: () => resumed(Effect.zipRight(Fiber.interrupt(fiber), Effect.failSync(options.onTimeout)))
        }
        const done = Effect.async<A, E | E2>((resume) => {
          resumed = resume
          fiber.addObserver((exit) => {
            resume(Exit.flatten(exit))
            watch.remove(limit, fiber.currentScheduler)
          })
        })
        return Effect.zipRight(
          watch.add(limit),
          Effect.onInterrupt(restore(done), () =>
            Effect.zipRight(
              Effect.sync(() => watch.remove(limit, fiber.currentScheduler)),
              Fiber.interrupt(fiber)
            )
          )
        )
      })
    )
  )
