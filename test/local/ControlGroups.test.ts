import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
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

describe("the groups of engines", () => {
  it.scoped("are left alone while their engine lives, though they are empty, and removed when it is gone", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const base = yield* fs.makeTempDirectoryScoped()
      const gone = spawnSync("true").pid
      const groups = [`own.${process.ppid}`, `own.${gone}`, `other.${gone}`]
      for (const group of groups) yield* fs.makeDirectory(`${base}/${group}/0`, { recursive: true })
      yield* Effect.sync(() => ControlGroups.sweep(base, "own."))
      assert.sameMembers(yield* fs.readDirectory(base), [`own.${process.ppid}`, `other.${gone}`])
      assert.deepStrictEqual(yield* fs.readDirectory(`${base}/own.${process.ppid}`), ["0"])
    }).pipe(Effect.provide(NodeFileSystem.layer))
  )
})
