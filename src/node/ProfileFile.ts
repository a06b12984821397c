/**
 * The profile files of the official clients: `cli.ini`, then `auth.ini`, as `contree auth` writes them.
 *
 * They are in `$CONTREE_HOME`, else `$XDG_CONFIG_HOME/contree`, else `~/.config/contree`; a key of `auth.ini` wins.
 *
 * ```ini
 * [DEFAULT]
 * profile = work
 *
 * [profile:work]
 * type = iam
 * token = …
 * project = my-project
 * ```
 *
 * @example
 * ```ts
 * import { NodeContext } from "@effect/platform-node"
 * import { Image } from "effect-contree"
 * import { ProfileFile } from "effect-contree/node"
 * import { Effect, Layer } from "effect"
 *
 * // The environment where it has a token, else the active profile.
 * const Contree = ProfileFile.layer.pipe(Layer.provide(NodeContext.layer))
 *
 * export const program = Image.list({ number: 5 }).pipe(Effect.provide(Contree))
 * ```
 *
 * @since 0.1.0
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ContreeClient from "../ContreeClient.js"
import * as ContreeConfig from "../ContreeConfig.js"
import * as Text from "../internal/settingText.js"
import * as IniFile from "./internal/iniFile.js"

/**
 * A profile: where the service is, and who asks.
 *
 * @since 0.1.0
 * @category models
 */
export interface Profile {
  readonly name: string
  readonly auth: ContreeConfig.AuthKind
  readonly baseUrl: string
  readonly token: Redacted.Redacted
  /** Only an `iam` profile has one. */
  readonly project: Option.Option<string>
  /** The files that were read, in their order. */
  readonly files: ReadonlyArray<string>
}

/**
 * Which profile, and where.
 *
 * - `profile`: its name. Default: `CONTREE_PROFILE`, else the key `profile` of `[DEFAULT]`, else `default`.
 * - `folder`: where the files are, instead of the places that the environment names.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly profile?: string | undefined
  readonly folder?: string | undefined
}

/** A variable of the environment that is set, and not to an empty text. */
const variable = (name: string): Effect.Effect<Option.Option<string>, ConfigError.ConfigError> =>
  Config.option(Config.nonEmptyString(name))

const folderOf = Effect.fnUntraced(function* (path: Path.Path) {
  const home = yield* variable("CONTREE_HOME")
  if (Option.isSome(home)) return home.value
  const base = yield* variable("XDG_CONFIG_HOME")
  if (Option.isSome(base)) return path.join(base.value, "contree")
  // The second name is that of Windows.
  const user = yield* variable("HOME")
  const owner = Option.isSome(user) ? user : yield* variable("USERPROFILE")
  if (Option.isSome(owner)) return path.join(owner.value, ".config", "contree")
  return yield* Effect.fail(
    ConfigError.MissingData(
      ["CONTREE_HOME"],
      "The folder of the profile files is not known: none of CONTREE_HOME, XDG_CONFIG_HOME, HOME and USERPROFILE is set"
    )
  )
})

const readFile = Effect.fnUntraced(function* (fs: FileSystem.FileSystem, file: string) {
  const text = yield* fs.readFileString(file).pipe(
    Effect.map(Option.some),
    Effect.catchTag("SystemError", (error) => (error.reason === "NotFound" ? Effect.succeedNone : Effect.fail(error))),
    Effect.mapError((error) =>
      ConfigError.Unsupported([], `The profile file ${file} could not be read: ${error.message}`)
    )
  )
  if (Option.isNone(text)) return Option.none<IniFile.IniFile>()
  return Option.some(
    yield* Either.mapLeft(IniFile.parse(text.value), ({ line, reason }) =>
      ConfigError.InvalidData([], `The profile file ${file} cannot be read: line ${line}: ${reason}`)
    )
  )
})

/**
 * Reads a profile.
 *
 * `type` is `iam` or `jwt`, and `jwt` when it is absent, as for the official clients. An `iam` profile needs a
 * `project`, and its `url` is that of the hosted service unless it has one; a `jwt` profile needs a `url`, and a
 * project that it has is not used. Every profile needs a `token`. All of them inherit `[DEFAULT]`.
 *
 * The `ConfigError` names the key, the profile, and every file that was looked into. It never holds a value of a token.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = Effect.fn("ProfileFile.read")(function* (
  options: Options = {}
): Effect.fn.Return<Profile, ConfigError.ConfigError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = options.folder ?? (yield* folderOf(path))
  const places = [path.join(folder, "cli.ini"), path.join(folder, "auth.ini")]
  const found = yield* Effect.forEach(places, (file) =>
    Effect.map(readFile(fs, file), (content) => ({ file, content }))
  )
  const content = found.reduce(
    (all, { content }) =>
      Option.match(content, { onNone: () => all, onSome: (content) => IniFile.merge(all, content) }),
    IniFile.empty
  )
  const where = found
    .map(({ content, file }) => (Option.isNone(content) ? `${file} (there is no such file)` : file))
    .join(" and ")

  const valueOf = (section: string, key: string): Either.Either<string | undefined, ConfigError.ConfigError> => {
    const value = IniFile.get(content, section, key)
    if (value === undefined) return Either.right(undefined)
    return Either.mapBoth(value, {
      onLeft: (why) => ConfigError.InvalidData([section, key], `Cannot be read in ${where}: ${why}`),
      onRight: (value) => (value === "" ? undefined : value)
    })
  }

  const name =
    options.profile ??
    Option.getOrUndefined(yield* variable("CONTREE_PROFILE")) ??
    (yield* valueOf("DEFAULT", "profile")) ??
    "default"
  const section = `profile:${name}`
  if (!content.sections.has(section)) {
    const known = Array.from(content.sections.keys()).filter((section) => section.startsWith("profile:"))
    return yield* Effect.fail(
      ConfigError.MissingData(
        [section],
        `There is no profile "${name}": looked for [${section}] in ${where}; ${
          known.length === 0 ? "they have no profiles" : `there are ${known.map((one) => `[${one}]`).join(", ")}`
        }`
      )
    )
  }

  const optional = <A>(key: string, reading: Text.Reading<A>): Either.Either<A | undefined, ConfigError.ConfigError> =>
    Either.flatMap(valueOf(section, key), (value) =>
      value === undefined
        ? Either.right(undefined)
        : Either.mapLeft(reading(value), (why) => ConfigError.InvalidData([section, key], `${why}, in ${where}`))
    )
  const missing = (key: string, because: string) =>
    ConfigError.MissingData([section, key], `${because}: looked for it in [${section}] and [DEFAULT] of ${where}`)

  const auth = (yield* optional("type", Text.among("iam", "jwt"))) ?? "jwt"
  const token = yield* optional("token", Text.secret)
  if (token === undefined) return yield* Effect.fail(missing("token", "A profile needs a token"))
  const project = yield* optional("project", Text.text)
  if (auth === "iam" && project === undefined) {
    return yield* Effect.fail(missing("project", 'A profile of type "iam" needs a project'))
  }
  const baseUrl = (yield* optional("url", Text.url)) ?? (auth === "iam" ? ContreeConfig.hostedBaseUrl : undefined)
  if (baseUrl === undefined) {
    return yield* Effect.fail(
      missing("url", 'A profile of type "jwt" (the type of a profile that names none) needs a url')
    )
  }
  return {
    name,
    auth,
    baseUrl,
    token,
    project: auth === "iam" ? Option.fromNullable(project) : Option.none(),
    files: found.filter(({ content }) => Option.isSome(content)).map(({ file }) => file)
  }
})

/** Names of the environment that say something else than the profile whose token is used. */
const contradiction = Effect.fnUntraced(function* (profile: Profile) {
  const { auth, baseUrl, project } = ContreeConfig.names
  const said: ReadonlyArray<readonly [names: ReadonlyArray<string>, key: string, value: string | undefined]> = [
    [baseUrl, "url", profile.baseUrl.replace(/\/+$/, "")],
    [project.slice(0, 1), "project", Option.getOrUndefined(profile.project)],
    [auth, "type", profile.auth]
  ]
  for (const [names, key, value] of said) {
    for (const name of names) {
      const set = yield* variable(name)
      if (Option.isSome(set) && set.value.trim().replace(/\/+$/, "") !== value) {
        return yield* Effect.fail(
          ConfigError.InvalidData(
            [name],
            `It is set, and none of ${ContreeConfig.names.token.join(", ")} is: the token would be that of the profile ` +
              `"${profile.name}" of ${profile.files.join(" and ")}, whose ${key} is ${value === undefined ? "not set" : JSON.stringify(value)}. ` +
              `Set a token beside it, or unset it`
          )
        )
      }
    }
  }
})

/**
 * A `ConfigProvider` for `ContreeConfig.fromEnvironment`, with one rule: address, token, project and kind come from one
 * place together, so that no token is sent to the address of another one.
 *
 * 1. A profile that `options` names.
 * 2. The environment (the provider in force), where it has a token.
 * 3. The active profile. An address, a `CONTREE_PROJECT` or a `CONTREE_AUTH` of the environment that differs from the
 *    profile's is a contradiction, and a `ConfigError`.
 *
 * Every other setting, such as `CONTREE_REQUEST_TIMEOUT`, comes from the environment.
 *
 * @since 0.1.0
 * @category constructors
 */
export const configProvider = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<ConfigProvider.ConfigProvider, ConfigError.ConfigError, FileSystem.FileSystem | Path.Path> {
  const environment = yield* Effect.configProviderWith(Effect.succeed)
  const tokens = yield* Effect.forEach(ContreeConfig.names.token, variable)
  if (options.profile === undefined && tokens.some(Option.isSome)) return environment
  const profile = yield* Effect.mapError(read(options), (error) =>
    options.profile === undefined && ConfigError.isMissingDataOnly(error)
      ? ConfigError.Or(
          ConfigError.MissingData(
            ["CONTREE_TOKEN"],
            `None of ${ContreeConfig.names.token.join(", ")} is set in the environment`
          ),
          error
        )
      : error
  )
  if (options.profile === undefined) yield* contradiction(profile)
  const [token] = ContreeConfig.names.token
  const [baseUrl] = ContreeConfig.names.baseUrl
  const [project] = ContreeConfig.names.project
  const [auth] = ContreeConfig.names.auth
  return ConfigProvider.fromMap(
    new Map([
      [token, Redacted.value(profile.token)],
      [baseUrl, profile.baseUrl],
      [auth, profile.auth],
      ...Option.match(profile.project, { onNone: () => [], onSome: (value) => [[project, value] as const] })
    ])
  ).pipe(ConfigProvider.orElse(() => environment))
})

/**
 * The settings of a client as {@link configProvider} finds them.
 *
 * @since 0.1.0
 * @category configuration
 */
export const config = (
  options?: Options | undefined
): Effect.Effect<ContreeConfig.ContreeConfig, ConfigError.ConfigError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(configProvider(options), (provider) => provider.load(ContreeConfig.fromEnvironment))

/**
 * Puts {@link configProvider} in force, for any layer that reads `ContreeConfig.fromEnvironment`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfigProvider = (
  options?: Options | undefined
): Layer.Layer<never, ConfigError.ConfigError, FileSystem.FileSystem | Path.Path> =>
  Layer.unwrapEffect(Effect.map(configProvider(options), Layer.setConfigProvider))

/**
 * The service with the settings that {@link config} finds.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options?: Options | undefined
): Layer.Layer<
  ContreeClient.ContreeClient,
  ConfigError.ConfigError,
  FileSystem.FileSystem | Path.Path | HttpClient.HttpClient
> => Layer.effect(ContreeClient.ContreeClient, Effect.flatMap(config(options), ContreeClient.make))

/**
 * The service in one line: the environment or the active profile, requests by the platform's `fetch`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  ContreeClient.ContreeClient,
  ConfigError.ConfigError,
  FileSystem.FileSystem | Path.Path
> = Layer.provide(layerWith(), FetchHttpClient.layer)
