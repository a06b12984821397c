import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as SandboxWorker from "./sandboxWorker.js"

const live = (name: string, test: Effect.Effect<unknown, unknown, NodeContext.NodeContext | Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(test, NodeContext.layer))

const identity = SandboxWorker.identities[0] ?? "user"
const instead = (what: string) =>
  `for d in /usr/bin /bin /usr/local/bin; do [ -e $d/bwrap ] && ! [ $d/bwrap -ef ${what} ] && mount --bind ${what} $d/bwrap; done; true`

describe("the launcher", () => {
  live(
    "is bubblewrap where it works",
    Effect.gen(function* () {
      const worker = yield* SandboxWorker.make({ identity })
      assert.deepStrictEqual([worker.launcher, worker.rejected], ["bubblewrap", []])
    })
  )

  // To take a tool away from one process needs a mount of root's.
  if (SandboxWorker.isRoot) {
    live(
      "is util-linux where bubblewrap is not installed, and the worker tells why",
      Effect.gen(function* () {
        const worker = yield* SandboxWorker.make({ identity, before: instead("/dev/null") })
        assert.strictEqual(worker.launcher, "util-linux")
        assert.match(worker.rejected[0] ?? "", /^bubblewrap: bubblewrap needs bwrap, not installed here\..*doctor/)
        assert.strictEqual((yield* worker.run({})).code, 0)
      })
    )

    live(
      "is util-linux where bubblewrap does not work, and the worker tells what it said",
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const broken = yield* fs.makeTempFileScoped()
        yield* fs.writeFileString(broken, "#!/bin/sh\necho bwrap: no permission to make a namespace >&2\nexit 1\n")
        yield* fs.chmod(broken, 0o755)
        const worker = yield* SandboxWorker.make({ identity, before: instead(broken) })
        assert.strictEqual(worker.launcher, "util-linux")
        assert.include(worker.rejected[0] ?? "", "no permission to make a namespace")
      })
    )

    live(
      "asked for by name is not replaced by another",
      Effect.gen(function* () {
        const failure = yield* Effect.flip(
          SandboxWorker.make({ identity, launcher: "bubblewrap", before: instead("/dev/null") })
        )
        assert.include(failure.message, "bubblewrap needs bwrap, not installed here")
      })
    )

    live(
      "is not one that claims to have run a program and has not",
      Effect.gen(function* () {
        const worker = yield* SandboxWorker.make({ identity, before: instead("/bin/true") })
        assert.strictEqual(worker.launcher, "util-linux")
        assert.include(worker.rejected[0] ?? "", "bubblewrap did not run a program to its end: exit code 0")
      })
    )

    for (const shell of ["dash", "bash", "busybox"]) {
      live(
        `works with ${shell} as sh`,
        Effect.gen(function* () {
          for (const launcher of ["bubblewrap", "util-linux"] as const) {
            const worker = yield* SandboxWorker.make({
              identity,
              launcher,
              before: `sh=$(command -v ${shell}); mkdir "$2/sh"; cp "$sh" "$2/sh/sh"; chmod -R 755 "$2/sh"; PATH=$2/sh:$PATH; export PATH`
            })
            const run = yield* worker.shell("echo $0 $X; exit 3", {
              env: { PATH: "/bin", X: "'a'\n\u00e9" },
              uid: 1000,
              gid: 1000,
              cwd: "/n/o"
            })
            assert.deepStrictEqual(
              [launcher, run.code, SandboxWorker.text(run.stdout), SandboxWorker.text(run.stderr)],
              [launcher, 3, "/bin/sh 'a' \u00e9\n", ""]
            )
            assert.strictEqual((yield* worker.run({ command: ["/none"] })).code, 127)
            const killed = yield* worker.start({ command: ["/bin/sleep", "1000"] })
            yield* killed.started
            yield* killed.kill
            assert.strictEqual((yield* killed.outcome).code, 137)
            yield* killed.close
            assert.strictEqual((yield* worker.run({})).code, 0)
          }
        })
      )
    }
  }
})
