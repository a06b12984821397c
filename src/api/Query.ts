/**
 * Query parameters that several endpoints share.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { TimeBoundParam } from "./Timestamp.js"

/**
 * The largest page that a listing may ask for.
 *
 * @since 0.1.0
 * @category models
 */
export const maxPageSize = 1000

/**
 * `limit` (1 to {@link maxPageSize}, default 100) and `offset` (default 0) of a listing.
 *
 * @since 0.1.0
 * @category schemas
 */
export const paging = {
  limit: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, maxPageSize))),
  offset: Schema.optional(Schema.NumberFromString.pipe(Schema.int(), Schema.nonNegative()))
}

/**
 * The time window of a listing.
 *
 * @since 0.1.0
 * @category schemas
 */
export const timeWindow = {
  since: Schema.optional(TimeBoundParam),
  until: Schema.optional(TimeBoundParam)
}

/**
 * A flag that is on unless it is absent or `0`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Flag = Schema.transform(Schema.String, Schema.Boolean, {
  strict: true,
  decode: (text) => text !== "0",
  encode: (flag) => (flag ? "1" : "0")
})
