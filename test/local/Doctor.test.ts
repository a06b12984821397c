import { Command, CommandExecutor, Error as PlatformError, FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Doctor from "../../src/local/Doctor.js"
import * as SandboxWorker from "./sandboxWorker.js"

/** A machine with these programs, whose answers are shell texts, and these files. */
const machine = (programs: Record<string, string>, files: Record<string, string>) => {
  const none = (path: string) =>
    new PlatformError.SystemError({ reason: "NotFound", module: "FileSystem", method: "look", pathOrDescriptor: path })
  return Layer.effectContext(
    Effect.gen(function* () {
      const real = yield* FileSystem.FileSystem
      const executor = yield* CommandExecutor.CommandExecutor
      return yield* Effect.context<CommandExecutor.CommandExecutor | FileSystem.FileSystem>().pipe(
        Effect.provideService(
          CommandExecutor.CommandExecutor,
          CommandExecutor.makeExecutor((command) => {
            const words = command._tag === "StandardCommand" ? [command.command, ...command.args] : []
            const name = words[0]?.split("/").pop() ?? ""
            const answer = programs[`${name} ${words.slice(1).join(" ")}`] ?? programs[name]
            return answer === undefined
              ? Effect.fail(none(name))
              : executor.start(Command.make("/bin/sh", "-c", answer, ...words))
          })
        ),
        Effect.provideService(FileSystem.FileSystem, {
          ...real,
          stat: (path) => {
            const [folder, name = ""] = [path.slice(0, path.lastIndexOf("/")), path.slice(path.lastIndexOf("/") + 1)]
            return folder === "/usr/bin" && name in programs ? real.stat("/bin/sh") : Effect.fail(none(path))
          },
          exists: (path) => Effect.succeed(path in files),
          readFileString: (path) => (path in files ? Effect.succeed(files[path] ?? "") : Effect.fail(none(path)))
        })
      )
    })
  ).pipe(Layer.provide(NodeContext.layer))
}

/** What an ordinary user's healthy Debian answers. */
const healthy = {
  "apt-get": "",
  "id -u": "echo 1000",
  "id -un": "echo user",
  uname: "echo Linux 6.1",
  unshare: "true",
  "unshare --version": "echo unshare from util-linux 2.38.1",
  setpriv: "",
  mount: "",
  umount: "",
  nsenter: "",
  bwrap: "echo bubblewrap 0.8.0",
  rg: "echo ripgrep 13.0.0",
  slirp4netns: "echo slirp4netns version 1.2.0",
  ip: "",
  newuidmap: "",
  newgidmap: "",
  stat: "echo ext2/ext3"
}

const files = {
  "/etc/subuid": "other:1:1\nuser:100000:65536\n",
  "/etc/subgid": "user:100000:65536\n",
  "/proc/sys/user/max_user_namespaces": "96365\n",
  "/proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread trap errno user_notif trace log allow\n"
}

const without = (...names: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(healthy).filter(([name]) => !names.includes(name.split(" ")[0] ?? "")))

const examine = (programs: Record<string, string>, has: Record<string, string>, node = "20.19.0") =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped()
    return yield* Doctor.report({ directory, node }).pipe(Effect.provide(machine(programs, has)))
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const refuses = "echo unshare: Operation not permitted >&2; exit 1"

describe("the doctor", () => {
  it.live("finds a healthy machine well", () =>
    Effect.gen(function* () {
      const findings = yield* examine(healthy, files)
      assert.deepStrictEqual(
        findings.filter(({ status }) => status !== "ok"),
        []
      )
      assert.deepStrictEqual(
        findings.map(({ name }) => name),
        [
          "kernel",
          "Node.js",
          "util-linux",
          "bubblewrap",
          "namespaces",
          "seccomp",
          "subordinate ids",
          "data folder",
          "slirp4netns",
          "ripgrep",
          "registry client"
        ]
      )
    })
  )

  const cases: ReadonlyArray<{
    readonly when: string
    readonly programs?: Record<string, string>
    readonly files?: Record<string, string>
    readonly node?: string
    readonly name: string
    readonly status: "warning" | "missing"
    readonly detail: RegExp
    readonly remedy: string | undefined
  }> = [
    {
      when: "the system is not Linux",
      programs: { ...healthy, uname: "echo Darwin 24" },
      name: "kernel",
      status: "missing",
      detail: /Darwin 24.*hosted service/,
      remedy: undefined
    },
    {
      when: "the tool of the outbound network is not installed",
      programs: without("slirp4netns"),
      name: "slirp4netns",
      status: "warning",
      detail: /slirp4netns is not installed.*do not reach the outside/,
      remedy: "sudo apt-get install --yes slirp4netns"
    },
    {
      when: "that tool lacks its helper, on a distribution with a name of its own for it",
      programs: { ...without("ip", "apt-get"), dnf: "" },
      name: "slirp4netns",
      status: "warning",
      detail: /^ip is not installed/,
      remedy: "sudo dnf install --assumeyes iproute"
    },
    {
      when: "the kernel has no filters",
      files: { ...files, "/proc/sys/kernel/seccomp/actions_avail": "kill_thread\n" },
      name: "seccomp",
      status: "missing",
      detail: /CONFIG_SECCOMP_FILTER/,
      remedy: undefined
    },
    {
      when: "ripgrep is not installed",
      programs: without("rg"),
      name: "ripgrep",
      status: "warning",
      detail: /only where the package @vscode\/ripgrep is/,
      remedy: "sudo apt-get install --yes ripgrep"
    },
    {
      when: "Node is too old",
      node: "20.18.3",
      name: "Node.js",
      status: "missing",
      detail: /20\.18\.3, the engine needs 20\.19/,
      remedy: "npx --yes n lts"
    },
    ...(
      [
        ["apt-get", "sudo apt-get install --yes bubblewrap"],
        ["dnf", "sudo dnf install --assumeyes bubblewrap"],
        ["apk", "sudo apk add bubblewrap"],
        ["pacman", "sudo pacman --sync --noconfirm bubblewrap"],
        ["zypper", "sudo zypper --non-interactive install bubblewrap"]
      ] as const
    ).map(([manager, remedy]) => ({
      when: `bubblewrap is missing and there is ${manager}`,
      programs: { ...without("apt-get", "bwrap"), [manager]: "" },
      name: "bubblewrap",
      status: "warning" as const,
      detail: /util-linux alone is used/,
      remedy
    })),
    {
      when: "bubblewrap is missing and there is no package manager",
      programs: without("apt-get", "bwrap"),
      name: "bubblewrap",
      status: "warning",
      detail: /not installed/,
      remedy: undefined
    },
    {
      when: "root lacks a tool",
      programs: { ...without("nsenter"), "id -u": "echo 0" },
      name: "util-linux",
      status: "missing",
      detail: /without nsenter/,
      remedy: "apt-get install --yes util-linux"
    },
    {
      when: "busybox stands in for util-linux",
      programs: { ...healthy, "unshare --version": "echo BusyBox" },
      name: "util-linux",
      status: "missing",
      detail: /another make's/,
      remedy: "sudo apt-get install --yes util-linux"
    },
    ...(
      [
        ["/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"],
        ["/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"],
        [
          "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
          "1",
          "kernel.apparmor_restrict_unprivileged_userns=0"
        ]
      ] as const
    ).map(([file, value, setting]) => ({
      when: `${file} is ${value}`,
      programs: { ...healthy, unshare: refuses },
      files: { ...files, [file]: `${value}\n` },
      name: "namespaces",
      status: "missing" as const,
      detail: new RegExp(`Operation not permitted \\(${setting.split("=")[0]} is ${value}\\)`),
      remedy: `sudo sysctl -w ${setting}`
    })),
    {
      when: "it runs in a container of the default profile",
      programs: { ...healthy, unshare: refuses },
      files: { ...files, "/.dockerenv": "" },
      name: "namespaces",
      status: "missing",
      detail: /profile of this container/,
      remedy:
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --volume contree:/data IMAGE"
    },
    {
      when: "namespaces are refused and nobody knows why",
      programs: { ...healthy, unshare: refuses },
      name: "namespaces",
      status: "missing",
      detail: /^a mount namespace .*Operation not permitted$/,
      remedy: undefined
    },
    {
      when: "root may not make user namespaces",
      programs: { ...healthy, "id -u": "echo 0", "unshare --user true": refuses },
      name: "namespaces",
      status: "missing",
      detail: /user namespaces are refused: unshare: Operation/,
      remedy: undefined
    },
    {
      when: "newuidmap is missing",
      programs: without("newuidmap"),
      name: "subordinate ids",
      status: "warning",
      detail: /newuidmap is not installed.*apt, su and chown/,
      remedy: "sudo apt-get install --yes uidmap"
    },
    {
      when: "the user has no subordinate ids",
      files: { ...files, "/etc/subgid": "other:1:1\n" },
      name: "subordinate ids",
      status: "warning",
      detail: /user has none/,
      remedy: "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 user"
    },
    {
      when: "util-linux cannot use subordinate ids",
      programs: { ...healthy, "unshare --user --map-root-user --map-auto true": refuses },
      name: "subordinate ids",
      status: "warning",
      detail: /util-linux does not use them \(unshare: Operation/,
      remedy: undefined
    },
    {
      when: "the data folder cannot hold overlays",
      programs: { ...healthy, unshare: 'case "$*" in *lowerdir*) echo mount: wrong fs type >&2; exit 32;; esac' },
      name: "data folder",
      status: "missing",
      detail: /on ext2\/ext3 cannot hold overlays: mount: wrong fs type/,
      remedy: "sudo mount -t tmpfs tmpfs "
    },
    {
      when: "the data folder is part of a container's root",
      programs: { ...healthy, stat: "echo overlayfs", unshare: 'case "$*" in *lowerdir*) echo no >&2; exit 32;; esac' },
      name: "data folder",
      status: "missing",
      detail: /on overlayfs cannot hold overlays/,
      remedy: "docker run --volume contree:/data IMAGE"
    }
  ]
  for (const expected of cases) {
    it.live(`says what to do when ${expected.when}`, () =>
      Effect.gen(function* () {
        const findings = yield* examine(expected.programs ?? healthy, expected.files ?? files, expected.node)
        const finding = findings.find(({ name }) => name === expected.name)
        assert.strictEqual(finding?.status, expected.status)
        assert.match(finding?.detail ?? "", expected.detail)
        if (expected.remedy?.endsWith(" ") === true) {
          assert.include(finding?.remedy, expected.remedy)
        } else {
          assert.strictEqual(finding?.remedy, expected.remedy)
        }
      })
    )
  }

  it.live("names a data folder that cannot be written", () =>
    Effect.gen(function* () {
      const findings = yield* Doctor.report({ directory: "/dev/null/none", node: "22.1.0" }).pipe(
        Effect.provide(machine(healthy, files))
      )
      const finding = findings.find(({ name }) => name === "data folder")
      assert.strictEqual(finding?.status, "missing")
      assert.match(finding?.detail ?? "", /^\/dev\/null\/none cannot be written/)
      assert.strictEqual(finding?.remedy, "sudo install -d -o user /dev/null/none")
    })
  )

  it.live("tries out a sandbox by every launcher on this machine, and leaves nothing in the data folder", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* SandboxWorker.bundle(`${directory}/program.cjs`)
      const findings = yield* Doctor.report({
        directory: `${directory}/data`,
        node: process.versions.node,
        probe: [process.execPath, `${directory}/program.cjs`, "launchers", `${directory}/data`]
      })
      const summary = findings.map(({ name, status }) => `${name} ${status}`)
      for (const name of ["kernel", "Node.js", "util-linux", "bubblewrap", "namespaces", "data folder"]) {
        assert.include(summary, `${name} ok`)
      }
      assert.deepStrictEqual(findings.slice(-4), [
        { name: "sandbox by built-in", status: "ok", detail: "a program ran" },
        { name: "sandbox by bubblewrap", status: "ok", detail: "a program ran" },
        { name: "sandbox by util-linux", status: "ok", detail: "a program ran" },
        { name: "launcher", status: "ok", detail: "built-in is used" }
      ])
      assert.deepStrictEqual((yield* fs.readDirectory(`${directory}/data`, { recursive: true })).sort(), [
        "l",
        "p",
        "r"
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.live("says so when the trial of sandboxes does not come to an answer", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const findings = yield* Doctor.report({ directory, node: "22.1.0", probe: ["sh", "-c", "echo broken >&2"] })
      assert.deepStrictEqual(findings.at(-1), { name: "launcher", status: "missing", detail: "broken" })
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it("writes one line for each finding, with the remedy below", () => {
    assert.strictEqual(
      Doctor.render([
        { name: "a", status: "ok", detail: "1" },
        { name: "long", status: "missing", detail: "two\nlines", remedy: "do it" },
        { name: "b", status: "warning", detail: "3" }
      ]),
      ["ok       a     1", "MISSING  long  two lines", "               run: do it", "warning  b     3"].join("\n")
    )
    assert.strictEqual(Doctor.render([]), "")
  })
})
