/**
 * How a registry is told who is asking: the challenges of `WWW-Authenticate` and what answers them.
 *
 * @since 0.1.0
 */
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/**
 * A user name and a password, or what a registry takes in its place (an access token).
 *
 * @since 0.1.0
 * @category models
 */
export interface Credentials {
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * One challenge: `scheme` in lower case, the names of `parameters` too.
 *
 * @since 0.1.0
 * @category models
 */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const PARAMETER = `${TOKEN}[ \\t]*=[ \\t]*(?:"(?:[^"\\\\]|\\\\.)*"|[^\\s,"]*)`

/**
 * Reads the value of a `WWW-Authenticate` header: several challenges, quoted and bare parameters. Text that is not of
 * that form is passed over.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseChallenges = (header: string): ReadonlyArray<Challenge> => {
  const challenges: Array<{ readonly scheme: string; readonly parameters: Record<string, string> }> = []
  for (const [part] of header.matchAll(new RegExp(`${PARAMETER}|${TOKEN}`, "g"))) {
    const equals = part.indexOf("=")
    if (equals === -1) {
      challenges.push({ scheme: part.toLowerCase(), parameters: {} })
      continue
    }
    const value = part.slice(equals + 1).trim()
    const text = value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value
    const parameters = challenges.at(-1)?.parameters
    if (parameters !== undefined) parameters[part.slice(0, equals).trim().toLowerCase()] = text
  }
  return challenges
}

/**
 * Credentials that say something: clients exist that send an empty user name with an empty password for nobody.
 *
 * @since 0.1.0
 * @category getters
 */
export const present = (credentials: Credentials | undefined): Option.Option<Credentials> =>
  credentials === undefined || (credentials.username === "" && Redacted.value(credentials.password) === "")
    ? Option.none()
    : Option.some(credentials)

/**
 * The `Authorization` header of the Basic scheme.
 *
 * @since 0.1.0
 * @category getters
 */
export const basic = ({ password, username }: Credentials): Redacted.Redacted =>
  Redacted.make(`Basic ${Encoding.encodeBase64(`${username}:${Redacted.value(password)}`)}`)

/**
 * The address at which a Bearer challenge hands out tokens, for pulling from one repository unless the challenge says
 * for what; none where its realm is no address.
 *
 * @since 0.1.0
 * @category getters
 */
export const tokenUrl = (challenge: Challenge, repository: string): Option.Option<URL> =>
  Option.map(Option.liftThrowable((realm: string) => new URL(realm))(challenge.parameters["realm"] ?? ""), (url) => {
    const service = challenge.parameters["service"]
    if (service !== undefined) url.searchParams.set("service", service)
    // Several scopes are separated by blanks, and asked for one by one.
    const scopes = (challenge.parameters["scope"] ?? "").split(" ").filter((scope) => scope !== "")
    for (const scope of scopes.length === 0 ? [`repository:${repository}:pull`] : scopes) {
      url.searchParams.append("scope", scope)
    }
    return url
  })

/**
 * What a token server answers: `token`, or `access_token` as OAuth 2 has it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TokenAnswer = Schema.parseJson(
  Schema.Union(Schema.Struct({ token: Schema.NonEmptyString }), Schema.Struct({ access_token: Schema.NonEmptyString }))
)

/**
 * The `Authorization` header of the Bearer scheme.
 *
 * @since 0.1.0
 * @category getters
 */
export const bearer = (answer: typeof TokenAnswer.Type): Redacted.Redacted =>
  Redacted.make(`Bearer ${"token" in answer ? answer.token : answer.access_token}`)
