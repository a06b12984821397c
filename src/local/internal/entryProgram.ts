/**
 * The last program before a payload: made anew for each, it gives up what a payload may not have and becomes it.
 *
 * No tool of the machine can do this. One that gives up the privileges and then runs another to leave the root can
 * be looked at in between by processes of the sandbox, which have as many privileges by then; setpriv applies filters
 * since util-linux 2.40 only. This program has every privilege of the sandbox's root until the kernel replaces it by
 * the payload, so that nothing in the sandbox may look into it. It is a straight line of system calls with all that
 * they need in it, the payload's words and environment too, and finds none of these anywhere else.
 */
import * as ElfFile from "./elfFile.js"

/** What is done before the payload, and the payload. */
export interface EntryOptions {
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly env: Readonly<Record<string, string>>
  /** Absolute in the root that it has, or that it enters. */
  readonly cwd: string
  /** Makes the current folder the root. */
  readonly entersRoot: boolean
  readonly uid: number
  readonly gid: number
  /** False where the process has these ids already. */
  readonly becomes: boolean
  /** The numbers of the capabilities that id 0 keeps. */
  readonly capabilities: ReadonlyArray<number>
  readonly filter: Uint8Array
  /** The descriptor by which the program itself was found. */
  readonly closes: number | undefined
}

/** How it ends where the payload cannot be started, as a shell would. */
const NOT_EXECUTABLE = 126
const NOT_FOUND = 127

const calls = {
  write: [1, 64],
  close: [3, 57],
  execve: [59, 221],
  chdir: [80, 49],
  setsid: [112, 157],
  setgroups: [116, 159],
  setresuid: [117, 147],
  setresgid: [119, 149],
  capset: [126, 91],
  prctl: [157, 167],
  chroot: [161, 51],
  exit_group: [231, 94]
} as const

type Call = keyof typeof calls

// Error numbers, as a call returns them.
const ENOENT = 2
const ENOEXEC = 8
const ENOTDIR = 20

const PR_SET_SECCOMP = 22
const PR_CAPBSET_DROP = 24
const PR_SET_NO_NEW_PRIVS = 38
const PR_CAP_AMBIENT = 47
const PR_CAP_AMBIENT_CLEAR_ALL = 4
const SECCOMP_MODE_FILTER = 2
const CAPABILITY_VERSION = 0x20080522
const CAPABILITIES = 64
const ALL = 0xffffffff

type Part =
  | { readonly bytes: ReadonlyArray<number> }
  | { readonly label: string }
  | { readonly jump: "always" | "failed" | "equal" | "flagged"; readonly to: string }

const littleEndian = (value: number): ReadonlyArray<number> => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 24) & 0xff
]

/** The instructions of an architecture. A call's result stays where `compare` looks; the flag outlives calls. */
interface Instructions {
  readonly call: (number: number, args: ReadonlyArray<number>) => ReadonlyArray<number>
  readonly compare: (errno: number) => ReadonlyArray<number>
  readonly setFlag: (value: 0 | 1) => ReadonlyArray<number>
  readonly jump: (kind: Extract<Part, { readonly jump: string }>["jump"], distance: number) => ReadonlyArray<number>
}

const x64: Instructions = {
  call: (number, args) => [
    ...args.flatMap((value, index) => [
      // mov edi | esi | edx | r10d | r8d, value
      ...([[0xbf], [0xbe], [0xba], [0x41, 0xba], [0x41, 0xb8]][index] ?? []),
      ...littleEndian(value)
    ]),
    0xb8, // mov eax, number
    ...littleEndian(number),
    0x0f, // syscall
    0x05
  ],
  // cmp rax, -errno
  compare: (errno) => [0x48, 0x83, 0xf8, 256 - errno],
  // mov ebx, value
  setFlag: (value) => [0xbb, ...littleEndian(value)],
  // Each of nine bytes: a test, where one is needed, and a jump over 32 bits.
  jump: (kind, distance) => {
    const over = littleEndian(distance - 9)
    switch (kind) {
      case "always":
        return [0x0f, 0x1f, 0x40, 0, 0xe9, ...over] // nop; jmp
      case "failed":
        return [0x48, 0x85, 0xc0, 0x0f, 0x88, ...over] // test rax, rax; js
      case "equal":
        return [0x0f, 0x1f, 0, 0x0f, 0x84, ...over] // nop; je
      case "flagged":
        return [0x48, 0x85, 0xdb, 0x0f, 0x85, ...over] // test rbx, rbx; jne
    }
  }
}

const arm64: Instructions = {
  call: (number, args) =>
    [...args.map((value, index) => [index, value] as const), [8, number] as const]
      .flatMap(([register, value]) => [
        // movz w, value; movk w, value >> 16, lsl 16
        ...littleEndian(0x52800000 | ((value & 0xffff) << 5) | register),
        ...littleEndian(0x72a00000 | ((value >>> 16) << 5) | register)
      ])
      .concat(littleEndian(0xd4000001)), // svc 0
  // cmn x0, errno
  compare: (errno) => littleEndian(0xb100001f | (errno << 10)),
  // movz x19, value
  setFlag: (value) => littleEndian(0xd2800013 | (value << 5)),
  jump: (kind, distance) => {
    const instructions = distance >> 2
    switch (kind) {
      case "always":
        return littleEndian(0x14000000 | (instructions & 0x3ffffff)) // b
      case "failed":
        return littleEndian(0xb7f80000 | ((instructions & 0x3fff) << 5)) // tbnz x0, 63
      case "equal":
        return littleEndian(0x54000000 | ((instructions & 0x7ffff) << 5)) // b.eq
      case "flagged":
        return littleEndian(0xb5000013 | ((instructions & 0x7ffff) << 5)) // cbnz x19
    }
  }
}

const assemble = ({ jump }: Instructions, parts: ReadonlyArray<Part>): ReadonlyArray<number> => {
  const labels = new Map<string, number>()
  let size = 0
  for (const part of parts) {
    if ("label" in part) labels.set(part.label, size)
    else size += "bytes" in part ? part.bytes.length : jump(part.jump, 0).length
  }
  const bytes: Array<number> = []
  for (const part of parts) {
    if ("bytes" in part) bytes.push(...part.bytes)
    else if ("jump" in part) bytes.push(...jump(part.jump, (labels.get(part.to) ?? 0) - bytes.length))
  }
  return bytes
}

/** The C libraries' folders where the environment names none. */
const DEFAULT_PATH = "/bin:/usr/bin"

const candidates = (command: string, env: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  command.includes("/")
    ? [command]
    : (env["PATH"] ?? DEFAULT_PATH).split(":").map((folder) => (folder === "" ? command : `${folder}/${command}`))

const encoder = new TextEncoder()

/** What calls point to; addresses are of the memory in which `start` is the first byte. */
const makeData = (start: number) => {
  const parts: Array<Uint8Array> = []
  let end = start
  const put = (bytes: Uint8Array): number => {
    // Pointers and structures want to lie on multiples of eight.
    const address = end + ((8 - (end % 8)) % 8)
    parts.push(new Uint8Array(address - end), bytes)
    end = address + bytes.length
    return address
  }
  const numbers = (values: ReadonlyArray<number>, size: 4 | 8) => {
    const bytes = new Uint8Array(values.length * size)
    const view = new DataView(bytes.buffer)
    values.forEach((value, index) => view.setUint32(index * size, value >>> 0, true))
    return put(bytes)
  }
  const text = (value: string) => put(encoder.encode(`${value}\0`))
  return {
    text,
    put,
    words: (values: ReadonlyArray<number>) => numbers(values, 4),
    pointers: (values: ReadonlyArray<number>) => numbers([...values, 0], 8),
    content: () => parts
  }
}

/** The program's code over the data, whose place depends on the code's length alone. */
const code = (instructions: Instructions, index: 0 | 1, options: EntryOptions, start: number) => {
  const data = makeData(start)
  const parts: Array<Part> = []
  const call = (name: Call, ...args: ReadonlyArray<number>) => {
    parts.push({ bytes: instructions.call(calls[name][index], args) })
  }
  const jump = (kind: Extract<Part, { readonly jump: string }>["jump"], to: string) => parts.push({ jump: kind, to })
  const must = (label: string) => jump("failed", label)
  const say = (label: string, message: string, status: number) => {
    const line = encoder.encode(message)
    parts.push({ label })
    call("write", 2, data.put(line), line.length)
    call("exit_group", status)
  }

  if (options.closes !== undefined) call("close", options.closes)
  // Fails for a leader of a session, which is what it is to become.
  call("setsid")
  if (options.entersRoot) {
    call("chroot", data.text("."))
    must("setup")
  }
  call("chdir", data.text(options.cwd))
  must("folder")
  const kept = new Set(options.capabilities)
  for (let capability = 0; capability < CAPABILITIES; capability++) {
    // Fails for those that the kernel lacks, and where the process has none any more.
    if (!kept.has(capability)) call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
  }
  call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
  const { gid, uid } = options
  if (options.becomes) {
    // Refused in a namespace of one id, where there is none to clear.
    call("setgroups", 0, 0)
    call("setresgid", gid, gid, gid)
    must("setup")
    call("setresuid", uid, uid, uid)
    must("setup")
  }
  // Nothing is inherited. The rest is left to the execution itself for id 0, which gives it what is kept.
  const held = uid === 0 ? ALL : 0
  call("capset", data.words([CAPABILITY_VERSION, 0]), data.words([held, held, 0, held, held, 0]))
  call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
  must("setup")
  const filter = data.put(options.filter)
  call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, data.pointers([options.filter.length / 8, filter]), 0, 0)
  must("setup")
  jump("always", "become")
  say("folder", `${options.cwd}: the working directory cannot be entered\n`, NOT_EXECUTABLE)
  say("setup", "the sandbox cannot be entered\n", NOT_EXECUTABLE)

  const [name, ...args] = options.command
  const rest = args.map(data.text)
  const own = data.text(name)
  const environment = data.pointers(
    Object.entries({ ...options.env, PWD: options.cwd }).map(([key, value]) => data.text(`${key}=${value}`))
  )
  const shell = data.text("/bin/sh")
  const argv = data.pointers([own, ...rest])
  parts.push({ label: "become" }, { bytes: instructions.setFlag(0) })
  candidates(name, options.env).forEach((path, number) => {
    const file = data.text(path)
    call("execve", file, argv, environment)
    for (const errno of [ENOENT, ENOTDIR]) {
      parts.push({ bytes: instructions.compare(errno) })
      jump("equal", `next${number}`)
    }
    parts.push({ bytes: instructions.setFlag(1) }, { bytes: instructions.compare(ENOEXEC) })
    jump("equal", `script${number}`)
    jump("always", `next${number}`)
    // A file with no first line to say so is a shell's, as for every C library.
    parts.push({ label: `script${number}` })
    call("execve", shell, data.pointers([shell, file, ...rest]), environment)
    parts.push({ label: `next${number}` })
  })
  jump("flagged", "refused")
  say("missing", `${name}: No such file or directory\n`, NOT_FOUND)
  say("refused", `${name}: Permission denied, or it is no program for this machine\n`, NOT_EXECUTABLE)
  return { bytes: assemble(instructions, parts), data: data.content() }
}

/** The program as a file. */
export const make = (architecture: ElfFile.Architecture, options: EntryOptions): Uint8Array<ArrayBuffer> => {
  const [instructions, index] = architecture === "x64" ? [x64, 0 as const] : [arm64, 1 as const]
  const { length } = code(instructions, index, options, ElfFile.ENTRY).bytes
  const { bytes, data } = code(instructions, index, options, ElfFile.ENTRY + length)
  return ElfFile.make(architecture, [Uint8Array.from(bytes), ...data])
}
