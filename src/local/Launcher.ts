/**
 * The tools that make a sandbox out of a mounted root, behind one interface.
 *
 * A launcher turns a run into shell text and data; a slot executes it. Both launchers give the payload the same
 * surroundings: namespaces of its own (pid, mount, ipc, uts, net with a loopback, cgroup where the kernel has it), a
 * fresh /proc, a minimal /dev, no /sys, nothing of the host's files, Docker's default capabilities less `MKNOD` for
 * id 0 and none for others, and no new privileges.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The launchers, strongest first.
 *
 * `bubblewrap` needs the program `bwrap` and takes any environment. `util-linux` needs nothing that a Linux lacks,
 * with these limits: its loopback is up only where the machine has `ip` or `ifconfig`; a hostname needs `hostname`;
 * and variables that the host's loader obeys (`LD_PRELOAD`) or that no shell can name (`my.key`) are set by the
 * image's own `/usr/bin/env`, so their values stand on a command line for an instant.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LauncherName = Schema.Literal("bubblewrap", "util-linux")

/**
 * The name of a launcher.
 *
 * @since 0.1.0
 * @category models
 */
export type LauncherName = typeof LauncherName.Type

/**
 * Where a run's sandbox is made: paths as a slot sees them, and how the ids of the machine are mapped there.
 *
 * @since 0.1.0
 * @category models
 */
export interface LauncherPlace {
  /** Where the root of the run is mounted. */
  readonly mountPoint: string
  /** The program that is PID 1 under util-linux, the skeleton of /dev and the table of mounts that it uses. */
  readonly inner: string
  readonly skeleton: string
  readonly table: string
  /** A folder with nothing but the system's programs in it, which can be a root. */
  readonly programs: string
  /** `mapped`: many ids are mapped, so a payload can be any of them. `single`: one, which can only be renamed. */
  readonly ownership: "mapped" | "single"
}

/**
 * What a launcher starts. Every text is free of NUL; `cwd` is absolute.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchedCommand {
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly hostname: string
  readonly uid: number
  readonly gid: number
}

/**
 * The files of a run: `launch` is read by the slot, `inner` by PID 1 of a util-linux sandbox, `args` by bubblewrap.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchFiles {
  readonly launch: string
  readonly inner: string
  readonly args: string
}

/**
 * A way to make sandboxes. `tools` names the programs that it calls beside `mount` and `umount`, `optional` those
 * that it calls where they exist; `files` gets the absolute path of each that was found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Launcher {
  readonly name: LauncherName
  readonly tools: ReadonlyArray<string>
  readonly optional: ReadonlyArray<string>
  /** The number that the command always has in its sandbox. */
  readonly pid: number | undefined
  readonly files: (run: LaunchedCommand, place: LauncherPlace, tools: ReadonlyMap<string, string>) => LaunchFiles
}

const capabilities = [
  "chown",
  "dac_override",
  "fowner",
  "fsetid",
  "kill",
  "net_bind_service",
  "net_raw",
  "setfcap",
  "setgid",
  "setpcap",
  "setuid",
  "sys_chroot",
  "audit_write"
]

/**
 * The text as one word of a shell program.
 *
 * @since 0.1.0
 * @category getters
 */
export const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

const words = (texts: ReadonlyArray<string>): string => texts.map(quote).join(" ")

/** What a process is started with in a sandbox that is there already. */
const enterTools = ["nsenter", "setsid", "setpriv", "unshare"] as const

/**
 * The launcher that uses bubblewrap.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bubblewrap: Launcher = {
  name: "bubblewrap",
  tools: ["bwrap", "setpriv"],
  optional: [...enterTools],
  // Its own init is the first, and starts nothing else.
  pid: 2,
  files: (run, place) => {
    const changesUser = run.uid !== 0
    const renames = place.ownership === "single" && (changesUser || run.gid !== 0)
    const maps = place.ownership === "mapped" && changesUser
    const options = [
      ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"],
      renames ? ["--unshare-user", "--uid", String(run.uid), "--gid", String(run.gid)] : [],
      // Bubblewrap itself maps one id only. It waits until the slot, which may, has mapped them all.
      maps ? ["--unshare-user", "--info-fd", "6", "--userns-block-fd", "5"] : [],
      ["--die-with-parent", "--new-session", "--hostname", run.hostname],
      ["--bind", place.mountPoint, "/", "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"],
      ["--cap-drop", "ALL"],
      changesUser ? [] : capabilities.flatMap((name) => ["--cap-add", `CAP_${name.toUpperCase()}`]),
      ["--chdir", run.cwd, "--clearenv"],
      Object.entries(run.env).flatMap(([name, value]) => ["--setenv", name, value])
    ].flat()
    const user =
      place.ownership === "mapped" && (changesUser || run.gid !== 0)
        ? `setpriv --reuid=${run.uid} --regid=${run.gid} --clear-groups -- `
        : ""
    return {
      launch: `program=${quote(run.command[0])}
launch() {
  {
    ${maps ? "map_ids &" : ""}
    ${user}bwrap --args 8 --json-status-fd 9 --block-fd 7 -- ${words(run.command)} \\
      >"$slot/out" 2>"$slot/err" 3>&- 8<"$slot/args" 9>"$slot/status" ${maps ? '5<>"$slot/mapped" 6>"$slot/info"' : ""}
    code=$?
    settle_bubblewrap
  } 7<"$slot/byte"
}
`,
      args: options.map((option) => `${option}\0`).join(""),
      inner: ""
    }
  }
}

// What glibc and musl act upon before a program's own code, so that host tools must not see a payload's value of it.
const obeyedByLoader = /^(LD_|GLIBC_|GCONV_|MALLOC_|RES_|LOCPATH$|NLSPATH$|LOCALDOMAIN$|HOSTALIASES$|MUSL_)/

const shellName = /^[A-Za-z_][A-Za-z0-9_]*$/

// Names that a shell holds read-only or changes by itself.
const heldByShell =
  /^(PPID|OPTIND|UID|EUID|SHELLOPTS|BASHOPTS|BASH.*|_|RANDOM|SECONDS|LINENO|IFS|PS4|ENV|DIRSTACK|FUNCNAME|GROUPS|PIPESTATUS)$/

/** The environment as a shell can set it, with the command that sets the rest of it inside the image. */
const surroundings = (run: LaunchedCommand) => {
  const variables = Object.entries({ ...run.env, PWD: run.cwd })
  const isPlain = (name: string) => shellName.test(name) && !obeyedByLoader.test(name) && !heldByShell.test(name)
  const plain = variables.filter(([name]) => isPlain(name))
  const held = variables.filter(([name]) => !isPlain(name))
  const command =
    held.length === 0
      ? run.command
      : ["/usr/bin/env", ...held.map(([name, value]) => `${name}=${value}`), ...run.command]
  return {
    command,
    exports: [
      "unset PATH LC_ALL LIBMOUNT_FORCE_MOUNT2 PWD OLDPWD SHLVL",
      ...plain.map(([name, value]) => `export ${name}=${quote(value)}`)
    ].join("\n  ")
  }
}

const withoutPrivileges = [
  "--no-new-privs",
  "--inh-caps=-all",
  "--ambient-caps=-all",
  `--bounding-set=-all,${capabilities.map((name) => `+${name}`).join(",")}`
].join(" ")

const identityOptions = (run: LaunchedCommand) => [
  ...(run.gid !== 0 || run.uid !== 0 ? [`--setgid=${run.gid}`] : []),
  ...(run.uid !== 0 ? [`--setuid=${run.uid}`] : [])
]

/**
 * The launcher that uses util-linux alone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const utilLinux: Launcher = {
  name: "util-linux",
  tools: ["unshare", "setpriv", "setsid", "nsenter", "cp"],
  optional: ["ip", "ifconfig", "hostname"],
  pid: undefined,
  files: (run, place, tools) => {
    const { command, exports } = surroundings(run)
    const tool = (name: string) => quote(tools.get(name) ?? name)
    const renames = place.ownership === "single" && (run.uid !== 0 || run.gid !== 0)
    const enter = renames
      ? `${tool("nsenter")} "--user=./proc/$holder/ns/user" --root=. --preserve-credentials --`
      : `${tool("unshare")} --root=. ${words([`--wd=${run.cwd}`, ...identityOptions(run)])} --`
    const loopback = tools.has("ip")
      ? `${tool("ip")} link set lo up`
      : tools.has("ifconfig")
        ? `${tool("ifconfig")} lo up`
        : ":"
    return {
      launch: `launch() {
  unshare --mount --pid --ipc --uts --net --cgroup --fork --propagation private -- \\
    sh ${words([place.inner])} "$slot" ${words([place.mountPoint, place.skeleton, place.table])} "$here" \\
    >"$slot/out" 2>"$slot/err" 3>&-
  code=$?
  [ ! -s "$slot/status" ] || fault='SetupFailed log'
  # Of these two a shell says nothing.
  case $code in 130 | 141) ;; *) [ -s "$slot/death" ] && how=signalled || how=exited ;; esac
}
`,
      inner: `raise_loopback() { ${loopback}; }
name_host() { ${tools.has("hostname") ? `${tool("hostname")} ${quote(run.hostname)}` : ":"}; }
take_identity() { ${renames ? `rename_id ${run.uid} ${run.gid}` : ":"}; }
payload() {
  ${renames ? 'cd -P "./$here" || exit 126' : ""}
  ${exports}
  exec ${tool("setsid")} ${tool("setpriv")} ${withoutPrivileges} -- \\
    ${enter} ${words(command)}
}
`,
      args: ""
    }
  }
}

/**
 * The file of a process that is started in a sandbox which is there already, whatever launcher made it; `input` is
 * where its standard input comes from. It is read in the slot's namespaces.
 *
 * @since 0.1.0
 * @category constructors
 */
export const enter = (
  run: LaunchedCommand,
  place: LauncherPlace,
  launcher: LauncherName,
  tools: ReadonlyMap<string, string>,
  input: string
): string => {
  const { command, exports } = surroundings(run)
  const tool = (name: (typeof enterTools)[number]) => quote(tools.get(name) ?? name)
  return `launcher=${launcher} directory=${quote(run.cwd)} input=${input}
enter() {
  ${exports}
  exec ${tool("nsenter")} "--target=$init" --mount --uts --ipc --net --cgroup --pid $join \\
    ${quote(`--root=${place.programs}`)} "--wd=$root" -- \\
    ${tool("setsid")} ${tool("setpriv")} ${withoutPrivileges} -- \\
    ${tool("unshare")} --root=. ${words([`--wd=${run.cwd}`, ...identityOptions(run)])} -- ${words(command)}
}
`
}

/**
 * The launchers there are, strongest first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all: readonly [Launcher, ...ReadonlyArray<Launcher>] = [bubblewrap, utilLinux]
