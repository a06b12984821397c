/**
 * The main module of the engine's worker process: it serves the API to the process that started it, and to others
 * where that one asks so.
 */
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
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createServer, type Server } from "node:http"
import * as ContreeServer from "../ContreeServer.js"
import { Engine } from "../Engine.js"
import { EngineError } from "../EngineError.js"
import { Sandbox } from "../Sandbox.js"
import * as EngineLayer from "./engineLayer.js"
import { packageDirectory } from "./packageDirectory.js"
import { WorkerAnswer, WorkerSettings } from "./workerProtocol.js"

const answer = (value: typeof WorkerAnswer.Type) =>
  Schema.encode(WorkerAnswer)(value).pipe(Effect.flatMap(Console.log), Effect.orDie)

const server = ({ engine, listen, tokens }: typeof WorkerSettings.Type, node: Server) =>
  HttpApiBuilder.serve().pipe(
    Layer.provide(ContreeServer.layer({ tokens })),
    Layer.provideMerge(
      Layer.mapError(
        NodeHttpServer.layer(() => node, listen._tag === "Socket" ? { path: listen.path } : listen),
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

const run = (settings: typeof WorkerSettings.Type, ownerGone: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const node = yield* Effect.sync(() => createServer())
    const context = yield* Layer.build(server(settings, node))
    yield* Effect.addFinalizer(() => endRequests(Context.get(context, Engine), node))
    const { address } = Context.get(context, HttpServer.HttpServer)
    const { launcher, rejected } = Context.get(context, Sandbox)
    yield* Effect.forEach(rejected, ({ error, name }) =>
      Effect.logWarning(`sandboxes are not launched by ${name}: ${error.message}`)
    )
    yield* Effect.logInfo(`sandboxes are launched by ${launcher}`)
    yield* answer(
      address._tag === "TcpAddress" ? { _tag: "Ready", launcher, port: address.port } : { _tag: "Ready", launcher }
    )
    yield* ownerGone
  }).pipe(
    Effect.scoped,
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
  const gone = yield* Deferred.make<void>()
  yield* NodeStream.stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) => Deferred.succeed(first, line)),
    Effect.ignore,
    Effect.zipRight(Deferred.succeed(gone, undefined)),
    Effect.forkScoped
  )
  const settings = yield* Effect.flatMap(Deferred.await(first), Schema.decode(WorkerSettings))
  // An owner that goes while the engine starts must not leave one behind.
  yield* Effect.raceFirst(run(settings, Deferred.await(gone)), Deferred.await(gone))
})

main.pipe(
  Effect.scoped,
  Effect.provide(NodeContext.layer),
  // The standard output belongs to the owner.
  Effect.provide(Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
