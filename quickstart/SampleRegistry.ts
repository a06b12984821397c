/** A registry on loopback that serves images by the pull half of the OCI distribution protocol. */
import {
  FileSystem,
  HttpRouter,
  HttpServer,
  type HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import { createServer } from "node:http"
import * as OciLayout from "./OciLayout.js"

/** Where the registry listens. */
export class SampleRegistry extends Context.Tag("effect-contree/quickstart/SampleRegistry")<
  SampleRegistry,
  SampleRegistry.Service
>() {}

export declare namespace SampleRegistry {
  interface Service {
    /** Host and port, as they stand in an image's reference: `127.0.0.1:41234`. */
    readonly address: string
  }
}

/** An OCI layout on disk, to be served under the name that it is given with (`library/busybox:latest`). */
export interface ServedImage {
  readonly directory: string
  readonly root: OciLayout.Descriptor
}

const failure = (status: number, code: string, message: string) =>
  HttpServerResponse.unsafeJson({ errors: [{ code, message }] }, { status })

const notAllowed = failure(405, "UNSUPPORTED", "this registry is for pulling only")

/** Starts the registry on a free port of 127.0.0.1; it ends with the layer's scope. */
export const layer = (
  images: Readonly<Record<string, ServedImage>>
): Layer.Layer<SampleRegistry, HttpServerError.ServeError, FileSystem.FileSystem> =>
  Layer.scoped(
    SampleRegistry,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem

      const inRepository = (repository: string) =>
        Object.entries(images).filter(([name]) => name.slice(0, name.lastIndexOf(":")) === repository)

      const send = (directory: string, descriptor: OciLayout.Descriptor) =>
        HttpServerResponse.stream(fs.stream(OciLayout.blobPath(directory, descriptor.digest)), {
          contentType: descriptor.mediaType,
          contentLength: descriptor.size,
          headers: { "docker-content-digest": descriptor.digest }
        })

      const findDigest = Effect.fnUntraced(function* (repository: string, digest: string, kind: "blob" | "manifest") {
        for (const [, image] of inRepository(repository)) {
          const found = (yield* OciLayout.closure(image.directory, image.root)).find(
            (descriptor) => descriptor.digest === digest && descriptor.kind === kind
          )
          if (found !== undefined) {
            return send(image.directory, found)
          }
        }
        return failure(404, kind === "blob" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN", `${repository} has no ${digest}`)
      })

      const pull = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const path = request.url.replace(/\?.*/, "")
        if (path === "/v2/" || path === "/v2") {
          return HttpServerResponse.unsafeJson({})
        }
        const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path)
        const [, repository, collection, reference] = match ?? []
        if (repository === undefined || reference === undefined) {
          return failure(404, "NAME_UNKNOWN", `${path} is no path of the distribution protocol`)
        }
        if (inRepository(repository).length === 0) {
          return failure(404, "NAME_UNKNOWN", `there is no repository ${repository}`)
        }
        if (collection === "blobs" || reference.includes(":")) {
          return yield* findDigest(repository, reference, collection === "blobs" ? "blob" : "manifest")
        }
        const image = images[`${repository}:${reference}`]
        return image === undefined
          ? failure(404, "MANIFEST_UNKNOWN", `${repository} has no tag ${reference}`)
          : send(image.directory, image.root)
      })

      const server = yield* NodeHttpServer.make(() => createServer(), { host: "127.0.0.1", port: 0 })
      yield* HttpRouter.empty.pipe(
        HttpRouter.get("/v2*", pull),
        HttpRouter.head("/v2*", pull),
        HttpRouter.all("*", Effect.succeed(notAllowed)),
        HttpServer.serveEffect(),
        Effect.provideService(HttpServer.HttpServer, server)
      )
      return {
        address:
          server.address._tag === "TcpAddress"
            ? `127.0.0.1:${server.address.port}`
            : yield* Effect.dieMessage("a server on a port of 127.0.0.1 listens on a unix socket")
      }
    })
  )
