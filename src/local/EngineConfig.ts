/**
 * Settings of the engine.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { EngineError } from "./EngineError.js"

/**
 * How sandboxes are launched: the strongest launcher that works here, or one by name.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LauncherChoice = Schema.Literal("auto", "built-in", "bubblewrap", "util-linux")

/**
 * Whether commands reach the outside: `outbound`, where this machine has a tool for it, or `none`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const NetworkChoice = Schema.Literal("outbound", "none")

const NameServer = Schema.String.pipe(
  Schema.pattern(/^\d{1,3}(?:\.\d{1,3}){3}$/, { message: () => "a name server is an address such as 192.0.2.53" })
)

/**
 * Another place that has a registry's images: it is asked before the registry itself.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Mirror = Schema.Struct({
  registry: Schema.NonEmptyString,
  url: Schema.String.pipe(
    Schema.pattern(/^https?:\/\/[^/?#@\s]+(\/[^?#\s]*)?$/, {
      message: () => "a mirror is an address such as https://mirror.example.com or http://127.0.0.1:5000"
    })
  )
})

/**
 * What an acknowledged image, tag or file survives: the end of the engine's process at any instant, or a power cut too.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Durability = Schema.Literal("process", "power")

/**
 * What an acknowledged image, tag or file survives.
 *
 * @since 0.1.0
 * @category models
 */
export type Durability = typeof Durability.Type

const default_ = <A>(value: A) => ({ default: () => value })

/**
 * Settings of the engine.
 *
 * - `dataDirectory`: where images, layers and the database live; absolute. One engine at a time works on it.
 * - `mirrors`: asked in order before the registry that they mirror.
 * - `insecureRegistries`: `host:port` of registries that speak plain http.
 * - `dockerConfig`: a file as `docker login` writes it, absolute, whose credentials are used by imports that bring none;
 *   default none for `serve`, where they would be lent to every caller, and {@link defaultDockerConfig} for
 *   `LocalContree`.
 * - `launcher`: default `auto`.
 * - `network`: `outbound` (default) lets commands reach the outside where this machine has a tool for it, `none` does not.
 * - `nameServers`: what commands ask for names, by address; default those of the machine that are not on its loopback.
 * - `publicProject`: a project whose tagged images every other project may read and run; default none.
 * - `maxConcurrency`: how many commands run at once, default 16; more wait for their turn.
 * - `maxImportConcurrency`: how many imports run at once, default 4; they take no place of a command.
 * - `maxQueued`: how many operations of one project may wait; a request beyond it is answered 429. No bound unless set.
 * - `durability`: `process` (default) keeps what was acknowledged however the engine ends; `power` also syncs it to the
 *   disk before the acknowledgement, for a power cut.
 * - `gcIntervalSeconds`: how often images that nobody needs are freed while the engine runs; never unless set.
 * - `gcKeepRecentSeconds`: which of them stay, see `GarbageCollector`, default 7 days.
 * - `squashDepth`: an image with more layers above its base than this has them squashed into one, default 48.
 * - `defaultRunTimeoutSeconds`, `maxRunTimeoutSeconds`: how long a command may run when it does not say, default
 *   60 s, and at most, default 3600 s.
 * - `defaultImportTimeoutSeconds`, `maxImportTimeoutSeconds`: the same for imports, default 300 s and 3600 s.
 * - `memoryLimitBytes`: how much memory all processes of one instance may use together, default half of the machine's.
 *   All instances together get at most three quarters of it.
 * - `processLimit`: how many processes and threads one instance may have, default 4096.
 * - `openFilesLimit`: how many files one process may have open, default 65536.
 * - `fileSizeLimitBytes`: the most bytes that a process may write into one file. No bound unless set.
 * - `cpuTimeLimitSeconds`: how much processor time one process may use. No bound unless set.
 * - `maxUploadBytes`: the most bytes that one uploaded file may have, default 16 GiB.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EngineConfig = Schema.Struct({
  dataDirectory: Schema.String.pipe(
    Schema.pattern(/^\//, { message: () => "the data folder must be an absolute path" })
  ),
  mirrors: Schema.optionalWith(Schema.Array(Mirror), default_([])),
  insecureRegistries: Schema.optionalWith(Schema.Array(Schema.NonEmptyString), default_([])),
  dockerConfig: Schema.optional(
    Schema.String.pipe(Schema.pattern(/^\//, { message: () => "Docker's configuration must be an absolute path" }))
  ),
  launcher: Schema.optionalWith(LauncherChoice, default_("auto" as const)),
  network: Schema.optionalWith(NetworkChoice, default_("outbound" as const)),
  nameServers: Schema.optionalWith(Schema.Array(NameServer), default_([])),
  publicProject: Schema.optional(Schema.NonEmptyString),
  maxConcurrency: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, 1024)), default_(16)),
  maxImportConcurrency: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, 64)), default_(4)),
  maxQueued: Schema.optional(Schema.Int.pipe(Schema.positive())),
  durability: Schema.optionalWith(Durability, default_("process" as const)),
  gcIntervalSeconds: Schema.optional(Schema.Int.pipe(Schema.positive())),
  gcKeepRecentSeconds: Schema.optionalWith(Schema.Int.pipe(Schema.nonNegative()), default_(604_800)),
  squashDepth: Schema.optionalWith(Schema.Int.pipe(Schema.between(2, 200)), default_(48)),
  defaultRunTimeoutSeconds: Schema.optionalWith(Schema.Int.pipe(Schema.positive()), default_(60)),
  maxRunTimeoutSeconds: Schema.optionalWith(Schema.Int.pipe(Schema.positive()), default_(3600)),
  defaultImportTimeoutSeconds: Schema.optionalWith(Schema.Int.pipe(Schema.positive()), default_(300)),
  maxImportTimeoutSeconds: Schema.optionalWith(Schema.Int.pipe(Schema.positive()), default_(3600)),
  memoryLimitBytes: Schema.optional(Schema.Int.pipe(Schema.greaterThanOrEqualTo(16 * 1024 ** 2))),
  processLimit: Schema.optionalWith(Schema.Int.pipe(Schema.between(16, 4_194_304)), default_(4096)),
  openFilesLimit: Schema.optionalWith(Schema.Int.pipe(Schema.between(64, 1_048_576)), default_(65_536)),
  fileSizeLimitBytes: Schema.optional(Schema.Int.pipe(Schema.greaterThanOrEqualTo(1024 ** 2))),
  cpuTimeLimitSeconds: Schema.optional(Schema.Int.pipe(Schema.positive())),
  maxUploadBytes: Schema.optionalWith(Schema.Int.pipe(Schema.positive()), default_(16 * 1024 ** 3))
}).annotations({ identifier: "EngineConfig" })

/**
 * Settings of the engine.
 *
 * @since 0.1.0
 * @category models
 */
export type EngineConfig = typeof EngineConfig.Type

/**
 * Settings of the engine, where everything but the data folder may be left out.
 *
 * @since 0.1.0
 * @category models
 */
export type EngineOptions = typeof EngineConfig.Encoded

/** What is wrong with settings, in the words of the schema's own messages, each with the name of its setting. */
const faults = (error: ParseResult.ParseError): string => {
  const messages = new Map<string, string>()
  for (const { message, path } of ParseResult.ArrayFormatter.formatErrorSync(error)) {
    const name = path.filter((key) => typeof key === "string").join(".")
    // The first of a setting's issues is about its value, the next ones about its absence.
    if (!messages.has(name)) messages.set(name, name === "" ? message : `${name}: ${message}`)
  }
  return [...messages.values()].join("; ")
}

/**
 * Fills in the defaults. Fails with an `EngineError` that names each setting which makes no sense.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: EngineOptions): Effect.Effect<EngineConfig, EngineError> =>
  Effect.mapError(
    Schema.decode(EngineConfig)(options, { errors: "all" }),
    (error) => new EngineError({ detail: faults(error), suggestion: "Correct the setting that the message names" })
  )

/**
 * A mirror as `registry=address`, for example `docker.io=https://mirror.example.com`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const MirrorFromString = Schema.transformOrFail(Schema.String, Mirror, {
  strict: true,
  decode: (text, _, ast) => {
    const [registry, ...rest] = text.split("=")
    return registry === undefined || registry === "" || rest.length === 0
      ? ParseResult.fail(
          new ParseResult.Type(
            ast,
            text,
            `${JSON.stringify(text)} is no registry=address, such as docker.io=https://mirror.example.com`
          )
        )
      : ParseResult.succeed({ registry, url: rest.join("=") })
  },
  encode: ({ registry, url }) => ParseResult.succeed(`${registry}=${url}`)
})

/**
 * Mirrors from their texts, or what is wrong with the first that is none.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mirrorsFromStrings = (
  texts: ReadonlyArray<string>
): Either.Either<ReadonlyArray<typeof Mirror.Type>, string> =>
  Either.mapLeft(Schema.decodeEither(Schema.Array(MirrorFromString))(texts), faults)

const list = (name: string) => Config.withDefault(Config.array(Config.nonEmptyString(), name), [])

/**
 * The data folder where none is named: `effect-contree` in the user's folder for data.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaultDataDirectory: Config.Config<string> = Config.nonEmptyString("XDG_DATA_HOME").pipe(
  Config.orElse(() => Config.map(Config.nonEmptyString("HOME"), (home) => `${home}/.local/share`)),
  Config.map((folder) => `${folder}/effect-contree`)
)

/**
 * Docker's own file of the user: `config.json` in `DOCKER_CONFIG` or `~/.docker`.
 *
 * @since 0.1.0
 * @category configuration
 */
export const defaultDockerConfig: Config.Config<string> = Config.nonEmptyString("DOCKER_CONFIG").pipe(
  Config.orElse(() => Config.map(Config.nonEmptyString("HOME"), (home) => `${home}/.docker`)),
  Config.map((folder) => `${folder}/config.json`)
)

/**
 * The engine's settings as the environment gives them:
 *
 * | setting | name | example |
 * | --- | --- | --- |
 * | data folder | `CONTREE_DATA_DIR`, else `effect-contree` in `XDG_DATA_HOME` or `~/.local/share` | `/srv/contree` |
 * | mirrors | `CONTREE_MIRRORS`, a list with commas | `docker.io=https://mirror.example.com` |
 * | plain-http registries | `CONTREE_INSECURE_REGISTRIES`, a list with commas | `127.0.0.1:5000` |
 * | Docker's credentials | `CONTREE_DOCKER_CONFIG` | `/home/ada/.docker/config.json` |
 * | launcher | `CONTREE_LAUNCHER` | `util-linux` |
 * | network | `CONTREE_NETWORK` | `none` |
 * | name servers | `CONTREE_NAME_SERVERS`, a list with commas | `192.0.2.53` |
 * | commands at once | `CONTREE_MAX_CONCURRENCY` | `8` |
 * | imports at once | `CONTREE_MAX_IMPORT_CONCURRENCY` | `2` |
 * | operations of a project that may wait | `CONTREE_MAX_QUEUED` | `1000` |
 * | durability | `CONTREE_DURABILITY` | `power` |
 * | memory of an instance | `CONTREE_MEMORY_LIMIT_BYTES` | `2147483648` |
 * | processes of an instance | `CONTREE_PROCESS_LIMIT` | `512` |
 *
 * @since 0.1.0
 * @category configuration
 */
export const fromEnvironment: Config.Config<EngineOptions> = Config.all({
  dataDirectory: Config.orElse(Config.nonEmptyString("CONTREE_DATA_DIR"), () => defaultDataDirectory),
  mirrors: Config.mapOrFail(list("CONTREE_MIRRORS"), (texts) =>
    Either.mapLeft(mirrorsFromStrings(texts), (detail) => ConfigError.InvalidData(["CONTREE_MIRRORS"], detail))
  ),
  insecureRegistries: list("CONTREE_INSECURE_REGISTRIES"),
  launcher: Config.withDefault(
    Config.literal("auto", "built-in", "bubblewrap", "util-linux")("CONTREE_LAUNCHER"),
    "auto"
  ),
  dockerConfig: Config.option(Config.nonEmptyString("CONTREE_DOCKER_CONFIG")),
  network: Config.withDefault(Config.literal(...NetworkChoice.literals)("CONTREE_NETWORK"), "outbound"),
  nameServers: list("CONTREE_NAME_SERVERS"),
  maxConcurrency: Config.option(Config.integer("CONTREE_MAX_CONCURRENCY")),
  maxImportConcurrency: Config.option(Config.integer("CONTREE_MAX_IMPORT_CONCURRENCY")),
  maxQueued: Config.option(Config.integer("CONTREE_MAX_QUEUED")),
  memoryLimitBytes: Config.option(Config.integer("CONTREE_MEMORY_LIMIT_BYTES")),
  processLimit: Config.option(Config.integer("CONTREE_PROCESS_LIMIT")),
  durability: Config.withDefault(Config.literal(...Durability.literals)("CONTREE_DURABILITY"), "process")
}).pipe(
  Config.map(
    ({
      dockerConfig,
      maxConcurrency,
      maxImportConcurrency,
      maxQueued,
      memoryLimitBytes,
      processLimit,
      ...options
    }) => ({
      ...options,
      ...(Option.isSome(dockerConfig) ? { dockerConfig: dockerConfig.value } : {}),
      ...(Option.isSome(maxConcurrency) ? { maxConcurrency: maxConcurrency.value } : {}),
      ...(Option.isSome(maxImportConcurrency) ? { maxImportConcurrency: maxImportConcurrency.value } : {}),
      ...(Option.isSome(maxQueued) ? { maxQueued: maxQueued.value } : {}),
      ...(Option.isSome(memoryLimitBytes) ? { memoryLimitBytes: memoryLimitBytes.value } : {}),
      ...(Option.isSome(processLimit) ? { processLimit: processLimit.value } : {})
    })
  )
)
