import { Command, CommandExecutor, FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as MountNamespace from "../../src/local/MountNamespace.js"
import { eventually, mountsWith, processesWith } from "./machine.js"
import * as SandboxWorker from "./sandboxWorker.js"
import { text } from "./sandboxWorker.js"

const live = (name: string, test: () => Effect.Effect<unknown, unknown, NodeContext.NodeContext | Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(test(), NodeContext.layer))

describe("the worker's mount namespace", () => {
  for (const identity of SandboxWorker.identities) {
    live(`stores the ids of images as ${identity} can`, () =>
      Effect.gen(function* () {
        const worker = yield* SandboxWorker.make({ identity })
        assert.deepStrictEqual(
          [worker.idShift, worker.ownership],
          identity === "root" ? [100_000, "mapped"] : [0, identity === "user" ? "single" : "mapped"]
        )
      })
    )

    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      live(`leaves no process, mount or wrong file behind when the worker of ${identity} gets ${signal}`, () =>
        Effect.gen(function* () {
          const worker = yield* SandboxWorker.make({ identity })
          const mark = `5${worker.pid}4321`
          const run = yield* worker.start({
            command: [
              "/bin/sh",
              "-c",
              `trap '' 1 2 15; (setsid sh -c 'exec >/dev/null 2>&1 </dev/null; sleep ${mark}' &); echo up; sleep ${mark}`
            ]
          })
          yield* run.saw("up")
          assert.isAbove((yield* processesWith(mark)).length, 0)
          assert.isAbove((yield* mountsWith(worker.data)).length, 0)
          process.kill(worker.pid, signal)
          yield* eventually(processesWith(mark), (found) => found.length === 0)
          // The driver's own surroundings are left with it.
          yield* eventually(
            Effect.map(processesWith(`${worker.directory}/slot`), (found) =>
              found.filter(({ pid }) => pid === String(worker.pid))
            ),
            (found) => found.length === 0
          )
          yield* eventually(mountsWith(`upperdir=${worker.directory}/r/${run.id}/u`), (found) => found.length === 0)
          const fs = yield* FileSystem.FileSystem
          assert.deepStrictEqual((yield* fs.readDirectory(worker.data)).sort(), ["l", "p", "r"])
          assert.deepStrictEqual(yield* fs.readDirectory(`${worker.data}/p`), [])
        })
      )
    }
  }

  live("works with its data folder in a home that is closed to others, and hides none of its paths", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const home = yield* fs.makeTempDirectoryScoped()
      yield* fs.chmod(home, 0o700)
      const worker = yield* SandboxWorker.make({ identity: SandboxWorker.identities[0] ?? "user", parent: home })
      assert.strictEqual(text((yield* worker.shell("echo in")).stdout), "in\n")
      if (SandboxWorker.isRoot) {
        const elsewhere = yield* SandboxWorker.make({
          identity: "root",
          parent: home,
          before: 'mount --bind "$2" /mnt',
          seenAt: "/mnt/data"
        })
        assert.notStrictEqual(elsewhere.directory, "/mnt")
        assert.strictEqual(text((yield* elsewhere.shell("echo in")).stdout), "in\n")
      }
    })
  )

  live("gives a sandbox nothing of what the worker was started with", () =>
    Effect.gen(function* () {
      const worker = yield* SandboxWorker.make({
        identity: SandboxWorker.identities[0] ?? "user",
        // Descriptors beyond a gap, which Node does not close by itself.
        before:
          'printf \'#!/bin/bash\nexec 250<"%s" 251</\nexec "%s" "$@"\n\' "$2" "$node" >"$2/start"; chmod 755 "$2/start"; node=$2/start; export LEAK=leaked'
      })
      const run = yield* worker.shell(
        "ls -l /proc/self/fd; ls /proc/self/fd/250/ /proc/self/fd/251/; cat /proc/self/environ /proc/1/environ"
      )
      assert.include(text(run.stdout), " 250 -> /dev/null\n")
      assert.notInclude(text(run.stdout), worker.folder)
      assert.notInclude(text(run.stdout), "program.cjs")
      assert.notInclude(text(run.stdout), "leaked")
    })
  )

  live("is refused to a process that shares its mounts with its parent", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const before = yield* fs.readFileString("/proc/self/mountinfo")
      const failure = yield* Effect.flip(MountNamespace.make({ directory, keep: [] }))
      assert.deepStrictEqual(
        [failure.reason, failure.detail],
        ["SetupFailed", "the engine shares its mounts with the process that started it"]
      )
      assert.include(failure.suggestion, "MountNamespace.command")
      assert.strictEqual(yield* fs.readFileString("/proc/self/mountinfo"), before)
    })
  )

  live("names a data folder that is not there", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(MountNamespace.make({ directory: "/none/here", keep: [] }))
      assert.strictEqual(failure.reason, "SetupFailed")
      assert.include(failure.detail, "/none/here")
    })
  )

  live("says that unshare is missing, or what the kernel said", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(MountNamespace.command("true", [])).pipe(
        Effect.provideService(FileSystem.FileSystem, FileSystem.makeNoop({}))
      )
      assert.strictEqual(none.reason, "MissingTool")
      assert.include(none.message, "`unshare` of util-linux is not installed. `effect-contree doctor` names")
      const executor = yield* CommandExecutor.CommandExecutor
      const refusing = CommandExecutor.makeExecutor((command) =>
        executor.start(
          command._tag === "StandardCommand" && command.command.endsWith("unshare")
            ? Command.make("sh", "-c", "echo unshare: Operation not permitted >&2; exit 1")
            : command
        )
      )
      const refused = yield* Effect.flip(MountNamespace.command("true", [])).pipe(
        Effect.provideService(CommandExecutor.CommandExecutor, refusing)
      )
      assert.strictEqual(refused.reason, "Refused")
      assert.include(refused.detail, "unshare: Operation not permitted")
    })
  )
})
