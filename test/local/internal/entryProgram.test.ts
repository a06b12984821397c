import { Command, FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as EntryProgram from "../../../src/local/internal/entryProgram.js"
import * as SeccompFilter from "../../../src/local/SeccompFilter.js"

const architecture = process.arch === "arm64" ? "arm64" : "x64"

/** Runs the program of the options in this process's own root, as the user of the suite. */
const run = (options: Partial<EntryProgram.EntryOptions> & Pick<EntryProgram.EntryOptions, "command">) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "entry-" })
    const file = `${folder}/program`
    yield* fs.writeFileString(`${folder}/script`, 'echo script "$@"\n')
    yield* fs.chmod(`${folder}/script`, 0o755)
    yield* fs.writeFile(
      file,
      EntryProgram.make(architecture, {
        env: { PATH: `/none:${folder}:/etc/passwd:/usr/bin:/bin` },
        cwd: "/",
        entersRoot: false,
        uid: process.getuid?.() ?? 0,
        gid: process.getgid?.() ?? 0,
        identity: "has",
        capabilities: [],
        filter: SeccompFilter.make(architecture),
        closes: [],
        ...options
      })
    )
    yield* fs.chmod(file, 0o755)
    const text = <E>(stream: Stream.Stream<Uint8Array, E>) => Stream.mkString(Stream.decodeText(stream))
    const child = yield* Command.start(Command.make(file))
    const [code, stdout, stderr] = yield* Effect.all([child.exitCode, text(child.stdout), text(child.stderr)], {
      concurrency: "unbounded"
    })
    return { code: Number(code), stdout, stderr }
  }).pipe(Effect.scoped)

layer(NodeContext.layer)("the program before a payload", (it) => {
  it.effect("gives it exactly its words, its environment and its folder", () =>
    Effect.gen(function* () {
      const words = ["a b", "", "'\"\\", "ü語"]
      assert.deepStrictEqual(
        yield* run({ command: ["/bin/sh", "-c", 'printf "%s|" "$@"; pwd', "sh", ...words], cwd: "/usr" }),
        {
          code: 0,
          stdout: `${words.join("|")}|/usr\n`,
          stderr: ""
        }
      )
      const { stdout } = yield* run({
        command: ["/usr/bin/env"],
        env: { "my.key": "1 2", LD_PRELOAD: "" },
        cwd: "/usr"
      })
      assert.deepStrictEqual(stdout.trimEnd().split("\n"), ["my.key=1 2", "LD_PRELOAD=", "PWD=/usr"])
    })
  )

  it.effect("looks in each folder of the PATH, past what is missing and what is no folder", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* run({ command: ["true"] })).code, 0)
      assert.strictEqual((yield* run({ command: ["true"], env: {} })).code, 0)
      assert.strictEqual((yield* run({ command: ["true"], env: { PATH: "/none" } })).code, 127)
      assert.strictEqual((yield* run({ command: ["true"], env: { PATH: "" }, cwd: "/usr/bin" })).code, 0)
    })
  )

  it.effect("gives a file without a first line to the shell", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* run({ command: ["script", "x  y", "z"] })).stdout, "script x  y z\n")
    })
  )

  it.effect("ends as a shell does where the command is missing, no program, or its folder is missing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run({ command: ["nonesuch"] }), {
        code: 127,
        stdout: "",
        stderr: "nonesuch: No such file or directory\n"
      })
      const refused = yield* run({ command: ["/etc/passwd"] })
      assert.strictEqual(refused.code, 126)
      assert.include(refused.stderr, "/etc/passwd: Permission denied")
      const folder = yield* run({ command: ["true"], cwd: "/none" })
      assert.strictEqual(folder.code, 126)
      assert.include(folder.stderr, "/none: the working directory")
    })
  )

  it.effect("leaves the payload no capability but those that are kept, no way to new ones, and the filter", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run({ command: ["cat", "/proc/self/status"], capabilities: [] })
      for (const line of ["CapInh:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]) {
        assert.include(stdout, line)
      }
      if (process.getuid?.() === 0) {
        assert.include(stdout, "CapEff:\t0000000000000000")
        assert.include(stdout, "CapBnd:\t0000000000000000")
      }
    })
  )

  it.effect("runs nothing where the filter is refused", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run({ command: ["echo", "ran"], filter: new Uint8Array(8).fill(255) }), {
        code: 126,
        stdout: "",
        stderr: "the sandbox cannot be entered\n"
      })
    })
  )
})
