/**
 * The archive side of unpacking: reads the tar of one layer and hands its entries to a `LayerTree`.
 *
 * This is Node's and tar-stream's callback world, kept in one place: bytes go in through `write` and `end`, the
 * result comes out once through `onDone`, and `close` stops everything and reports when nothing is under way any more.
 */
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import { pipeline, Transform } from "node:stream"
import { setImmediate } from "node:timers"
import { extract, type ExtractEvents, type Header } from "tar-stream"
import { LayerArchiveError } from "../LayerArchiveError.js"
import { compressionOf, decoderOf, MAGIC_LENGTH } from "./layerDecoder.js"
import type { Entry, EntryKind, LayerTree } from "./layerTree.js"

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

/** After so many entries the event loop gets its turn: a busy disk may take a millisecond for each. */
const BURST = 8

type Body = ExtractEvents["entry"][1]

/**
 * Archives of old tools have no magic number, and names as latin1 are names as bytes: not every name in a real image
 * is UTF-8. tar-stream's types know neither option.
 */
const PARSER: NonNullable<Parameters<typeof extract>[0]> & {
  readonly allowUnknownFormat: boolean
  readonly filenameEncoding: string
} = { allowUnknownFormat: true, filenameEncoding: "latin1" }

const kindOf = (type: Header["type"]): EntryKind | "device" | undefined => {
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

type Pax = Readonly<Record<string, string>>

const isPax = Schema.is(Schema.Record({ key: Schema.String, value: Schema.String }))

/** tar-stream applies only the names and the size of an extended header, and keeps the rest of it untyped. */
const paxOf = (header: Header): Pax => (isPax(header.pax) ? header.pax : {})

/** Names in extended headers are UTF-8, those in plain ones were read as bytes. */
const bytesOf = (pax: string | undefined, header: string | null): string =>
  pax === undefined ? (header ?? "") : Buffer.from(pax, "utf8").toString("latin1")

const isId = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 0xffffffff

const entryOf = (header: Header, pax: Pax, name: string, kind: EntryKind): Entry | undefined => {
  const entry: Entry = {
    name,
    kind,
    target: bytesOf(pax["linkpath"], header.linkname),
    mode: header.mode & 0o7777,
    uid: Number(pax["uid"] ?? header.uid),
    gid: Number(pax["gid"] ?? header.gid),
    mtime: pax["mtime"] === undefined ? header.mtime.getTime() / 1000 : Number(pax["mtime"])
  }
  return isId(entry.uid) && isId(entry.gid) && Number.isFinite(entry.mtime) ? entry : undefined
}

const concat = (head: Uint8Array, chunk: Uint8Array): Uint8Array =>
  head.length === 0 ? chunk : Buffer.concat([head, chunk])

const writeAll = (file: number, pieces: ReadonlyArray<Uint8Array>): void => {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) at += fs.writeSync(file, piece, at)
  }
}

/** @internal */
export const readLayer = (options: LayerReaderOptions): LayerReader => {
  const { tally, tree } = options
  let decoder: Transform | undefined
  let head: Uint8Array = new Uint8Array(0)
  let closed = false
  let pending = 0
  let whenIdle: (() => void) | undefined
  let outcome: { readonly error: LayerArchiveError | undefined } | undefined
  let report: ((error: LayerArchiveError | undefined) => void) | undefined

  /** Wraps the end of something asynchronous, so that `close` can wait for it. */
  const tracked = <A extends ReadonlyArray<unknown>>(f: (...args: A) => void): ((...args: A) => void) => {
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

  const parser = extract(PARSER)

  const meter = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      tally.unpacked += chunk.length
      if (tally.unpacked <= options.maxUnpackedBytes) done(null, chunk)
      else
        done(
          tree.error("TooLarge", "", `it unpacks to more than ${options.maxUnpackedBytes} bytes with those before it`)
        )
    }
  })

  parser.on("entry", (header, body, next) => {
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

    const size = header.size
    const pax = paxOf(header)
    const name = bytesOf(pax["path"], header.name)
    const skip = (): void => {
      // tar-stream does not ask for the body of an entry without one.
      if (size === 0 || header.type === "directory") {
        proceed(undefined)
        return
      }
      body.on("end", () => proceed(undefined))
      body.resume()
    }

    if (tally.entries >= options.maxEntries) {
      proceed(tree.error("TooLarge", name, `the layers hold more than ${options.maxEntries} entries`))
      return
    }
    const kind = kindOf(header.type)
    if (kind === undefined || Object.keys(pax).some((key) => key.startsWith("GNU.sparse."))) {
      proceed(tree.error("Unsupported", name, "it is a sparse file or of another type that images do not have"))
      return
    }
    if (kind === "device") {
      // A sandbox has its own /dev, and only the machine's root may make devices.
      tally.devices++
      skip()
      return
    }
    if (Object.keys(pax).some((key) => key.startsWith("SCHILY.xattr."))) tally.attributes++
    const entry = entryOf(header, pax, name, kind)
    if (entry === undefined) {
      proceed(tree.error("Malformed", name, "its owner or its time is no number that a file can have"))
      return
    }
    const path = tree.place(entry)
    if (path instanceof LayerArchiveError) proceed(path)
    else if (path === undefined) skip()
    else {
      tally.contents += size
      if (size <= GATHERED) gather(entry, path, size, body, proceed)
      else spill(entry, path, body, proceed)
    }
  })

  /** Writes a small file once all of it is there: one burst of system calls. */
  const gather = (entry: Entry, path: string, size: number, body: Body, proceed: (result: unknown) => void): void => {
    const pieces: Array<Uint8Array> = []
    const write = (): void => {
      if (closed) return
      proceed(
        tree.attempt(entry.name, () => {
          const file = tree.create(path)
          try {
            writeAll(file, pieces)
            tree.finishFile(file, entry)
          } finally {
            fs.closeSync(file)
          }
        })
      )
    }
    if (size === 0) {
      write()
      return
    }
    body.on("data", (piece) => {
      if (piece instanceof Uint8Array) pieces.push(piece)
    })
    body.on("end", write)
  }

  /** Writes a large file piece by piece, and takes the next piece when the last one is written. */
  const spill = (entry: Entry, path: string, body: Body, proceed: (result: unknown) => void): void => {
    const file = tree.attempt(entry.name, () => tree.create(path))
    if (typeof file !== "number") {
      proceed(file)
      return
    }
    let open = true
    let writing = false
    let ended = false
    const shut = (): void => {
      if (!open || writing) return
      open = false
      fs.closeSync(file)
    }
    const finish = (): void => {
      const result = closed ? undefined : tree.attempt(entry.name, () => tree.finishFile(file, entry))
      shut()
      proceed(result)
    }
    const write = (piece: Uint8Array): void => {
      writing = true
      fs.write(
        file,
        piece,
        tracked((error: Error | null, written: number) => {
          writing = false
          if (error !== null) {
            shut()
            proceed(tree.ioError(entry.name, error))
          } else if (written < piece.length) write(piece.subarray(written))
          else if (ended) finish()
          else if (body.destroyed) shut()
          else body.resume()
        })
      )
    }
    body.on("data", (piece) => {
      if (!(piece instanceof Uint8Array)) return
      body.pause()
      write(piece)
    })
    // A body ends with its last piece, which may still be on its way to the disk.
    body.on("end", () => {
      ended = true
      if (!writing) finish()
    })
    // Where the archive is cut short or the reader is closed, nothing else comes.
    body.on("close", () => {
      if (!ended) shut()
    })
  }

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
export const makeFifos = (paths: ReadonlyArray<Buffer>, done: (failure: string | undefined) => void): (() => void) => {
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
