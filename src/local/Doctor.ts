/**
 * What this machine offers to the engine, and for each thing missing the one command that adds it.
 *
 * @since 0.1.0
 */
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SystemTool from "./internal/systemTool.js"
import * as Launcher from "./Launcher.js"
import * as MountNamespace from "./MountNamespace.js"
import * as Sandbox from "./Sandbox.js"

/**
 * One thing that was looked at. `missing`: the engine does not run without it. `warning`: it runs, with the limit that
 * `detail` tells. `remedy` is a single command for a shell.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Finding = Schema.Struct({
  name: Schema.String,
  status: Schema.Literal("ok", "warning", "missing"),
  detail: Schema.String,
  remedy: Schema.optional(Schema.String)
})

/**
 * One thing that was looked at.
 *
 * @since 0.1.0
 * @category models
 */
export type Finding = typeof Finding.Type

const ok = (name: string, detail: string): Finding => ({ name, status: "ok", detail })
const lacking = (name: string, status: "warning" | "missing", detail: string, remedy: string | undefined): Finding =>
  remedy === undefined ? { name, status, detail } : { name, status, detail, remedy }

type Requirements = CommandExecutor.CommandExecutor | FileSystem.FileSystem

const managers = [
  { program: "apt-get", install: "apt-get install --yes", uidmap: "uidmap" },
  { program: "dnf", install: "dnf install --assumeyes", uidmap: "shadow-utils", iproute2: "iproute" },
  { program: "apk", install: "apk add", uidmap: "shadow-subids" },
  { program: "pacman", install: "pacman --sync --noconfirm", uidmap: "shadow" },
  { program: "zypper", install: "zypper --non-interactive install", uidmap: "shadow" }
]

type Package = "bubblewrap" | "util-linux" | "uidmap" | "ripgrep" | "slirp4netns" | "iproute2"

interface Machine {
  readonly isRoot: boolean
  readonly user: string
  readonly sudo: string
  readonly install: (name: Package) => string | undefined
  /** The text of a file; empty where there is none. */
  readonly read: (path: string) => Effect.Effect<string>
  readonly inContainer: boolean
}

const look: Effect.Effect<Machine, never, Requirements> = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const exists = (path: string) => Effect.orElseSucceed(fs.exists(path), () => false)
  const manager = yield* Effect.findFirst(managers, ({ program }) =>
    Effect.map(SystemTool.find(program), Option.isSome)
  )
  const isRoot = (yield* SystemTool.ask("id", "-u")).stdout === "0"
  const sudo = isRoot ? "" : "sudo "
  return {
    isRoot,
    user: (yield* SystemTool.ask("id", "-un")).stdout,
    sudo,
    install: (name) =>
      Option.getOrUndefined(
        Option.map(manager, ({ install, iproute2 = "iproute2", uidmap }) => {
          const names: Partial<Record<Package, string>> = { uidmap, iproute2 }
          return `${sudo}${install} ${names[name] ?? name}`
        })
      ),
    read: (path) =>
      Effect.map(
        Effect.orElseSucceed(fs.readFileString(path), () => ""),
        (text) => text.trim()
      ),
    inContainer: (yield* exists("/.dockerenv")) || (yield* exists("/run/.containerenv"))
  }
})

const version = (text: string): string => /\d+(\.\d+)+/.exec(text)?.[0] ?? "of unknown version"

const node = (running: string): Finding => {
  const [major = 0, minor = 0] = running.split(".").map(Number)
  return major > 20 || (major === 20 && minor >= 19)
    ? ok("Node.js", running)
    : lacking("Node.js", "missing", `${running}, the engine needs 20.19 or newer`, "npx --yes n lts")
}

const utilLinux = (machine: Machine) =>
  Effect.gen(function* () {
    const needed = ["unshare", "setpriv", "mount", "umount", ...(machine.isRoot ? ["nsenter"] : [])]
    const found = yield* SystemTool.findAll(needed)
    const missing = needed.filter((name) => !found.has(name))
    const answer = yield* SystemTool.ask("unshare", "--version")
    // Busybox has programs of these names that lack what is needed, and tells no version of util-linux.
    return missing.length === 0 && answer.stdout.includes("util-linux")
      ? ok("util-linux", version(answer.stdout))
      : lacking(
          "util-linux",
          "missing",
          missing.length === 0 ? "its programs here are another make's" : `without ${missing.join(", ")}`,
          machine.install("util-linux")
        )
  })

const bubblewrap = (machine: Machine) =>
  Effect.gen(function* () {
    const answer = yield* SystemTool.ask("bwrap", "--version")
    return answer.code === 0
      ? ok("bubblewrap", version(answer.stdout))
      : lacking(
          "bubblewrap",
          "warning",
          "not installed: where the built-in launcher fails, util-linux alone is used",
          machine.install("bubblewrap")
        )
  })

/** Settings that forbid user namespaces, in the order in which the kernel asks them. */
const forbidding = [
  { setting: "user.max_user_namespaces", file: "/proc/sys/user/max_user_namespaces", forbids: "0", value: "15000" },
  {
    setting: "kernel.unprivileged_userns_clone",
    file: "/proc/sys/kernel/unprivileged_userns_clone",
    forbids: "0",
    value: "1"
  },
  {
    setting: "kernel.apparmor_restrict_unprivileged_userns",
    file: "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    forbids: "1",
    value: "0"
  }
]

const namespaces = (machine: Machine) =>
  Effect.gen(function* () {
    const tried = yield* Effect.either(MountNamespace.command("true", []))
    const answer = machine.isRoot ? yield* SystemTool.ask("unshare", "--user", "true") : { code: 0, stderr: "" }
    if (tried._tag === "Right" && answer.code === 0) {
      return ok(
        "namespaces",
        machine.isRoot ? "mount and user namespaces, as root" : "mount and user namespaces, unprivileged"
      )
    }
    const said = tried._tag === "Left" ? tried.left.detail : `user namespaces are refused: ${answer.stderr}`
    for (const { file, forbids, setting, value } of forbidding) {
      if ((yield* machine.read(file)) === forbids) {
        return lacking(
          "namespaces",
          "missing",
          `${said} (${setting} is ${forbids})`,
          `${machine.sudo}sysctl -w ${setting}=${value}`
        )
      }
    }
    return machine.inContainer
      ? lacking(
          "namespaces",
          "missing",
          `${said} (the profile of this container forbids them)`,
          "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --volume contree:/data IMAGE"
        )
      : lacking("namespaces", "missing", said, undefined)
  })

const seccomp = (machine: Machine) =>
  Effect.map(machine.read("/proc/sys/kernel/seccomp/actions_avail"), (actions) =>
    actions.split(" ").includes("errno")
      ? ok("seccomp", "filters are applied by both launchers")
      : lacking("seccomp", "missing", "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)", undefined)
  )

const outboundTool = (machine: Machine) =>
  Effect.gen(function* () {
    const found = yield* SystemTool.findAll(["slirp4netns", "ip"])
    const answer = yield* SystemTool.ask("slirp4netns", "--version")
    const missing = (["slirp4netns", "ip"] as const).find((name) => !found.has(name))
    return missing === undefined
      ? ok("slirp4netns", version(answer.stdout))
      : lacking(
          "slirp4netns",
          "warning",
          `${missing} is not installed, so commands do not reach the outside`,
          machine.install(missing === "ip" ? "iproute2" : missing)
        )
  })

const ripgrep = (machine: Machine) =>
  Effect.gen(function* () {
    const answer = yield* SystemTool.ask("rg", "--version")
    return answer.code === 0
      ? ok("ripgrep", version(answer.stdout))
      : lacking(
          "ripgrep",
          "warning",
          "not installed, so images can be searched only where the package @vscode/ripgrep is",
          machine.install("ripgrep")
        )
  })

const subordinateIds = (machine: Machine) =>
  Effect.gen(function* () {
    const name = "subordinate ids"
    const limit = "images have a single owner, so apt, su and chown to another owner fail in them"
    if (machine.isRoot) {
      return ok(name, "not needed as root")
    }
    const tools = yield* SystemTool.findAll(["newuidmap", "newgidmap"])
    if (tools.size < 2) {
      return lacking(name, "warning", `newuidmap is not installed: ${limit}`, machine.install("uidmap"))
    }
    const has = (text: string) => text.split("\n").some((line) => line.startsWith(`${machine.user}:`))
    if (!has(yield* machine.read("/etc/subuid")) || !has(yield* machine.read("/etc/subgid"))) {
      return lacking(
        name,
        "warning",
        `${machine.user} has none: ${limit}`,
        `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${machine.user}`
      )
    }
    const answer = yield* SystemTool.ask("unshare", "--user", "--map-root-user", "--map-auto", "true")
    return answer.code === 0
      ? ok(name, `${machine.user} has some`)
      : lacking(name, "warning", `util-linux does not use them (${answer.stderr}): ${limit}`, undefined)
  })

const word = (text: string): string => (/^[\w./-]+$/.test(text) ? text : Launcher.quote(text))

// It clears up itself: overlayfs leaves a folder of mode 0 in the work directory, which only the namespace's root may open.
const overlayTrial = `
cd "$1" && mkdir l1 l2 u w m && : >l2/gone &&
  mount -n -t overlay overlay -o lowerdir=l1:l2,upperdir=u,workdir=w,userxattr,volatile m && rm m/gone && ls m
code=$?
umount -n m 2>/dev/null
rm -rf l1 l2 u w m
exit $code`

const dataFolder = (machine: Machine, directory: string) =>
  Effect.gen(function* () {
    const name = "data folder"
    const fs = yield* FileSystem.FileSystem
    const folder = yield* Effect.either(
      Effect.zipRight(
        fs.makeDirectory(directory, { recursive: true, mode: 0o700 }),
        fs.makeTempDirectoryScoped({ directory, prefix: "doctor-" })
      )
    )
    if (folder._tag === "Left") {
      return lacking(
        name,
        "missing",
        `${directory} cannot be written: ${folder.left.message}`,
        `${machine.sudo}install -d -o ${machine.user} ${word(directory)}`
      )
    }
    const words = yield* Effect.either(MountNamespace.command("sh", ["-c", overlayTrial, "sh", folder.right]))
    if (words._tag === "Left") {
      return lacking(name, "missing", `${directory}: overlays could not be tried without a namespace`, undefined)
    }
    const kind = (yield* SystemTool.ask("stat", "--file-system", "--format=%T", directory)).stdout
    const answer = yield* SystemTool.ask(words.right[0], ...words.right.slice(1))
    return answer.code === 0
      ? ok(name, `${directory} on ${kind} holds overlays`)
      : lacking(
          name,
          "missing",
          `${directory} on ${kind} cannot hold overlays: ${answer.stderr}`,
          machine.inContainer || kind.startsWith("overlay")
            ? "docker run --volume contree:/data IMAGE"
            : `${machine.sudo}mount -t tmpfs tmpfs ${word(directory)}`
        )
  }).pipe(Effect.scoped)

/** What bounds a sandbox as a whole; `isRoot` is of the machine. */
const limits = (bounded: Sandbox.Sandbox.Service["bounded"], isRoot: boolean): Finding => {
  const without = [...(bounded.memory ? [] : ["memory"]), ...(bounded.processes ? [] : ["processes"])]
  return without.length === 0
    ? ok("limits", "control groups bound memory and processes")
    : lacking(
        "limits",
        "warning",
        `no control groups for ${without.join(" and ")}: each process is limited alone`,
        isRoot
          ? "docker run --cgroupns=private --volume /sys/fs/cgroup:/sys/fs/cgroup:rw IMAGE"
          : "systemd-run --user --scope --property=Delegate=yes npx effect-contree serve"
      )
}

/** What the trial of the network showed; that no tool is there has been said. */
const network = ({ outbound }: Sandbox.Sandbox.Service): ReadonlyArray<Finding> => {
  const name = "outbound network"
  if (Either.isLeft(outbound)) {
    return outbound.left.endsWith("installed")
      ? []
      : [
          lacking(
            name,
            "warning",
            `${outbound.left}: commands have a loopback alone`,
            outbound.left.includes("/dev/net/tun") ? "docker run --device /dev/net/tun IMAGE" : undefined
          )
        ]
  }
  const { nameServers, tool } = outbound.right
  return [
    nameServers.length > 0
      ? ok(name, `by ${tool}, names from ${nameServers.join(" and ")}`)
      : lacking(
          name,
          "warning",
          `by ${tool}, but this machine names no server outside its loopback that commands could ask for names`,
          "npx effect-contree serve --name-server 192.0.2.53"
        )
  ]
}

/** A container that hides parts of its /proc is refused a whole one. */
const remedyFor = (detail: string): string | undefined =>
  /\bproc\b/.test(detail) && /permitted|denied/.test(detail)
    ? "docker run --security-opt systempaths=unconfined --security-opt seccomp=unconfined --security-opt apparmor=unconfined IMAGE"
    : undefined

/**
 * Tries each launcher by a real run in a sandbox, for a process that lives in a mount namespace of its own.
 *
 * @internal
 */
export const launchers: Effect.Effect<
  ReadonlyArray<Finding>,
  never,
  MountNamespace.MountNamespace | FileSystem.FileSystem
> = Effect.gen(function* () {
  const { idShift } = yield* MountNamespace.MountNamespace
  const tried = yield* Effect.forEach(Launcher.all, ({ name }) =>
    Effect.map(Effect.either(Effect.scoped(Sandbox.make({ maxConcurrency: 1, launcher: name }))), (result) => ({
      name,
      result
    }))
  )
  const chosen = tried.find(({ result }) => result._tag === "Right")?.name
  return [
    ...tried
      .flatMap(({ result }) => (result._tag === "Right" ? [limits(result.right.bounded, idShift !== 0)] : []))
      .slice(0, 1),
    ...tried
      .flatMap(({ result }) => (result._tag === "Right" ? [result.right] : []))
      .slice(0, 1)
      .flatMap(network),
    ...tried.flatMap(({ name, result }) =>
      result._tag === "Right"
        ? [ok(`sandbox by ${name}`, "a program ran")]
        : [lacking(`sandbox by ${name}`, "warning", result.left.detail, remedyFor(result.left.detail))]
    ),
    chosen === undefined
      ? lacking("launcher", "missing", "no launcher makes a sandbox here", undefined)
      : ok("launcher", `${chosen} is used`)
  ]
})

const Findings = Schema.parseJson(Schema.Array(Finding))

/**
 * The findings as the JSON text that a process that evaluates `launchers` prints for `report`.
 *
 * @internal
 */
export const encodeFindings = Schema.encode(Findings)

const decodeFindings = Schema.decode(Findings)

const sandboxes = (words: readonly [string, ...ReadonlyArray<string>]) =>
  Effect.gen(function* () {
    const command = yield* MountNamespace.command(words[0], words.slice(1))
    const answer = yield* SystemTool.ask(command[0], ...command.slice(1))
    return yield* Effect.orElseSucceed(decodeFindings(answer.stdout), () => [
      lacking("launcher", "missing", answer.stderr || `the trial of sandboxes ended with ${answer.code}`, undefined)
    ])
  }).pipe(
    Effect.catchAll(() => Effect.succeed([lacking("launcher", "missing", "no sandbox without namespaces", undefined)]))
  )

/**
 * What is looked at beside the machine itself.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface DoctorOptions {
  /** The engine's data folder; it is created where it is missing. */
  readonly directory: string
  /** The version of Node that runs. */
  readonly node: string
  /** A program that tries the launchers on the data folder and prints what it finds; without it they are not tried. */
  readonly probe?: readonly [string, ...ReadonlyArray<string>] | undefined
}

/**
 * Looks at everything that the engine needs or profits from, by trying it out. It never fails, leaves nothing behind but the
 * data folder, and takes some tenths of a second.
 *
 * @since 0.1.0
 * @category getters
 */
export const report = Effect.fn("Doctor.report")(function* (
  options: DoctorOptions
): Effect.fn.Return<ReadonlyArray<Finding>, never, Requirements> {
  const machine = yield* look
  const kernel = yield* SystemTool.ask("uname", "-sr")
  return [
    kernel.stdout.startsWith("Linux")
      ? ok("kernel", kernel.stdout)
      : lacking(
          "kernel",
          "missing",
          `${kernel.stdout || "unknown"}: the engine needs Linux, elsewhere use the hosted service`,
          undefined
        ),
    node(options.node),
    yield* utilLinux(machine),
    yield* bubblewrap(machine),
    yield* namespaces(machine),
    yield* seccomp(machine),
    yield* subordinateIds(machine),
    yield* dataFolder(machine, options.directory),
    yield* outboundTool(machine),
    yield* ripgrep(machine),
    ok("registry client", "built in, no tool needed"),
    ...(options.probe === undefined ? [] : yield* sandboxes(options.probe))
  ]
})

const marks: Record<Finding["status"], string> = { ok: "ok     ", warning: "warning", missing: "MISSING" }

/**
 * The findings as text: one line each, with the remedy below it.
 *
 * @since 0.1.0
 * @category getters
 */
export const render = (findings: ReadonlyArray<Finding>): string => {
  const width = Math.max(0, ...findings.map(({ name }) => name.length))
  return findings
    .flatMap(({ detail, name, remedy, status }) => [
      `${marks[status]}  ${name.padEnd(width)}  ${detail.replaceAll("\n", " ")}`,
      ...(remedy === undefined ? [] : [`         ${" ".repeat(width)}  run: ${remedy}`])
    ])
    .join("\n")
}
