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
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { randomBytes } from "node:crypto"
import * as AccessToken from "../local/AccessToken.js"
import { EngineError } from "../local/EngineError.js"
import * as EngineProcess from "../local/internal/engineProcess.js"
import * as Settings from "./settings.js"

const options = {
  token: Options.redacted("token").pipe(
    Options.withDescription("A bearer token of clients (CONTREE_TOKEN; default: the one in the data folder)"),
    Options.withFallbackConfig(Config.redacted("CONTREE_TOKEN")),
    Options.optional
  ),
  settings: Options.all(Settings.options)
}

const failed = (detail: string, suggestion: string) => new EngineError({ detail, suggestion })

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
    const config = yield* Settings.resolve(given.settings)
    yield* Effect.mapError(fs.makeDirectory(config.dataDirectory, { recursive: true, mode: 0o700 }), (error) =>
      failed(error.message, "Name another data folder with --data-dir")
    )
    const listed = config.tokensFile === undefined ? [] : yield* tokensOf(config.tokensFile)
    const single =
      Option.isNone(given.token) && listed.length === 0
        ? Option.some(yield* keptToken(config.dataDirectory))
        : given.token
    const { allowedHosts, corsOrigins, drainSeconds, host, logFormat, logLevel, maxJsonBytes, port } = config
    const worker = yield* EngineProcess.start(
      {
        engine: config,
        listen: { _tag: "Address", host, port },
        tokens: [...listed, ...Option.toArray(single).map((token) => AccessToken.fromText(Redacted.value(token)))],
        access: { hosts: allowedHosts, origins: corsOrigins },
        drainSeconds,
        logFormat,
        logLevel,
        maxJsonBytes
      },
      Console.error
    )
    yield* Console.log(`ready ${address(host, worker.port ?? port)}`)
    yield* worker.ended
  }).pipe(Effect.scoped)
).pipe(Command.withDescription("Serve the local engine over HTTP"))
