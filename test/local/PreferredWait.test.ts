import { FileSystem, HttpClient } from "@effect/platform"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Ref, Schema, Scope } from "effect"
import { OperationDetail } from "../../src/api/Operations.js"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as EngineConfig from "../../src/local/EngineConfig.js"
import * as EngineProcess from "../../src/local/internal/engineProcess.js"
import * as Operation from "../../src/Operation.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"

/** An engine over HTTP with one image, its client, and the number of looks at operations since then. */
const engine = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const http = yield* HttpClient.HttpClient
  const registry = yield* Registry
  yield* registry.push(yield* (yield* Images).busybox, "library/busybox:latest")
  const settings = yield* Schema.decode(EngineConfig.EngineConfig)({
    dataDirectory: yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-wait-" }),
    insecureRegistries: [registry.address]
  })
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const worker = yield* EngineProcess.start(
    { engine: settings, listen: { _tag: "Address", host: "127.0.0.1", port: 0 }, logLevel: "Info" },
    () => Effect.void
  ).pipe(Scope.extend(scope))
  const address = `http://127.0.0.1:${worker.port}`
  const looks = yield* Ref.make(0)
  const counted = HttpClient.tapRequest(http, ({ method, url }) =>
    method === "GET" && url.includes("/v1/operations/") ? Ref.update(looks, (count) => count + 1) : Effect.void
  )
  const context = yield* Layer.build(
    Layer.provide(layerWith({ baseUrl: address }), Layer.succeed(HttpClient.HttpClient, counted))
  )
  const image = yield* Effect.provide(Image.oci(`docker://${registry.address}/library/busybox:latest`), context)
  yield* Ref.set(looks, 0)
  return { address, image, looks: Ref.get(looks), context, stop: Scope.close(scope, Exit.void) }
})

const parts = Layer.mergeAll(NodeContext.layer, NodeHttpClient.layer, Images.layer, Registry.layer)

layer(parts, { timeout: "1 minute", excludeTestServices: true })("an answer that is kept back", (it) => {
  it.scoped("comes with the end of the command, at the first look", () =>
    Effect.gen(function* () {
      const { context, image, looks } = yield* engine
      const [elapsed] = yield* Effect.timed(Effect.provide(Image.run(image, "sleep 1", { disposable: true }), context))
      assert.strictEqual(yield* looks, 1)
      assert.isBelow(Duration.toSeconds(elapsed), 10)
    })
  )

  it.scoped("comes when the time that was asked for is over", () =>
    Effect.gen(function* () {
      const { address, context, image } = yield* engine
      const client = Context.get(context, ContreeClient)
      const http = yield* HttpClient.HttpClient
      const id = yield* client.instances.spawn({ image: image.id, command: "sleep 1000", shell: true })
      const look = Effect.flatMap(
        http.get(`${address}/v1/operations/${id}`, { headers: { prefer: "respond-async, wait=1" } }),
        (response) => response.json
      )
      const [elapsed, answer] = yield* Effect.timed(look)
      assert.isFalse(Operation.isTerminal((yield* Schema.decodeUnknown(OperationDetail)(answer)).status))
      assert.isAtLeast(Duration.toMillis(elapsed), 1000)
      yield* client.operations.cancel(id)
    })
  )

  it.scoped("does not keep an engine from stopping", () =>
    Effect.gen(function* () {
      const { context, image, stop } = yield* engine
      const client = Context.get(context, ContreeClient)
      const id = yield* client.instances.spawn({ image: image.id, command: "sleep 1000", shell: true })
      const look = yield* Effect.fork(client.operations.poll(id))
      yield* Effect.sleep("500 millis")
      const [elapsed] = yield* Effect.timed(stop)
      // After five seconds a worker that has not ended is killed.
      assert.isBelow(Duration.toSeconds(elapsed), 4)
      const { operation } = yield* Fiber.join(look)
      assert.strictEqual(operation.status, "FAILED")
    })
  )
})
