/**
 * The layers of an image, unpacked one over the other into a folder.
 *
 * A layer is a tar archive, plain or under gzip or zstd. Whiteouts remove what lower layers put down, so the folder
 * ends as the flat root file system of the image. Whatever an archive holds, nothing outside of the folder is
 * written, read or linked: names that are absolute or hold `..` are refused, and links are never followed by the
 * kernel.
 *
 * Left out, and counted: devices (a sandbox has its own `/dev`) and extended attributes (Node has no call for them).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { mkdtemp, realpath, rm } from "node:fs/promises"
import { setImmediate } from "node:timers"
import { type LayerReader, makeFifos, readLayer, type Tally } from "./internal/layerReader.js"
import { LayerTree } from "./internal/layerTree.js"
import { LayerArchiveError, make as makeError } from "./LayerArchiveError.js"

/**
 * What the layers of an image came to.
 *
 * `sizeBytes` is the content of all regular files that were written, `entries` the number of entries of all
 * archives. `devices` were left out, and so were the extended attributes (file capabilities among them) of
 * `withAttributes` entries.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unpacked {
  readonly sizeBytes: number
  readonly entries: number
  readonly devices: number
  readonly withAttributes: number
}

/**
 * Where and how to unpack.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The folder to fill: it exists and is empty. */
  readonly into: string
  /** A folder on the same file system for what upper layers remove; what is put there is removed again. */
  readonly temporary: string
  /** Added to each owner's number: 100000 where runs get a user namespace that begins there, else 0. */
  readonly idShift: number
  /**
   * `full`: every owner can be given, and one that is refused is an error. `single`: the process has one id only,
   * and files whose owner the kernel refuses keep that one.
   */
  readonly ownership: "full" | "single"
  /** Decompressed bytes of all layers together; 16 GiB unless given. */
  readonly maxUnpackedBytes?: number | undefined
  /** Entries of all layers together; 2,000,000 unless given. */
  readonly maxEntries?: number | undefined
}

/**
 * A folder that is being filled.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerArchive {
  /**
   * Unpacks one layer over those before it; one at a time, lowest first. `name` stands for the layer in errors. On
   * failure or interruption nothing is written any more when the effect ends; what was written stays, for the owner
   * of the folder to remove.
   */
  readonly apply: <E, R>(
    layer: Stream.Stream<Uint8Array, E, R>,
    options: { readonly name: string }
  ) => Effect.Effect<void, LayerArchiveError | E, R>
  /** Gives fifos and folders their owners, modes and times, which has to wait until the last layer is in. */
  readonly finish: Effect.Effect<Unpacked, LayerArchiveError>
}

const MAX_UNPACKED_BYTES = 16 * 1024 ** 3
const MAX_ENTRIES = 2_000_000

/** Folders that are finished before the event loop gets its turn. */
const BURST = 128

const ioError =
  (path: string) =>
  (cause: unknown): LayerArchiveError =>
    makeError({ reason: "Io", layer: "-", entry: path, detail: cause instanceof Error ? cause.message : String(cause) })

// `Effect.yieldNow` stays within the microtask queue, where no input or output happens.
const nextTurn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const write = (reader: LayerReader, chunk: Uint8Array): Effect.Effect<void> =>
  Effect.async<void>((resume) => reader.write(chunk, () => resume(Effect.void)))

const done = (reader: LayerReader): Effect.Effect<void, LayerArchiveError> =>
  Effect.async<void, LayerArchiveError>((resume) =>
    reader.onDone((error) => resume(error === undefined ? Effect.void : Effect.fail(error)))
  )

const close = (reader: LayerReader): Effect.Effect<void> =>
  Effect.async<void>((resume) => reader.close(() => resume(Effect.void)))

/**
 * Opens an empty folder for the layers of an image. The scope ends the unpacking and removes what was set aside.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (options: Options): Effect.Effect<LayerArchive, LayerArchiveError, Scope.Scope> =>
  Effect.gen(function* () {
    const root = yield* Effect.tryPromise({ try: () => realpath(options.into), catch: ioError(options.into) })
    const trash = yield* Effect.acquireRelease(
      Effect.tryPromise({ try: () => mkdtemp(`${options.temporary}/removed-`), catch: ioError(options.temporary) }),
      (path) => Effect.ignoreLogged(Effect.tryPromise(() => rm(path, { recursive: true, force: true })))
    )
    const tree = new LayerTree({ root, trash, idShift: options.idShift, ownership: options.ownership })
    const tally: Tally = { unpacked: 0, entries: 0, contents: 0, devices: 0, attributes: 0 }

    const openReader = (name: string): LayerReader => {
      tree.startLayer(name)
      return readLayer({
        tree,
        tally,
        maxUnpackedBytes: options.maxUnpackedBytes ?? MAX_UNPACKED_BYTES,
        maxEntries: options.maxEntries ?? MAX_ENTRIES
      })
    }

    const apply: LayerArchive["apply"] = (layer, { name }) =>
      Effect.acquireUseRelease(
        Effect.sync(() => openReader(name)),
        (reader) =>
          Stream.runForEach(layer, (chunk) => write(reader, chunk)).pipe(
            Effect.zipRight(Effect.sync(() => reader.end())),
            Effect.zipRight(Effect.never),
            Effect.raceFirst(done(reader))
          ),
        close
      )

    const fifos = Effect.suspend(() => {
      const paths = tree.pendingFifos()
      if (paths.length === 0) return Effect.void
      return Effect.try({ try: () => tree.clearFifos(), catch: ioError(root) }).pipe(
        Effect.zipRight(
          Effect.async<void, LayerArchiveError>((resume) => {
            const kill = makeFifos(paths, (failure) =>
              resume(failure === undefined ? Effect.void : Effect.fail(ioError(root)(`mkfifo: ${failure}`)))
            )
            return Effect.sync(kill)
          })
        ),
        Effect.zipRight(Effect.try({ try: () => tree.finishFifos(), catch: ioError(root) }))
      )
    })

    const finish = Effect.gen(function* () {
      yield* fifos
      const folders = tree.pendingFolders()
      for (let from = 0; from < folders.length; from += BURST) {
        for (const path of folders.slice(from, from + BURST)) {
          const failure = tree.attempt(path, () => tree.finishFolder(path))
          if (failure instanceof LayerArchiveError) return yield* failure
        }
        yield* nextTurn
      }
      return {
        sizeBytes: tally.contents,
        entries: tally.entries,
        devices: tally.devices,
        withAttributes: tally.attributes
      }
    })

    return { apply, finish }
  })
