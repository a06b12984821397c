/**
 * Decompression of a layer, chosen by its first bytes: media types of real registries are not always right, magic
 * numbers are.
 *
 * Node's own streams are used because they decompress off the event loop and hold back their source.
 */
import { Decompress } from "fzstd"
import { PassThrough, Transform } from "node:stream"
import { createGunzip } from "node:zlib"

/** @internal */
export type Compression = "gzip" | "zstd" | "none"

/** How many bytes `compressionOf` wants to see. */
export const MAGIC_LENGTH = 4

/** Decompressed bytes in one piece: small enough that unpacking what it holds takes a few milliseconds. */
const CHUNK = 64 * 1024

/**
 * fzstd gives out all that one push holds before it returns, and four bytes may stand for 128 KiB: small pushes bound
 * the memory that a hostile layer can take.
 */
const ZSTD_PUSH = 1024

/** @internal */
export const compressionOf = (head: Uint8Array): Compression => {
  const [a, b, c, d] = head
  if (a === 0x1f && b === 0x8b) return "gzip"
  const zstdFrame = a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd
  const skippableFrame = a !== undefined && (a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18
  return zstdFrame || skippableFrame ? "zstd" : "none"
}

// Node has zstd only from 22.15, and the package runs on 20.
const zstdDecoder = (): Transform => {
  const inflate = new Decompress()
  const attempt = (done: (error?: Error | null) => void, push: () => void): void => {
    try {
      push()
    } catch (cause) {
      done(cause instanceof Error ? cause : new Error(String(cause)))
      return
    }
    done()
  }
  return new Transform({
    construct(ready) {
      inflate.ondata = (chunk) => {
        if (chunk.length > 0) this.push(chunk)
      }
      ready()
    },
    transform(chunk: Uint8Array, _encoding, done) {
      attempt(done, () => {
        for (let at = 0; at < chunk.length; at += ZSTD_PUSH) {
          inflate.push(chunk.subarray(at, at + ZSTD_PUSH))
        }
      })
    },
    flush(done) {
      attempt(done, () => {
        inflate.push(new Uint8Array(0), true)
      })
    }
  })
}

/** @internal */
export const decoderOf = (compression: Compression): Transform => {
  switch (compression) {
    case "gzip":
      return createGunzip({ chunkSize: CHUNK })
    case "zstd":
      return zstdDecoder()
    case "none":
      return new PassThrough()
  }
}
