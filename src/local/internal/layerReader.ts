/**
 * The archive side of unpacking: reads the tar of one layer and hands its entries to a `LayerTree`.
 *
 * This is Node's and tar-stream's callback world, kept in one place: bytes go in through `write` and `end`, the
 * result comes out once through `onDone`, and `close` stops everything and reports when nothing is under way any more.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { pipeline, Transform } from "node:stream"
import { extract, type Headers } from "tar-stream"
import { LayerArchiveError } from "../LayerArchiveError.js"
import { compressionOf, decoderOf, MAGIC_LENGTH } from "./layerDecoder.js"
import type { Entry, EntryKind, LayerTree } from "./layerTree.js"

/** tar-stream keeps the PAX records of an entry beside its header; its types do not say so. */
interface TarHeader extends Headers {
  readonly pax?: Readonly<Record<string, string>> | null
}

/** What was counted over all layers of an image. */
export interface Tally {
  /** Decompressed bytes of the archives, headers included. */
  unpacked: number
  entries: number
  /** Bytes in regular files. */
  contents: number
  devices: number
  attributes: number
}

/** @internal */
export interface LayerReaderOptions {
  readonly tree: LayerTree
  readonly tally: Tally
  readonly maxUnpackedBytes: number
  readonly maxEntries: number
}

/** @internal */
export interface LayerReader {
  /** Takes a piece; `done` is called when there is room for the next one. */
  readonly write: (chunk: Uint8Array, done: () => void) => void
  readonly end: () => void
  /** Calls back once, at the end or at the first failure. */
  readonly onDone: (callback: (error: LayerArchiveError | undefined) => void) => void
  readonly close: (idle: () => void) => void
}

/** Files up to this size are gathered and written in one go; larger ones go to the disk piece by piece, off the loop. */
const GATHERED = 256 * 1024

/** After so many entries the event loop gets its turn. */
const BURST = 32

const EMPTY = new Uint8Array(0)

const kindOf = (type: Headers["type"]): EntryKind | "device" | undefined => {
  switch (type) {
    case "file":
    case "contiguous-file":
      return "file"
    case "directory":
    case "symlink":
    case "link":
    case "fifo":
      return type
    case "character-device":
    case "block-device":
      return "device"
    default:
      return undefined
  }
}

/** Names in PAX records are UTF-8, those in headers are read as bytes. */
const bytesOf = (pax: string | undefined, header: string | null | undefined): string =>
  pax === undefined ? (header ?? "") : Buffer.from(pax, "utf8").toString("latin1")

const numberOf = (pax: string | undefined, header: number | undefined): number =>
  pax === undefined ? (header ?? 0) : Number(pax)

const entryOf = (header: TarHeader, kind: EntryKind): Entry | undefined => {
  const pax = header.pax ?? {}
  const entry: Entry = {
    name: bytesOf(pax["path"], header.name),
    kind,
    target: bytesOf(pax["linkpath"], header.linkname),
    mode: (header.mode ?? 0) & 0o7777,
    uid: numberOf(pax["uid"], header.uid),
    gid: numberOf(pax["gid"], header.gid),
    mtime: pax["mtime"] === undefined ? (header.mtime?.getTime() ?? 0) / 1000 : Number(pax["mtime"])
  }
  const id = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 0xffffffff
  return id(entry.uid) && id(entry.gid) && Number.isFinite(entry.mtime) ? entry : undefined
}

const isSparse = (pax: Readonly<Record<string, string>> | null | undefined): boolean =>
  Object.keys(pax ?? {}).some((key) => key.startsWith("GNU.sparse."))

const hasAttributes = (pax: Readonly<Record<string, string>> | null | undefined): boolean =>
  Object.keys(pax ?? {}).some((key) => key.startsWith("SCHILY.xattr.") || key.startsWith("LIBARCHIVE.xattr."))

const concat = (head: Uint8Array, chunk: Uint8Array): Uint8Array =>
  head.length === 0 ? chunk : Buffer.concat([head, chunk])

const writeAll = (file: number, pieces: ReadonlyArray<Uint8Array>): void => {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) at += fs.writeSync(file, piece, at)
  }
}

/** @internal */
export const readLayer = (options: LayerReaderOptions): LayerReader => {
  const { tally, tree } = options
  let decoder: Transform | undefined
  let head = EMPTY
  let closed = false
  let pending = 0
  let whenIdle: (() => void) | undefined
  let outcome: { readonly error: LayerArchiveError | undefined } | undefined
  let report: ((error: LayerArchiveError | undefined) => void) | undefined

  /** Wraps the end of something asynchronous, so that `close` can wait for it. */
  const tracked = <A extends ReadonlyArray<unknown>>(f: (...args: A) => void): (...args: A) => void => {
    pending++
    return (...args) => {
      pending--
      f(...args)
      if (pending === 0) whenIdle?.()
    }
  }

  const settle = (error: LayerArchiveError | undefined): void => {
    if (outcome !== undefined) return
    outcome = { error }
    report?.(error)
  }

  // Names as latin1 are names as bytes: not every name in a real image is UTF-8.
  const parser = extract({ allowUnknownFormat: true, filenameEncoding: "latin1" })

  const meter = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      tally.unpacked += chunk.length
      if (tally.unpacked <= options.maxUnpackedBytes) done(null, chunk)
      else done(tree.error("TooLarge", "", `it unpacks to more than ${options.maxUnpackedBytes} bytes with those before it`))
    }
  })

  parser.on("entry", (header: TarHeader, body, next) => {
    const proceed = (result: unknown): void => {
      if (closed) return
      if (result instanceof LayerArchiveError) {
        parser.destroy(result)
        return
      }
      if (++tally.entries % BURST === 0) setImmediate(() => next())
      else next()
    }
    // Its failure is the parser's, which `pipeline` reports.
    body.on("error", () => {})

    const skip = (): void => {
      body.on("end", () => proceed(undefined))
      body.resume()
    }

    if (tally.entries >= options.maxEntries) {
      proceed(tree.error("TooLarge", header.name, `the layers hold more than ${options.maxEntries} entries`))
      return
    }
    const kind = kindOf(header.type)
    if (kind === undefined || isSparse(header.pax)) {
      proceed(tree.error("Unsupported", header.name, "it is a sparse file or of another type that images do not have"))
      return
    }
    if (kind === "device") {
      // A sandbox has its own /dev, and only the machine's root may make devices.
      tally.devices++
      skip()
      return
    }
    if (hasAttributes(header.pax)) tally.attributes++
    const entry = entryOf(header, kind)
    if (entry === undefined) {
      proceed(tree.error("Malformed", header.name, "its owner or its time is no number that a file can have"))
      return
    }
    const path = tree.place(entry)
    if (path instanceof LayerArchiveError) {
      proceed(path)
      return
    }
    if (path === undefined) {
      skip()
      return
    }
    const size = header.size ?? 0
    tally.contents += size
    if (size <= GATHERED) {
      const pieces: Array<Uint8Array> = []
      body.on("data", (piece: Uint8Array) => pieces.push(piece))
      body.on("end", () => {
        if (closed) return
        proceed(
          tree.attempt(entry.name, () => {
            const file = tree.create(path)
            try {
              writeAll(file, pieces)
            } catch (cause) {
              fs.closeSync(file)
              throw cause
            }
            tree.finishFile(file, entry)
          })
        )
      })
      return
    }
    const file = tree.attempt(entry.name, () => tree.create(path))
    if (typeof file !== "number") {
      proceed(file)
      return
    }
    // A file that is cut short is closed by the failure of its body.
    let open = true
    const shut = (): void => {
      if (open && pending === 0) {
        open = false
        fs.closeSync(file)
      }
    }
    body.on("close", shut)
    body.on("data", (piece: Uint8Array) => {
      body.pause()
      const writeFrom = (at: number): void => {
        fs.write(
          file,
          piece,
          at,
          piece.length - at,
          null,
          tracked((error, written) => {
            if (error !== null) {
              if (!closed) proceed(tree.attempt(entry.name, () => { throw error }))
            } else if (closed) {
              shut()
            } else if (at + written < piece.length) {
              writeFrom(at + written)
            } else {
              body.resume()
            }
          })
        )
      }
      writeFrom(0)
    })
    body.on("end", () => {
      if (closed || !open) return
      open = false
      proceed(tree.attempt(entry.name, () => tree.finishFile(file, entry)))
    })
  })

  const start = (): Transform => {
    const compression = compressionOf(head)
    const chosen = decoderOf(compression)
    decoder = chosen
    pipeline(chosen, meter, parser, (cause) => {
      if (cause === null || cause === undefined) settle(undefined)
      else if (cause instanceof LayerArchiveError) settle(cause)
      else {
        const content = compression === "none" ? "a tar archive" : `a tar archive under ${compression}`
        settle(tree.error("Malformed", "", `it is not ${content} (${cause.message})`))
      }
    })
    return chosen
  }

  return {
    write: (chunk, done) => {
      if (decoder !== undefined) {
        decoder.write(chunk, () => done())
        return
      }
      head = concat(head, chunk)
      if (head.length < MAGIC_LENGTH) done()
      else start().write(head, () => done())
    },
    end: () => {
      if (decoder !== undefined) decoder.end()
      else start().end(head)
    },
    onDone: (callback) => {
      report = callback
      if (outcome !== undefined) callback(outcome.error)
    },
    close: (idle) => {
      closed = true
      // Streams without a listener would make their last failure an uncaught one.
      for (const stream of [decoder, meter, parser]) {
        stream?.on("error", () => {})
        stream?.destroy()
      }
      if (pending === 0) idle()
      else whenIdle = idle
    }
  }
}

/** @internal */
export const makeFifos = (
  paths: ReadonlyArray<Buffer>,
  done: (failure: string | undefined) => void
): (() => void) => {
  // xargs takes names as bytes, which arguments of Node's processes cannot be.
  const child = execFile("xargs", ["-0", "mkfifo", "-m", "600", "--"], (error, _stdout, stderr) => {
    done(error === null ? undefined : stderr.trim() === "" ? error.message : stderr.trim())
  })
  child.stdin?.on("error", () => {})
  child.stdin?.end(Buffer.concat(paths.flatMap((path) => [path, Buffer.from([0])])))
  return () => {
    child.kill("SIGKILL")
  }
}
