/**
 * Places that are given in the strict order of asking; `Effect.makeSemaphore` may let a later one pass.
 */
import * as Effect from "effect/Effect"

export interface Turns {
  /** Waits for a place; whoever has got one gives it back. */
  readonly take: Effect.Effect<void>
  readonly giveBack: Effect.Effect<void>
}

interface Waiter {
  hasTurn: boolean
  readonly proceed: () => void
}

export const make = (places: number): Turns => {
  let free = places
  const waiting: Array<Waiter> = []
  const giveBack = () => {
    const next = waiting.shift()
    if (next === undefined) {
      free++
    } else {
      next.hasTurn = true
      next.proceed()
    }
  }
  return {
    take: Effect.async<void>((resume) => {
      if (free > 0) {
        free--
        return resume(Effect.void)
      }
      const waiter = { hasTurn: false, proceed: () => resume(Effect.void) }
      waiting.push(waiter)
      return Effect.sync(() => {
        if (waiter.hasTurn) giveBack()
        else waiting.splice(waiting.indexOf(waiter), 1)
      })
    }),
    giveBack: Effect.sync(giveBack)
  }
}
