/**
 * Manifests, indexes and configurations of images, in the words of the OCI image specification and of Docker's
 * schema 2, which share their fields.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"

/** @internal */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string | undefined
}

const Platform = Schema.Struct({
  os: Schema.String,
  architecture: Schema.String,
  variant: Schema.optional(Schema.String)
})

/** @internal */
export const Digest = Schema.String.pipe(Schema.pattern(/^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/))

/** @internal */
export const Descriptor = Schema.Struct({
  mediaType: Schema.String,
  digest: Digest,
  size: Schema.Int.pipe(Schema.nonNegative())
})

/** @internal */
export type Descriptor = typeof Descriptor.Type

const Child = Schema.Struct({
  ...Descriptor.fields,
  platform: Schema.optional(Platform),
  annotations: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

/** @internal */
export type Child = typeof Child.Type

/** @internal */
export const Index = Schema.Struct({ manifests: Schema.Array(Child) })

/** @internal */
export const Manifest = Schema.Struct({ config: Descriptor, layers: Schema.Array(Descriptor) })

/** @internal */
export type Manifest = typeof Manifest.Type

/** @internal */
export const Configuration = Schema.parseJson(
  Schema.Struct({
    os: Schema.optional(Schema.String),
    architecture: Schema.optional(Schema.String),
    variant: Schema.optional(Schema.String),
    config: Schema.optionalWith(
      Schema.Struct({ Env: Schema.optionalWith(Schema.Array(Schema.String), { nullable: true }) }),
      { nullable: true }
    )
  })
)

/** @internal */
export type Configuration = typeof Configuration.Type

/** What a registry is asked for, newest first. */
export const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json"
].join(", ")

const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer\.v1\.tar|docker\.image\.rootfs\.diff\.tar)(?:[+.](?:gzip|zstd))?$/

const CONFIGURATION = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
  // Registries of the first years gave this out for configurations that were pushed to them.
  "application/octet-stream"
])

/** A document that cannot be used, as the end of a sentence about the registry's answer. */
export interface Fault {
  readonly reason: "Unsupported" | "Protocol"
  readonly detail: string
}

const fault = (reason: Fault["reason"], detail: string) => Either.left<Fault>({ reason, detail })

const parse = Schema.decodeUnknownEither(Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown })))
const parseIndex = Schema.decodeUnknownEither(Index)
const parseManifest = Schema.decodeUnknownEither(Manifest)

const checked = (manifest: Manifest): Either.Either<Manifest, Fault> => {
  if (!CONFIGURATION.has(manifest.config.mediaType)) {
    return fault("Unsupported", `it is an artifact of the type ${manifest.config.mediaType} and not an image`)
  }
  const odd = manifest.layers.find(({ mediaType }) => !LAYER.test(mediaType))
  return odd === undefined
    ? Either.right(manifest)
    : fault("Unsupported", `its layer ${odd.digest} is of the type ${odd.mediaType}, which cannot be unpacked`)
}

/** @internal */
export const decode = (
  bytes: Uint8Array
): Either.Either<{ readonly index: ReadonlyArray<Child> } | { readonly manifest: Manifest }, Fault> => {
  const document = parse(new TextDecoder().decode(bytes))
  if (Either.isLeft(document)) return fault("Protocol", "its manifest is no JSON object")
  const { right } = document
  if (right["schemaVersion"] === 1) {
    return fault("Unsupported", "it is offered with a manifest of the old schema 1 only")
  }
  if (Array.isArray(right["manifests"])) {
    return Either.mapBoth(parseIndex(right), {
      onLeft: (error): Fault => ({
        reason: "Protocol",
        detail: `its index is malformed (${error.message.split("\n")[0]})`
      }),
      onRight: ({ manifests }) => ({ index: manifests })
    })
  }
  if (!Array.isArray(right["layers"]))
    return fault("Unsupported", "its manifest is neither an index nor that of an image")
  return parseManifest(right).pipe(
    Either.mapLeft((error): Fault => ({
      reason: "Protocol",
      detail: `its manifest is malformed (${error.message.split("\n")[0]})`
    })),
    Either.flatMap(checked),
    Either.map((manifest) => ({ manifest }))
  )
}

/** @internal */
export const environmentOf = (configuration: Configuration): Record<string, string> =>
  Object.fromEntries(
    (configuration.config?.Env ?? []).flatMap((variable) => {
      const equals = variable.indexOf("=")
      return equals <= 0 ? [] : [[variable.slice(0, equals), variable.slice(equals + 1)]]
    })
  )
