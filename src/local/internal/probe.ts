/**
 * The smallest root that shows whether sandboxes work here: one program, which ends with a known exit code.
 */
import * as ElfFile from "./elfFile.js"

/** What the program ends with. */
export const PROBE_EXIT = 7

/** The path of the program inside the root. */
export const PROBE_PROGRAM = "/probe"

const code: Record<ElfFile.Architecture, ReadonlyArray<number>> = {
  // mov edi, 7; mov eax, 60 (exit); syscall
  x64: [0xbf, PROBE_EXIT, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
  // mov x0, #7; mov x8, #93 (exit); svc #0
  arm64: [PROBE_EXIT << 5, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4]
}

/** The program, since an image need not hold any. */
export const program = (architecture: ElfFile.Architecture): Uint8Array =>
  ElfFile.make(architecture, [Uint8Array.from(code[architecture])])
