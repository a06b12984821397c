/**
 * The smallest programs that the kernel takes: ELF files of the headers, some instructions and their data.
 */

const machines: Record<Architecture, number> = { x64: 62, arm64: 183 }

/** The architectures that programs are made for, in the words of Node's `process.arch`. */
export type Architecture = "x64" | "arm64"

export const isKnown = (architecture: string): architecture is Architecture =>
  architecture === "x64" || architecture === "arm64"

const BASE = 0x400000
const HEADERS = 64 + 56

/** Where the first part is in the memory of the program. */
export const START = BASE + HEADERS

/** A program that holds these parts and begins at an address, which is that of the first part unless it is given. */
export const make = (
  architecture: Architecture,
  parts: ReadonlyArray<Uint8Array>,
  entry = START
): Uint8Array<ArrayBuffer> => {
  const size = parts.reduce((sum, part) => sum + part.length, HEADERS)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  const address = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true)
  // e_ident: magic, 64 bits, little endian, version 1
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true) // an executable
  view.setUint16(18, machines[architecture], true)
  view.setUint32(20, 1, true)
  address(24, entry)
  address(32, 64) // where the program header is
  view.setUint16(52, 64, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, 1, true)
  // the program header: one segment, readable and executable
  view.setUint32(64, 1, true)
  view.setUint32(68, 5, true)
  address(80, BASE)
  address(88, BASE)
  address(96, size)
  address(104, size)
  address(112, 0x1000)
  let end = HEADERS
  for (const part of parts) {
    bytes.set(part, end)
    end += part.length
  }
  return bytes
}
