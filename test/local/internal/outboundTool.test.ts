import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, type Scope } from "effect"
import type { LauncherName } from "../../../src/local/Launcher.js"
import * as HostServer from "../../fixtures/HostServer.js"
import { descends, eventually, processesWith } from "../machine.js"
import * as SandboxWorker from "../sandboxWorker.js"
import { text } from "../sandboxWorker.js"

class Worker extends Context.Tag("effect-contree/test/OutboundWorker")<Worker, SandboxWorker.Worker>() {
  static layer(identity: SandboxWorker.Identity, launcher: LauncherName) {
    return Layer.scoped(
      this,
      SandboxWorker.make({ identity, launcher, nameServers: ["192.0.2.53", "192.0.2.54"] })
    ).pipe(Layer.provideMerge(NodeContext.layer))
  }
}

const RESOLV = "nameserver 192.0.2.53\nnameserver 192.0.2.54\n"

/** Its number may be that of one that is gone, and the address of its interface is its own. */
const network = "ip -o link show tap0 | grep -o 'ether [0-9a-f:]*'"

for (const [index, identity] of SandboxWorker.identities.entries()) {
  // What a network is to an identity does not depend on the launcher.
  for (const launcher of index === 0 ? (["built-in", "bubblewrap", "util-linux"] as const) : (["built-in"] as const)) {
    layer(Worker.layer(identity, launcher), { excludeTestServices: true })(
      `the outside of a sandbox by ${launcher} for ${identity}`,
      (it) => {
        it.effect("is reached, unless the command asks for no network", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            assert.deepStrictEqual(worker.outbound, {
              tool: "slirp4netns",
              nameServers: ["192.0.2.53", "192.0.2.54"]
            })
            const address = yield* HostServer.address
            const server = yield* HostServer.make(address, "outside")
            const ask = `nc -w 5 ${address} ${server.port} </dev/null`
            assert.strictEqual(text((yield* worker.shell(ask)).stdout), "outside\n")
            assert.strictEqual(yield* server.visits, 1)
            assert.strictEqual(text((yield* worker.shell(ask, { network: false })).stdout), "")
            assert.strictEqual(yield* server.visits, 1)
          }).pipe(Effect.scoped)
        )

        it.effect("is reached by the processes that enter a sandbox, too", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const address = yield* HostServer.address
            const server = yield* HostServer.make(address, "outside")
            for (const network of [true, false]) {
              const run = yield* worker.start({ command: ["sh", "-c", "echo ready; exec sleep 1000"], network })
              yield* run.saw("ready")
              const entered = yield* run.enter(["sh", "-c", `nc -w 5 ${address} ${server.port} </dev/null`])
              assert.strictEqual(entered.stdout, network ? "outside\n" : "")
              yield* run.close
            }
          }).pipe(Effect.scoped)
        )

        it.effect("is another one for the next command, once it or the loopback was used", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const address = yield* HostServer.address
            const server = yield* HostServer.make(address, "outside")
            const seen = new Set<string>()
            for (const use of [
              `nc -w 5 ${address} ${server.port} </dev/null`,
              "nc -w 1 10.0.2.9 9 </dev/null",
              "(nc -l -p 7777 </dev/null >/dev/null &); sleep 0.2; echo x | nc -w 1 127.0.0.1 7777",
              "true"
            ]) {
              const run = yield* worker.shell(
                `${network}; cat /proc/net/tcp /proc/net/udp | grep -c :; grep -c ' 0  *0  *0  *0  *0  *0  *0  *0  *0 ' /proc/net/dev; ${use} >/dev/null 2>&1`
              )
              const [name = "", ports, unused] = text(run.stdout).trimEnd().split("\n")
              assert.isFalse(seen.has(name), use)
              assert.deepStrictEqual([ports, unused], ["0", "2"])
              seen.add(name)
            }
          }).pipe(Effect.scoped)
        )

        it.effect("costs commands that do not use it nothing: the next ones have the same network", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const seen = new Set<string>()
            for (let index = 0; index < 8; index++) seen.add(text((yield* worker.shell(network)).stdout))
            // Of the worker's two places the second may just have got a network, by what ran before.
            assert.isAtMost(seen.size, 2)
          })
        )

        it.effect("has name servers, which leave nothing in what the command wrote", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const fs = yield* FileSystem.FileSystem
            const absent = yield* worker.shell("cat /etc/resolv.conf; echo x 2>/dev/null >/etc/resolv.conf; ls /etc")
            assert.deepStrictEqual(
              [text(absent.stdout), yield* fs.readDirectory(absent.upper)],
              [`${RESOLV}kept\npasswd\nresolv.conf\n`, []]
            )
            const changed = yield* worker.shell("rm /etc/kept; rm -f /etc/resolv.conf 2>/dev/null; ls /etc")
            assert.strictEqual(text(changed.stdout), "passwd\nresolv.conf\n")
            assert.deepStrictEqual(yield* fs.readDirectory(`${changed.upper}/etc`), ["kept"])
            const own = yield* worker.shell(
              "echo nameserver 203.0.113.1 >/etc/resolv.conf; mkdir -p /run; : >/run/none",
              {
                network: false
              }
            )
            yield* fs.rename(own.upper, `${worker.data}/l/own`)
            const layers = ["own", "base"]
            const shown = yield* worker.shell("cat /etc/resolv.conf", { layers })
            assert.deepStrictEqual([text(shown.stdout), yield* fs.readDirectory(shown.upper)], [RESOLV, []])
            const kept = yield* worker.shell("cat /etc/resolv.conf", { layers, network: false })
            assert.strictEqual(text(kept.stdout), "nameserver 203.0.113.1\n")
            yield* SandboxWorker.run("rm", "-r", `${worker.data}/l/own`)
          })
        )

        it.effect("has name servers where the image's file is a link, and runs where it leads nowhere", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const fs = yield* FileSystem.FileSystem
            for (const [name, script, expected] of [
              ["linked", "echo old >/data/names; ln -s ../data/../../../data/names /etc/resolv.conf", RESOLV],
              ["absolute", "echo old >/data/names; ln -s /link/names /etc/resolv.conf", RESOLV],
              ["dangling", "ln -s /run/none /etc/resolv.conf", ""],
              ["folder", "mkdir /etc/resolv.conf", ""]
            ] as const) {
              const made = yield* worker.shell(script, { network: false })
              yield* fs.rename(made.upper, `${worker.data}/l/${name}`)
              const run = yield* worker.shell("cat /etc/resolv.conf 2>/dev/null; true", { layers: [name, "base"] })
              assert.deepStrictEqual([name, run.code, text(run.stdout)], [name, 0, expected])
              assert.deepStrictEqual(yield* fs.readDirectory(run.upper), [])
              yield* SandboxWorker.run("rm", "-r", `${worker.data}/l/${name}`)
            }
          })
        )
      }
    )
  }
}

const identity = SandboxWorker.identities[0] ?? "user"

const live = (name: string, test: Effect.Effect<unknown, unknown, NodeContext.NodeContext | Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(test, NodeContext.layer))

const tools = (ancestor: number) =>
  Effect.map(processesWith("slirp4netns"), (all) => all.filter(({ pid }) => descends(pid, ancestor)))

describe("the tool of the outbound network", () => {
  for (const identity of SandboxWorker.identities) {
    live(
      `is gone when the worker of ${identity} ends, and when it is killed`,
      Effect.gen(function* () {
        for (const end of ["stopped", "killed"] as const) {
          const pids = yield* Effect.scoped(
            Effect.gen(function* () {
              const worker = yield* SandboxWorker.make({ identity })
              const runs = yield* Effect.forEach([1, 2], () =>
                worker.start({ command: ["sh", "-c", "echo ready; sleep 1000"] })
              )
              yield* Effect.forEach(runs, (run) => run.saw("ready"))
              const found = yield* tools(worker.pid)
              assert.isAtLeast(found.length, 2)
              if (end === "killed") yield* Effect.sync(() => process.kill(worker.pid, "SIGKILL"))
              return found.map(({ pid }) => pid)
            })
          )
          yield* eventually(
            Effect.map(processesWith("slirp4netns"), (all) => all.filter(({ pid }) => pids.includes(pid))),
            (left) => left.length === 0
          )
        }
      })
    )
  }

  live(
    "has no more privileges than the sandboxes' root",
    Effect.gen(function* () {
      const worker = yield* SandboxWorker.make({ identity })
      const fs = yield* FileSystem.FileSystem
      const [tool] = yield* tools(worker.pid)
      const status = yield* fs.readFileString(`/proc/${tool?.pid}/status`)
      assert.strictEqual(/^Uid:\t(\d+)/m.exec(status)?.[1], String(SandboxWorker.hostId(identity, 0)))
      assert.match(status, /^Seccomp:\t2$/m)
    })
  )

  live(
    "is not started where the settings say that there is no network",
    Effect.gen(function* () {
      const worker = yield* SandboxWorker.make({ identity, network: "none" })
      assert.strictEqual(worker.outbound, "the engine's settings say so")
      assert.strictEqual(text((yield* worker.shell("grep -c : /proc/net/dev; ls /etc")).stdout), "1\nkept\npasswd\n")
      assert.deepStrictEqual(yield* tools(worker.pid), [])
    })
  )

  // To take a tool away from one process needs a mount of root's.
  if (SandboxWorker.isRoot) {
    const instead = (tool: string, what: string) =>
      `for d in /usr/bin /bin /usr/sbin /sbin; do [ -e $d/${tool} ] && ! [ $d/${tool} -ef ${what} ] && mount --bind ${what} $d/${tool}; done; true`

    for (const [tool, reason] of [
      ["slirp4netns", "slirp4netns is not installed"],
      ["ip", "`ip` of iproute2 is not installed"]
    ] as const) {
      live(
        `is missed where there is no ${tool}: commands have a loopback alone, and the worker tells why`,
        Effect.gen(function* () {
          const worker = yield* SandboxWorker.make({ identity, before: instead(tool, "/dev/null") })
          assert.strictEqual(worker.outbound, reason)
          assert.strictEqual(text((yield* worker.shell("grep -c : /proc/net/dev")).stdout), "1\n")
        })
      )
    }

    live(
      "is done without where it does not work, and the worker tells what it said",
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const broken = yield* fs.makeTempFileScoped()
        yield* fs.writeFileString(broken, "#!/bin/sh\necho no /dev/net/tun >&2\nexit 1\n")
        yield* fs.chmod(broken, 0o755)
        const worker = yield* SandboxWorker.make({ identity, before: instead("slirp4netns", broken) })
        assert.strictEqual(worker.outbound, "slirp4netns: no /dev/net/tun")
        assert.strictEqual((yield* worker.shell("grep -c : /proc/net/dev")).code, 0)
      })
    )

    live(
      "does not lead to the machine's loopback where the machine's own name server is there",
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const names = yield* fs.makeTempFileScoped()
        yield* fs.writeFileString(names, "nameserver 127.0.0.1\n")
        yield* fs.chmod(names, 0o644)
        const worker = yield* SandboxWorker.make({
          identity,
          before: `mount --bind ${names} "$(readlink -f /etc/resolv.conf)"`
        })
        const server = yield* HostServer.make("127.0.0.1", "loopback")
        const run = yield* worker.shell(
          `for a in 10.0.2.2 10.0.2.3; do nc -w 1 $a ${server.port} </dev/null; done 2>/dev/null; cat /etc/resolv.conf`
        )
        assert.notInclude(text(run.stdout), "127.0.0.1")
        assert.strictEqual(yield* server.visits, 0)
      })
    )
  }
})
