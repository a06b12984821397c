/**
 * What makes a sandbox out of the layers of an image, behind one interface.
 *
 * A launcher turns a run into shell text and data; a slot executes it. All launchers give the payload the same
 * surroundings: namespaces of its own (pid, mount, ipc, uts, cgroup where the kernel has it), a network that is not the
 * host's, a fresh /proc whose settings are read-only, a minimal /dev, no /sys, nothing of the host's files, Docker's
 * default capabilities less `MKNOD` for id 0 and none for others, no new privileges, and the seccomp filter.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Architecture } from "./internal/elfFile.js"
import * as EntryProgram from "./internal/entryProgram.js"
import * as SandboxProgram from "./internal/sandboxProgram.js"
import * as SeccompFilter from "./SeccompFilter.js"

/**
 * The launchers, strongest first.
 *
 * `built-in` needs no program. `bubblewrap` needs the program `bwrap`. `util-linux` needs nothing that a Linux lacks,
 * with these limits: its loopback is up only where the machine has `ip` or `ifconfig`, and a hostname needs `hostname`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LauncherName = Schema.Literal("built-in", "bubblewrap", "util-linux")

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
  /** An empty folder, on which the root of the run is mounted. */
  readonly mountPoint: string
  /** What a /dev is made of: files of the machine's own, and links. */
  readonly devices: ReadonlyArray<string>
  readonly links: ReadonlyArray<readonly [name: string, target: string]>
  /** The program that is PID 1 under util-linux, the skeleton of /dev and the table of mounts that it uses. */
  readonly inner: string
  readonly skeleton: string
  readonly table: string
  /** The seccomp filter, as bubblewrap reads it. */
  readonly filter: string
  readonly architecture: Architecture
  /** Words before a command that limit its processes one by one, with a blank behind; nothing where groups do. */
  readonly limits: string
  /** `mapped`: many ids are mapped, so a payload can be any of them. `single`: one, which can only be renamed. */
  readonly ownership: "mapped" | "single"
}

/**
 * The network of a command: `private` is a namespace of its own with nothing but a loopback, made by the launcher;
 * `slot` is that of the slot, which reaches the outside.
 *
 * In the slot's a launcher makes none, and gives no `NET_RAW`: raw frames could name the host's loopback. It binds
 * `$slot/resolv` over the file of the image that the name servers are shown in: the built-in one finds that itself, to
 * the others the slot says it in `$resolver`.
 *
 * @since 0.1.0
 * @category models
 */
export type LauncherNetwork = "private" | "slot"

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
  readonly network: LauncherNetwork
}

/**
 * The files of a run: `launch` is read by the slot; `entry` is the program that the built-in launcher is, or the one
 * that the payload's process under util-linux becomes; `inner` is read by PID 1 under util-linux, `args` by bubblewrap.
 *
 * @since 0.1.0
 * @category models
 */
export interface LaunchFiles {
  readonly launch: string
  readonly inner: string
  readonly args: string
  readonly entry: Uint8Array | undefined
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
  /** `overlay` is the options of the overlay that is the run's root. */
  readonly files: (
    run: LaunchedCommand,
    place: LauncherPlace,
    tools: ReadonlyMap<string, string>,
    overlay: string
  ) => LaunchFiles
}

/** With their numbers. */
const capabilities: Record<string, number> = {
  chown: 0,
  dac_override: 1,
  fowner: 3,
  fsetid: 4,
  kill: 5,
  setgid: 6,
  setuid: 7,
  setpcap: 8,
  net_bind_service: 10,
  net_raw: 13,
  sys_chroot: 18,
  audit_write: 29,
  setfcap: 31
}

/** The names of those that id 0 keeps. */
const kept = ({ network }: Pick<LaunchedCommand, "network">): ReadonlyArray<string> =>
  Object.keys(capabilities).filter((name) => network === "private" || name !== "net_raw")

/**
 * The text as one word of a shell program.
 *
 * @since 0.1.0
 * @category getters
 */
export const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** Has the slot mount the overlay, and make the working directory in it. */
const mounted = (overlay: string, { cwd, network }: LaunchedCommand): string =>
  `overlay=${quote(overlay)} directory=${quote(cwd)} network=${network}\n`

const words = (texts: ReadonlyArray<string>): string => texts.map(quote).join(" ")

/**
 * The launcher that uses bubblewrap.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bubblewrap: Launcher = {
  name: "bubblewrap",
  tools: ["bwrap", "setpriv"],
  optional: ["nsenter"],
  // Its own init is the first, and starts nothing else.
  pid: 2,
  files: (run, place, _tools, overlay) => {
    const changesUser = run.uid !== 0
    const renames = place.ownership === "single" && (changesUser || run.gid !== 0)
    const maps = place.ownership === "mapped" && changesUser
    const options = [
      ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
      run.network === "private" ? ["--unshare-net"] : [],
      renames ? ["--unshare-user", "--uid", String(run.uid), "--gid", String(run.gid)] : [],
      // Bubblewrap itself maps one id only. It waits until the slot, which may, has mapped them all.
      maps ? ["--unshare-user", "--info-fd", "6", "--userns-block-fd", "5"] : [],
      ["--die-with-parent", "--new-session", "--hostname", run.hostname],
      ["--bind", place.mountPoint, "/", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"],
      ["--perms", "1777", "--tmpfs", "/dev/shm"],
      ["--cap-drop", "ALL", "--seccomp", "4"],
      changesUser ? [] : kept(run).flatMap((name) => ["--cap-add", `CAP_${name.toUpperCase()}`]),
      ["--chdir", run.cwd, "--clearenv"],
      Object.entries(run.env).flatMap(([name, value]) => ["--setenv", name, value])
    ].flat()
    const user =
      place.ownership === "mapped" && (changesUser || run.gid !== 0)
        ? `setpriv --reuid=${run.uid} --regid=${run.gid} --clear-groups -- `
        : ""
    return {
      launch: `${mounted(overlay, run)}program=${quote(run.command[0])}
launch() {
  {
    ${maps ? "map_ids &" : ""}
    ${place.limits}${user}bwrap --args 8 ${run.network === "slot" ? '${resolver:+--ro-bind "$slot/resolv" "$resolver"} ' : ""}--json-status-fd 9 --block-fd 7 -- ${words(run.command)} \\
      >"$slot/out" 2>"$slot/err" 3>&- 4<${quote(place.filter)} 8<"$slot/args" 9>"$slot/status" ${maps ? '5<>"$slot/mapped" 6>"$slot/info"' : ""}
    code=$?
    settle_bubblewrap
  } 7<"$slot/byte"
}
`,
      args: options.map((option) => `${option}\0`).join(""),
      inner: "",
      entry: undefined
    }
  }
}

/** What the programs of a payload give up, and what they become. */
const payload = (
  run: Omit<LaunchedCommand, "hostname">,
  { architecture }: LauncherPlace
): Omit<EntryProgram.EntryOptions, "entersRoot" | "identity" | "closes"> => ({
  ...run,
  capabilities: kept(run).map((name) => capabilities[name] ?? 0),
  filter: SeccompFilter.make(architecture)
})

/** How a payload comes to its ids from those of the sandbox's root. */
const identity = (run: Pick<LaunchedCommand, "uid" | "gid">, { ownership }: LauncherPlace) =>
  run.uid === 0 && run.gid === 0 ? "has" : ownership === "mapped" ? "takes" : "renames"

/**
 * The launcher that uses system calls alone, in a program that it makes for each run.
 *
 * @since 0.1.0
 * @category constructors
 */
export const builtIn: Launcher = {
  name: "built-in",
  tools: [],
  optional: ["nsenter"],
  // The first is its own too, and starts nothing else.
  pid: 2,
  files: (run, place, _tools, overlay) => ({
    launch: `launch() {
  ${place.limits}"$slot/entry" "$slot/resolv" >"$slot/out" 2>"$slot/err" 3>&- ${SandboxProgram.REPORT}>"$slot/status"
  code=$?
  settle
}
`,
    inner: "",
    args: "",
    entry: SandboxProgram.make(place.architecture, {
      ...payload(run, place),
      mountPoint: place.mountPoint,
      devices: place.devices,
      links: place.links,
      overlay,
      hostname: run.hostname,
      isolated: run.network === "private",
      identity: identity(run, place)
    })
  })
}

/**
 * The launcher that uses util-linux alone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const utilLinux: Launcher = {
  name: "util-linux",
  tools: ["unshare", "setpriv", "nsenter", "cp"],
  optional: ["ip", "ifconfig", "hostname"],
  pid: undefined,
  files: (run, place, tools, overlay) => {
    const tool = (name: string) => quote(tools.get(name) ?? name)
    const becoming = identity(run, place)
    const renames = becoming === "renames"
    const loopback =
      run.network === "slot"
        ? ":"
        : tools.has("ip")
          ? `${tool("ip")} link set lo up`
          : tools.has("ifconfig")
            ? `${tool("ifconfig")} lo up`
            : ":"
    return {
      launch: `${mounted(overlay, run)}launch() {
  ${place.limits}unshare --mount --pid --ipc --uts ${run.network === "private" ? "--net " : ""}--cgroup --fork --propagation private -- \\
    sh ${words([place.inner])} "$slot" ${words([place.mountPoint, place.skeleton, place.table])} ${run.network === "slot" ? '"$resolver" ' : ""}\\
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
  exec 5<"$slot/entry"
  exec ${renames ? `${tool("nsenter")} "--user=./proc/$holder/ns/user" --root=. --preserve-credentials -- /proc/self/fd/5` : '"$slot/entry"'}
}
`,
      args: "",
      // Where it renames them it enters the root and the user namespace by other means.
      entry: EntryProgram.make(place.architecture, {
        ...payload(run, place),
        entersRoot: !renames,
        identity: renames ? "has" : becoming,
        closes: [5]
      })
    }
  }
}

/**
 * What starts a process in a sandbox which is there already, whatever launcher made it: text that a shell in the
 * slot's namespaces reads, and the program that this shell becomes. `input` is where the standard input comes from.
 *
 * @since 0.1.0
 * @category constructors
 */
export const enter = (
  run: Omit<LaunchedCommand, "hostname">,
  place: LauncherPlace,
  launcher: LauncherName,
  tools: ReadonlyMap<string, string>,
  input: string
): { readonly script: string; readonly entry: Uint8Array } => ({
  script: `launcher=${launcher} directory=${quote(run.cwd)} input=${quote(input)}
enter() {
  exec ${place.limits}${quote(tools.get("nsenter") ?? "nsenter")} "--target=$init" --mount --uts --ipc --net --cgroup --pid $join -- \\
    /proc/self/fd/5
}
`,
  entry: EntryProgram.make(place.architecture, {
    ...payload(run, place),
    entersRoot: false,
    identity: run.uid === 0 && run.gid === 0 ? "has" : "takes",
    closes: [5]
  })
})

/**
 * The launchers there are, strongest first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all: readonly [Launcher, ...ReadonlyArray<Launcher>] = [builtIn, bubblewrap, utilLinux]
