/** Times on the command line. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const unit: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** A time such as `90s`, `30m`, `12h`, `7d`, `2w`, or `0`. */
export const age = (name: string) =>
  Options.text(name).pipe(
    Options.mapEffect((text) => {
      const [, number, letter = "s"] = /^(\d+)([smhdw])?$/.exec(text) ?? []
      return number === undefined || (letter === "s" && !text.endsWith("s") && number !== "0")
        ? Effect.fail(
            ValidationError.invalidValue(
              HelpDoc.p(`--${name}: ${JSON.stringify(text)} is no time such as 90s, 30m, 12h, 7d or 2w`)
            )
          )
        : Effect.succeed(Duration.seconds(Number(number) * (unit[letter] ?? 1)))
    })
  )
