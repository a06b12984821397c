import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { createServer } from "node:net"
import type { LauncherName } from "../../src/local/Launcher.js"
import * as HostServer from "../fixtures/HostServer.js"
import * as SandboxWorker from "../local/sandboxWorker.js"
import { text } from "../local/sandboxWorker.js"
import * as CallProgram from "./callProgram.js"

const EPERM = 1
const ENOENT = 2
const ESRCH = 3
const ENOSYS = 38
const ECONNREFUSED = 111

const ABSTRACT = "effect-contree-escape"
const NEWUSER = 0x10000000
const NEWNET = 0x40000000

/** `sockaddr_un` of a name that no folder holds. */
const abstractAddress = Uint8Array.from([1, 0, 0, ...new TextEncoder().encode(ABSTRACT)])

/** Each is a file in `/calls` of the image, with what it has to end with. */
const calls: Record<string, readonly [expected: number, ...calls: ReadonlyArray<CallProgram.Call>]> = {
  "unshare-user": [EPERM, [[272, 97], NEWUSER]],
  "unshare-net": [EPERM, [[272, 97], NEWNET]],
  "clone-user": [EPERM, [[56, 220], NEWUSER | 17, 0, 0, 0, 0]],
  clone3: [ENOSYS, [435, 0, 88]],
  mount: [EPERM, [[165, 40], "none", "/tmp", "tmpfs", 0, 0]],
  umount: [EPERM, [[166, 39], "/proc", 2]],
  pivot_root: [EPERM, [[155, 41], "/", "/tmp"]],
  open_tree: [EPERM, [428, 0xffffff9c, "/", 1]],
  fsopen: [EPERM, [430, "tmpfs", 0]],
  setns: [EPERM, [[308, 268], 0, 0]],
  init_module: [EPERM, [[175, 105], 0, 0, ""]],
  finit_module: [EPERM, [[313, 273], 0, "", 0]],
  delete_module: [EPERM, [[176, 106], "loop", 0]],
  kexec_load: [EPERM, [[246, 104], 0, 0, 0, 0]],
  bpf: [EPERM, [[321, 280], 0, 0, 0]],
  perf_event_open: [EPERM, [[298, 241], 0, 0, 0, 0, 0]],
  userfaultfd: [EPERM, [[323, 282], 0]],
  io_uring_setup: [EPERM, [425, 1, 0]],
  open_by_handle_at: [EPERM, [[304, 265], 0, 0, 0]],
  add_key: [EPERM, [[248, 217], "user", "x", "y", 1, 0xfffffffc]],
  keyctl: [EPERM, [[250, 219], 0, 0xfffffffc, 1]],
  reboot: [EPERM, [[169, 142], 0xfee1dead, 0x28121969, 0x89abcdef, 0]],
  swapon: [EPERM, [[167, 224], "/tmp", 0]],
  acct: [EPERM, [[163, 89], "/tmp/acct"]],
  settimeofday: [EPERM, [[164, 170], 0, 0]],
  syslog: [EPERM, [[103, 116], 3, 0, 0]],
  vsock: [EPERM, [[41, 198], 40, 1, 0]],
  alg: [EPERM, [[41, 198], 38, 5, 0]],
  // A frame could name the host's loopback, a packet any sender. SOCK_PACKET is the old name of the first.
  "packet-socket": [EPERM, [[41, 198], 17, 3, 0x0300]],
  "old-packet-socket": [EPERM, [[41, 198], 2, 10, 0x0300]],
  "raw-socket": [EPERM, [[41, 198], 2, 3, 1]],
  tiocsti: [EPERM, [[16, 29], 0, 0x5412, "x"]],
  "ptrace-engine": [ESRCH, [[101, 117], 16, "ENGINE", 0, 0]],
  abstract: [ECONNREFUSED, [[41, 198], 1, 1, 0], [[42, 203], 3, abstractAddress, abstractAddress.length]],
  // The old way out of a chroot: a root below the folder in which one stays, then up.
  chroot: [
    ENOENT,
    [[83, 34], ...(CallProgram.architecture === "x64" ? ["/tmp/jail", 0o755] : [0xffffff9c, "/tmp/jail", 0o755])],
    [[161, 51], "/tmp/jail"],
    ...Array.from({ length: 12 }, (): CallProgram.Call => [[80, 49], ".."]),
    [[161, 51], "."],
    [[80, 49], "HOST"]
  ],
  setuid: [256 - (1000 % 256), [[107, 175]]]
}

const { setuid: _, ...atOnce } = calls

/** `sockaddr_in`. */
const socketAddress = (ip: ReadonlyArray<number>, port: number) =>
  Uint8Array.from([2, 0, port >> 8, port & 255, ...ip, 0, 0, 0, 0, 0, 0, 0, 0])

const SOL_SOCKET = 1
const SO_BROADCAST = 6
const SO_BINDTODEVICE = 25
const IP_UNICAST_IF = 50

/** What may lead to a port of the host's loopback, by other ways than an ordinary connection. */
const aroundTheLoopback = (port: number): Record<string, ReadonlyArray<CallProgram.Call>> => {
  const to = (...ip: ReadonlyArray<number>) => socketAddress(ip, port)
  const socket = (type: number): CallProgram.Call => [[41, 198], 2, type, 0]
  const bind: CallProgram.Call = [[54, 208], 3, SOL_SOCKET, SO_BINDTODEVICE, "tap0", 5]
  const prefer: CallProgram.Call = [[54, 208], 3, 0, IP_UNICAST_IF, Uint8Array.from([0, 0, 0, 2]), 4]
  const broadcast: CallProgram.Call = [[54, 208], 3, SOL_SOCKET, SO_BROADCAST, Uint8Array.from([1, 0, 0, 0]), 4]
  const connect = (...ip: ReadonlyArray<number>): CallProgram.Call => [[42, 203], 3, to(...ip), 16]
  const write: CallProgram.Call = [[1, 64], 3, "hit", 3]
  return {
    "stream-bound": [socket(1 | 0o4000), bind, connect(127, 0, 0, 1)],
    "stream-preferring": [socket(1 | 0o4000), prefer, connect(127, 0, 0, 1)],
    "datagram-bound": [socket(2), bind, connect(127, 0, 0, 1), write],
    "datagram-preferring": [socket(2), prefer, connect(127, 0, 0, 1), write],
    "datagram-to-nobody": [socket(2), bind, connect(0, 0, 0, 0), write],
    "datagram-to-gateway": [socket(2), connect(10, 0, 2, 2), write],
    "datagram-to-name-server": [socket(2), connect(10, 0, 2, 3), write],
    "datagram-to-network": [socket(2), broadcast, connect(10, 0, 2, 255), write],
    "datagram-to-all": [socket(2), broadcast, bind, connect(255, 255, 255, 255), write],
    "datagram-to-group": [socket(2), bind, connect(224, 0, 0, 1), write]
  }
}

class Worker extends Context.Tag("effect-contree/test/EscapeWorker")<
  Worker,
  SandboxWorker.Worker & {
    readonly hostFolder: string
    readonly loopback: HostServer.HostServer
    readonly outside: HostServer.HostServer
    readonly machine: string
  }
>() {
  static layer(identity: SandboxWorker.Identity, launcher: LauncherName) {
    return Layer.scoped(
      this,
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const worker = yield* SandboxWorker.make({
          identity,
          launcher,
          limits: {
            memoryBytes: 64 * 1024 ** 2,
            processes: 64,
            openFiles: 256,
            fileSizeBytes: 32 * 1024 ** 2,
            cpuSeconds: 5
          }
        })
        const folder = `${worker.data}/l/calls`
        yield* fs.makeDirectory(`${folder}/calls`, { recursive: true })
        const loopback = yield* HostServer.make("127.0.0.1", "loopback")
        const machine = yield* HostServer.address
        const outside = yield* HostServer.make(machine, "outside")
        yield* fs.writeFile(
          `${folder}/calls/datagram`,
          CallProgram.make(
            [[41, 198], 2, 2, 0],
            [[42, 203], 3, socketAddress(machine.split(".").map(Number), outside.port), 16],
            [[1, 64], 3, "hit", 3]
          )
        )
        yield* fs.makeDirectory(`${folder}/around`)
        for (const [name, list] of Object.entries(aroundTheLoopback(loopback.port))) {
          yield* fs.writeFile(`${folder}/around/${name}`, CallProgram.make(...list))
        }
        for (const [name, [, ...list]] of Object.entries(calls)) {
          const program = CallProgram.make(
            ...list.map(([number, ...args]): CallProgram.Call => [
              number,
              ...args.map((arg) => (arg === "HOST" ? worker.folder.slice(1) : arg === "ENGINE" ? worker.pid : arg))
            ])
          )
          yield* fs.writeFile(`${folder}/calls/${name}`, program)
        }
        const owner = SandboxWorker.hostId(identity, 0)
        if (SandboxWorker.isRoot) yield* SandboxWorker.run("chown", "-R", `${owner}:${owner}`, folder)
        yield* SandboxWorker.run("chmod", "-R", "755", folder)
        yield* fs.chmod(`${folder}/calls/setuid`, 0o4755)
        return { ...worker, hostFolder: worker.folder, loopback, outside, machine }
      })
    ).pipe(Layer.provideMerge(NodeContext.layer))
  }
}

/** Says which of its descriptors are more than pipes and devices. */
const descriptors =
  'for f in /proc/$$/fd/*; do [ -d "$f" ] && readlink "$f"; [ -f "$f" ] && readlink "$f"; done; echo looked'

const withCalls = { layers: ["calls", "base"] }

for (const identity of SandboxWorker.identities.filter((name) => name !== "subordinate")) {
  for (const launcher of ["built-in", "bubblewrap", "util-linux"] as const) {
    layer(Worker.layer(identity, launcher), { excludeTestServices: true })(
      `attacks from a sandbox by ${launcher} for ${identity}`,
      (it) => {
        it.effect("namespaces, mounts, modules, keyrings, tracing, other calls: the seccomp filter refuses them", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const run = yield* worker.shell(
              'for f in /calls/*; do [ "$f" = /calls/setuid ] || [ "$f" = /calls/datagram ] || { "$f"; echo "${f##*/} $?"; }; done',
              withCalls
            )
            assert.deepStrictEqual(
              Object.fromEntries(
                text(run.stdout)
                  .trimEnd()
                  .split("\n")
                  .map((line) => [line.split(" ")[0], Number(line.split(" ")[1])])
              ),
              Object.fromEntries(Object.entries(atOnce).map(([name, [expected]]) => [name, expected]))
            )
          })
        )

        it.effect("a setuid program of root: no new privileges", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            // A user's only id has no other to rise to.
            const run = yield* worker.run({ ...withCalls, command: ["/calls/setuid"], uid: 1000, gid: 1000 })
            assert.strictEqual(run.code, 256 - (1000 % 256))
          })
        )

        it.effect("the kernel's settings: they belong to an owner whom the sandbox cannot be", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const fs = yield* FileSystem.FileSystem
            const before = yield* fs.readFileString("/proc/sys/kernel/core_pattern")
            const run = yield* worker.shell(
              "for f in sys/kernel/core_pattern sys/kernel/modprobe sys/vm/drop_caches sys/kernel/sysrq sysrq-trigger; do " +
                '(echo "|/tmp/x" >/proc/$f) 2>&1; done'
            )
            const lines = text(run.stdout).trimEnd().split("\n")
            assert.strictEqual(lines.length, 5)
            for (const line of lines) assert.match(line, /[Pp]ermission denied|nonexistent|[Rr]ead-only/)
            assert.strictEqual(yield* fs.readFileString("/proc/sys/kernel/core_pattern"), before)
            // Settings of its own network belong to it: for those it is the mount that refuses.
            const own = yield* worker.shell("(echo 1 >/proc/sys/net/ipv4/ip_forward) 2>&1")
            assert.include(text(own.stdout), "Read-only file system")
          })
        )

        it.effect(
          "a device node of the disk, of memory or of the kernel's log: no capability to make one, /dev has none",
          () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.shell(
                "for d in 'b 8 0' 'c 1 1' 'c 1 11'; do mknod /tmp/d $d 2>&1; done; ls /dev; ls /sys 2>&1"
              )
              const said = text(run.stdout)
              assert.strictEqual(said.split("Operation not permitted").length, 4)
              assert.notMatch(said, /^(mem|kmem|kmsg|sd.|vd.|loop.*|fuse|kvm|net)$/m)
            })
        )

        it.effect(
          "host files through '..', links and everything in /proc: the sandbox's root is where all of it ends",
          () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.shell(
                `mark=${worker.hostFolder}/program.cjs
               for p in "" /.. /../../.. /up/../../.. /proc/*/root /proc/*/root/.. /proc/*/cwd /proc/*/cwd/../../.. /proc/*/fd/* \\
                 /proc/*/task/*/root /proc/*/map_files; do
                 [ ! -e "$p$mark" ] || echo "found $p"
                 [ ! -e "$p${worker.directory}/slot" ] || echo "slot $p"
               done; cat /proc/*/mountinfo | grep -c ${worker.hostFolder}`
              )
              assert.notInclude(text(run.stdout), "found")
              assert.notInclude(text(run.stdout), "slot")
            })
        )

        it.effect(
          "the environment, memory and files of its first process: it has privileges that the payload lacks",
          () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.shell(
                "cat /proc/1/environ 2>&1 | tr '\\0' '\\n'; echo; ls -l /proc/1/fd /proc/1/exe 2>&1; (: >/proc/1/mem) 2>&1"
              )
              assert.notInclude(text(run.stdout), "PATH=/usr")
              assert.notInclude(text(run.stdout), worker.hostFolder)
            })
        )

        it.effect("descriptors that were left open: none of its own is a folder or a file", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const run = yield* worker.shell(descriptors)
            assert.strictEqual(text(run.stdout), "looked\n")
          })
        )

        it.effect("signals to the engine: its processes have no numbers in there", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const run = yield* worker.shell(`kill -9 ${worker.pid} 2>&1; echo /proc/[0-9]*; kill -9 -1; echo alive`)
            assert.include(text(run.stdout), "o such process")
            assert.isBelow(text(run.stdout).split("/proc/").length, 8)
            assert.strictEqual((yield* worker.shell("exit 3")).code, 3)
          })
        )

        it.effect("sockets of the host: another network, with a loopback of its own", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            yield* Effect.acquireRelease(
              Effect.async<ReturnType<typeof createServer>>((resume) => {
                const server = createServer().listen(`\0${ABSTRACT}`, () => resume(Effect.succeed(server)))
              }),
              (server) => Effect.sync(() => server.close())
            )
            for (const [network, interfaces] of [
              [false, "1"],
              [true, "2"]
            ] as const) {
              const run = yield* worker.shell(
                `grep -c : /proc/net/dev; grep -c ${ABSTRACT} /proc/net/unix; /calls/abstract; echo $?; echo x >/proc/sys/net/ipv4/ip_forward`,
                { ...withCalls, network }
              )
              const [count, abstract, refused] = text(run.stdout).trimEnd().split("\n")
              assert.deepStrictEqual([count, abstract, refused], [interfaces, "0", String(ECONNREFUSED)])
              assert.match(text(run.stderr), /Read-only|ermission denied/)
            }
          }).pipe(Effect.scoped)
        )

        it.effect(
          "services on the host's loopback: no address leads there, nor does a socket bound to the way out",
          () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const { loopback, machine, outside } = worker
              const visits = yield* outside.visits
              const addresses =
                "127.0.0.1 127.1.2.3 localhost 0.0.0.0 10.0.2.1 10.0.2.2 10.0.2.3 10.0.2.255 255.255.255.255 $(hostname)"
              const attempts = `for a in ${addresses}; do nc -w 1 $a ${loopback.port} </dev/null; done 2>/dev/null; for f in /around/*; do "$f"; done`
              for (const network of [true, false]) {
                // That the same way leads somewhere shows that it is not merely blocked.
                const run = yield* worker.shell(
                  `nc -w 5 ${machine} ${outside.port} </dev/null; /calls/datagram; ${attempts}`,
                  {
                    ...withCalls,
                    network
                  }
                )
                assert.strictEqual(text(run.stdout), network ? "outside\n" : "")
              }
              yield* Effect.sleep("300 millis")
              assert.strictEqual(yield* loopback.visits, 0)
              assert.strictEqual(yield* outside.visits, visits + 2)
            })
        )

        it.effect(
          "looks at processes that enter the sandbox: they are out of its reach until they are what they become",
          () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const mark = `${worker.hostFolder}/program.cjs`
              const watch = yield* worker.start({
                command: [
                  "/bin/sh",
                  "-c",
                  `echo ready; n=0; while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*; do
                   case $p in /proc/1|/proc/$$) continue ;; esac
                   n=$((n+1))
                   for w in root root/.. cwd cwd/../../.. fd/3 fd/4 fd/5; do
                     for f in ${mark} ${worker.directory}/slot /s/0 /usr/share/doc; do
                       [ ! -e "$p/$w$f" ] || echo "found $p/$w$f"
                     done
                   done
                   while read -r line; do case $line in *LC_ALL*) echo "environment $line" ;; esac; done 2>/dev/null <$p/environ
                 done; done; echo looked $n`
                ]
              })
              yield* watch.saw("ready")
              for (let round = 0; round < 12; round++) {
                assert.deepStrictEqual(yield* watch.enter(["echo", "here"]), { code: 0, stdout: "here\n" })
              }
              const entered = yield* watch.enter([
                "sh",
                "-c",
                "grep -E '^(Cap(Inh|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status; " + descriptors
              ])
              assert.deepStrictEqual(entered.stdout.trimEnd().split("\n"), [
                "CapInh:\t0000000000000000",
                "CapEff:\t00000000a00405fb",
                "CapBnd:\t00000000a00405fb",
                "CapAmb:\t0000000000000000",
                "NoNewPrivs:\t1",
                "Seccomp:\t2",
                "looked"
              ])
              yield* watch.enter(["touch", "/tmp/stop"])
              const { stdout } = yield* watch.outcome
              yield* watch.close
              assert.match(text(stdout), /^ready\nlooked [1-9]\d*\n$/)
            })
        )

        it.effect("a fork bomb: the limit of processes, and the next command runs", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const run = yield* worker.shell("i=0; while [ $i -lt 400 ]; do sleep 1000 & i=$((i+1)); done; echo all")
            assert.notInclude(text(run.stdout), "all")
            assert.match(text(run.stderr), /fork/)
            assert.strictEqual((yield* worker.shell("exit 3")).code, 3)
          })
        )

        it.effect("a memory bomb: the limit of memory, told from other ends, and the next command runs", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const bomb = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"] as const
            const run = yield* worker.run({ command: [...bomb] })
            if (worker.bounded.memory) {
              assert.deepStrictEqual([run.code, run.signal, run.outOfMemory], [137, 9, true])
              assert.include(text(run.stderr), "the memory limit of 67108864 bytes has been reached")
              const shared = yield* worker.shell(
                "for i in 1 2 3 4 5; do dd if=/dev/zero of=/dev/shm/$i bs=1M count=30 2>/dev/null; done"
              )
              assert.isTrue(shared.outOfMemory)
            } else {
              assert.notStrictEqual(run.code, 0)
              assert.include(text(run.stderr), "out of memory")
            }
            const next = yield* worker.shell("exit 3")
            assert.deepStrictEqual([next.code, next.outOfMemory], [3, false])
          })
        )

        it.effect("a loop without end: the limit of processor time, and it is told so", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const run = yield* worker.shell("ulimit -t 1; while :; do :; done")
            assert.deepStrictEqual([run.code, run.signal], [137, 9])
            const limited = yield* worker.shell("ulimit -S -t; while :; do :; done")
            assert.deepStrictEqual([limited.code, limited.signal, text(limited.stdout)], [152, 24, "5\n"])
            assert.include(text(limited.stderr), "killed: the processor time limit of 5 seconds has been reached")
            assert.strictEqual((yield* worker.shell("exit 3")).code, 3)
          })
        )

        it.effect("a file without end: the limit of a file's size ends its writer", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const run = yield* worker.run({ command: ["dd", "if=/dev/zero", "of=/tmp/big", "bs=1M", "count=64"] })
            assert.notStrictEqual(run.code, 0)
            assert.strictEqual(text((yield* worker.shell("ulimit -n; ulimit -f")).stdout), `256\n${32 * 1024 * 2}\n`)
          })
        )
      }
    )
  }
}

for (const identity of SandboxWorker.isRoot ? SandboxWorker.identities.filter((name) => name !== "subordinate") : []) {
  describe(`a disk that a sandbox fills, for ${identity}`, () => {
    it.scopedLive("a disk bomb: it gets an error when the file system is full, and the next command runs", () =>
      Effect.gen(function* () {
        const worker = yield* SandboxWorker.make({
          identity,
          before:
            'mkdir -p "$2/data/r"; mount -t tmpfs -o size=24m,mode=700,uid=$(stat -c %u "$2/data") tmpfs "$2/data/r"'
        })
        const bomb = yield* worker.shell(
          "i=0; while dd if=/dev/zero of=/tmp/$i bs=1M count=8; do i=$((i+1)); done; exit 4"
        )
        assert.strictEqual(bomb.code, 4)
        assert.include(text(bomb.stderr), "No space left on device")
        assert.strictEqual((yield* worker.shell("cat /data/file; exit 3")).code, 3)
      }).pipe(Effect.provide(NodeContext.layer))
    )
  })
}
