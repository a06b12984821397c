/**
 * A whole launcher in one program: made anew for each run, it makes the sandbox by system calls, starts the payload in
 * it, and ends as that does.
 *
 * Three processes come of it. The first waits outside for the second, which is PID 1 of the sandbox: it mounts the
 * overlay and what belongs into a root, leaves all other files behind, starts the third, and reaps what is left to it.
 * The third is the payload, once it has given up what a payload may not have. PID 1 keeps all privileges of the
 * sandbox's root, so that no payload may look into it. The mounts are its namespace's, and end with it.
 *
 * What became of it is written to the descriptor `REPORT`: `exited` or `signalled`, with the number as a shell gives it
 * as the exit code; or why there is no sandbox, with the number of the error as the exit code. Nothing is written where
 * something from outside has ended it.
 */
import * as CallProgram from "./callProgram.js"
import type { Architecture } from "./elfFile.js"
import * as EntryProgram from "./entryProgram.js"

export interface SandboxOptions extends Omit<EntryProgram.EntryOptions, "entersRoot" | "closes"> {
  /** The options of the overlay that becomes the root, with paths below the current folder or absolute. */
  readonly overlay: string
  /** An empty folder. */
  readonly mountPoint: string
  readonly hostname: string
  /**
   * Whether it has a network of its own, with nothing but a loopback. Else it has that of whoever starts it, and shows
   * the file that is the program's first argument in the place of the image's `/etc/resolv.conf`, if there is one.
   */
  readonly isolated: boolean
  /** The files of the machine's /dev that the sandbox has too, and the links beside them. */
  readonly devices: ReadonlyArray<string>
  readonly links: ReadonlyArray<readonly [name: string, target: string]>
}

/** The descriptor to which is written what became of it. */
export const REPORT = 4

const CLONE_NEWNS = 0x20000
const CLONE_NEWCGROUP = 0x2000000
const CLONE_NEWUTS = 0x4000000
const CLONE_NEWIPC = 0x8000000
const CLONE_NEWPID = 0x20000000
const CLONE_NEWNET = 0x40000000
const NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID

const MS_RDONLY = 1
const MS_NOSUID = 2
const MS_NODEV = 4
const MS_NOEXEC = 8
const MS_REMOUNT = 32
const MS_BIND = 4096
const MS_MOVE = 8192
const MS_REC = 16_384
const MS_PRIVATE = 0x40000
const MNT_DETACH = 2

const AT_FDCWD = 0xffffff9c
const AT_REMOVEDIR = 0x200
// Of the flags of opened files these differ.
const O_PATH = 0x200000
const O_FOLDER: Record<Architecture, number> = { x64: 0x30000, arm64: 0xc000 }
const S_IFREG = 0x8000
const W_OK = 2

const AF_INET = 2
const SOCK_DGRAM = 2
const SIOCSIFFLAGS = 0x8914
const IFF_UP = 1

const SIGKILL = 9
const SIGCHLD = 17
const EVERY = 0xffffffff
const PR_SET_PDEATHSIG = 1

const ENOENT = 2
const EINTR = 4

/** A folder of the image that may be missing: whether it was made is kept in a variable. */
const mountFolders = [
  ["proc", 2],
  ["dev", 3]
] as const

/** Old interfaces to the machine, which only a root whom the kernel takes for the machine's own could write to. */
const interfaces = ["sysrq-trigger", "irq", "bus"]

/** Where the name servers wait until it is known which file of the image they are shown in. */
const RESOLVER = "dev/resolv.conf"

/** The folders on the way to a path, and itself. */
const way = (path: string): ReadonlyArray<string> =>
  path.split("/").flatMap((part, index, all) => (part === "" ? [] : [all.slice(0, index + 1).join("/")]))

/** The program as a file. */
export const make = (architecture: Architecture, options: SandboxOptions): Uint8Array<ArrayBuffer> =>
  CallProgram.make(architecture, (program) => {
    const { bytes, call, change, compare, compareError, jump, keep, label, say, set, text } = program
    /** What the program ends with where a step fails. */
    const faults: Array<readonly [name: string, reason: string]> = []
    const orFault = (reason: string) => {
      const name = `fault${faults.length}`
      faults.push([name, reason])
      jump("failed", name)
    }
    const orFail = (step: string) => orFault(`SetupFailed the sandbox could not be set up: ${step}:`)
    const mount = (source: string, target: string, type: string, flags: number, data: string) => {
      call("mount", text(source), text(target), text(type), flags, text(data))
      orFail(`mount of /${target}`)
    }
    const wait = (name: string) => {
      label(name)
      call("wait4", EVERY, "status", 0, 0)
      compareError(EINTR)
      jump("equal", name)
    }

    call("clone", NAMESPACES | (options.isolated ? CLONE_NEWNET : 0) | SIGCHLD, 0, 0, 0, 0)
    orFault("Refused the sandbox could not be set up: its namespaces:")
    jump("zero", "init")
    wait("outside")
    change("status", "signal")
    jump("zero", "mirror")
    // Not by itself.
    change("add128")
    keep(1)
    call("exit_group", { variable: 1 })
    label("mirror")
    change("status", "code")
    keep(1)
    call("exit_group", { variable: 1 })

    label("init")
    call("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    call("mount", 0, text("/"), 0, MS_REC | MS_PRIVATE, 0)
    orFail("private mounts")
    const place = text(options.mountPoint)
    call("mount", text("overlay"), place, text("overlay"), 0, text(options.overlay))
    orFault("Refused the sandbox could not be set up: mount of the overlay:")
    call("chdir", place)
    orFail("the overlay")
    for (const [name, made] of mountFolders) {
      const path = text(name)
      set(made, 0)
      call("openat", AT_FDCWD, path, O_PATH | O_FOLDER[architecture], 0)
      compareError(ENOENT)
      jump("equal", `make ${name}`)
      orFault(`UnusableImage /${name} of the image is no folder`)
      keep(1)
      call("close", { variable: 1 })
      jump("always", `have ${name}`)
      label(`make ${name}`)
      call("mkdirat", AT_FDCWD, path, 0o755)
      orFail(`the folder /${name}`)
      set(made, 1)
      label(`have ${name}`)
    }

    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "")
    const freeze = (name: string) => {
      const path = text(`proc/${name}`)
      call("mount", path, path, 0, MS_BIND | MS_REC, 0)
      orFail(`mount of /proc/${name}`)
      call("mount", 0, path, 0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0)
      orFail(`mount of /proc/${name}`)
    }
    freeze("sys")
    for (const name of interfaces) {
      call("faccessat", AT_FDCWD, text(`proc/${name}`), W_OK)
      jump("failed", `closed ${name}`)
      freeze(name)
      label(`closed ${name}`)
    }
    mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64m")
    for (const name of options.devices) {
      const path = text(`dev/${name}`)
      call("mknodat", AT_FDCWD, path, S_IFREG | 0o644, 0)
      call("mount", text(`/dev/${name}`), path, 0, MS_BIND, 0)
      orFail(`mount of /dev/${name}`)
    }
    for (const [name, target] of options.links) {
      call("symlinkat", text(target), AT_FDCWD, text(`dev/${name}`))
      orFail(`the link /dev/${name}`)
    }
    for (const name of ["pts", "shm"]) call("mkdirat", AT_FDCWD, text(`dev/${name}`), 0o755)
    mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")

    if (!options.isolated) {
      const path = text(RESOLVER)
      call("mknodat", AT_FDCWD, path, S_IFREG | 0o644, 0)
      call("mount", "first", path, 0, MS_BIND, 0)
      orFail("mount of the name servers")
    }

    call("sethostname", text(options.hostname), options.hostname.length)
    orFail("the host name")
    if (options.isolated) {
      call("socket", AF_INET, SOCK_DGRAM, 0)
      orFail("the loopback")
      keep(1)
      // `struct ifreq`
      const loopback = new Uint8Array(40)
      loopback.set([0x6c, 0x6f])
      loopback[16] = IFF_UP
      call("ioctl", { variable: 1 }, SIOCSIFFLAGS, bytes(loopback))
      orFail("the loopback")
      call("close", { variable: 1 })
    }

    // The old root comes to lie over the new one, and is taken away with all that is mounted in it.
    const here = text(".")
    call("pivot_root", here, here)
    orFail("the root")
    call("umount2", here, MNT_DETACH)
    orFail("the old root")
    const root = text("/")
    call("chdir", root)
    orFail("the root")
    // From here on every link of the image ends in the image.
    if (!options.isolated) {
      const [shown, target] = [text(`/${RESOLVER}`), text("/etc/resolv.conf")]
      call("mount", shown, target, 0, MS_MOVE, 0)
      jump("failed", "unresolved")
      call("mount", 0, target, 0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0)
      orFail("mount of /etc/resolv.conf")
      label("unresolved")
      // Where it has been moved there is nothing to unmount.
      call("umount2", shown, MNT_DETACH)
      call("unlinkat", AT_FDCWD, shown, 0)
      orFail("the folder /dev")
    }
    for (const path of way(options.cwd)) call("mkdirat", AT_FDCWD, text(path), 0o755)
    call("chdir", text(options.cwd))
    orFault("InvalidSpec the working directory is no folder in the image and cannot become one")
    call("chdir", root)
    orFail("the root")

    call("clone", SIGCHLD, 0, 0, 0, 0)
    orFail("the command's process")
    jump("zero", "payload")
    keep(0)
    wait("reap")
    orFail("the command's process")
    compare(0)
    jump("equal", "ended")
    jump("always", "reap")
    label("ended")
    jump({ set: 2 }, "clean")
    jump({ set: 3 }, "clean")
    jump("always", "cleaned")
    // What was made for a mount is not to be in the image.
    label("clean")
    call("kill", EVERY, SIGKILL)
    label("gone")
    call("wait4", EVERY, 0, 0, 0)
    compareError(EINTR)
    jump("equal", "gone")
    jump("failed", "all gone")
    jump("always", "gone")
    label("all gone")
    for (const [name, made] of mountFolders) {
      jump({ set: made }, `remove ${name}`)
      jump("always", `removed ${name}`)
      label(`remove ${name}`)
      const path = text(`/${name}`)
      call("umount2", path, MNT_DETACH)
      call("unlinkat", AT_FDCWD, path, AT_REMOVEDIR)
      label(`removed ${name}`)
    }
    label("cleaned")
    change("status", "signal")
    jump("zero", "exited")
    change("add128")
    keep(1)
    say(REPORT, "signalled\n")
    call("exit_group", { variable: 1 })
    label("exited")
    change("status", "code")
    keep(1)
    say(REPORT, "exited\n")
    call("exit_group", { variable: 1 })

    for (const [name, reason] of faults) {
      label(name)
      change("negate")
      keep(1)
      say(REPORT, `${reason}\n`)
      call("exit_group", { variable: 1 })
    }

    label("payload")
    EntryProgram.write(program, { ...options, entersRoot: false, closes: [REPORT] })
  })
