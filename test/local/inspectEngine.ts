/** An engine over HTTP with busybox, and ways to look at its images that hide nothing of the wire. */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { Context, Effect, Exit, Layer, Schema, Scope } from "effect"
import { request } from "node:http"
import * as Command from "../../src/Command.js"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as EngineConfig from "../../src/local/EngineConfig.js"
import * as EngineProcess from "../../src/local/internal/engineProcess.js"
import * as Run from "../../src/Run.js"
import { ensureBuilt, wait } from "../fixtures/Contree.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"

type Query = Readonly<Record<string, string | ReadonlyArray<string>>>

export class InspectEngine extends Context.Tag("effect-contree/test/InspectEngine")<
  InspectEngine,
  {
    readonly address: string
    readonly dataDirectory: string
    readonly client: ContreeClient.Service
    /** The id of the image that a shell command leaves of busybox, or of another image. */
    readonly after: (script: string, image?: string) => Effect.Effect<string, unknown>
    /** An answer as it is on the wire, redirects not followed. */
    readonly ask: (
      path: string,
      query?: Query,
      options?: { readonly method?: string; readonly body?: Uint8Array; readonly headers?: Record<string, string> }
    ) => Effect.Effect<Answer, unknown>
  }
>() {}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly bytes: Buffer
  readonly text: string
  readonly json: unknown
  /** The connection ended before the answer was whole. */
  readonly broken: boolean
}

/** The address with a query in which lists repeat their key. */
export const urlOf = (address: string, path: string, query: Query = {}) => {
  const url = new URL(path, address)
  for (const [key, values] of Object.entries(query)) {
    for (const value of typeof values === "string" ? [values] : values) url.searchParams.append(key, value)
  }
  return url
}

const send = (
  url: URL,
  options: { readonly method?: string; readonly body?: Uint8Array; readonly headers?: Record<string, string> } = {}
) =>
  Effect.async<Answer, Error>((resume) => {
    const sent = request(url, { method: options.method ?? "GET", headers: options.headers, agent: false }, (answer) => {
      const pieces: Array<Buffer> = []
      const done = () => {
        const bytes = Buffer.concat(pieces)
        const text = bytes.toString("utf8")
        const json: unknown = (() => {
          try {
            return JSON.parse(text)
          } catch {
            return undefined
          }
        })()
        const { headers, statusCode = 0 } = answer
        resume(Effect.succeed({ status: statusCode, headers, bytes, text, json, broken: !answer.complete }))
      }
      answer
        .on("data", (piece: Buffer) => pieces.push(piece))
        .on("error", () => {})
        .on("close", done)
    })
    sent.on("error", (error) => resume(Effect.fail(error)))
    sent.end(options.body)
    return Effect.sync(() => sent.destroy())
  })

const make = (settings: Partial<EngineConfig.EngineOptions>) =>
  Effect.gen(function* () {
    yield* ensureBuilt
    const fs = yield* FileSystem.FileSystem
    const registry = yield* Registry
    yield* registry.push(yield* (yield* Images).busybox, "library/busybox:latest")
    const dataDirectory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-inspect-" })
    const engine = yield* Schema.decode(EngineConfig.EngineConfig)({
      dataDirectory,
      insecureRegistries: [registry.address],
      ...settings
    })
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const worker = yield* EngineProcess.start(
      { engine, listen: { _tag: "Address", host: "127.0.0.1", port: 0 }, logLevel: "Info" },
      (line) => Effect.logDebug(line)
    ).pipe(Scope.extend(scope))
    const address = `http://127.0.0.1:${worker.port}`
    const context = yield* Layer.build(layerWith({ baseUrl: address, wait }))
    const base = yield* Effect.provide(Image.oci(`docker://${registry.address}/library/busybox:latest`), context)
    return InspectEngine.of({
      address,
      dataDirectory,
      client: Context.get(context, ContreeClient),
      after: (script, image = base.id) =>
        Image.run(image, Command.shell(script)).pipe(
          Effect.flatMap(Run.orFail),
          Effect.map((run) => run.image.id),
          Effect.provide(context)
        ),
      ask: (path, query, options) => send(urlOf(address, path, query), options)
    })
  })

export const layer = (settings: Partial<EngineConfig.EngineOptions> = {}) =>
  Layer.scoped(InspectEngine, make(settings)).pipe(
    Layer.provideMerge(Layer.mergeAll(NodeContext.layer, NodeHttpClient.layerUndici, Images.layer, Registry.layer))
  )
