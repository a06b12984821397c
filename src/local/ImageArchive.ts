/**
 * Files and folders of an image as a POSIX tar archive (pax).
 *
 * Owners are numbers, since names mean other ids elsewhere. Hard links within the archive stay links, symbolic links
 * are kept as they are, times are kept to the nanosecond, sockets are left out.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BigIntStats } from "node:fs"
import { ImagePathError } from "./ImagePathError.js"
import { imageId, type OpenImage } from "./ImageView.js"
import * as ImagePath from "./internal/imagePath.js"
import * as Tree from "./internal/overlayFileSystem.js"
import * as Pax from "./internal/paxHeader.js"
import type { LayerStoreError } from "./LayerStoreError.js"

/**
 * An archive that can be read once it is known that the path is there.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImageArchive {
  /** `/bin/true` is `bin_true.tar`; the root is `root.tar`. */
  readonly fileName: string
  readonly content: Stream.Stream<Uint8Array, LayerStoreError>
}

/** A file whose content is read with those beside it, up to this size; larger ones are streamed. */
const GATHERED = 128 * 1024

/** The member that stands for the root. */
const ROOT = "."

/** So many members are read ahead at most. */
const BATCH = 32

interface Found {
  readonly path: Tree.BytePath
  readonly name: string
  readonly stats: BigIntStats
}

/** A member with its header, and the content that follows. */
type Piece = Uint8Array | Stream.Stream<Uint8Array, LayerStoreError>

const kindOf = (stats: BigIntStats): Pax.Member["kind"] | undefined =>
  stats.isFile()
    ? "file"
    : stats.isDirectory()
      ? "directory"
      : stats.isSymbolicLink()
        ? "symlink"
        : stats.isFIFO()
          ? "fifo"
          : undefined

/** Joins pieces that lie in memory, so that small members do not become small packets. */
const gather = (pieces: ReadonlyArray<Piece>): Stream.Stream<Uint8Array, LayerStoreError> => {
  const streams: Array<Stream.Stream<Uint8Array, LayerStoreError>> = []
  let bytes: Array<Uint8Array> = []
  const flush = () => {
    if (bytes.length > 0) streams.push(Stream.make(Buffer.concat(bytes)))
    bytes = []
  }
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      bytes.push(piece)
    } else {
      flush()
      streams.push(piece)
    }
  }
  flush()
  return Stream.concatAll(Chunk.fromIterable(streams))
}

/** The members of an archive, and of each hard link the name under which it stands there already. */
const writer = (idShift: number) => {
  const seen = new Map<string, string>()
  return ({ name, path, stats }: Found): Effect.Effect<ReadonlyArray<Piece>, LayerStoreError> => {
    const kind = kindOf(stats)
    if (kind === undefined) return Effect.succeed([])
    const member = {
      name: kind === "directory" ? `${name}/` : name,
      kind,
      target: "",
      mode: Number(stats.mode),
      uid: imageId(Number(stats.uid), idShift),
      gid: imageId(Number(stats.gid), idShift),
      size: 0,
      mtimeNs: stats.mtimeNs
    } satisfies Pax.Member
    if (kind !== "directory" && stats.nlink > 1n) {
      const inode = `${stats.dev}:${stats.ino}`
      const first = seen.get(inode)
      if (first !== undefined) return Effect.succeed([Pax.header({ ...member, kind: "link", target: first })])
      seen.set(inode, name)
    }
    if (kind === "symlink") {
      return Effect.map(Tree.readLink(path), (target) => [Pax.header({ ...member, target })])
    }
    if (kind !== "file") return Effect.succeed([Pax.header(member)])
    const size = Number(stats.size)
    const header = Pax.header({ ...member, size })
    return size > GATHERED
      ? Effect.succeed([header, Tree.content(path, size), Pax.padding(size)])
      : Effect.map(Tree.contentWhole(path, size), (content) => [header, content, Pax.padding(size)])
  }
}

/** What a folder holds, the first by its bytes at the end. */
const look = ({ name, path }: Found): Effect.Effect<Array<Found>, LayerStoreError> =>
  Effect.flatMap(Tree.names(path), (names) =>
    Effect.forEach(
      names.sort((a, b) => (a < b ? 1 : -1)),
      (child) =>
        Effect.map(Tree.lstatExact(Tree.join(path, child)), (stats) => ({
          path: Tree.join(path, child),
          name: name === ROOT ? child : `${name}/${child}`,
          stats
        })),
      { concurrency: Tree.CONCURRENCY }
    )
  )

/**
 * The members in batches, each folder right before what it holds: a reader sets the time of a folder when the first
 * member outside of it comes.
 */
const walk = (top: Found): Stream.Stream<ReadonlyArray<Found>, LayerStoreError> =>
  Stream.suspend(() => {
    // What is still to come, at each depth.
    const pending = [[top]]
    const batch = Effect.gen(function* () {
      const found: Array<Found> = []
      while (found.length < BATCH) {
        const next = pending.at(-1)?.pop()
        if (next !== undefined) {
          found.push(next)
          if (next.stats.isDirectory()) pending.push(yield* look(next))
        } else if (pending.pop() === undefined) {
          break
        }
      }
      return found
    })
    return Stream.takeWhile(Stream.repeatEffect(batch), (found) => found.length > 0)
  })

/**
 * The archive of a file or a folder. A link is followed to what it leads to, which stands under the name that was
 * asked for. A folder's members stand below its own name, those of the root by themselves.
 *
 * Fails with `WrongType` for what no archive can hold: a socket or a device, and a pipe by itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("ImageArchive.make")(function* (
  image: OpenImage,
  path: string
): Effect.fn.Return<ImageArchive, ImagePathError | LayerStoreError> {
  const place = yield* ImagePath.lookup(Tree.bytePath(image.root), path)
  if (!place.stats.isDirectory() && !place.stats.isFile()) {
    return yield* new ImagePathError({ reason: "WrongType", path, detail: "it is neither a folder nor a regular file" })
  }
  const asked = ImagePath.normalize(path).slice(1)
  const last: string = Tree.bytePath(asked.split("/").at(-1) ?? "")
  const name = last === ".." || last === "" ? place.name : last
  const stats = yield* Tree.lstatExact(place.path)
  const content = Stream.suspend(() => {
    const write = writer(image.idShift)
    return walk({ path: place.path, name: name === "" ? ROOT : name, stats }).pipe(
      Stream.mapEffect((batch) => Effect.forEach(batch, write, { concurrency: Tree.CONCURRENCY })),
      Stream.flatMap((pieces) => gather(pieces.flat())),
      Stream.concat(Stream.make(Pax.trailer))
    )
  })
  return { fileName: `${asked === "" ? "root" : asked.replaceAll("/", "_")}.tar`, content }
})
