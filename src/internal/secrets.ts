/**
 * Texts that no error, log or span may show.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { ContreeConfig } from "../ContreeConfig.js"

/** Longer texts are pages of a proxy, not the service's words. */
const maxDetail = 2000

/** Further texts that a request carries and that no error may show, beside the client's token. */
export class Secrets extends Context.Reference<Secrets>()("effect-contree/internal/Secrets", {
  defaultValue: (): ReadonlyArray<Redacted.Redacted> => []
}) {}

/** Takes secrets out of a text and cuts it to a bearable length. */
export type Scrub = (text: string) => string

/** A server may echo what it was sent, and errors end up in logs. */
export const scrub = (config: ContreeConfig): Effect.Effect<Scrub> =>
  Effect.map(Secrets, (secrets) => {
    const hidden = [...(config.token === undefined ? [] : [config.token]), ...secrets]
      .map(Redacted.value)
      .filter((secret) => secret !== "")
      // As it is, and as it stands in JSON.
      .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])
    return (text) => {
      const clean = hidden.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)
      return clean.length > maxDetail ? `${clean.slice(0, maxDetail)}…` : clean
    }
  })

/** An address without the name and password that stand before its host; a digest's `@` is none of them. */
export const withoutUserInfo = (address: string): string =>
  address.replace(/\/\/[^/@]*:[^/@]*@(?!sha\d+:)/, "//<redacted>@")
