/**
 * The last program before a payload: made anew for each, it gives up what a payload may not have and becomes it.
 *
 * No tool of the machine can do this. One that gives up the privileges and then runs another to leave the root can
 * be looked at in between by processes of the sandbox, which have as many privileges by then; setpriv applies filters
 * since util-linux 2.40 only. This program has every privilege of the sandbox's root until the kernel replaces it by
 * the payload, so that nothing in the sandbox may look into it. It is a straight line of system calls with all that
 * they need in it, the payload's words and environment too, and finds none of these anywhere else.
 */
import * as CallProgram from "./callProgram.js"
import type { Writer } from "./callProgram.js"
import type { Architecture } from "./elfFile.js"

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
  /**
   * How the process comes to these ids: it has them, it takes them among those of its user namespace, or it names its
   * own so in one more user namespace.
   */
  readonly identity: "has" | "takes" | "renames"
  /** The numbers of the capabilities that id 0 keeps. */
  readonly capabilities: ReadonlyArray<number>
  readonly filter: Uint8Array
  /** Descriptors that the payload is not to have. */
  readonly closes: ReadonlyArray<number>
}

/** How it ends where the payload cannot be started, as a shell would. */
const NOT_EXECUTABLE = 126
const NOT_FOUND = 127

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

const CLONE_NEWUSER = 0x10000000
const AT_FDCWD = 0xffffff9c
const O_WRONLY = 1

const encoder = new TextEncoder()

/** The C libraries' folders where the environment names none. */
const DEFAULT_PATH = "/bin:/usr/bin"

const candidates = (command: string, env: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  command.includes("/")
    ? [command]
    : (env["PATH"] ?? DEFAULT_PATH).split(":").map((folder) => (folder === "" ? command : `${folder}/${command}`))

/** The rest of a program: what comes before the payload, and the payload. */
export const write = (program: Writer, options: EntryOptions): void => {
  const { bytes, call, compareError, jump, keep, label, pointers, say, set, text, words } = program
  const must = (otherwise: string) => jump("failed", otherwise)
  const end = (name: string, message: string, status: number) => {
    label(name)
    say(2, message)
    call("exit_group", status)
  }

  for (const descriptor of options.closes) call("close", descriptor)
  // Fails for a leader of a session, which is what it is to become.
  call("setsid")
  if (options.entersRoot) {
    call("chroot", text("."))
    must("setup")
  }
  const { gid, identity, uid } = options
  if (identity === "renames") {
    call("unshare", CLONE_NEWUSER)
    must("setup")
    for (const [name, content] of [
      ["setgroups", "deny"],
      ["gid_map", `${gid} 0 1`],
      ["uid_map", `${uid} 0 1`]
    ] as const) {
      call("openat", AT_FDCWD, text(`/proc/self/${name}`), O_WRONLY, 0)
      must("setup")
      keep(0)
      const value = encoder.encode(content)
      call("write", { variable: 0 }, bytes(value), value.length)
      must("setup")
      call("close", { variable: 0 })
    }
  }
  call("chdir", text(options.cwd))
  must("folder")
  const kept = new Set(options.capabilities)
  for (let capability = 0; capability < CAPABILITIES; capability++) {
    // Fails for those that the kernel lacks, and where the process has none any more.
    if (!kept.has(capability)) call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
  }
  call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
  if (identity === "takes") {
    // Refused in a namespace of one id, where there is none to clear.
    call("setgroups", 0, 0)
    call("setresgid", gid, gid, gid)
    must("setup")
    call("setresuid", uid, uid, uid)
    must("setup")
  }
  // Nothing is inherited. The rest is left to the execution itself for id 0, which gives it what is kept.
  const held = uid === 0 ? ALL : 0
  call("capset", words([CAPABILITY_VERSION, 0]), words([held, held, 0, held, held, 0]))
  call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
  must("setup")
  const filter = bytes(options.filter)
  call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pointers([options.filter.length / 8, filter]), 0, 0)
  must("setup")
  jump("always", "become")
  end("folder", `${options.cwd}: the working directory cannot be entered\n`, NOT_EXECUTABLE)
  end("setup", "the sandbox cannot be entered\n", NOT_EXECUTABLE)

  const [name, ...args] = options.command
  const rest = args.map(text)
  const own = text(name)
  const environment = pointers(
    Object.entries({ ...options.env, PWD: options.cwd }).map(([key, value]) => text(`${key}=${value}`))
  )
  const shell = text("/bin/sh")
  const argv = pointers([own, ...rest])
  label("become")
  // Whether one of the files was there.
  set(0, 0)
  candidates(name, options.env).forEach((path, number) => {
    const file = text(path)
    call("execve", file, argv, environment)
    for (const errno of [ENOENT, ENOTDIR]) {
      compareError(errno)
      jump("equal", `next${number}`)
    }
    set(0, 1)
    compareError(ENOEXEC)
    jump("equal", `script${number}`)
    jump("always", `next${number}`)
    // A file with no first line to say so is a shell's, as for every C library.
    label(`script${number}`)
    call("execve", shell, pointers([shell, file, ...rest]), environment)
    label(`next${number}`)
  })
  jump({ set: 0 }, "refused")
  end("missing", `${name}: No such file or directory\n`, NOT_FOUND)
  end("refused", `${name}: Permission denied, or it is no program for this machine\n`, NOT_EXECUTABLE)
}

/** The program as a file. */
export const make = (architecture: Architecture, options: EntryOptions): Uint8Array<ArrayBuffer> =>
  CallProgram.make(architecture, (program) => write(program, options))
