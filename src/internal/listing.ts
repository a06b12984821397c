/**
 * Listings by pages, as streams.
 */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { TimeBound } from "../api/Timestamp.js"
import type { Page } from "../ContreeClient.js"
import { ContreeClient } from "../ContreeClient.js"
import type { RequestError } from "../ContreeError.js"
import { RequestRejected } from "../ContreeError.js"

/** When the listed things were made. A duration counts back from now, by the server's clock. */
export interface TimeWindow {
  readonly since?: DateTime.Utc | Duration.DurationInput | undefined
  readonly until?: DateTime.Utc | Duration.DurationInput | undefined
}

/** A bound counted back from now moves with the server's clock, so later pages must count from further back. */
const bound = (
  input: DateTime.Utc | Duration.DurationInput | undefined,
  elapsedMillis: number
): TimeBound | undefined => {
  if (input === undefined) return undefined
  return DateTime.isDateTime(input) ? input : Duration.sum(Duration.decode(input), Duration.millis(elapsedMillis))
}

/**
 * Follows the pages of a listing until a page is short or `number` rows are there.
 *
 * Newer rows that come in front move the others onto later pages; each row is given once.
 */
export const stream = <A>(options: {
  readonly name: string
  readonly window: TimeWindow
  readonly number: number | undefined
  readonly page: (client: ContreeClient.Service, page: Page) => Effect.Effect<ReadonlyArray<A>, RequestError>
  readonly id: (row: A) => string
}): Stream.Stream<A, RequestError, ContreeClient> => {
  const { number } = options
  return Stream.unwrap(
    Effect.gen(function* () {
      if (number !== undefined && !(Number.isInteger(number) && number > 0)) {
        return yield* new RequestRejected({
          detail: `number must be a whole number of at least 1, got ${number}`,
          suggestion: "Leave number out to list everything"
        })
      }
      const client = yield* ContreeClient
      const started = yield* Clock.currentTimeMillis
      const given = new Set<string>()
      // The same for all pages: pages that became smaller would not get past rows that keep moving.
      const limit = Math.min(client.policy.pageSize, number ?? client.policy.pageSize)
      return Stream.paginateChunkEffect(0, (offset) =>
        Effect.gen(function* () {
          const elapsed = (yield* Clock.currentTimeMillis) - started
          const rows = yield* options.page(client, {
            limit,
            offset,
            since: bound(options.window.since, elapsed),
            until: bound(options.window.until, elapsed)
          })
          const fresh = rows
            .filter((row) => !given.has(options.id(row)))
            .slice(0, number === undefined ? undefined : number - given.size)
          for (const row of fresh) given.add(options.id(row))
          return [
            Chunk.unsafeFromArray(fresh),
            rows.length < limit || given.size === number ? Option.none() : Option.some(offset + limit)
          ] as const
        })
      )
    })
  ).pipe(Stream.withSpan(options.name))
}
