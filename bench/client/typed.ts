/** The same work through this package, over the same `fetch`. */
import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer, ManagedRuntime, Redacted, Stream } from "effect"
import { ContreeApi, ContreeClient, Image, ImageId, Operation } from "effect-contree"
import * as Schema from "effect/Schema"
import { downloadBytes, pageSize } from "./sizes.js"
import { serve } from "./side.js"
import { calls } from "./calls.js"
import type { Side } from "./workloads.js"

const typed = (url: string, operation: string, image: string): Side => {
  const runtime = ManagedRuntime.make(
    ContreeClient.layerWith({ baseUrl: url, token: Redacted.make("token"), pageSize }).pipe(
      Layer.provide(FetchHttpClient.layer)
    )
  )
  const id = Schema.decodeSync(ContreeApi.OperationId)(operation)
  const imageId = Schema.decodeSync(ImageId.ImageId)(image)
  const client = ContreeClient.ContreeClient
  const request = Schema.decodeSync(ContreeApi.SpawnRequest)({ command: "echo hello", shell: true, image, timeout: 30 })
  const get = Effect.flatMap(client, ({ operations }) => Effect.map(operations.get(id), ({ id }) => id))
  const spawn = Effect.flatMap(client, ({ instances }) => instances.spawn(request))

  return {
    ...calls(runtime, operation, { get, spawn }),
    events: () => {
      let bytes = 0
      return runtime.runPromise(
        Operation.events(id, { follow: true }).pipe(
          Stream.runFold(0, (count, event) => {
            if (event._tag === "Stdout") bytes += event.data.bytes.length
            return count + 1
          })
        )
      )
    },
    list: () => runtime.runPromise(Effect.map(Image.list(), ({ length }) => length)),
    download: () =>
      runtime.runPromise(
        Effect.flatMap(client, ({ inspect }) =>
          inspect.download(imageId, "/large").pipe(Stream.runFold(0, (bytes, piece) => bytes + piece.length))
        ).pipe(Effect.map((bytes) => bytes / 1024 ** 2))
      ),
    upload: () => {
      const piece = new Uint8Array(64 * 1024)
      return runtime.runPromise(
        Effect.flatMap(client, ({ files }) =>
          files.upload(Stream.take(Stream.repeatValue(piece), downloadBytes / piece.length))
        ).pipe(Effect.map(({ size }) => size / 1024 ** 2))
      )
    }
  }
}

serve(typed)
