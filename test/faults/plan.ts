/**
 * A random plan of faults out of a seed. Each request's fault depends on the seed, the part of the program that asks, and
 * how often it has asked the same, so that fibers running side by side do not change each other's.
 */
import { type Dice, dice } from "../fixtures/Dice.js"
import { type Asked, type Fault, none } from "../fixtures/FaultServer.js"
import { mannerOf, tooLong } from "./verdict.js"

const retryAfter = (roll: Dice): string | undefined => {
  const kind = roll.below(20)
  if (kind < 8) return undefined
  if (kind < 15) return "0"
  if (kind < 17) return new Date(roll.below(2) * 1000).toUTCString()
  return kind < 19 ? "1" : tooLong
}

const bodiless = ({ method, path }: Asked): boolean =>
  method === "HEAD" || method === "DELETE" || path.endsWith("/stdin") || path === "/v1/inspect/"

const reset = (roll: Dice, asked: Asked, starts: boolean): Fault => ({
  _tag: "Reset",
  at: bodiless(asked) ? "asked" : roll.pick(["asked", "head", "body"] as const),
  how: roll.pick(["rst", "fin"] as const),
  framing: roll.pick(["length", "chunked"] as const),
  done: !starts || roll.chance(0.5)
})

const streamFault = (roll: Dice): Fault => ({
  _tag: "Stream",
  cutAfter: roll.chance(0.7) ? roll.below(roll.pick([40, 600, 3000])) : undefined,
  how: roll.pick(["rst", "fin", "end", "sse_error"] as const),
  repeats: roll.pick([0, 1, 2, 3, "all"] as const),
  seam: roll.chance(0.5) ? roll.below(4) : 0,
  unnumbered: roll.chance(0.3),
  noise: roll.chance(0.5)
})

const fault = (roll: Dice, asked: Asked, probability: number): Fault => {
  const manner = mannerOf(asked)
  const starts = manner === "start"
  if (!roll.chance(probability)) return manner === "events" && roll.chance(0.5) ? streamFault(roll) : none
  if (manner === "events" && roll.chance(0.7)) return streamFault(roll)
  const kind = roll.below(12)
  if (kind < 4) return reset(roll, asked, starts)
  if (kind < 9) {
    const status = roll.pick([425, 429, 425, 429, 500, 502, 503, 504, 408, 410])
    return {
      _tag: "Status",
      status,
      retryAfter: retryAfter(roll),
      // Who says that it is too early, or that it failed, has started nothing.
      done: starts && [408, 410, 502, 504].includes(status) && roll.chance(0.5),
      cut: roll.chance(0.2)
    }
  }
  if (kind === 9) return { _tag: "Refused" }
  if (kind === 10) return { _tag: "Delay", millis: roll.below(15) }
  return bodiless(asked) || manner === "streamed" || manner === "events" ? none : { _tag: "Garbage" }
}

/** `probability` is how likely a request fails. */
export const plan = (seed: number, probability: number) => {
  const counts = new Map<string, number>()
  return (asked: Asked): Fault => {
    // Ids of operations are not the seed's alone.
    const key = `${asked.step} ${asked.method} ${asked.path.replaceAll(/[0-9a-f-]{36}/g, "id")}`
    const count = counts.get(key) ?? 0
    counts.set(key, count + 1)
    return fault(dice(seed).fork(`${key} ${count}`), asked, probability)
  }
}
