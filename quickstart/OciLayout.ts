/**
 * An OCI image layout in a directory: `oci-layout`, `index.json` and `blobs/sha256/*`.
 * The sample image is packed as one, the sample registry serves one, and so do the tests' images.
 */
import { FileSystem } from "@effect/platform"
import type { PlatformError } from "@effect/platform/Error"
import { NodeStream } from "@effect/platform-node"
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { createGzip } from "node:zlib"

export const Platform = Schema.Struct({
  architecture: Schema.String,
  os: Schema.String,
  variant: Schema.optional(Schema.String)
})
export type Platform = typeof Platform.Type

/** What names a blob: its media type, its digest and its size in bytes. */
export const Descriptor = Schema.Struct({
  mediaType: Schema.String,
  digest: Schema.String,
  size: Schema.Number,
  platform: Schema.optional(Platform),
  annotations: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})
export type Descriptor = typeof Descriptor.Type

/** An index or a manifest: both are JSON blobs that name others. */
export const Manifest = Schema.Struct({
  mediaType: Schema.optional(Schema.String),
  manifests: Schema.optional(Schema.Array(Descriptor)),
  config: Schema.optional(Descriptor),
  layers: Schema.optional(Schema.Array(Descriptor))
})

/** The settings that a container starts with, as the image's configuration spells them. */
export interface ContainerConfig {
  readonly Env?: ReadonlyArray<string> | undefined
  readonly Cmd?: ReadonlyArray<string> | undefined
  readonly Entrypoint?: ReadonlyArray<string> | undefined
  readonly WorkingDir?: string | undefined
  readonly User?: string | undefined
}

/** Which family of media types the blobs are written in; the JSON is the same. */
export type Dialect = "oci" | "docker"

const mediaTypes = {
  oci: {
    index: "application/vnd.oci.image.index.v1+json",
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    tar: "application/vnd.oci.image.layer.v1.tar",
    gzip: "application/vnd.oci.image.layer.v1.tar+gzip"
  },
  docker: {
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    tar: "application/vnd.docker.image.rootfs.diff.tar",
    gzip: "application/vnd.docker.image.rootfs.diff.tar.gzip"
  }
} as const

/** One layer of an image: its blob, and the digest of the tar archive inside. */
export interface Layer {
  readonly blob: Descriptor
  readonly diffId: string
}

/** This machine's platform in the words of the OCI specification. */
export const hostPlatform: Platform = {
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : process.arch === "ia32" ? "386" : process.arch
}

/** The file of a blob. */
export const blobPath = (directory: string, digest: string): string => `${directory}/blobs/${digest.replace(":", "/")}`

/** Starts an empty layout in `directory`, which must exist. */
export const create = Effect.fnUntraced(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.makeDirectory(`${directory}/blobs/sha256`, { recursive: true })
  yield* fs.writeFileString(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }))
})

/** Stores a blob under its digest; nothing is seen under that name before all of it is written. */
export const writeBlob = <E, R>(
  directory: string,
  mediaType: string,
  content: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Descriptor, E | PlatformError, R | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const partial = yield* fs.makeTempFileScoped({ directory, prefix: "partial-" })
    const hash = createHash("sha256")
    let size = 0
    yield* content.pipe(
      // The platform's sink takes a write of no bytes for a full disk
      Stream.filter((chunk) => chunk.length > 0),
      Stream.tap((chunk) =>
        Effect.sync(() => {
          hash.update(chunk)
          size += chunk.length
        })
      ),
      Stream.run(fs.sink(partial))
    )
    const digest = `sha256:${hash.digest("hex")}`
    yield* fs.rename(partial, blobPath(directory, digest))
    return { mediaType, digest, size }
  }).pipe(Effect.scoped)

const writeJson = (directory: string, mediaType: string, value: unknown) =>
  writeBlob(directory, mediaType, Stream.make(new TextEncoder().encode(JSON.stringify(value))))

const gzip = (level: number) => NodeStream.pipeThroughSimple(() => createGzip({ level }))

/** Stores a tar archive as a layer, compressed by `compress`. */
export const writeLayer = <E, R, E2 = never, R2 = never>(
  directory: string,
  options: {
    readonly tar: Stream.Stream<Uint8Array, E, R>
    readonly mediaType: string
    readonly compress: (tar: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E | E2, R | R2>
  }
): Effect.Effect<Layer, E | E2 | PlatformError, R | R2 | FileSystem.FileSystem> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    const tar = Stream.tap(options.tar, (chunk) => Effect.sync(() => hash.update(chunk)))
    return Effect.map(writeBlob(directory, options.mediaType, options.compress(tar)), (blob) => ({
      blob,
      diffId: `sha256:${hash.digest("hex")}`
    }))
  })

export const writeGzipLayer = <E, R>(
  directory: string,
  tar: Stream.Stream<Uint8Array, E, R>,
  options?: { readonly dialect?: Dialect | undefined; readonly level?: number | undefined }
) =>
  writeLayer(directory, {
    tar,
    mediaType: mediaTypes[options?.dialect ?? "oci"].gzip,
    compress: gzip(options?.level ?? 6)
  })

export const writePlainLayer = <E, R>(
  directory: string,
  tar: Stream.Stream<Uint8Array, E, R>,
  dialect: Dialect = "oci"
) => writeLayer(directory, { tar, mediaType: mediaTypes[dialect].tar, compress: (stream) => stream })

/** Stores the configuration and the manifest of an image; the result describes the manifest. */
export const writeImage = Effect.fnUntraced(function* (
  directory: string,
  options: {
    readonly layers: ReadonlyArray<Layer>
    readonly config: ContainerConfig
    readonly created: Date
    readonly platform?: Platform | undefined
    readonly dialect?: Dialect | undefined
  }
) {
  const types = mediaTypes[options.dialect ?? "oci"]
  const platform = options.platform ?? hostPlatform
  const config = yield* writeJson(directory, types.config, {
    created: options.created.toISOString(),
    ...platform,
    config: options.config,
    rootfs: { type: "layers", diff_ids: options.layers.map((layer) => layer.diffId) },
    history: options.layers.map(() => ({ created: options.created.toISOString(), created_by: "effect-contree" }))
  })
  const manifest = yield* writeJson(directory, types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config,
    layers: options.layers.map((layer) => layer.blob)
  })
  return { ...manifest, platform }
})

/** Stores an index (a manifest list) over manifests. */
export const writeIndex = (directory: string, manifests: ReadonlyArray<Descriptor>, dialect: Dialect = "oci") => {
  const mediaType = mediaTypes[dialect].index
  return writeJson(directory, mediaType, { schemaVersion: 2, mediaType, manifests })
}

/** Names the blob that the layout is about, as `skopeo` and `umoci` find it too. */
export const setRoot = Effect.fnUntraced(function* (directory: string, root: Descriptor) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.writeFileString(
    `${directory}/index.json`,
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...root, annotations: { "org.opencontainers.image.ref.name": "latest" } }]
    })
  )
})

const decodeManifest = Schema.decode(Schema.parseJson(Manifest))

/** Reads an index or a manifest. */
export const readManifest = Effect.fnUntraced(function* (directory: string, digest: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* decodeManifest(yield* fs.readFileString(blobPath(directory, digest)))
})

/** The blob that the layout is about. */
export const readRoot = Effect.fnUntraced(function* (directory: string) {
  const fs = yield* FileSystem.FileSystem
  const index = yield* decodeManifest(yield* fs.readFileString(`${directory}/index.json`))
  const root = index.manifests?.[0]
  return root === undefined ? yield* Effect.dieMessage(`${directory}/index.json names no manifest`) : root
})

/** Everything that `root` is made of, in the order that a registry takes it: each blob after those it names. */
export const closure = (
  directory: string,
  root: Descriptor
): Effect.Effect<
  ReadonlyArray<Descriptor & { readonly kind: "blob" | "manifest" }>,
  PlatformError | Effect.Effect.Error<ReturnType<typeof readManifest>>,
  FileSystem.FileSystem
> =>
  Effect.gen(function* () {
    const manifest = yield* readManifest(directory, root.digest)
    const children = yield* Effect.forEach(manifest.manifests ?? [], (child) => closure(directory, child))
    return [
      ...(manifest.config === undefined ? [] : [manifest.config])
        .concat(manifest.layers ?? [])
        .map((blob) => ({ ...blob, kind: "blob" as const })),
      ...children.flat(),
      { ...root, kind: "manifest" as const }
    ]
  })
