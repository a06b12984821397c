import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as EntryProgram from "../../src/local/internal/entryProgram.js"
import * as SandboxWorker from "./sandboxWorker.js"

const live = (name: string, test: Effect.Effect<unknown, unknown, NodeContext.NodeContext | Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(test, NodeContext.layer))

const identity = SandboxWorker.identities[0] ?? "user"
const instead = (what: string) =>
  `for d in /usr/bin /bin /usr/local/bin; do [ -e $d/bwrap ] && ! [ $d/bwrap -ef ${what} ] && mount --bind ${what} $d/bwrap; done; true`

/** A number of a call and of one of its arguments with a value: on such a call the kernel is to say "not permitted". */
interface RefusedCall {
  readonly number: readonly [x64: number, arm64: number]
  readonly argument: 0 | 1
  readonly value: number
}

/** The call that sets an interface's flags. Other launchers raise a loopback by a socket to the kernel. */
const settingFlags: RefusedCall = { number: [16, 29], argument: 1, value: 0x8914 }

/** `clone` with the flags that the built-in launcher gives it. */
const cloning: RefusedCall = { number: [56, 220], argument: 0, value: 0x6e020011 }

const filterOf = ({ argument, number, value }: RefusedCall): Uint8Array => {
  const bytes = new Uint8Array(6 * 8)
  const view = new DataView(bytes.buffer)
  const instructions: ReadonlyArray<readonly [code: number, then: number, otherwise: number, value: number]> = [
    [0x20, 0, 0, 0],
    [0x15, 0, 3, number[process.arch === "arm64" ? 1 : 0]],
    [0x20, 0, 0, 16 + 8 * argument],
    [0x15, 0, 1, value],
    [0x06, 0, 0, 0x00050001],
    [0x06, 0, 0, 0x7fff0000]
  ]
  instructions.forEach(([code, then, otherwise, operand], at) => {
    view.setUint16(at * 8, code, true)
    view.setUint8(at * 8 + 2, then)
    view.setUint8(at * 8 + 3, otherwise)
    view.setUint32(at * 8 + 4, operand, true)
  })
  return bytes
}

/** Text that starts the worker with a call refused to it and to all that it starts. */
const refusing = (call: RefusedCall) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "refusing-" })
    yield* fs.writeFile(
      `${folder}/program`,
      EntryProgram.make(process.arch === "arm64" ? "arm64" : "x64", {
        command: ["/bin/sh", `${folder}/worker`],
        env: {},
        cwd: "/",
        entersRoot: false,
        uid: 0,
        gid: 0,
        identity: "has",
        capabilities: Array.from({ length: 64 }, (_, index) => index),
        filter: filterOf(call),
        closes: []
      })
    )
    yield* fs.chmod(`${folder}/program`, 0o755)
    return `printf "exec '%s' '%s/program.cjs' outer '%s'\\n" "$1" "$2" "$3" >${folder}/worker; exec ${folder}/program`
  })

describe("the launcher", () => {
  live(
    "is the built-in one where it works",
    Effect.gen(function* () {
      const worker = yield* SandboxWorker.make({ identity })
      assert.deepStrictEqual([worker.launcher, worker.rejected], ["built-in", []])
    })
  )

  // To take a tool away from one process needs a mount of root's.
  if (SandboxWorker.isRoot) {
    live(
      "is bubblewrap where the kernel refuses a call to the built-in one, and the worker tells which",
      Effect.gen(function* () {
        const before = yield* refusing(settingFlags)
        const worker = yield* SandboxWorker.make({ identity, before })
        assert.strictEqual(worker.launcher, "bubblewrap")
        assert.include(
          worker.rejected[0] ?? "",
          "built-in: the sandbox could not be set up: the loopback: EPERM. Run it again"
        )
        assert.strictEqual((yield* worker.run({})).code, 0)
        // The flags of bubblewrap's are the same.
        const none = yield* SandboxWorker.make({ identity, before: yield* refusing(cloning) })
        assert.include(none.rejected[0] ?? "", "built-in: the sandbox could not be set up: its namespaces: EPERM")
      })
    )

    live(
      "is util-linux where bubblewrap is not installed either, and the worker tells why",
      Effect.gen(function* () {
        const before = `${instead("/dev/null")}; ${yield* refusing(settingFlags)}`
        const worker = yield* SandboxWorker.make({ identity, before })
        assert.strictEqual(worker.launcher, "util-linux")
        assert.match(worker.rejected[1] ?? "", /^bubblewrap: bubblewrap needs bwrap, not installed here\..*doctor/)
        assert.strictEqual((yield* worker.run({})).code, 0)
      })
    )

    live(
      "is util-linux where bubblewrap does not work either, and the worker tells what it said",
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const broken = yield* fs.makeTempFileScoped()
        yield* fs.writeFileString(broken, "#!/bin/sh\necho bwrap: no permission to make a namespace >&2\nexit 1\n")
        yield* fs.chmod(broken, 0o755)
        const before = `${instead(broken)}; ${yield* refusing(settingFlags)}`
        const worker = yield* SandboxWorker.make({ identity, before })
        assert.strictEqual(worker.launcher, "util-linux")
        assert.include(worker.rejected[1] ?? "", "no permission to make a namespace")
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
        const before = `${instead("/bin/true")}; ${yield* refusing(settingFlags)}`
        const worker = yield* SandboxWorker.make({ identity, before })
        assert.strictEqual(worker.launcher, "util-linux")
        assert.include(worker.rejected[1] ?? "", "bubblewrap did not run a program to its end: exit code 0")
      })
    )

    for (const shell of ["dash", "bash", "busybox"]) {
      live(
        `works with ${shell} as sh`,
        Effect.gen(function* () {
          for (const launcher of ["built-in", "bubblewrap", "util-linux"] as const) {
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
