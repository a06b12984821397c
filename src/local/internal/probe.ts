/**
 * The smallest root that shows whether sandboxes work here: one program, which ends with a known exit code.
 */

/** What the program ends with. */
export const PROBE_EXIT = 7

/** The path of the program inside the root. */
export const PROBE_PROGRAM = "/probe"

const code: Partial<Record<string, { readonly machine: number; readonly text: ReadonlyArray<number> }>> = {
  // mov edi, 7; mov eax, 60 (exit); syscall
  x64: { machine: 62, text: [0xbf, PROBE_EXIT, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05] },
  // mov x0, #7; mov x8, #93 (exit); svc #0
  arm64: { machine: 183, text: [PROBE_EXIT << 5, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4] }
}

const BASE = 0x400000
const HEADERS = 64 + 56

/**
 * The program: an ELF file of its headers and three instructions, since an image need not hold any. On a machine
 * whose instructions are not known here there is none, and to come as far as not finding it has to do.
 */
export const program = (architecture: string): Uint8Array | undefined => {
  const known = code[architecture]
  if (known === undefined) {
    return undefined
  }
  const size = HEADERS + known.text.length
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  const address = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true)
  // e_ident: magic, 64 bits, little endian, version 1
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true) // an executable
  view.setUint16(18, known.machine, true)
  view.setUint32(20, 1, true)
  address(24, BASE + HEADERS) // entry
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
  bytes.set(known.text, HEADERS)
  return bytes
}
