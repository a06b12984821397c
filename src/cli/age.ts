/** Times on the command line. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const unit: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** The seconds of a time such as `90s`, `30m`, `12h`, `7d`, `2w`, or of a number of seconds. */
export const toSeconds = (text: string): Option.Option<number> => {
  const [, number, letter = "s"] = /^(\d{1,9})([smhdw])?$/.exec(text) ?? []
  return number === undefined ? Option.none() : Option.some(Number(number) * (unit[letter] ?? 1))
}

/** A time such as `90s`, `30m`, `12h`, `7d`, `2w`, or `0`. */
export const age = (name: string) =>
  Options.text(name).pipe(
    Options.mapEffect((text) =>
      Option.match(/^(?:0|.*[a-z])$/.test(text) ? toSeconds(text) : Option.none(), {
        onNone: () =>
          Effect.fail(
            ValidationError.invalidValue(
              HelpDoc.p(`--${name}: ${JSON.stringify(text)} is no time such as 90s, 30m, 12h, 7d or 2w`)
            )
          ),
        onSome: (seconds) => Effect.succeed(Duration.seconds(seconds))
      })
    )
  )
