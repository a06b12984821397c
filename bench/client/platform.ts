/**
 * The same work by Effect and its platform alone, with the schemas of the API: how much of what the client costs is
 * theirs. A span and a time limit a call, no errors of one's own, no policies.
 */
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { Chunk, Effect, Layer, ManagedRuntime, Option, Schema, Stream } from "effect"
import { ContreeApi } from "effect-contree"
import { pageSize } from "./sizes.js"
import { serve } from "./side.js"
import { calls } from "./calls.js"
import type { Side } from "./workloads.js"

const platform = (url: string, operation: string, image: string): Side => {
  const runtime = ManagedRuntime.make(
    Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, (client) =>
        client.pipe(
          HttpClient.mapRequest((request) =>
            request.pipe(
              HttpClientRequest.prependUrl(url),
              HttpClientRequest.acceptJson,
              HttpClientRequest.bearerToken("token")
            )
          ),
          HttpClient.filterStatusOk
        )
      )
    ).pipe(Layer.provide(FetchHttpClient.layer))
  )
  const request = Schema.decodeSync(ContreeApi.SpawnRequest)({ command: "echo hello", shell: true, image, timeout: 30 })
  const bodyOf = HttpClientRequest.schemaBodyJson(ContreeApi.SpawnRequest)
  const operationOf = HttpClientResponse.schemaBodyJson(ContreeApi.OperationDetail)
  const startedOf = HttpClientResponse.schemaBodyJson(Schema.Struct({ uuid: ContreeApi.OperationId }))
  const imagesOf = HttpClientResponse.schemaBodyJson(Schema.Struct({ images: Schema.Array(ContreeApi.ImageRecord) }))

  const get = HttpClient.get(`/v1/operations/${operation}`).pipe(
    Effect.flatMap(operationOf),
    Effect.timeout("60 seconds"),
    Effect.withSpan("get"),
    Effect.map(({ id }) => id)
  )
  const spawn = bodyOf(HttpClientRequest.post("/v1/instances"), request).pipe(
    Effect.flatMap(HttpClient.execute),
    Effect.flatMap(startedOf),
    Effect.timeout("60 seconds"),
    Effect.withSpan("spawn"),
    Effect.map(({ uuid }) => uuid)
  )
  const page = (offset: number) =>
    HttpClient.get("/v1/images", { urlParams: { limit: pageSize, offset } }).pipe(
      Effect.flatMap(imagesOf),
      Effect.timeout("60 seconds"),
      Effect.withSpan("page"),
      Effect.map(
        ({ images }) =>
          [
            Chunk.unsafeFromArray(images),
            images.length < pageSize ? Option.none<number>() : Option.some(offset + pageSize)
          ] as const
      )
    )

  return {
    ...calls(runtime, operation, { get, spawn }),
    list: () => runtime.runPromise(Effect.map(Stream.runCollect(Stream.paginateChunkEffect(0, page)), Chunk.size)),
    download: () =>
      runtime.runPromise(
        HttpClient.get(`/v1/inspect/${image}/download?path=/large`).pipe(
          HttpClientResponse.stream,
          Stream.runFold(0, (bytes, piece) => bytes + piece.length),
          Effect.map((bytes) => bytes / 1024 ** 2)
        )
      )
  }
}

serve(platform)
