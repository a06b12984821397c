/**
 * Images in registries, over the OCI distribution protocol: which manifest a reference stands for on a platform, and
 * the content of its layers.
 *
 * Everything is checked against its digest and its size. Names of `docker.io` are looked for at
 * `registry-1.docker.io`, as every client does.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { arch } from "node:os"
import type { OciReference } from "../OciReference.js"
import { blobStream } from "./internal/blobStream.js"
import * as Manifest from "./internal/ociManifest.js"
import * as OciPlatform from "./internal/ociPlatform.js"
import * as RegistrySession from "./internal/registrySession.js"
import * as RegistryAuth from "./RegistryAuth.js"
import { make as makeError, type RegistryError } from "./RegistryError.js"

/**
 * An operating system and a processor as images name them: `linux`, `amd64`, `arm64`, `arm` with `v6` or `v7`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string | undefined
}

/**
 * Content that is named by its digest; `size` in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/**
 * An image as a registry has it: what is known before any layer is pulled.
 *
 * `digest` is that of the manifest for the platform, and so the identity of the content; `indexDigest` that of the
 * index which led to it. `layers` go from the lowest to the topmost. `source` is the host that gave the manifest.
 *
 * @since 0.1.0
 * @category models
 */
export interface RemoteImage {
  readonly _tag: "RemoteImage"
  readonly reference: OciReference
  readonly digest: string
  readonly indexDigest: Option.Option<string>
  readonly platform: Platform
  readonly env: Readonly<Record<string, string>>
  readonly layers: ReadonlyArray<Descriptor>
  readonly source: string
  /**
   * The bytes of a blob of this image. The stream goes on where a broken connection left off, and fails at its end
   * where size or digest are not those of the descriptor.
   */
  readonly blob: (descriptor: Descriptor) => Stream.Stream<Uint8Array, RegistryError>
}

/**
 * Settings of the client.
 *
 * - `mirrors`: asked in order, without credentials, before the registry that they mirror.
 * - `insecureRegistries`: `host:port` of registries that speak plain http.
 * - `credentialsOf`: the credentials for a registry of who brings none.
 * - `platform`: of the images to pull, that of this machine under Linux unless given.
 * - `attempts`: for each request, 4 unless given; also how often a broken blob is taken up again without progress.
 * - `baseDelay`, `maxDelay`: wait after the first failure (doubled each time, with jitter) and the longest wait, 250 ms
 *   and 20 s. A registry that asks for more than `maxDelay` is not asked again.
 * - `responseTimeout`, `idleTimeout`: for an answer to begin, and between two pieces of it; 30 s and 60 s.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options {
  readonly mirrors?: ReadonlyArray<{ readonly registry: string; readonly url: string }> | undefined
  readonly insecureRegistries?: ReadonlyArray<string> | undefined
  readonly credentialsOf?: ((registry: string) => Effect.Effect<Option.Option<RegistryAuth.Credentials>>) | undefined
  readonly platform?: Platform | undefined
  readonly attempts?: number | undefined
  readonly baseDelay?: Duration.DurationInput | undefined
  readonly maxDelay?: Duration.DurationInput | undefined
  readonly responseTimeout?: Duration.DurationInput | undefined
  readonly idleTimeout?: Duration.DurationInput | undefined
}

/**
 * Who pulls, and for which platform if not for the client's.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResolveOptions {
  readonly credentials?: RegistryAuth.Credentials | undefined
  readonly platform?: Platform | undefined
}

/**
 * Access to registries.
 *
 * @since 0.1.0
 * @category tags
 */
export class RegistryClient extends Context.Tag("effect-contree/local/RegistryClient")<
  RegistryClient,
  RegistryClient.Service
>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace RegistryClient {
  /**
   * Looks images up in registries.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /**
     * Finds out what a reference stands for: two or three small requests, no layer is pulled. What authorizes lives
     * as long as the image that is returned, and is kept nowhere else.
     */
    readonly resolve: (reference: OciReference, options?: ResolveOptions) => Effect.Effect<RemoteImage, RegistryError>
  }
}

/** The specification's recommendation of how large a manifest a registry takes. */
const MANIFEST_LIMIT = 4 * 1024 * 1024
const CONFIGURATION_LIMIT = 8 * 1024 * 1024

/** An index may point to another one; nobody nests them deeper. */
const DEEPEST_INDEX = 3

const decodeConfiguration = Schema.decode(Manifest.Configuration)

const hashOf = (bytes: Uint8Array, algorithm: string): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`

const algorithmOf = (digest: string): string => digest.slice(0, digest.indexOf(":"))

const hostOf = (url: string): string => url.replace(/^https?:\/\//, "").replace(/\/+$/, "")

interface Document {
  readonly bytes: Uint8Array
  readonly digest: string
}

/** Gets a manifest by tag or digest, and checks it against the digest that is asked for or announced. */
const getManifest = Effect.fnUntraced(function* (session: RegistrySession.Session, reference: string) {
  const response = yield* session.get(`manifests/${reference}`, { accept: Manifest.ACCEPT })
  const bytes = yield* session.read(response, MANIFEST_LIMIT)
  const isDigest = Schema.is(Manifest.Digest)
  const announced = response.headers["docker-content-digest"] ?? ""
  const wanted = isDigest(reference) ? reference : isDigest(announced) ? announced : undefined
  const digest = hashOf(bytes, wanted === undefined ? "sha256" : algorithmOf(wanted))
  if (wanted !== undefined && wanted !== digest) {
    return yield* session.error("DigestMismatch", `the manifest ${wanted} came with content whose digest is ${digest}`)
  }
  const document: Document = { bytes, digest }
  return document
}, Effect.scoped)

/** Follows indexes down to the manifest for the platform. */
const findManifest = Effect.fnUntraced(function* (
  session: RegistrySession.Session,
  reference: string,
  platform: Platform
) {
  const root = yield* getManifest(session, reference)
  let document = root
  for (let depth = 0; depth <= DEEPEST_INDEX; depth++) {
    const decoded = Manifest.decode(document.bytes)
    if (Either.isLeft(decoded)) return yield* session.error(decoded.left.reason, decoded.left.detail)
    if ("manifest" in decoded.right) {
      return {
        manifest: decoded.right.manifest,
        digest: document.digest,
        indexDigest: depth === 0 ? Option.none<string>() : Option.some(root.digest)
      }
    }
    const children = decoded.right.index
    const child = OciPlatform.choose(platform, children)
    if (child === undefined) {
      return yield* session.error(
        "PlatformNotFound",
        `it is not built for ${OciPlatform.display(platform)} but for ${OciPlatform.offered(children) || "no platform at all"}`
      )
    }
    document = yield* getManifest(session, child.digest)
  }
  return yield* session.error("Unsupported", `its indexes are nested more than ${DEEPEST_INDEX} deep`)
})

/**
 * Makes the client on an `HttpClient` that does not follow redirects by itself (those of Node do not).
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<RegistryClient.Service, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const httpClient = yield* HttpClient.HttpClient
    const machine = OciPlatform.ofMachine(yield* Effect.sync(arch))
    const policy: RegistrySession.Policy = {
      attempts: Math.max(1, options.attempts ?? 4),
      baseDelay: Duration.decode(options.baseDelay ?? "250 millis"),
      maxDelay: Duration.decode(options.maxDelay ?? "20 seconds"),
      responseTimeout: Duration.decode(options.responseTimeout ?? "30 seconds"),
      idleTimeout: Duration.decode(options.idleTimeout ?? "60 seconds")
    }
    const insecure = new Set(options.insecureRegistries)

    /** Mirrors, then the registry itself, the only one that gets to see the credentials. */
    const sessionsOf = Effect.fnUntraced(function* (
      reference: OciReference,
      given: RegistryAuth.Credentials | undefined
    ) {
      const explicit = RegistryAuth.present(given)
      const credentials =
        Option.isSome(explicit) || options.credentialsOf === undefined
          ? explicit
          : yield* options.credentialsOf(reference.registry)
      const common = { repository: reference.repository, image: reference.toString() }
      const host = reference.registry === "docker.io" ? "registry-1.docker.io" : reference.registry
      const targets: ReadonlyArray<RegistrySession.Target> = [
        ...(options.mirrors ?? [])
          .filter(({ registry }) => registry === reference.registry)
          .map(({ url }) => ({
            ...common,
            registry: hostOf(url),
            base: url.replace(/\/+$/, ""),
            credentials: Option.none()
          })),
        {
          ...common,
          registry: reference.registry,
          base: `${insecure.has(reference.registry) || insecure.has(host) ? "http" : "https"}://${host}`,
          credentials
        }
      ]
      return yield* Effect.forEach(targets, (target) => RegistrySession.open(httpClient, target, policy))
    })

    /** Asks one place after the other; where all refuse, the error is the last one's and names the others. */
    const firstOf = <A, R>(
      sessions: ReadonlyArray<RegistrySession.Session>,
      ask: (session: RegistrySession.Session) => Effect.Effect<A, RegistryError, R>
    ): Effect.Effect<A, RegistryError, R> => {
      const from = (at: number, before: ReadonlyArray<RegistryError>): Effect.Effect<A, RegistryError, R> => {
        const session = sessions[at]
        if (session === undefined) return Effect.dieMessage("a registry is always asked")
        return Effect.catchAll(ask(session), (error) => {
          if (at + 1 < sessions.length) {
            return Effect.zipRight(Effect.logDebug("A mirror is passed over", error), from(at + 1, [...before, error]))
          }
          if (before.length === 0) return Effect.fail(error)
          const tried = before.map(({ detail, registry }) => `${registry}: ${detail}`).join("; ")
          return Effect.fail(
            makeError({ ...error, detail: `${error.detail}, and before it the mirrors failed (${tried})` })
          )
        })
      }
      return from(0, [])
    }

    const resolveAt = Effect.fnUntraced(function* (
      session: RegistrySession.Session,
      others: ReadonlyArray<RegistrySession.Session>,
      reference: OciReference,
      platform: Platform
    ) {
      const { digest, indexDigest, manifest } = yield* findManifest(session, reference.reference, platform)
      const blob = (descriptor: Descriptor) =>
        blobStream({
          descriptor,
          policy,
          error: session.error,
          open: (headers) => firstOf([session, ...others], (place) => place.get(`blobs/${descriptor.digest}`, headers))
        }).pipe(
          Stream.withSpan("RegistryClient.blob", { attributes: { digest: descriptor.digest, size: descriptor.size } })
        )
      if (manifest.config.size > CONFIGURATION_LIMIT) {
        return yield* session.error("Unsupported", `its configuration has more than ${CONFIGURATION_LIMIT} bytes`)
      }
      const pieces = yield* Stream.runCollect(blob(manifest.config))
      const configuration = yield* Effect.mapError(
        decodeConfiguration(new TextDecoder().decode(Buffer.concat(Array.from(pieces)))),
        (error) => session.error("Protocol", `its configuration is malformed (${error.message.split("\n")[0]})`)
      )
      const { architecture, os, variant } = configuration
      if (os !== undefined && architecture !== undefined && os !== "" && architecture !== "") {
        const built = { os, architecture, variant }
        if (!OciPlatform.runsOn(platform, built)) {
          return yield* session.error(
            "PlatformNotFound",
            `it is built for ${OciPlatform.display(built)} and not for ${OciPlatform.display(platform)}`
          )
        }
      }
      const image: RemoteImage = {
        _tag: "RemoteImage",
        reference,
        digest,
        indexDigest,
        platform,
        env: Manifest.environmentOf(configuration),
        layers: manifest.layers,
        source: session.target.registry,
        blob
      }
      return image
    })

    return {
      resolve: Effect.fn("RegistryClient.resolve")(function* (reference, { credentials, platform } = {}) {
        yield* Effect.annotateCurrentSpan("image", reference.toString())
        const sessions = yield* sessionsOf(reference, credentials)
        return yield* firstOf(sessions, (session) =>
          resolveAt(
            session,
            sessions.filter((other) => other !== session),
            reference,
            platform ?? options.platform ?? machine
          )
        )
      })
    }
  })

/**
 * The client as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<RegistryClient, never, HttpClient.HttpClient> =>
  Layer.effect(RegistryClient, make(options))
