/**
 * Programs that are system calls one after another, with what the calls point to in them: written call by call, and
 * made into an ELF file for one architecture.
 *
 * There is no library in them and no loader before them, so that such a program starts in a tenth of a millisecond.
 * What they keep beside the memory that they come with: the result of the last call, four variables, and one word of the
 * stack, into which the kernel writes a status.
 */
import * as ElfFile from "./elfFile.js"

/** Numbers on x64 and arm64. */
const calls = {
  write: [1, 64],
  close: [3, 57],
  ioctl: [16, 29],
  socket: [41, 198],
  clone: [56, 220],
  execve: [59, 221],
  wait4: [61, 260],
  kill: [62, 129],
  chdir: [80, 49],
  setsid: [112, 157],
  setgroups: [116, 159],
  setresuid: [117, 147],
  setresgid: [119, 149],
  capset: [126, 91],
  pivot_root: [155, 41],
  prctl: [157, 167],
  chroot: [161, 51],
  mount: [165, 40],
  umount2: [166, 39],
  sethostname: [170, 161],
  exit_group: [231, 94],
  openat: [257, 56],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  unlinkat: [263, 35],
  symlinkat: [266, 36],
  faccessat: [269, 48],
  unshare: [272, 97]
} as const

type Call = keyof typeof calls

/** A call leaves variables as they are. */
export type Variable = 0 | 1 | 2 | 3

/** A number of 32 bits, what a variable holds, where the status is, or where the program's first argument is. */
export type Argument = number | { readonly variable: Variable } | "status" | "first"

/** `failed`, `zero` and `equal` are about the last result, `set` is about a variable that is not zero. */
export type Condition = "always" | "failed" | "zero" | "equal" | { readonly set: Variable }

/** What is done with the last result, which is its outcome again. */
type Change =
  // What the kernel wrote, the number of a deadly signal in it, and the exit code
  "status" | "signal" | "code" | "add128" | "negate"

/** Every number is little-endian, instructions too. */
const littleEndian = (value: number): ReadonlyArray<number> => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 24) & 0xff
]

interface Instructions {
  readonly index: 0 | 1
  readonly argument: (index: number, value: Argument) => ReadonlyArray<number>
  readonly call: (number: number) => ReadonlyArray<number>
  readonly set: (variable: Variable, value: number) => ReadonlyArray<number>
  readonly keep: (variable: Variable) => ReadonlyArray<number>
  readonly change: Record<Change, ReadonlyArray<number>>
  readonly compareError: (errno: number) => ReadonlyArray<number>
  readonly compare: (variable: Variable) => ReadonlyArray<number>
  /** The length of every jump. */
  readonly jumpBytes: number
  readonly jump: (condition: Condition, distance: number) => ReadonlyArray<number>
}

// The arguments are rdi, rsi, rdx, r10, r8; the result is rax; the variables are r12 to r15.
const x64: Instructions = {
  index: 0,
  argument: (index, value) => {
    if (typeof value === "number") {
      // mov edi | esi | edx | r10d | r8d, value
      return [...([[0xbf], [0xbe], [0xba], [0x41, 0xba], [0x41, 0xb8]][index] ?? []), ...littleEndian(value)]
    }
    const [target, high] = [[7, 6, 2, 2, 0][index] ?? 0, index > 2 ? 1 : 0]
    if (value === "first") {
      // mov target, [rsp + 16]
      return [0x48 | (high << 2), 0x8b, 0x44 | (target << 3), 0x24, 16]
    }
    return value === "status"
      ? [0x48 | high, 0x89, 0xe0 | target] // mov target, rsp
      : [0x4c | high, 0x89, 0xe0 | (value.variable << 3) | target] // mov target, r12 + variable
  },
  call: (number) => [0xb8, ...littleEndian(number), 0x0f, 0x05], // mov eax, number; syscall
  set: (variable, value) => [0x41, 0xbc + variable, ...littleEndian(value)], // mov r12d + variable, value
  keep: (variable) => [0x49, 0x89, 0xc4 + variable], // mov r12 + variable, rax
  change: {
    status: [0x8b, 0x04, 0x24], // mov eax, [rsp]
    signal: [0x83, 0xe0, 0x7f], // and eax, 127
    code: [0x0f, 0xb6, 0xc4], // movzx eax, ah
    add128: [0x05, 128, 0, 0, 0], // add eax, 128
    negate: [0xf7, 0xd8] // neg eax
  },
  compareError: (errno) => [0x48, 0x83, 0xf8, 256 - errno], // cmp rax, -errno
  compare: (variable) => [0x4c, 0x39, 0xe0 | (variable << 3)], // cmp rax, r12 + variable
  jumpBytes: 9,
  // A test, where one is needed, and a jump over 32 bits.
  jump: (condition, distance) => {
    const over = littleEndian(distance - 9)
    switch (condition) {
      case "always":
        return [0x0f, 0x1f, 0x40, 0, 0xe9, ...over] // nop; jmp
      case "failed":
        return [0x48, 0x85, 0xc0, 0x0f, 0x88, ...over] // test rax, rax; js
      case "zero":
        return [0x48, 0x85, 0xc0, 0x0f, 0x84, ...over] // test rax, rax; je
      case "equal":
        return [0x0f, 0x1f, 0, 0x0f, 0x84, ...over] // nop; je
      default:
        return [0x4d, 0x85, 0xe4 | (condition.set * 9), 0x0f, 0x85, ...over] // test r12, r12; jne
    }
  }
}

// The arguments are x0 to x4; the result is x0; the variables are x20 to x23.
const arm64: Instructions = {
  index: 1,
  argument: (index, value) =>
    typeof value === "number"
      ? [
          ...littleEndian(0x52800000 | ((value & 0xffff) << 5) | index), // movz w, value
          ...littleEndian(0x72a00000 | ((value >>> 16) << 5) | index) // movk w, value >> 16, lsl 16
        ]
      : value === "status"
        ? littleEndian(0x910003e0 | index) // mov x, sp
        : value === "first"
          ? littleEndian(0xf9400be0 | index) // ldr x, [sp, 16]
          : littleEndian(0xaa0003e0 | ((20 + value.variable) << 16) | index), // mov x, x20 + variable
  call: (number) => [...littleEndian(0xd2800008 | (number << 5)), ...littleEndian(0xd4000001)], // movz x8, number; svc 0
  set: (variable, value) => littleEndian(0xd2800000 | (value << 5) | (20 + variable)), // movz x20 + variable, value
  keep: (variable) => littleEndian(0xaa0003e0 | (20 + variable)), // mov x20 + variable, x0
  change: {
    status: littleEndian(0xb94003e0), // ldr w0, [sp]
    signal: littleEndian(0x12001800), // and w0, w0, 127
    code: littleEndian(0x53083c00), // ubfx w0, w0, 8, 8
    add128: littleEndian(0x11020000), // add w0, w0, 128
    negate: littleEndian(0x4b0003e0) // neg w0, w0
  },
  compareError: (errno) => littleEndian(0xb100001f | (errno << 10)), // cmn x0, errno
  compare: (variable) => littleEndian(0xeb00001f | ((20 + variable) << 16)), // cmp x0, x20 + variable
  jumpBytes: 4,
  jump: (condition, distance) => {
    const instructions = distance >> 2
    switch (condition) {
      case "always":
        return littleEndian(0x14000000 | (instructions & 0x3ffffff)) // b
      case "failed":
        return littleEndian(0xb7f80000 | ((instructions & 0x3fff) << 5)) // tbnz x0, 63
      case "zero":
        return littleEndian(0xb4000000 | ((instructions & 0x7ffff) << 5)) // cbz x0
      case "equal":
        return littleEndian(0x54000000 | ((instructions & 0x7ffff) << 5)) // b.eq
      default:
        return littleEndian(0xb5000000 | ((instructions & 0x7ffff) << 5) | (20 + condition.set)) // cbnz x20 + variable
    }
  }
}

type Part = { readonly bytes: ReadonlyArray<number> } | { readonly jump: Condition; readonly to: string }

const encoder = new TextEncoder()

/** What a program is written with: what it does, in order, and the data, whose addresses calls are given. */
export interface Writer {
  readonly call: (name: Call, ...args: ReadonlyArray<Argument>) => void
  readonly label: (name: string) => void
  readonly jump: (condition: Condition, label: string) => void
  readonly set: (variable: Variable, value: 0 | 1) => void
  readonly keep: (variable: Variable) => void
  readonly change: (...changes: ReadonlyArray<Change>) => void
  /** Makes the next `equal` one about an error, or about what a variable holds. */
  readonly compareError: (errno: number) => void
  readonly compare: (variable: Variable) => void
  readonly text: (value: string) => number
  readonly bytes: (value: Uint8Array) => number
  readonly words: (values: ReadonlyArray<number>) => number
  /** With a final zero. */
  readonly pointers: (values: ReadonlyArray<number>) => number
  /** Writes the text to the descriptor. */
  readonly say: (descriptor: number, text: string) => void
}

/** The program as a file. The data comes first: then its addresses do not depend on the code's length. */
export const make = (architecture: ElfFile.Architecture, write: (writer: Writer) => void): Uint8Array<ArrayBuffer> => {
  const machine = architecture === "x64" ? x64 : arm64
  const data: Array<Uint8Array> = []
  let dataEnd = ElfFile.START
  const bytes = (value: Uint8Array): number => {
    // Pointers and structures want to lie on multiples of eight.
    const address = dataEnd + ((8 - (dataEnd % 8)) % 8)
    data.push(new Uint8Array(address - dataEnd), value)
    dataEnd = address + value.length
    return address
  }
  const numbers = (values: ReadonlyArray<number>, size: 4 | 8) => {
    const content = new Uint8Array(values.length * size)
    const view = new DataView(content.buffer)
    values.forEach((value, index) => view.setUint32(index * size, value >>> 0, true))
    return bytes(content)
  }

  const parts: Array<Part> = []
  const labels = new Map<string, number>()
  let codeEnd = 0
  const instruction = (code: ReadonlyArray<number>) => {
    parts.push({ bytes: code })
    codeEnd += code.length
  }
  const call: Writer["call"] = (name, ...args) => {
    args.forEach((value, index) => instruction(machine.argument(index, value)))
    instruction(machine.call(calls[name][machine.index]))
  }
  write({
    call,
    label: (name) => labels.set(name, codeEnd),
    jump: (jump, to) => {
      parts.push({ jump, to })
      codeEnd += machine.jumpBytes
    },
    set: (variable, value) => instruction(machine.set(variable, value)),
    keep: (variable) => instruction(machine.keep(variable)),
    change: (...changes) => changes.forEach((change) => instruction(machine.change[change])),
    compareError: (errno) => instruction(machine.compareError(errno)),
    compare: (variable) => instruction(machine.compare(variable)),
    text: (value) => bytes(encoder.encode(`${value}\0`)),
    bytes,
    words: (values) => numbers(values, 4),
    pointers: (values) => numbers([...values, 0], 8),
    say: (descriptor, text) => {
      const line = encoder.encode(text)
      call("write", descriptor, bytes(line), line.length)
    }
  })

  const entry = bytes(new Uint8Array(0))
  const code = new Uint8Array(codeEnd)
  let end = 0
  for (const part of parts) {
    const content = "bytes" in part ? part.bytes : machine.jump(part.jump, (labels.get(part.to) ?? 0) - end)
    code.set(content, end)
    end += content.length
  }
  return ElfFile.make(architecture, [...data, code], entry)
}
