import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs"
import * as ControlGroups from "../../src/local/ControlGroups.js"

describe("the trees of control groups", () => {
  it("are those of version 1 by controller, each with the group of this process", () => {
    assert.deepStrictEqual(
      ControlGroups.trees(
        [
          "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
          "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct",
          "37 31 0:34 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
          "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd"
        ].join("\n"),
        "9:name=systemd:/\n4:memory:/some/group\n1:cpu,cpuacct:/\n"
      ),
      [
        { version: 1, controllers: ["cpu", "cpuacct"], root: "/sys/fs/cgroup/cpu", own: "/sys/fs/cgroup/cpu" },
        { version: 1, controllers: ["memory"], root: "/sys/fs/cgroup/memory", own: "/sys/fs/cgroup/memory/some/group" },
        { version: 1, controllers: ["name=systemd"], root: "/sys/fs/cgroup/systemd", own: "/sys/fs/cgroup/systemd" }
      ]
    )
  })

  it("are one of version 2, whose part a container sees is where its group is", () => {
    const line = (shown: string) => `30 23 0:26 ${shown} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate`
    const own = (shown: string, membership: string) =>
      ControlGroups.trees(line(shown), membership).map((tree) => tree.own)
    assert.deepStrictEqual(own("/", "0::/user.slice/session-1.scope\n"), ["/sys/fs/cgroup/user.slice/session-1.scope"])
    assert.deepStrictEqual(own("/docker/abc", "0::/docker/abc/inner\n"), ["/sys/fs/cgroup/inner"])
    assert.deepStrictEqual(own("/", "0::/\n"), ["/sys/fs/cgroup"])
  })

  it("are none where nothing is mounted", () => {
    assert.deepStrictEqual(ControlGroups.trees("", "0::/\n"), [])
  })
})

/** Where this machine lets groups be made. */
const bases = ControlGroups.trees(
  readFileSync("/proc/self/mountinfo", "utf8"),
  readFileSync("/proc/self/cgroup", "utf8")
).flatMap(({ own, root }) => [own, root])

describe.skipIf(process.getuid?.() !== 0)("the groups of engines", () => {
  it.scoped("are left alone while their engine lives, though they are empty, and removed when it is gone", () =>
    Effect.gen(function* () {
      const limits = { memoryBytes: 2 ** 30, processes: 100, allMemoryBytes: 2 ** 31, allProcesses: 200, owner: 0 }
      const own = yield* Effect.scoped(
        Effect.map(ControlGroups.make(limits), () =>
          bases
            .flatMap((base) => readdirSync(base).map((name) => `${base}/${name}`))
            .find((path) => path.endsWith(`.${process.pid}`))
        )
      )
      if (own === undefined) return
      const of = (pid: number) => `${own.slice(0, -String(process.pid).length)}${pid}`
      const [living, gone] = [of(process.ppid), of(spawnSync("true").pid)]
      yield* Effect.acquireRelease(
        Effect.sync(() => [living, gone].forEach((group) => mkdirSync(`${group}/0`, { recursive: true }))),
        () => Effect.sync(() => [`${living}/0`, living].forEach((group) => rmdirSync(group)))
      )

      yield* ControlGroups.make(limits)
      assert.isTrue(existsSync(`${living}/0`), "a group of an engine that lives was taken from it")
      assert.isFalse(existsSync(gone), "the group of an engine that is gone has stayed")
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})
