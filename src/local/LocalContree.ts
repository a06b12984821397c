/**
 * ConTree on this machine: the engine as a process of the program, behind the same service as the hosted one.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { LocalContree } from "effect-contree/local"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const busybox = yield* Image.oci("docker://docker.io/library/busybox:latest")
 *   const { stdout } = yield* Image.run(busybox, "uname -a")
 *   return stdout.text
 * }).pipe(Effect.provide(LocalContree.layer))
 * ```
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Undici from "@effect/platform-node/Undici"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as ContreeClient from "../ContreeClient.js"
import type { ContreeConfig } from "../ContreeConfig.js"
import * as WaitPolicy from "../WaitPolicy.js"
import * as EngineConfig from "./EngineConfig.js"
import { EngineError } from "./EngineError.js"
import * as EngineProcess from "./internal/engineProcess.js"

/**
 * Settings of the engine and of the client that speaks to it. Everything has a default; what is left out comes
 * from the environment, see `EngineConfig.fromEnvironment`.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options
  extends Partial<EngineConfig.EngineOptions>, Pick<ContreeConfig, "requestTimeout" | "wait" | "retry" | "pageSize"> {}

/** The engine is a few microseconds away, so a short command is looked at again soon. */
const wait: WaitPolicy.WaitPolicy = {
  schedule: WaitPolicy.growing({ first: "2 millis", factor: 1.3, cap: "250 millis" }),
  deadline: WaitPolicy.defaultPolicy.deadline
}

/** The kernel's limit for the path of a unix socket, without its closing NUL. */
const maxSocketPath = 107

const unusable = (path: string) => (error: { readonly message: string }) =>
  new EngineError({
    detail: `the data folder ${path} cannot be used: ${error.message}`,
    suggestion: "Name another one with dataDirectory or CONTREE_DATA_DIR"
  })

const start = Effect.fnUntraced(function* (options: Options) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { pageSize, requestTimeout, retry, wait: _, ...engineOptions } = options
  const environment = yield* EngineConfig.fromEnvironment
  const dockerConfig = yield* Config.option(EngineConfig.defaultDockerConfig)
  const engine = yield* EngineConfig.make({
    // One that is no absolute path is nobody's doing here, and no reason not to start.
    ...(Option.isSome(dockerConfig) && path.isAbsolute(dockerConfig.value) ? { dockerConfig: dockerConfig.value } : {}),
    ...environment,
    ...engineOptions
  })
  const directory = engine.dataDirectory
  yield* Effect.mapError(fs.makeDirectory(directory, { recursive: true, mode: 0o700 }), unusable(directory))
  const socket = path.join(directory, "engine.sock")
  if (Buffer.byteLength(socket) > maxSocketPath) {
    return yield* unusable(directory)({ message: `its socket's path would be longer than ${maxSocketPath} bytes` })
  }
  yield* EngineProcess.start({ engine, listen: { _tag: "Socket", path: socket }, logLevel: "Info" }, (line) =>
    Effect.logDebug(line).pipe(Effect.annotateLogs("source", "effect-contree engine"))
  )
  const dispatcher = Layer.scoped(
    NodeHttpClient.Dispatcher,
    Effect.acquireRelease(
      Effect.sync(() => new Undici.Agent({ connect: { socketPath: socket } })),
      (agent) => Effect.promise(() => agent.destroy())
    )
  )
  return ContreeClient.layerWith({
    baseUrl: "http://localhost",
    requestTimeout,
    retry,
    pageSize,
    wait: options.wait ?? wait
  }).pipe(Layer.provide(NodeHttpClient.layerUndiciWithoutDispatcher), Layer.provide(dispatcher))
})

/**
 * ConTree on this machine with explicit settings.
 *
 * The engine is a process of its own that ends with the layer's scope, and with this process however it dies. It
 * fails with `EngineError` when the machine lacks something or another engine works on the same data folder.
 *
 * @example
 * ```ts
 * import { LocalContree } from "effect-contree/local"
 *
 * export const MyContree = LocalContree.layerWith({
 *   dataDirectory: "/srv/contree",
 *   mirrors: [{ registry: "docker.io", url: "https://mirror.example.com" }]
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (
  options: Options
): Layer.Layer<ContreeClient.ContreeClient, EngineError | ConfigError.ConfigError> =>
  Layer.unwrapScoped(start(options)).pipe(Layer.provide(NodeContext.layer))

/**
 * ConTree on this machine, with settings from the environment and defaults for the rest.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ContreeClient.ContreeClient, EngineError | ConfigError.ConfigError> = layerWith({})
