/**
 * Settings as people write them into environments and files.
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/** Reads a text, or says what was expected. */
export type Reading<A> = (text: string) => Either.Either<A, string>

/** An http or https address. No token may hide in it, since addresses are seen in traces. */
export const url: Reading<string> = (text) =>
  !/^https?:\/\/[^/]/i.test(text) || !URL.canParse(text)
    ? Either.left(`Expected an address such as "https://contree.dev"`)
    : /\/\/[^/?#]*@/.test(text)
      ? Either.left("Expected an address without a name or password; give the token apart")
      : Either.right(text)

/** The reason may not hold the text: it is a secret. */
export const secret: Reading<Redacted.Redacted> = (text) =>
  /^[\x21-\x7e]+$/.test(text)
    ? Either.right(Redacted.make(text))
    : Either.left("Expected a token without blanks, line ends or letters outside ASCII")

/** Any text. */
export const text: Reading<string> = Either.right

/** One of a few words, in either case. */
export const among =
  <const A extends ReadonlyArray<string>>(...values: A): Reading<A[number]> =>
  (text) =>
    Either.fromOption(
      Arr.findFirst(values, (value) => value === text.toLowerCase()),
      () => `Expected ${values.join(" or ")}, got ${JSON.stringify(text)}`
    )

/** Seconds, or a number with its unit. */
export const duration: Reading<Duration.Duration> = (text) =>
  /^\d+(\.\d+)?$/.test(text)
    ? Either.right(Duration.seconds(Number(text)))
    : Either.fromOption(
        /^\d+(\.\d+)?\s*(milli|second|minute|hour|day|week)s?$/.test(text)
          ? Duration.decodeUnknown(text.replace(/^([\d.]+)\s*/, "$1 "))
          : Option.none(),
        () => `Expected seconds such as "60", or a duration such as "2 minutes", got ${JSON.stringify(text)}`
      )

/** A whole number within bounds. */
export const whole =
  (least: number, most: number): Reading<number> =>
  (text) =>
    /^\d{1,15}$/.test(text) && Number(text) >= least && Number(text) <= most
      ? Either.right(Number(text))
      : Either.left(`Expected a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`)

/** A number of things at once, or the server's own limit. */
export const concurrency: Reading<number | "server"> = (text) =>
  text.toLowerCase() === "server" ? Either.right("server") : whole(1, 100_000)(text)

/** Yes or no. */
export const flag: Reading<boolean> = (text) =>
  Either.map(among("true", "false", "1", "0", "yes", "no", "on", "off")(text), (word) =>
    ["true", "1", "yes", "on"].includes(word)
  )
