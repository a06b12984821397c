import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { DateTime, Duration, Either, FastCheck, Schema } from "effect"
import { TimeBoundParam, Timestamp, WholeSeconds } from "../../src/api/Timestamp.js"

// A zone that is not UTC, so that a text read as local time is seen.
process.env["TZ"] = "America/St_Johns"
assert.notStrictEqual(new Date(0).getTimezoneOffset(), 0)

const decode = Schema.decodeUnknownEither(Timestamp)
const encode = Schema.encodeSync(Timestamp)
const millis = (text: string): number | undefined =>
  Either.getOrUndefined(Either.map(decode(text), DateTime.toEpochMillis))

const noon = Date.UTC(2024, 0, 1, 12)

/** Every millisecond of the years that ISO 8601 writes with four digits. */
const instant = FastCheck.date({
  min: new Date("0000-01-01T00:00:00Z"),
  max: new Date("9999-12-31T23:59:59.999Z")
}).map((date) => DateTime.unsafeMake(date))

describe("Timestamp", () => {
  const rows: ReadonlyArray<readonly [text: string, millis: number]> = [
    ["2024-01-01T12:00:00+00:00", noon],
    ["2024-01-01T12:00:00Z", noon],
    ["2024-01-01T12:00:00", noon],
    ["2024-01-01 12:00:00", noon],
    ["2024-01-01T12:00", noon],
    ["2024-01-01t12:00:00", noon],
    ["2024-01-01t12:00:00z", noon],
    ["2024-01-01T14:30:00+02:30", noon],
    ["2024-01-01T09:30:00-0230", noon],
    ["2024-01-01T12:00:00,5", noon + 500],
    ["2024-01-01T12:00:00.1", noon + 100],
    ["2024-01-01T12:00:00.123", noon + 123],
    ["2024-01-01T12:00:00.123456", noon + 123],
    ["2024-01-01T12:00:00.123456789Z", noon + 123],
    ["2024-01-01T12:00:00.999999999+00:00", noon + 999],
    ["2024-01-01", Date.UTC(2024, 0, 1)],
    [" 2024-01-01T12:00:00Z ", noon]
  ]
  it.each(rows)("reads %s, where a missing zone means UTC", (text, expected) => {
    assert.strictEqual(millis(text), expected)
  })

  const wrong = [
    "",
    "noon",
    "2024",
    "2024-13-01T00:00:00Z",
    "2024-01-01T25:00:00Z",
    "2024-01-01T12:00:00.1234567890Z",
    "12:00:00",
    "1704110400",
    "2024-01-01T12:00:00 CET",
    "Mon, 01 Jan 2024 12:00:00 GMT"
  ]
  it.each(wrong)("refuses %j with an example of what is right", (text) => {
    const result = decode(text)
    assert.isTrue(Either.isLeft(result))
    if (Either.isLeft(result)) assert.include(result.left.message, "2024-01-01T12:00:00+00:00")
  })

  it("is written with the offset that every reader knows", () => {
    assert.strictEqual(encode(DateTime.unsafeMake(noon)), "2024-01-01T12:00:00.000+00:00")
  })

  it.prop("is read back as it was written", [instant], ([at]) => {
    assert.match(encode(at), /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}\+00:00$/)
    assert.strictEqual(millis(encode(at)), at.epochMillis)
  })

  it.prop(
    "is the same instant with any number of fraction digits and any offset",
    [
      instant.filter(({ epochMillis }) => Math.abs(epochMillis) < 2e14 && epochMillis > -6e13),
      FastCheck.integer({ min: 0, max: 9 }),
      FastCheck.integer({ min: -14 * 60, max: 14 * 60 }),
      FastCheck.constantFrom("T", " ", "t"),
      FastCheck.boolean()
    ],
    ([at, digits, offset, separator, colon]) => {
      const there = DateTime.toUtc(DateTime.add(at, { minutes: offset }))
      const [date, time] = DateTime.formatIso(there).slice(0, -1).split("T")
      const [seconds, fraction] = `${time}`.split(".")
      const two = (part: number) => String(part).padStart(2, "0")
      const zone = `${offset < 0 ? "-" : "+"}${two(Math.trunc(Math.abs(offset) / 60))}${colon ? ":" : ""}${two(Math.abs(offset) % 60)}`
      const shown = `${fraction}000000`.slice(0, digits)
      const text = `${date}${separator}${seconds}${digits === 0 ? "" : `.${shown}`}${zone}`
      const lost =
        at.epochMillis - Math.floor(at.epochMillis / 10 ** Math.max(0, 3 - digits)) * 10 ** Math.max(0, 3 - digits)
      assert.strictEqual(millis(text), at.epochMillis - lost, text)
    }
  )

  it.prop(
    "reads any text without throwing",
    [FastCheck.oneof(FastCheck.string16bits(), FastCheck.stringMatching(/^[0-9T :.,Zz+-]{0,30}$/))],
    ([text]) => {
      assert.isTrue(Either.isEither(decode(text)))
      assert.isTrue(Either.isEither(Schema.decodeUnknownEither(TimeBoundParam)(text)))
    }
  )
})

describe("TimeBoundParam", () => {
  const read = (text: string) => Either.getOrUndefined(Schema.decodeUnknownEither(TimeBoundParam)(text))
  const write = Schema.encodeEither(TimeBoundParam)

  const rows: ReadonlyArray<readonly [text: string, bound: DateTime.Utc | Duration.Duration]> = [
    ["90s", Duration.seconds(90)],
    ["15m", Duration.minutes(15)],
    ["2h", Duration.hours(2)],
    ["7d", Duration.days(7)],
    ["1w", Duration.weeks(1)],
    ["0s", Duration.zero],
    ["1704110400", DateTime.unsafeMake(noon)],
    ["1704110400.5", DateTime.unsafeMake(noon + 500)],
    ["0", DateTime.unsafeMake(0)],
    ["2024-01-01T12:00:00", DateTime.unsafeMake(noon)],
    ["2024-01-01T12:00:00.123456", DateTime.unsafeMake(noon + 123)]
  ]
  it.each(rows)("reads %s", (text, bound) => {
    deepStrictEqual(read(text), bound)
  })

  it.each(["", "m", "15", "15x", "-1s", "1.5h", "15 m", "15M", "1e3", "yesterday", "99999999999999s", "15mm"])(
    "reads %j as nothing else than it says",
    (text) => {
      const bound = read(text)
      // A bare number is a Unix time, and everything else here is wrong.
      assert.strictEqual(bound === undefined, !/^\d+$/.test(text), text)
    }
  )

  it("is written as whole seconds, rounded up, or as an instant", () => {
    deepStrictEqual(write(Duration.millis(1)), Either.right("1s"))
    deepStrictEqual(write(Duration.days(1)), Either.right("86400s"))
    deepStrictEqual(write(DateTime.unsafeMake(noon)), Either.right("2024-01-01T12:00:00.000+00:00"))
  })

  it("has no end", () => {
    const result = write(Duration.infinity)
    assert.isTrue(Either.isLeft(result))
    if (Either.isLeft(result)) assert.include(result.left.message, "finite")
  })

  it.prop(
    "is read back as it was written",
    [FastCheck.oneof(instant, FastCheck.nat(1e9).map(Duration.seconds))],
    ([bound]) => {
      deepStrictEqual(read(Either.getOrThrow(write(bound))), bound)
    }
  )
})

describe("WholeSeconds", () => {
  it("are rounded up, are at least one, and end", () => {
    const write = Schema.encodeEither(WholeSeconds)
    for (const [millis, seconds] of [
      [0, 1],
      [1, 1],
      [1000, 1],
      [1001, 2],
      [60_000, 60]
    ] as const) {
      deepStrictEqual(write(Duration.millis(millis)), Either.right(seconds))
    }
    assert.isTrue(Either.isLeft(write(Duration.infinity)))
  })

  it("are read, and none is less than nothing", () => {
    const read = Schema.decodeUnknownEither(WholeSeconds)
    deepStrictEqual(read(90), Either.right(Duration.seconds(90)))
    deepStrictEqual(read(-1), Either.right(Duration.zero))
    for (const wrong of ["90", null, Number.NaN]) assert.isTrue(Either.isLeft(read(wrong)))
  })
})
