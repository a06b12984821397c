/**
 * `effect-contree serve`: the engine over HTTP, for other processes and other languages' clients.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import * as AccessToken from "../local/AccessToken.js"
import * as EngineConfig from "../local/EngineConfig.js"
import { EngineError } from "../local/EngineError.js"
import * as EngineProcess from "../local/internal/engineProcess.js"
import { age } from "./age.js"

const options = {
  host: Options.text("host").pipe(
    Options.withDescription("Address to listen on (CONTREE_HOST; default 127.0.0.1)"),
    Options.withFallbackConfig(Config.withDefault(Config.nonEmptyString("CONTREE_HOST"), "127.0.0.1"))
  ),
  port: Options.integer("port").pipe(
    Options.withDescription("Port to listen on, 0 for a free one (CONTREE_PORT; default 8753)"),
    Options.withFallbackConfig(Config.withDefault(Config.integer("CONTREE_PORT"), 8753))
  ),
  token: Options.redacted("token").pipe(
    Options.withDescription("The bearer token of clients (CONTREE_TOKEN; default: the one in the data folder)"),
    Options.withFallbackConfig(Config.redacted("CONTREE_TOKEN")),
    Options.optional
  ),
  tokensFile: Options.text("tokens-file").pipe(
    Options.withDescription("JSON file of tokens with their projects and permissions (CONTREE_TOKENS_FILE)"),
    Options.withFallbackConfig(Config.nonEmptyString("CONTREE_TOKENS_FILE")),
    Options.optional
  ),
  publicProject: Options.text("public-project").pipe(
    Options.withDescription("Project whose tagged images all others may use (CONTREE_PUBLIC_PROJECT; default none)"),
    Options.optional
  ),
  dataDir: Options.text("data-dir").pipe(
    Options.withDescription("Where images live (CONTREE_DATA_DIR; default ~/.local/share/effect-contree)"),
    Options.optional
  ),
  mirror: Options.text("mirror").pipe(
    Options.withDescription("registry=address of a mirror, repeatable (CONTREE_MIRRORS, with commas)"),
    Options.repeated
  ),
  insecureRegistry: Options.text("insecure-registry").pipe(
    Options.withDescription("host:port of a plain-http registry, repeatable (CONTREE_INSECURE_REGISTRIES)"),
    Options.repeated
  ),
  launcher: Options.choice("launcher", EngineConfig.LauncherChoice.literals).pipe(
    Options.withDescription("How sandboxes are launched (CONTREE_LAUNCHER; default auto)"),
    Options.optional
  ),
  maxConcurrency: Options.integer("max-concurrency").pipe(
    Options.withDescription("Commands that run at once (CONTREE_MAX_CONCURRENCY; default 16)"),
    Options.optional
  ),
  maxImportConcurrency: Options.integer("max-import-concurrency").pipe(
    Options.withDescription("Imports that run at once (CONTREE_MAX_IMPORT_CONCURRENCY; default 4)"),
    Options.optional
  ),
  maxQueued: Options.integer("max-queued").pipe(
    Options.withDescription("Operations of one project that may wait (CONTREE_MAX_QUEUED; default: no bound)"),
    Options.optional
  ),
  gcInterval: age("gc-interval").pipe(
    Options.withDescription("Free images that nobody needs this often, such as 1h (default: never)"),
    Options.optional
  ),
  gcKeepRecent: age("gc-keep-recent").pipe(
    Options.withDescription("Images made or used within this time stay (default 7d)"),
    Options.optional
  ),
  durability: Options.choice("durability", EngineConfig.Durability.literals).pipe(
    Options.withDescription(
      "power: sync what is acknowledged to the disk, for a power cut (CONTREE_DURABILITY; default process)"
    ),
    Options.optional
  )
}

const failed = (detail: string, suggestion: string) => new EngineError({ detail, suggestion })

const mirrors = (texts: ReadonlyArray<string>) =>
  Effect.mapError(EngineConfig.mirrorsFromStrings(texts), (detail) => failed(detail, "Correct --mirror"))

/** A token that the engine makes itself is kept in the data folder, readable by its user only. */
const keptToken = Effect.fnUntraced(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(directory, "token")
  const text = yield* fs.readFileString(file).pipe(
    Effect.catchIf(
      (error) => error._tag === "SystemError" && error.reason === "NotFound",
      () =>
        Effect.tap(
          Effect.sync(() => randomBytes(32).toString("base64url")),
          (fresh) => fs.writeFileString(file, `${fresh}\n`, { mode: 0o600 })
        )
    ),
    Effect.mapError((error) => failed(error.message, "Make the data folder readable and writable, or give --token"))
  )
  yield* Console.error(`clients need the token in ${file}`)
  return Redacted.make(text.trim())
})

/** The tokens of a file, which only its user should be able to read. */
const tokensOf = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const unreadable = (error: PlatformError) => failed(error.message, "Correct --tokens-file")
  const { mode } = yield* Effect.mapError(fs.stat(file), unreadable)
  if ((mode & 0o077) !== 0) {
    yield* Console.error(`warning: other users of this machine may read ${file}; run chmod 600 ${file}`)
  }
  return yield* AccessToken.fromFile(file, yield* Effect.mapError(fs.readFileString(file), unreadable))
})

const address = (host: string, port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`

/**
 * The command `serve`.
 */
export const serve = Command.make("serve", options, (given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const environment = yield* EngineConfig.fromEnvironment
    const directory = path.resolve(Option.getOrElse(given.dataDir, () => environment.dataDirectory))
    const engine = yield* EngineConfig.make({
      ...environment,
      dataDirectory: directory,
      ...(given.mirror.length > 0 ? { mirrors: yield* mirrors(given.mirror) } : {}),
      ...(given.insecureRegistry.length > 0 ? { insecureRegistries: given.insecureRegistry } : {}),
      ...Option.match(given.launcher, { onNone: () => ({}), onSome: (launcher) => ({ launcher }) }),
      ...Option.match(given.maxConcurrency, { onNone: () => ({}), onSome: (maxConcurrency) => ({ maxConcurrency }) }),
      ...Option.match(given.maxImportConcurrency, {
        onNone: () => ({}),
        onSome: (maxImportConcurrency) => ({ maxImportConcurrency })
      }),
      ...Option.match(given.maxQueued, { onNone: () => ({}), onSome: (maxQueued) => ({ maxQueued }) }),
      ...Option.match(given.publicProject, { onNone: () => ({}), onSome: (publicProject) => ({ publicProject }) }),
      ...Option.match(given.gcInterval, {
        onNone: () => ({}),
        onSome: (interval) => ({ gcIntervalSeconds: Duration.toSeconds(interval) })
      }),
      ...Option.match(given.gcKeepRecent, {
        onNone: () => ({}),
        onSome: (age) => ({ gcKeepRecentSeconds: Duration.toSeconds(age) })
      }),
      ...Option.match(given.durability, { onNone: () => ({}), onSome: (durability) => ({ durability }) })
    })
    yield* Effect.mapError(fs.makeDirectory(directory, { recursive: true, mode: 0o700 }), (error) =>
      failed(error.message, "Name another data folder with --data-dir")
    )
    const listed = Option.isSome(given.tokensFile) ? yield* tokensOf(path.resolve(given.tokensFile.value)) : []
    const single =
      Option.isNone(given.token) && listed.length === 0 ? Option.some(yield* keptToken(directory)) : given.token
    const tokens = [...listed, ...Option.toArray(single).map((token) => AccessToken.fromText(Redacted.value(token)))]
    const worker = yield* EngineProcess.start(
      { engine, listen: { _tag: "Address", host: given.host, port: given.port }, tokens, logLevel: "Info" },
      Console.error
    )
    yield* Console.log(`ready ${address(given.host, worker.port ?? given.port)}`)
    yield* worker.ended
  }).pipe(Effect.scoped)
).pipe(Command.withDescription("Serve the local engine over HTTP"))
