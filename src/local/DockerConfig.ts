/**
 * The credentials that `docker login` leaves in a file.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { canonicalRegistry } from "../internal/referenceGrammar.js"
import type { Credentials } from "./RegistryAuth.js"

const Entry = Schema.Struct({
  auth: Schema.optional(Schema.String),
  username: Schema.optional(Schema.String),
  password: Schema.optional(Schema.String)
})

const File = Schema.parseJson(
  Schema.Struct({ auths: Schema.optional(Schema.Record({ key: Schema.String, value: Entry })) })
)

/** Keys are registries, and addresses such as `https://index.docker.io/v1/`. */
const registryOf = (key: string): string => canonicalRegistry(key.replace(/^https?:\/\//i, "").replace(/\/.*$/, ""))

const credentialsOf = ({ auth, password, username }: typeof Entry.Type): Option.Option<Credentials> => {
  if (auth === undefined || auth === "") {
    return username === undefined || password === undefined
      ? Option.none()
      : Option.some({ username, password: Redacted.make(password) })
  }
  return Option.flatMap(Option.getRight(Encoding.decodeBase64String(auth)), (text) => {
    const colon = text.indexOf(":")
    return colon < 1
      ? Option.none()
      : Option.some({ username: text.slice(0, colon), password: Redacted.make(text.slice(colon + 1)) })
  })
}

/**
 * Looks a registry up in a file such as `~/.docker/config.json`. It is read anew each time, so that a login counts at
 * once; a file that is missing has no credentials, nor has one that cannot be read, which is logged. Credentials that
 * are kept by a helper program are not asked for.
 *
 * @since 0.1.0
 * @category getters
 */
export const credentials = Effect.fn("DockerConfig.credentials")(function* (
  path: string,
  registry: string
): Effect.fn.Return<Option.Option<Credentials>, never, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.readFileString(path).pipe(
    Effect.flatMap((text) => Effect.mapError(Schema.decode(File)(text), () => "it is not Docker's configuration")),
    Effect.asSome,
    Effect.catchTag("SystemError", (error) =>
      error.reason === "NotFound" ? Effect.succeedNone : Effect.fail(error.message)
    ),
    // What the file holds does not get into the log.
    Effect.catchAll((error) =>
      Effect.as(
        Effect.logWarning(`${path} is passed over: ${typeof error === "string" ? error : error.message}`),
        Option.none<typeof File.Type>()
      )
    )
  )
  const entries = Object.entries(Option.getOrUndefined(file)?.auths ?? {})
  return Option.flatMap(Option.fromNullable(entries.find(([key]) => registryOf(key) === registry)), ([, entry]) =>
    credentialsOf(entry)
  )
})
