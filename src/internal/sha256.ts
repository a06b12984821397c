/**
 * SHA-256 (FIPS 180-4) of bytes that come in pieces. Web Crypto takes only a whole message, which would keep a large
 * file in memory, and the client takes no dependency for what fits on one screen.
 */

const K = new Uint32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
])

const BLOCK = 64

/** The index is always in range; the compiler cannot know. */
const at = (array: Uint32Array, index: number): number => array[index] ?? 0

/** A digest that is being made. */
export class Sha256State {
  private readonly hash = new Uint32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
  ])
  private readonly words = new Uint32Array(64)
  private readonly rest = new Uint8Array(BLOCK)
  private restLength = 0
  private length = 0

  update(bytes: Uint8Array): void {
    this.length += bytes.length
    let from = 0
    if (this.restLength > 0) {
      from = Math.min(BLOCK - this.restLength, bytes.length)
      this.rest.set(bytes.subarray(0, from), this.restLength)
      this.restLength += from
      if (this.restLength < BLOCK) return
      this.block(new DataView(this.rest.buffer), 0)
      this.restLength = 0
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (; from + BLOCK <= bytes.length; from += BLOCK) this.block(view, from)
    this.rest.set(bytes.subarray(from))
    this.restLength = bytes.length - from
  }

  /** The digest in lower-case hexadecimal. Nothing may be added after it. */
  digest(): string {
    const bits = this.length * 8
    const tail = new Uint8Array(this.restLength < 56 ? BLOCK : 2 * BLOCK)
    tail.set(this.rest.subarray(0, this.restLength))
    tail[this.restLength] = 0x80
    const view = new DataView(tail.buffer)
    view.setUint32(tail.length - 8, Math.floor(bits / 2 ** 32))
    view.setUint32(tail.length - 4, bits >>> 0)
    for (let from = 0; from < tail.length; from += BLOCK) this.block(view, from)
    return Array.from(this.hash, (word) => word.toString(16).padStart(8, "0")).join("")
  }

  private block(view: DataView, offset: number): void {
    const { hash, words } = this
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(offset + i * 4)
    for (let i = 16; i < 64; i++) {
      const x = at(words, i - 15)
      const y = at(words, i - 2)
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
      words[i] = (at(words, i - 16) + s0 + at(words, i - 7) + s1) | 0
    }
    let a = at(hash, 0) | 0
    let b = at(hash, 1) | 0
    let c = at(hash, 2) | 0
    let d = at(hash, 3) | 0
    let e = at(hash, 4) | 0
    let f = at(hash, 5) | 0
    let g = at(hash, 6) | 0
    let h = at(hash, 7) | 0
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + at(K, i) + at(words, i)) | 0
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + t1) | 0
      d = c
      c = b
      b = a
      a = (t1 + t2) | 0
    }
    hash[0] = at(hash, 0) + a
    hash[1] = at(hash, 1) + b
    hash[2] = at(hash, 2) + c
    hash[3] = at(hash, 3) + d
    hash[4] = at(hash, 4) + e
    hash[5] = at(hash, 5) + f
    hash[6] = at(hash, 6) + g
    hash[7] = at(hash, 7) + h
  }
}
