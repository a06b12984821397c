/** What part of a listing a query asks for: the same for the engine and the test double. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { TimeBound } from "../api/Timestamp.js"

const epochMillis = (bound: TimeBound | undefined) =>
  bound === undefined
    ? Effect.succeed(undefined)
    : Duration.isDuration(bound)
      ? Effect.map(Clock.currentTimeMillis, (now) => now - Duration.toMillis(bound))
      : Effect.succeed(DateTime.toEpochMillis(bound))

/** The part of a listing that a query asks for; times are milliseconds since the epoch. */
export const window = Effect.fnUntraced(function* (query: {
  readonly limit?: number | undefined
  readonly offset?: number | undefined
  readonly since?: TimeBound | undefined
  readonly until?: TimeBound | undefined
}) {
  return {
    limit: query.limit ?? 100,
    offset: query.offset ?? 0,
    since: yield* epochMillis(query.since),
    until: yield* epochMillis(query.until)
  }
})
