/**
 * Unpacks an archive that nobody vouches for into a folder.
 *
 * The folder is new and belongs to this program alone, so what the archive has put there so far is known: no entry is
 * ever written below or through something that is not a folder of its own, and a link is only made when it leads to a
 * place within the folder, wherever its parts lead.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { extract, Header } from "tar-stream"
import { ArchiveRefused, fromPlatform, type LocalFileError } from "../LocalFileError.js"

export interface Limits {
  readonly maxBytes: number
  readonly maxEntries: number
}

/** An entry that was passed over, and why. */
export interface LeftOut {
  readonly path: string
  readonly why: string
}

export interface Unpacked {
  readonly files: number
  readonly directories: number
  readonly links: number
  readonly bytes: number
  readonly leftOut: ReadonlyArray<LeftOut>
}

type Parser = ReturnType<typeof extract>
type Member = Parser extends AsyncIterable<infer A> ? A : never

const unsafe = (entry: string, detail: string): Effect.Effect<never, ArchiveRefused> =>
  new ArchiveRefused({ reason: "UnsafeName", entry, detail })

const tooLarge = (entry: string, detail: string): Effect.Effect<never, ArchiveRefused> =>
  new ArchiveRefused({ reason: "TooLarge", entry, detail })

const malformed = (entry: string) => (cause: unknown) =>
  new ArchiveRefused({ reason: "Malformed", entry, detail: cause instanceof Error ? cause.message : String(cause) })

/** The parts of a name below the folder, or why it is none. */
const partsOf = (name: string): ReadonlyArray<string> | string => {
  if (name.includes("\0")) return "its name holds a NUL"
  if (name.startsWith("/")) return "its name is absolute"
  const parts = name.split("/").filter((part) => part !== "" && part !== ".")
  return parts.includes("..") ? "its name holds .." : parts
}

/**
 * Why a link cannot be made, if it cannot: it may climb out of its own folder first, no higher than the top, and then
 * only descend. A `..` after a name would climb from wherever that name leads.
 */
const linkFault = (target: string | null, depth: number): string | undefined => {
  if (target === null || target === "" || target.includes("\0")) return "the link has no target that can be written"
  if (target.startsWith("/")) return "the link is absolute"
  const parts = target.split("/").filter((part) => part !== "" && part !== ".")
  const first = parts.findIndex((part) => part !== "..")
  const climbs = first < 0 ? parts.length : first
  if (climbs > depth) return "the link leads out of the folder"
  return parts.slice(climbs).includes("..") ? "the link climbs after it has descended" : undefined
}

/** `top` is left out of the beginning of names: an archive of `/etc` has members below `etc`. */
export const unpack = Effect.fnUntraced(function* <E>(
  parser: Parser,
  archive: Stream.Stream<Uint8Array, E>,
  folder: string,
  top: string,
  limits: Limits
): Effect.fn.Return<Unpacked, E | LocalFileError | ArchiveRefused, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const tally = { files: 0, directories: 0, links: 0, bytes: 0, entries: 0 }
  const leftOut: Array<LeftOut> = []
  const kinds = new Map<string, "directory" | "file" | "link">()
  const modes: Array<readonly [path: string, mode: number]> = []

  // An operation that is under way ends before an interruption goes on, so that what is then removed stays removed.
  const io = <A>(entry: string, effect: Effect.Effect<A, PlatformError>) =>
    Effect.uninterruptible(Effect.mapError(effect, fromPlatform(entry)))

  const below = (parts: ReadonlyArray<string>): ReadonlyArray<string> =>
    parts.length > 1 && parts[0] === top ? parts.slice(1) : parts

  const at = (path: string): string => `${folder}/${path}`

  const parents = (name: string, parts: ReadonlyArray<string>) =>
    Effect.forEach(
      parts.slice(0, -1),
      (_, index): Effect.Effect<void, LocalFileError | ArchiveRefused> => {
        const path = parts.slice(0, index + 1).join("/")
        const kind = kinds.get(path)
        if (kind === "directory") return Effect.void
        if (kind !== undefined) return unsafe(name, `it lies below ${JSON.stringify(path)}, which is no folder`)
        kinds.set(path, "directory")
        return io(path, fs.makeDirectory(at(path), { mode: 0o755 }))
      },
      { discard: true }
    )

  /** Makes room for what is no folder. */
  const clear = (name: string, path: string): Effect.Effect<void, LocalFileError | ArchiveRefused> => {
    const kind = kinds.get(path)
    if (kind === undefined) return Effect.void
    return kind === "directory" ? unsafe(name, "it would take the place of a folder") : io(path, fs.remove(at(path)))
  }

  const skip = (path: string, why: string) => Effect.sync(() => void leftOut.push({ path, why }))

  const writeFile = (member: Member, name: string, path: string, header: Header) =>
    Effect.gen(function* () {
      // `wx` creates: it never writes into what is there, nor through a link.
      const file = yield* fs.open(at(path), { flag: "wx", mode: 0o600 }).pipe(Effect.mapError(fromPlatform(path)))
      kinds.set(path, "file")
      yield* Stream.fromAsyncIterable<unknown, ArchiveRefused>(member, malformed(name)).pipe(
        Stream.runForEach((piece): Effect.Effect<void, LocalFileError | ArchiveRefused> => {
          if (!(piece instanceof Uint8Array)) return Effect.void
          tally.bytes += piece.length
          return tally.bytes > limits.maxBytes
            ? tooLarge(name, `it holds more than ${limits.maxBytes} bytes`)
            : io(path, file.writeAll(piece))
        })
      )
    }).pipe(
      Effect.scoped,
      Effect.zipRight(io(path, fs.chmod(at(path), header.mode & 0o777))),
      Effect.zipRight(io(path, fs.utimes(at(path), header.mtime, header.mtime)))
    )

  const place = (member: Member) =>
    Effect.gen(function* () {
      const { header } = member
      const { name } = header
      if (++tally.entries > limits.maxEntries)
        return yield* tooLarge(name, `it has more than ${limits.maxEntries} entries`)
      const all = partsOf(name)
      if (typeof all === "string") return yield* unsafe(name, all)
      if (header.type === "directory" && (all.length === 0 || (all.length === 1 && all[0] === top))) return
      const parts = below(all)
      if (parts.length === 0) return yield* unsafe(name, "it has no name")
      const path = parts.join("/")
      yield* parents(name, parts)

      switch (header.type) {
        case "directory":
          if (kinds.get(path) === undefined) {
            kinds.set(path, "directory")
            yield* io(path, fs.makeDirectory(at(path), { mode: 0o700 }))
            tally.directories++
          } else if (kinds.get(path) !== "directory") return yield* unsafe(name, "it would take the place of a file")
          modes.push([path, header.mode])
          return
        case "file":
        case "contiguous-file":
          yield* clear(name, path)
          yield* writeFile(member, name, path, header)
          tally.files++
          return
        case "symlink": {
          const fault = linkFault(header.linkname, parts.length - 1)
          if (fault !== undefined) return yield* skip(path, fault)
          yield* clear(name, path)
          yield* io(path, fs.symlink(header.linkname, at(path)))
          kinds.set(path, "link")
          tally.links++
          return
        }
        case "link": {
          const named = partsOf(header.linkname ?? "")
          const target = typeof named === "string" ? undefined : below(named).join("/")
          if (target === undefined || target === path || kinds.get(target) !== "file") {
            return yield* skip(path, "the file that it is another name of is not in the archive")
          }
          yield* clear(name, path)
          yield* io(path, fs.link(at(target), at(path)))
          kinds.set(path, "file")
          tally.links++
          return
        }
        default:
          return yield* skip(path, "it is a device or a pipe")
      }
    }).pipe(
      // The parser goes on once an entry is read to its end.
      Effect.ensuring(Effect.sync(() => void member.resume()))
    )

  const feed = archive.pipe(
    Stream.runForEach((bytes) =>
      Effect.async<void>((resume) => {
        if (parser.write(bytes)) resume(Effect.void)
        else parser.once("drain", () => resume(Effect.void))
      })
    ),
    Effect.zipRight(Effect.sync(() => parser.end(undefined))),
    Effect.zipRight(Effect.never)
  )
  yield* Stream.fromAsyncIterable(parser, malformed("")).pipe(Stream.runForEach(place), Effect.raceFirst(feed))
  // Deepest last, so that a folder that may not be entered is not entered any more.
  yield* Effect.forEach(modes.reverse(), ([path, mode]) => io(path, fs.chmod(at(path), (mode & 0o777) | 0o700)), {
    discard: true
  })
  return { files: tally.files, directories: tally.directories, links: tally.links, bytes: tally.bytes, leftOut }
})
