/** Tar archives made from a list of entries, byte for byte the same each time. */
import { Data, Effect, Stream } from "effect"
import * as tar from "tar-stream"

/** One entry of an archive; `path` has no leading slash, `content` belongs to files only. */
export interface TarEntry {
  readonly path: string
  readonly type: "file" | "directory" | "symlink" | "link" | "fifo"
  readonly mode: number
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly mtime: Date
  readonly content?: Uint8Array | string | undefined
  readonly linkTarget?: string | undefined
}

export class TarArchiveError extends Data.TaggedError("TarArchiveError")<{
  readonly path: string
  readonly cause: unknown
}> {
  override get message() {
    return `"${this.path}" cannot be put into a tar archive: ${this.cause}`
  }
}

/** Packs entries in the order given (ustar, with pax headers where a name needs them). */
export const pack = (entries: ReadonlyArray<TarEntry>): Stream.Stream<Uint8Array, TarArchiveError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const archive = tar.pack()
      for (const entry of entries) {
        const header = {
          name: entry.path,
          type: entry.type,
          // tar-stream takes a mode of 0 for "not given"; it masks the bit above the permissions away again
          mode: 0o10000 | entry.mode,
          uid: entry.uid ?? 0,
          gid: entry.gid ?? 0,
          mtime: entry.mtime,
          ...(entry.linkTarget === undefined ? {} : { linkname: entry.linkTarget })
        }
        yield* Effect.try({
          try: () =>
            entry.type === "file" ? archive.entry(header, Buffer.from(entry.content ?? "")) : archive.entry(header),
          catch: (cause) => new TarArchiveError({ path: entry.path, cause })
        })
      }
      archive.finalize()
      return Stream.fromAsyncIterable(
        archive as AsyncIterable<Uint8Array>,
        (cause) => new TarArchiveError({ path: "the archive's end", cause })
      )
    })
  )

/** The directories above the given paths, each once and before what is in it. */
export const parents = (paths: Iterable<string>): ReadonlyArray<string> => {
  const found = new Set<string>()
  for (const path of paths) {
    const parts = path.split("/")
    for (let length = 1; length < parts.length; length++) {
      found.add(parts.slice(0, length).join("/"))
    }
  }
  return [...found].sort()
}
