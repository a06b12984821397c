/**
 * Images brought from a registry into a folder.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { OciReference } from "../OciReference.js"
import * as Spool from "./internal/spool.js"
import * as LayerArchive from "./LayerArchive.js"
import { type LayerArchiveError, make as archiveError } from "./LayerArchiveError.js"
import * as Registry from "./RegistryClient.js"
import type { RegistryError } from "./RegistryError.js"

/**
 * How far an import is.
 *
 * - `Resolved`: the image was found; what follows is `layers` layers of `sizeBytes` compressed bytes together.
 * - `Downloaded`: of the layer number `layer` (from 0), `doneBytes` of `sizeBytes` have come; told about once for each
 *   MiB and at the layer's end. Several layers may be on their way at once.
 * - `Unpacked`: the layer number `layer` is in the folder.
 *
 * @since 0.1.0
 * @category models
 */
export type ImportProgress = Data.TaggedEnum<{
  Resolved: { readonly digest: string; readonly layers: number; readonly sizeBytes: number }
  Downloaded: { readonly layer: number; readonly doneBytes: number; readonly sizeBytes: number }
  Unpacked: { readonly layer: number }
}>

/**
 * The constructors of the steps of an import.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ImportProgress = Data.taggedEnum<ImportProgress>()

/**
 * An image that is in its folder. `sizeBytes` is the content of its regular files, over all layers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Imported extends LayerArchive.Unpacked {
  readonly digest: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * Settings of the importer.
 *
 * - `temporary`: a folder on the file system of the folders to fill; it is made when it is missing.
 * - `idShift`, `ownership`, `maxUnpackedBytes`, `maxEntries`: as for `LayerArchive.open`.
 * - `downloads`: how many layers may be on their way, wait for their turn or be unpacked at once, 3 unless given.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface Options extends Omit<LayerArchive.Options, "into"> {
  readonly downloads?: number | undefined
}

/**
 * Where an image goes, who pulls it, and who is told how far it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface PullOptions extends Registry.ResolveOptions {
  /**
   * The folder to fill: missing or empty. On failure and interruption it is again what it was.
   */
  readonly into: string
  readonly onProgress?: ((progress: ImportProgress) => Effect.Effect<void>) | undefined
}

/**
 * Brings images from registries.
 *
 * @since 0.1.0
 * @category tags
 */
export class Importer extends Context.Tag("effect-contree/local/Importer")<Importer, Importer.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Importer {
  /**
   * Looks images up in registries and brings them here.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** What the registry has under a reference, without pulling any layer: see `RegistryClient`. */
    readonly resolve: Registry.RegistryClient.Service["resolve"]
    /** The digest under which an unchanged image would be imported again. */
    readonly resolveDigest: (
      reference: OciReference,
      options?: Registry.ResolveOptions
    ) => Effect.Effect<string, RegistryError>
    /**
     * Fills a folder with an image. What `resolve` gave is taken as it is, so that nothing is asked for twice and the
     * image is the one that was seen.
     */
    readonly pull: (
      image: OciReference | Registry.RemoteImage,
      options: PullOptions
    ) => Effect.Effect<Imported, RegistryError | LayerArchiveError>
  }
}

const DOWNLOADS = 3

/** How often progress is told. */
const PROGRESS_BYTES = 1024 * 1024

const ioError =
  (path: string) =>
  (error: PlatformError): LayerArchiveError =>
    archiveError({ reason: "Io", layer: "-", entry: path, detail: error.message })

/** Makes the folder if need be, and brings it back to what it was where the scope ends in failure. */
const prepare = (
  fs: FileSystem.FileSystem,
  into: string
): Effect.Effect<void, PlatformError | LayerArchiveError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      if (!(yield* fs.exists(into))) {
        yield* fs.makeDirectory(into, { mode: 0o700 })
        return false
      }
      const occupied = (yield* fs.readDirectory(into)).length > 0
      return occupied
        ? yield* archiveError({
            reason: "Io",
            layer: "-",
            entry: into,
            detail: "the folder to import into is not empty"
          })
        : true
    }),
    (existed, exit) =>
      Exit.isSuccess(exit)
        ? Effect.void
        : fs
            .remove(into, { recursive: true, force: true })
            .pipe(Effect.zipRight(existed ? fs.makeDirectory(into, { mode: 0o700 }) : Effect.void), Effect.ignoreLogged)
  )

/**
 * Makes the importer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options
): Effect.Effect<Importer.Service, never, FileSystem.FileSystem | Registry.RegistryClient> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const registry = yield* Registry.RegistryClient

    const fill = Effect.fnUntraced(function* (image: Registry.RemoteImage, { into, onProgress }: PullOptions) {
      const tell = onProgress ?? (() => Effect.void)
      yield* prepare(fs, into)
      yield* fs.makeDirectory(options.temporary, { recursive: true, mode: 0o700 })
      const temporary = yield* fs.makeTempDirectoryScoped({ directory: options.temporary, prefix: "import-" })
      const archive = yield* LayerArchive.open({ ...options, temporary, into })
      yield* tell(
        ImportProgress.Resolved({
          digest: image.digest,
          layers: image.layers.length,
          sizeBytes: image.layers.reduce((sum, { size }) => sum + size, 0)
        })
      )

      const slots = yield* Effect.makeSemaphore(Math.max(1, options.downloads ?? DOWNLOADS))

      const download = (descriptor: Registry.Descriptor, layer: number) => {
        let doneBytes = 0
        let told = 0
        const source = Stream.tap(image.blob(descriptor), (piece) => {
          doneBytes += piece.length
          if (doneBytes - told < PROGRESS_BYTES && doneBytes < descriptor.size) return Effect.void
          told = doneBytes
          return tell(ImportProgress.Downloaded({ layer, doneBytes, sizeBytes: descriptor.size }))
        })
        return Effect.map(Spool.make(`${temporary}/${layer}`, source), (spool) => ({ descriptor, layer, spool }))
      }

      yield* Stream.fromIterable(image.layers.map((descriptor, layer) => [descriptor, layer] as const)).pipe(
        Stream.mapEffect(([descriptor, layer]) => Effect.zipRight(slots.take(1), download(descriptor, layer))),
        // The slots are what bounds it.
        Stream.buffer({ capacity: "unbounded" }),
        Stream.runForEach(({ descriptor, layer, spool }) =>
          archive
            .apply(spool.stream, { name: descriptor.digest })
            .pipe(
              Effect.zipRight(spool.close),
              Effect.zipRight(slots.release(1)),
              Effect.zipRight(tell(ImportProgress.Unpacked({ layer })))
            )
        )
      )
      const unpacked = yield* archive.finish
      return { ...unpacked, digest: image.digest, env: image.env } satisfies Imported
    })

    return {
      resolve: registry.resolve,
      resolveDigest: (reference, resolving) =>
        Effect.map(registry.resolve(reference, resolving), ({ digest }) => digest),
      pull: Effect.fn("Importer.pull")(function* (image, pulling) {
        const remote = image._tag === "RemoteImage" ? image : yield* registry.resolve(image, pulling)
        yield* Effect.annotateCurrentSpan({ image: remote.reference.toString(), digest: remote.digest })
        return yield* fill(remote, pulling).pipe(
          Effect.scoped,
          Effect.catchTags({
            BadArgument: (error) => Effect.fail(ioError(pulling.into)(error)),
            SystemError: (error) => Effect.fail(ioError(pulling.into)(error))
          }),
          Effect.provideService(FileSystem.FileSystem, fs)
        )
      })
    }
  })

/**
 * The importer as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<Importer, never, FileSystem.FileSystem | Registry.RegistryClient> =>
  Layer.effect(Importer, make(options))
