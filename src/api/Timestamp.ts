/**
 * Points in time on the wire: ISO 8601 text, where a missing zone means UTC.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

const isoDateTime = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:z|[+-]\d{2}:?\d{2})?)?$/i

const parseIso = (text: string): Option.Option<DateTime.Utc> => {
  const trimmed = text.trim()
  if (!isoDateTime.test(trimmed)) return Option.none()
  // Without a zone `DateTime.make` reads UTC, as the contract does and `Date` does not.
  return DateTime.make(trimmed.toUpperCase().replace(" ", "T").replace(",", "."))
}

/** Python 3.10 readers know `+00:00` but not `Z`, and only 0, 3 or 6 fraction digits. */
const formatIso = (at: DateTime.Utc): string => DateTime.formatIso(at).replace(/Z$/, "+00:00")

/**
 * An instant: ISO 8601 text on the wire, `DateTime.Utc` in the program.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Timestamp = Schema.transformOrFail(Schema.String, Schema.DateTimeUtcFromSelf, {
  strict: true,
  decode: (text, _, ast) =>
    Option.match(parseIso(text), {
      onNone: () =>
        ParseResult.fail(
          new ParseResult.Type(ast, text, "expected an ISO 8601 date-time such as 2024-01-01T12:00:00+00:00")
        ),
      onSome: ParseResult.succeed
    }),
  encode: (at) => ParseResult.succeed(formatIso(at))
}).annotations({ identifier: "Timestamp" })

/**
 * An instant in an event: ISO 8601 text with nine fraction digits and `Z` on the wire. Below the millisecond it is not
 * kept.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EventTimestamp = Schema.transformOrFail(Schema.String, Schema.DateTimeUtcFromSelf, {
  strict: true,
  decode: (text, _, ast) =>
    Option.match(parseIso(text), {
      onNone: () =>
        ParseResult.fail(
          new ParseResult.Type(ast, text, "expected an ISO 8601 date-time such as 2024-01-01T12:00:00.000000000Z")
        ),
      onSome: ParseResult.succeed
    }),
  encode: (at) => ParseResult.succeed(DateTime.formatIso(at).replace(/Z$/, "000000Z"))
}).annotations({ identifier: "EventTimestamp" })

/**
 * A bound of a listing's time window: an instant, or a duration counted back from now.
 *
 * @since 0.1.0
 * @category models
 */
export type TimeBound = DateTime.Utc | Duration.Duration

const interval = /^(\d{1,12})([smhdw])$/
const unitMillis = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
const unixSeconds = /^\d{1,12}(?:\.\d{1,9})?$/

const isUnit = (unit: string | undefined): unit is keyof typeof unitMillis =>
  unit !== undefined && Object.hasOwn(unitMillis, unit)

const parseBound = (text: string): Option.Option<TimeBound> => {
  const match = interval.exec(text)
  if (match !== null && isUnit(match[2])) {
    return Option.some(Duration.millis(Number(match[1]) * unitMillis[match[2]]))
  }
  // The largest instant that a JavaScript date can hold is 8.64e12 seconds.
  if (unixSeconds.test(text)) return Option.map(DateTime.make(Number(text) * 1000), DateTime.toUtc)
  return parseIso(text)
}

/**
 * A {@link TimeBound} as it stands in a query: ISO 8601 text, Unix seconds, or an interval
 * such as `90s`, `15m`, `2h`, `7d`, `1w` back from now.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TimeBoundParam = Schema.transformOrFail(
  Schema.String,
  Schema.Union(Schema.DateTimeUtcFromSelf, Schema.DurationFromSelf),
  {
    strict: true,
    decode: (text, _, ast) =>
      Option.match(parseBound(text), {
        onNone: () =>
          ParseResult.fail(
            new ParseResult.Type(
              ast,
              text,
              "expected an ISO 8601 date-time, Unix seconds, or an interval such as 15m (units s, m, h, d, w)"
            )
          ),
        onSome: ParseResult.succeed
      }),
    encode: (bound, _, ast) => {
      if (!Duration.isDuration(bound)) return ParseResult.succeed(formatIso(bound))
      return Duration.isFinite(bound)
        ? ParseResult.succeed(`${Math.ceil(Duration.toSeconds(bound))}s`)
        : ParseResult.fail(new ParseResult.Type(ast, bound, "expected a finite duration"))
    }
  }
).annotations({ identifier: "TimeBound" })

/**
 * A duration as a number of seconds on the wire.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Seconds = Schema.transform(Schema.Number, Schema.DurationFromSelf, {
  strict: true,
  decode: (seconds) => Duration.seconds(Math.max(0, seconds)),
  encode: Duration.toSeconds
}).annotations({ identifier: "Seconds" })

/**
 * The number of whole seconds of a duration, rounded up, as clients send time limits.
 *
 * @since 0.1.0
 * @category schemas
 */
export const WholeSeconds = Schema.transform(Schema.JsonNumber, Schema.DurationFromSelf, {
  strict: true,
  decode: (seconds) => Duration.seconds(Math.max(0, seconds)),
  encode: (duration) => Math.max(1, Math.ceil(Duration.toSeconds(duration)))
}).annotations({ identifier: "WholeSeconds" })
