/**
 * The seccomp filter of a payload: what the kernel refuses to it whatever its privileges are.
 *
 * It is the default profile of Docker turned round: what that one refuses to a container without added capabilities is
 * refused here, and user namespaces besides. A call that is newer than the filter is answered as one that the kernel
 * lacks, which every program that uses it is ready for. Classic BPF, as the kernel and bubblewrap take it.
 *
 * @since 0.1.0
 */

import type { Architecture } from "./internal/elfFile.js"

/** The kernel's `AUDIT_ARCH_…`. */
const audit: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 }

/** The newest call of Linux 6.18, `file_setattr`: what comes after it has not been looked at. */
const NEWEST = 469

/** Numbers on x64 and arm64; none where the architecture lacks the call. */
type Numbers = readonly [x64: number | undefined, arm64: number | undefined]

const both = (number: number): Numbers => [number, number]

const refused: Record<string, Numbers> = {
  // Mounts, in both of the kernel's interfaces
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  open_tree: both(428),
  move_mount: both(429),
  fsopen: both(430),
  fsconfig: both(431),
  fsmount: both(432),
  fspick: both(433),
  mount_setattr: both(442),
  open_tree_attr: both(467),
  // Namespaces of others
  setns: [308, 268],
  // Files by number, past every folder's permissions
  open_by_handle_at: [304, 265],
  fanotify_init: [300, 262],
  // Another kernel, or more of this one
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  create_module: [174, undefined],
  init_module: [175, 105],
  delete_module: [176, 106],
  get_kernel_syms: [177, undefined],
  query_module: [178, undefined],
  finit_module: [313, 273],
  // Programs and machinery inside the kernel
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: both(425),
  io_uring_enter: both(426),
  io_uring_register: both(427),
  lookup_dcookie: [212, 18],
  // Keyrings belong to users, not to namespaces
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  // The machine
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: both(443),
  syslog: [103, 116],
  vhangup: [153, 58],
  iopl: [172, undefined],
  ioperm: [173, undefined],
  // Where memory lies
  mbind: [237, 235],
  set_mempolicy: [238, 237],
  migrate_pages: [256, 238],
  move_pages: [279, 239],
  set_mempolicy_home_node: both(450),
  // Of another time
  uselib: [134, undefined],
  ustat: [136, undefined],
  sysfs: [139, undefined],
  _sysctl: [156, undefined],
  nfsservctl: [180, 42]
}

/** Its flags lie in memory, where no filter can see them. The C libraries fall back to `clone`. */
const CLONE3 = 435

const clone: Numbers = [56, 220]
const unshare: Numbers = [272, 97]
const socket: Numbers = [41, 198]
const ioctl: Numbers = [16, 29]

/** `CLONE_NEWNS`, `CGROUP`, `UTS`, `IPC`, `USER`, `PID` and `NET`. */
const NEW_NAMESPACES = 0x7e020000

/** Of `unshare` alone: for `clone` this bit is part of a signal's number. */
const NEW_TIME = 0x80

/** Neither is held by a network namespace: one reaches the machine's hypervisor, the other the kernel's ciphers. */
const AF_ALG = 38
const AF_VSOCK = 40

/** Text typed for whoever reads the terminal next. */
const TIOCSTI = 0x5412
const TIOCLINUX = 0x541c

const EPERM = 1
const ENOSYS = 38

const ALLOW = 0x7fff0000
const refuse = (errno: number) => 0x00050000 | errno

// What the kernel shows a filter: `struct seccomp_data`.
const NUMBER = 0
const ARCHITECTURE = 4
const FIRST_ARGUMENT = 16
const SECOND_ARGUMENT = 24

interface Instruction {
  readonly code: number
  readonly then: number
  readonly else: number
  readonly value: number
}

const instruction = (code: number) => (value: number, then: number, otherwise: number) => ({
  code,
  then,
  else: otherwise,
  value
})
const ifEqual = instruction(0x15)
const ifGreater = instruction(0x25)
const ifAnyBit = instruction(0x45)
const load = (offset: number): Instruction => instruction(0x20)(offset, 0, 0)
const answer = (value: number): Instruction => instruction(0x06)(value, 0, 0)

const ifNumber = (number: number, then: ReadonlyArray<Instruction>): ReadonlyArray<Instruction> => [
  ifEqual(number, 0, then.length),
  ...then
]

/** Only the low half of an argument is looked at: the kernel itself takes no more of these. */
const ifArgument = (
  numbers: Numbers,
  index: 0 | 1,
  offset: number,
  tests: ReadonlyArray<(then: number, otherwise: number) => Instruction>
): ReadonlyArray<Instruction> => {
  const number = numbers[index]
  return number === undefined
    ? []
    : ifNumber(number, [load(offset), ...tests.flatMap((test) => [test(0, 1), answer(refuse(EPERM))]), answer(ALLOW)])
}

/**
 * The filter as the kernel takes it, eight bytes an instruction.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (architecture: Architecture): Uint8Array<ArrayBuffer> => {
  const index = architecture === "x64" ? 0 : 1
  const namespaces = (mask: number) => (then: number, otherwise: number) => ifAnyBit(mask, then, otherwise)
  const program: ReadonlyArray<Instruction> = [
    load(ARCHITECTURE),
    // Another architecture numbers its calls in another way.
    ifEqual(audit[architecture], 1, 0),
    answer(refuse(ENOSYS)),
    load(NUMBER),
    // The calls of x32 among them: they have a high bit.
    ifGreater(NEWEST, 0, 1),
    answer(refuse(ENOSYS)),
    ...ifNumber(CLONE3, [answer(refuse(ENOSYS))]),
    ...Object.values(refused).flatMap((numbers) => {
      const number = numbers[index]
      return number === undefined ? [] : ifNumber(number, [answer(refuse(EPERM))])
    }),
    ...ifArgument(clone, index, FIRST_ARGUMENT, [namespaces(NEW_NAMESPACES)]),
    ...ifArgument(unshare, index, FIRST_ARGUMENT, [namespaces(NEW_NAMESPACES | NEW_TIME)]),
    ...ifArgument(
      socket,
      index,
      FIRST_ARGUMENT,
      [AF_ALG, AF_VSOCK].map((family) => (then, otherwise) => ifEqual(family, then, otherwise))
    ),
    ...ifArgument(
      ioctl,
      index,
      SECOND_ARGUMENT,
      [TIOCSTI, TIOCLINUX].map((command) => (then, otherwise) => ifEqual(command, then, otherwise))
    ),
    answer(ALLOW)
  ]
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  program.forEach(({ code, else: otherwise, then, value }, at) => {
    view.setUint16(at * 8, code, true)
    view.setUint8(at * 8 + 2, then)
    view.setUint8(at * 8 + 3, otherwise)
    view.setUint32(at * 8 + 4, value >>> 0, true)
  })
  return bytes
}
