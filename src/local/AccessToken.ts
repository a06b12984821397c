/**
 * Tokens: which projects whoever bears one may use, what it may do there, and until when.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHash, timingSafeEqual } from "node:crypto"
import { Permission } from "../api/Account.js"
import { EngineError } from "./EngineError.js"

/**
 * The project of a token that names none.
 *
 * @since 0.1.0
 * @category models
 */
export const defaultProject = "default"

const ProjectName = Schema.NonEmptyString.pipe(
  Schema.maxLength(256),
  Schema.pattern(/^[^\p{Cc}]*$/u, {
    message: () => "a project's name has 1 to 256 characters and no control characters"
  })
)

/**
 * Whether a text can be the name of a project: 1 to 256 characters without control characters.
 *
 * @since 0.1.0
 * @category guards
 */
export const isProjectName = Schema.is(ProjectName)

const Projects = Schema.Union(Schema.Literal("*"), Schema.NonEmptyArray(ProjectName))

/** Without `permissions` a token has all of them. */
const shared = {
  name: Schema.optional(Schema.NonEmptyString),
  project: Schema.optional(ProjectName),
  projects: Schema.optional(Projects),
  permissions: Schema.optionalWith(Schema.Array(Permission), { default: () => Permission.literals }),
  expires: Schema.optionalWith(Schema.DateTimeUtc, { as: "Option" })
}

const Digest = Schema.String.pipe(
  Schema.pattern(/^[0-9a-f]{64}$/, { message: () => "a SHA-256 digest has 64 hexadecimal digits in lower case" })
)

/**
 * A token as a file of tokens names it: by itself or by the SHA-256 digest of its text.
 *
 * - `name`: stands in logs in its place.
 * - `project`: the one that it is bound to, default `default`; what a request's `Project` header says is then ignored.
 * - `projects`: the header chooses among these, or any with `"*"`; without a header `project` counts, if it is given.
 * - `permissions`: default all.
 * - `expires`: ISO 8601; default never.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TokenEntry = Schema.Struct({
  ...shared,
  token: Schema.optional(Schema.Redacted(Schema.NonEmptyString)),
  sha256: Schema.optional(Digest)
}).pipe(
  Schema.filter(
    ({ sha256, token }) =>
      (token === undefined) !== (sha256 === undefined) || "needs either token or sha256, and not both"
  )
)

/**
 * A token as the server knows it: `digest` is the SHA-256 of its text.
 *
 * @since 0.1.0
 * @category schemas
 */
export const AccessToken = Schema.Struct({ ...shared, id: Schema.UUID, digest: Digest })

/**
 * A token as the server knows it.
 *
 * @since 0.1.0
 * @category models
 */
export type AccessToken = typeof AccessToken.Type

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

/**
 * The id of a token: a UUID that is the same at each start and tells nothing about the token.
 *
 * @since 0.1.0
 * @category getters
 */
export const idOf = (digest: string): string => {
  const hash = sha256(`effect-contree token ${digest}`)
  // Version 8 of RFC 9562: the maker's own bits.
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`
}

/**
 * A token that may do everything in one project, for ever.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromText = (text: string, project: string = defaultProject): AccessToken => {
  const digest = sha256(text)
  return { id: idOf(digest), digest, project, permissions: Permission.literals, expires: Option.none() }
}

const decodeTokens = Schema.decodeUnknown(Schema.Struct({ tokens: Schema.NonEmptyArray(TokenEntry) }), {
  errors: "all",
  onExcessProperty: "error"
})

/** A message of the parser quotes what it has read, and that may be a token. */
const faults = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .map(({ message, path }) => {
      const name = path.map(String).join(".")
      return /\.(?:token|sha256)$/.test(name) ? `${name} is not what it must be` : `${name}: ${message}`
    })
    .join("; ")

/**
 * The tokens of a file's text: `{ "tokens": [TokenEntry, …] }`. The error names what is wrong, never a token.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromFile = Effect.fn("AccessToken.fromFile")(function* (
  file: string,
  text: string
): Effect.fn.Return<ReadonlyArray<AccessToken>, EngineError> {
  const invalid = (detail: string) =>
    new EngineError({
      detail: `the file of tokens ${file}: ${detail}`,
      suggestion: 'It must be like {"tokens": [{"token": "…", "project": "mine", "permissions": ["list", "spawn"]}]}'
    })
  const json = yield* Effect.try({ try: (): unknown => JSON.parse(text), catch: () => invalid("it is not JSON") })
  const { tokens } = yield* Effect.mapError(decodeTokens(json), (error) => invalid(faults(error)))
  const seen = new Set<string>()
  const made: Array<AccessToken> = []
  for (const [index, { sha256: given, token, ...entry }] of tokens.entries()) {
    const digest = given ?? (token === undefined ? "" : sha256(Redacted.value(token)))
    if (seen.has(digest)) return yield* invalid(`tokens.${index} is the same token as an earlier one`)
    seen.add(digest)
    made.push({ ...entry, digest, id: idOf(digest) })
  }
  return made
})

/**
 * The token that a caller bears. Each is compared in equal time, so that the time tells nothing about any of them.
 *
 * @since 0.1.0
 * @category getters
 */
export const find = (tokens: ReadonlyArray<AccessToken>, text: string): Option.Option<AccessToken> => {
  const given = createHash("sha256").update(text).digest()
  let found = Option.none<AccessToken>()
  for (const token of tokens) {
    if (timingSafeEqual(given, Buffer.from(token.digest, "hex"))) found = Option.some(token)
  }
  return found
}
