/**
 * The settings of `serve`: each by its flag, by its variable and in the configuration file, the stronger first.
 */
import * as Options from "@effect/cli/Options"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as EngineConfig from "../local/EngineConfig.js"
import { EngineError } from "../local/EngineError.js"
import { toSeconds } from "./age.js"

const Origin = Schema.String.pipe(
  Schema.pattern(/^(?:\*|https?:\/\/[^/?#@\s]+)$/, {
    message: () => "an origin is like https://app.example.com, without a path, or * for all"
  })
)

const or = <A>(value: A) => ({ default: () => value })

const ServeConfig = Schema.Struct({
  ...EngineConfig.EngineConfig.fields,
  host: Schema.optionalWith(Schema.NonEmptyString, or("127.0.0.1")),
  port: Schema.optionalWith(Schema.Int.pipe(Schema.between(0, 65_535)), or(8753)),
  tokensFile: Schema.optional(Schema.NonEmptyString),
  allowedHosts: Schema.optionalWith(Schema.Array(Schema.compose(Schema.NonEmptyString, Schema.Lowercase)), or([])),
  corsOrigins: Schema.optionalWith(Schema.Array(Origin), or([])),
  maxJsonBytes: Schema.optionalWith(Schema.Int.pipe(Schema.between(1024, 1024 ** 3)), or(32 * 1024 ** 2)),
  drainSeconds: Schema.optionalWith(Schema.Int.pipe(Schema.between(0, 86_400)), or(5)),
  logFormat: Schema.optionalWith(Schema.Literal("logfmt", "json"), or("logfmt" as const)),
  logLevel: Schema.optionalWith(Schema.Literal("Debug", "Info", "Warning", "Error"), or("Info" as const))
})

type Key = keyof typeof ServeConfig.fields

/** How a text becomes a value; `Either.left` says what is wrong with it. */
const readers = {
  text: (text: string): Either.Either<unknown, string> => Either.right(text),
  integer: (text: string): Either.Either<unknown, string> =>
    /^-?\d+$/.test(text) ? Either.right(Number(text)) : Either.left(`${JSON.stringify(text)} is not a whole number`),
  age: (text: string): Either.Either<unknown, string> =>
    Option.match(toSeconds(text), {
      onNone: () => Either.left(`${JSON.stringify(text)} is not a time such as 90s, 15m, 2h or 7d`),
      onSome: Either.right
    })
}

const manyReaders = {
  list: (texts: ReadonlyArray<string>): Either.Either<unknown, string> => Either.right(texts),
  mirrors: (texts: ReadonlyArray<string>): Either.Either<unknown, string> => EngineConfig.mirrorsFromStrings(texts)
}

interface One {
  readonly key: Key
  readonly flag: string
  readonly read: keyof typeof readers
  readonly about: string
}

interface Many {
  readonly key: Key
  readonly flag: string
  readonly variable: string
  readonly read: keyof typeof manyReaders
  readonly about: string
}

const ones: ReadonlyArray<One> = [
  { key: "host", flag: "host", read: "text", about: "Address to listen on; default 127.0.0.1" },
  { key: "port", flag: "port", read: "integer", about: "Port to listen on, 0 for a free one; default 8753" },
  {
    key: "dataDirectory",
    flag: "data-dir",
    read: "text",
    about: "Where images live; default ~/.local/share/effect-contree"
  },
  {
    key: "tokensFile",
    flag: "tokens-file",
    read: "text",
    about: "JSON file of tokens with their projects and permissions"
  },
  {
    key: "publicProject",
    flag: "public-project",
    read: "text",
    about: "Project whose tagged images all others may use; default none"
  },
  {
    key: "dockerConfig",
    flag: "docker-config",
    read: "text",
    about: "Docker's config.json whose credentials every caller's imports may use; default none"
  },
  {
    key: "launcher",
    flag: "launcher",
    read: "text",
    about: "How sandboxes are launched: auto (default), built-in, bubblewrap or util-linux"
  },
  {
    key: "network",
    flag: "network",
    read: "text",
    about: "What commands reach: outbound (default), where there is a tool for it, or none"
  },
  { key: "maxConcurrency", flag: "max-concurrency", read: "integer", about: "Commands that run at once; default 16" },
  {
    key: "maxImportConcurrency",
    flag: "max-import-concurrency",
    read: "integer",
    about: "Imports that run at once; default 4"
  },
  {
    key: "maxQueued",
    flag: "max-queued",
    read: "integer",
    about: "Operations of one project that may wait; default: no bound"
  },
  {
    key: "durability",
    flag: "durability",
    read: "text",
    about: "power: sync what is acknowledged to the disk, for a power cut; default process"
  },
  {
    key: "gcIntervalSeconds",
    flag: "gc-interval",
    read: "age",
    about: "Free images that nobody needs this often, such as 1h; default never"
  },
  {
    key: "gcKeepRecentSeconds",
    flag: "gc-keep-recent",
    read: "age",
    about: "Images made or used within this time stay; default 7d"
  },
  {
    key: "defaultRunTimeoutSeconds",
    flag: "default-run-timeout",
    read: "age",
    about: "How long a command may run that does not say; default 60s"
  },
  {
    key: "maxRunTimeoutSeconds",
    flag: "max-run-timeout",
    read: "age",
    about: "How long a command may run at most; default 1h"
  },
  {
    key: "defaultImportTimeoutSeconds",
    flag: "default-import-timeout",
    read: "age",
    about: "How long an import may take that does not say; default 5m"
  },
  {
    key: "maxImportTimeoutSeconds",
    flag: "max-import-timeout",
    read: "age",
    about: "How long an import may take at most; default 1h"
  },
  {
    key: "memoryLimitBytes",
    flag: "memory-limit-bytes",
    read: "integer",
    about: "Memory of one instance; default half of the machine's"
  },
  {
    key: "processLimit",
    flag: "process-limit",
    read: "integer",
    about: "Processes and threads of one instance; default 4096"
  },
  {
    key: "openFilesLimit",
    flag: "open-files-limit",
    read: "integer",
    about: "Open files of one process; default 65536"
  },
  {
    key: "fileSizeLimitBytes",
    flag: "file-size-limit-bytes",
    read: "integer",
    about: "Bytes of one file that a command writes; default: no bound"
  },
  {
    key: "cpuTimeLimitSeconds",
    flag: "cpu-time-limit-seconds",
    read: "integer",
    about: "Processor time of one process; default: no bound"
  },
  {
    key: "maxUploadBytes",
    flag: "max-upload-bytes",
    read: "integer",
    about: "Bytes of an uploaded file at most; default 16 GiB"
  },
  {
    key: "maxJsonBytes",
    flag: "max-json-bytes",
    read: "integer",
    about: "Bytes of a JSON body at most; default 32 MiB"
  },
  {
    key: "drainSeconds",
    flag: "drain",
    read: "age",
    about: "How long what runs may take to end at a stop; default 5s"
  },
  { key: "logFormat", flag: "log-format", read: "text", about: "logfmt (default) or json" },
  {
    key: "logLevel",
    flag: "server-log-level",
    read: "text",
    about: "Debug (each request), Info (default), Warning or Error"
  }
]

const manys: ReadonlyArray<Many> = [
  {
    key: "mirrors",
    flag: "mirror",
    variable: "CONTREE_MIRRORS",
    read: "mirrors",
    about: "registry=address of a mirror"
  },
  {
    key: "insecureRegistries",
    flag: "insecure-registry",
    variable: "CONTREE_INSECURE_REGISTRIES",
    read: "list",
    about: "host:port of a plain-http registry"
  },
  {
    key: "nameServers",
    flag: "name-server",
    variable: "CONTREE_NAME_SERVERS",
    read: "list",
    about: "Address of a name server for commands; default the machine's that are not on its loopback"
  },
  {
    key: "allowedHosts",
    flag: "allowed-host",
    variable: "CONTREE_ALLOWED_HOSTS",
    read: "list",
    about: "Name that the server goes by beside localhost, * for any"
  },
  {
    key: "corsOrigins",
    flag: "cors-origin",
    variable: "CONTREE_CORS_ORIGINS",
    read: "list",
    about: "Origin whose pages may use the server, * for any"
  }
]

const variableOf = ({ flag }: One) => `CONTREE_${flag.toUpperCase().replaceAll("-", "_")}`

/** The flags. */
export const options = {
  config: Options.text("config").pipe(
    Options.withDescription("JSON file of settings; a flag or a variable is stronger (CONTREE_CONFIG)"),
    Options.withFallbackConfig(Config.nonEmptyString("CONTREE_CONFIG")),
    Options.optional
  ),
  ones: Options.all(
    Object.fromEntries(
      ones.map((one) => [
        one.key,
        Options.text(one.flag).pipe(Options.withDescription(`${one.about} (${variableOf(one)})`), Options.optional)
      ])
    )
  ),
  manys: Options.all(
    Object.fromEntries(
      manys.map((many) => [
        many.key,
        Options.text(many.flag).pipe(
          Options.withDescription(`${many.about}; repeatable (${many.variable}, with commas)`),
          Options.repeated
        )
      ])
    )
  )
}

/** What the flags gave. */
export interface Given {
  readonly config: Option.Option<string>
  readonly ones: Readonly<Record<string, Option.Option<string>>>
  readonly manys: Readonly<Record<string, ReadonlyArray<string>>>
}

const failed = (detail: string) =>
  new EngineError({ detail, suggestion: "Correct the setting that the message names; --help lists all" })

const FileSettings = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))

/** In a file, a relative path starts from the file. */
const paths: ReadonlySet<string> = new Set<Key>(["dataDirectory", "tokensFile"])

const fromFile = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const text = yield* Effect.mapError(fs.readFileString(file), (error) => failed(`--config: ${error.message}`))
  const settings = yield* Effect.mapError(Schema.decode(FileSettings)(text), () =>
    failed(`${file}: it is not a JSON object`)
  )
  return Object.entries(settings).map(([key, value]) => ({
    key,
    source: `${key} in ${file}`,
    value: Either.right(paths.has(key) && typeof value === "string" ? path.resolve(path.dirname(file), value) : value)
  }))
})

const readOne = (one: One, source: string, text: string) => ({ key: one.key, source, value: readers[one.read](text) })
const readMany = (many: Many, source: string, texts: ReadonlyArray<string>) => ({
  key: many.key,
  source,
  value: manyReaders[many.read](texts)
})

const fromEnvironment = Effect.gen(function* () {
  const single = yield* Effect.forEach(ones, (one) =>
    Effect.map(Config.option(Config.nonEmptyString(variableOf(one))), (given) =>
      Option.toArray(Option.map(given, (text) => readOne(one, variableOf(one), text)))
    )
  )
  const several = yield* Effect.forEach(manys, (many) =>
    Effect.map(Config.option(Config.array(Config.nonEmptyString(), many.variable)), (given) =>
      Option.toArray(Option.map(given, (texts) => readMany(many, many.variable, texts)))
    )
  )
  return [...single, ...several].flat()
})

const fromFlags = (given: Given) => [
  ...ones.flatMap((one) =>
    Option.toArray(Option.map(given.ones[one.key] ?? Option.none(), (text) => readOne(one, `--${one.flag}`, text)))
  ),
  ...manys.flatMap((many) => {
    const texts = given.manys[many.key] ?? []
    return texts.length === 0 ? [] : [readMany(many, `--${many.flag}`, texts)]
  })
]

const expected = /^Expected (?!undefined)(.+), actual /

/** One text of what a choice or an absence each would say. */
const together = (messages: ReadonlyArray<string>): string => {
  const choices = messages.flatMap((message) => expected.exec(message)?.[1] ?? [])
  const [first = ""] = messages
  return choices.length > 1 ? first.replace(expected, `Expected ${choices.join(" or ")}, actual `) : first
}

/** All settings: a flag before its variable before the file before the default. Errors name the setting and its source. */
export const resolve = Effect.fn("settings.resolve")(function* (given: Given) {
  const path = yield* Path.Path
  const file = Option.isSome(given.config) ? yield* fromFile(path.resolve(given.config.value)) : []
  const all = [...file, ...(yield* fromEnvironment), ...fromFlags(given)]
  const strongest = new Map(all.map((setting) => [setting.key, setting]))
  const values: Record<string, unknown> = { dataDirectory: yield* EngineConfig.defaultDataDirectory }
  for (const { key, source, value } of strongest.values()) {
    if (Either.isLeft(value)) return yield* failed(`${source}: ${value.left}`)
    values[key] = paths.has(key) && typeof value.right === "string" ? path.resolve(value.right) : value.right
  }
  return yield* Effect.mapError(
    Schema.decodeUnknown(ServeConfig, { errors: "all", onExcessProperty: "error" })(values),
    (error) => {
      const messages = new Map<string, Array<string>>()
      for (const { message, path: at } of ParseResult.ArrayFormatter.formatErrorSync(error)) {
        const key = String(at[0] ?? "")
        const source = strongest.get(key)?.source ?? key
        messages.set(source, [...(messages.get(source) ?? []), message])
      }
      return failed([...messages].map(([source, all]) => `${source}: ${together(all)}`).join("; "))
    }
  )
})
