/**
 * The main module of the engine's worker process: it serves the API to the process that started it, and to others
 * where that one asks so.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createServer, type Server } from "node:http"
import type { Duplex } from "node:stream"
import * as ContreeServer from "../ContreeServer.js"
import { Engine } from "../Engine.js"
import { EngineError } from "../EngineError.js"
import { Sandbox } from "../Sandbox.js"
import * as Drain from "../server/drain.js"
import * as EngineLayer from "./engineLayer.js"
import { packageDirectory } from "./packageDirectory.js"
import { drainWord, WorkerAnswer, WorkerSettings } from "./workerProtocol.js"

const answer = (value: typeof WorkerAnswer.Type) =>
  Schema.encode(WorkerAnswer)(value).pipe(Effect.flatMap(Console.log), Effect.orDie)

/** A worker that was killed leaves its socket; the lock on the database says that nobody listens on it. */
const unusedSocket = (path: string) =>
  Layer.effectDiscard(Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.ignore(fs.remove(path, { force: true }))))

const server = ({ access, engine, listen, maxJsonBytes, tokens }: typeof WorkerSettings.Type, node: Server) =>
  HttpApiBuilder.serve().pipe(
    Layer.provide(ContreeServer.layer({ tokens, access, maxJsonBytes: maxJsonBytes ?? 32 * 1024 * 1024 })),
    Layer.provideMerge(Drain.layer),
    Layer.provideMerge(
      Layer.mapError(
        NodeHttpServer.layer(() => node, listen._tag === "Socket" ? { path: listen.path } : listen).pipe(
          Layer.provide(listen._tag === "Socket" ? unusedSocket(listen.path) : Layer.empty)
        ),
        ({ cause }) =>
          new EngineError({
            detail: `it cannot listen: ${cause instanceof Error ? cause.message : String(cause)}`,
            suggestion:
              listen._tag === "Socket" ? "Name another data folder" : "Name another address with --host and --port"
          })
      )
    ),
    Layer.provideMerge(EngineLayer.layer(engine, [packageDirectory, process.execPath])),
    Layer.provide(NodeHttpClient.layerUndici)
  )

/** How long the last answers have to get out. */
const answering = "100 millis"

/** What runs has this long to end; nothing new is taken. */
const drained = (drain: Drain.Drain["Type"], engine: Engine.Service, seconds: number) =>
  Effect.logInfo(`no new work is taken; what runs has ${seconds} seconds`).pipe(
    Effect.zipRight(drain.begin),
    Effect.zipRight(engine.idle),
    Effect.timeout(Duration.seconds(seconds)),
    Effect.ignore
  )

/** Requests that Node refuses before any handler sees them. */
const refused = (error: Error & { readonly code?: string | undefined }, socket: Duplex) => {
  const [status, words, text] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? [431, "Request Header Fields Too Large", "The headers of the request are too large"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? [408, "Request Timeout", "The request took too long to arrive"]
        : [400, "Bad Request", "The request is not HTTP"]
  if (!socket.writable) return socket.destroy()
  const body = JSON.stringify({ error: text, status })
  return socket.end(
    `HTTP/1.1 ${status} ${words}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`
  )
}

/**
 * Connections stay open longer than the idle ones of clients and proxies, so that it is they who close them. An upload
 * may take long.
 */
const nodeServer = () =>
  createServer({ keepAliveTimeout: 75_000, headersTimeout: 60_000, requestTimeout: 3_600_000 }).on(
    "clientError",
    refused
  )

/** A server that closes waits for its requests, and one of those may be waiting for an operation. */
const endRequests = (engine: Engine.Service, node: Server) =>
  Effect.zipRight(
    engine.stop,
    Effect.forkDaemon(
      Effect.delay(
        Effect.sync(() => node.closeAllConnections()),
        answering
      )
    )
  )

const loggers = {
  logfmt: Logger.withConsoleError(Logger.logfmtLogger),
  json: Logger.withConsoleError(Logger.jsonLogger)
}

const logfmt = loggers.logfmt

const run = (settings: typeof WorkerSettings.Type, draining: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const node = yield* Effect.sync(nodeServer)
    const context = yield* Layer.build(server(settings, node))
    yield* Effect.addFinalizer(() => endRequests(Context.get(context, Engine), node))
    const { address } = Context.get(context, HttpServer.HttpServer)
    const { bounded, launcher, outbound, rejected } = Context.get(context, Sandbox)
    yield* Effect.forEach(rejected, ({ error, name }) =>
      Effect.logWarning(`sandboxes are not launched by ${name}: ${error.message}`)
    )
    yield* Effect.logInfo(`sandboxes are launched by ${launcher}`)
    yield* Either.match(outbound, {
      onRight: ({ nameServers, tool }) =>
        nameServers.length === 0
          ? Effect.logWarning(`commands reach the outside by ${tool}, but no name server: name one with nameServers`)
          : Effect.logInfo(`commands reach the outside by ${tool}`),
      onLeft: (reason) => Effect.logWarning(`commands do not reach the outside: ${reason}`)
    })
    if (!bounded.memory || !bounded.processes) {
      yield* Effect.logWarning(
        `no control groups for ${[...(bounded.memory ? [] : ["memory"]), ...(bounded.processes ? [] : ["processes"])].join(" and ")}: each process is limited alone`
      )
    }
    yield* answer(
      address._tag === "TcpAddress" ? { _tag: "Ready", launcher, port: address.port } : { _tag: "Ready", launcher }
    )
    yield* draining
    yield* drained(Context.get(context, Drain.Drain), Context.get(context, Engine), settings.drainSeconds ?? 0)
  }).pipe(
    Effect.scoped,
    Effect.provide(Logger.replace(logfmt, loggers[settings.logFormat ?? "logfmt"])),
    Logger.withMinimumLogLevel(LogLevel.fromLiteral(settings.logLevel)),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.void
        : answer(
            Option.match(Cause.failureOption(cause), {
              onNone: () => ({ _tag: "Failed", detail: Cause.pretty(cause) }),
              onSome: ({ detail, suggestion }) => ({ _tag: "Failed", detail, suggestion })
            })
          )
    )
  )

const main = Effect.gen(function* () {
  const first = yield* Deferred.make<string>()
  const draining = yield* Deferred.make<void>()
  const gone = yield* Deferred.make<void>()
  // An input that stays open would keep the process.
  yield* Effect.addFinalizer(() => Effect.sync(() => process.stdin.destroy()))
  yield* NodeStream.stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) =>
      line === drainWord ? Deferred.succeed(draining, undefined) : Deferred.succeed(first, line)
    ),
    Effect.ignore,
    Effect.zipRight(Deferred.succeed(gone, undefined)),
    Effect.forkScoped
  )
  const settings = yield* Effect.flatMap(Deferred.await(first), Schema.decode(WorkerSettings))
  // An owner that goes while the engine starts must not leave one behind.
  yield* Effect.raceFirst(run(settings, Deferred.await(draining)), Deferred.await(gone))
})

main.pipe(
  Effect.scoped,
  Effect.provide(NodeContext.layer),
  // The standard output belongs to the owner.
  Effect.provide(Logger.replace(Logger.defaultLogger, logfmt)),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
