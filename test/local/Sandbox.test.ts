import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { createServer } from "node:net"
import type { LauncherName } from "../../src/local/Launcher.js"
import { descends, eventually, mountsWith, processesWith } from "./machine.js"
import * as SandboxWorker from "./sandboxWorker.js"
import { text } from "./sandboxWorker.js"

class Worker extends Context.Tag("effect-contree/test/SandboxWorker")<Worker, SandboxWorker.Worker>() {
  static layer(identity: SandboxWorker.Identity, launcher: LauncherName) {
    return Layer.scoped(this, SandboxWorker.make({ identity, launcher })).pipe(Layer.provideMerge(NodeContext.layer))
  }
}

const everyByte = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1)).join("")
const odd = `'"\\$(id)\`id\`\n\t*?[a]{b,c}~#!&|;<>^%  ü 語 \u{1f600} -- -x ${everyByte}`

const hex = (value: string) => Buffer.from(value).toString("hex")

for (const identity of SandboxWorker.identities) {
  for (const launcher of ["built-in", "bubblewrap", "util-linux"] as const) {
    const canBeOthers = identity !== "user"
    layer(Worker.layer(identity, launcher), { excludeTestServices: true })(
      `a sandbox by ${launcher} for ${identity}`,
      (it) => {
        describe("gives back", () => {
          it.effect("both outputs and the exit code", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              assert.strictEqual(worker.launcher, launcher)
              const run = yield* worker.shell("echo out; echo err >&2; exit 5")
              assert.deepStrictEqual(
                [run.code, run.signal, text(run.stdout), text(run.stderr)],
                [5, undefined, "out\n", "err\n"]
              )
              for (const code of [0, 1, 125, 126, 127, 255]) {
                assert.strictEqual((yield* worker.shell(`exit ${code}`)).code, code)
              }
            })
          )

          it.effect("death by a signal as 128 and its number, also for a program that would ignore it as PID 1", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              // Not 3: busybox's shell ignores it by itself.
              for (const signal of [1, 2, 9, 15]) {
                const run = yield* worker.shell(`kill -${signal} $$; sleep 5; echo alive`)
                assert.deepStrictEqual([run.code, run.signal, text(run.stdout)], [128 + signal, signal, ""])
              }
            })
          )

          // Bubblewrap ends with 128 + n for both.
          if (launcher !== "bubblewrap") {
            it.effect("an exit code above 128 as one, told from death by a signal", () =>
              Effect.gen(function* () {
                const worker = yield* Worker
                for (const code of [129, 137, 143, 192]) {
                  const run = yield* worker.shell(`exit ${code}`)
                  assert.deepStrictEqual([run.code, run.signal], [code, undefined])
                }
              })
            )
          }

          it.effect("127 for a command that is not there and 126 for one that is no program, and says so", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (const command of ["/none", "none", "./none"]) {
                const run = yield* worker.run({ command: [command, "x"] })
                assert.deepStrictEqual([command, run.code], [command, 127])
                assert.include(text(run.stderr), command)
              }
              for (const command of ["/etc/kept", "../etc/kept"]) {
                const run = yield* worker.run({ command: [command], cwd: "/tmp" })
                assert.deepStrictEqual([command, run.code], [command, 126])
                assert.include(text(run.stderr), "ermission denied")
              }
            })
          )

          it.effect("ten megabytes of every byte, intact, on both outputs at once", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const script = "seq -w 1 1310720 >/tmp/x; (cat /tmp/x >&2) & cat /tmp/x; wait"
              const expected = Array.from(
                { length: 1310720 },
                (_, index) => `${String(index + 1).padStart(7, "0")}\n`
              ).join("")
              const run = yield* worker.shell(script)
              assert.isTrue(text(run.stdout) === expected && text(run.stderr) === expected)
              const noise = yield* worker.shell(
                "dd if=/dev/urandom of=/tmp/n bs=65537 count=16 2>/dev/null; md5sum </tmp/n >&2; cat /tmp/n"
              )
              assert.strictEqual(text(noise.stderr).split(" ")[0], createHash("md5").update(noise.stdout).digest("hex"))
            })
          )

          it.effect("output while the command runs", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.start({ command: ["/bin/sh", "-c", "echo first; sleep 1000"] })
              assert.strictEqual(yield* run.saw("first"), "first\n")
              yield* run.close
            })
          )

          it.effect("the most memory that it used, of each command anew, where control groups count it", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const large = yield* worker.shell("dd if=/dev/zero of=/dev/null bs=40M count=1")
              const small = yield* worker.shell("true")
              if (worker.bounded.memory && large.maxRss !== undefined) {
                assert.isAtLeast(large.maxRss, 40 * 1024)
                assert.isBelow(small.maxRss ?? 0, 30 * 1024)
              } else {
                assert.isUndefined(small.maxRss)
              }
            })
          )

          it.effect("the time that it took, and the processor time", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 0.2")
              assert.isAbove(run.elapsed, 200)
              assert.isAtLeast(run.userTime ?? 0, 20)
              assert.isBelow(run.userTime ?? 0, run.elapsed)
            })
          )
        })

        describe("is given", () => {
          it.effect("its input, or an empty one", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const stdin = new Uint8Array(300_000).map((_, index) => (index * 7) % 256)
              const run = yield* worker.run({ command: ["/bin/cat"], stdin })
              assert.isTrue(Buffer.from(stdin).equals(run.stdout))
              assert.strictEqual((yield* worker.run({ command: ["/bin/cat"] })).stdout.length, 0)
            })
          )

          it.effect("all of an input that is written and closed before the command reads it", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (const length of [0, 5, 300_000]) {
                const stdinLater = new Uint8Array(length).map((_, index) => (index * 7) % 256)
                const run = yield* worker.run({ command: ["/bin/cat"], stdinLater })
                assert.isTrue(Buffer.from(stdinLater).equals(run.stdout))
              }
            })
          )

          it.effect("arguments and variables byte for byte, whatever they hold", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.run({
                command: [
                  "/bin/sh",
                  "-c",
                  'for x in "$0" "$@" "$ODD" "$EMPTY"; do printf %s "$x" | od -An -v -tx1 | tr -d " \\n"; echo; done',
                  "",
                  odd,
                  "",
                  "a b"
                ],
                env: { PATH: "/bin", ODD: odd, EMPTY: "" }
              })
              assert.deepStrictEqual(text(run.stdout).split("\n"), ["", hex(odd), "", hex("a b"), hex(odd), "", ""])
            })
          )

          it.effect("exactly its environment, also names that no shell has and those that a loader obeys", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const env = {
                PATH: "/bin",
                "my.key": "a=b",
                "x-y": " ",
                LD_LIBRARY_PATH: "/none",
                LD_PRELOAD: "",
                IFS: "x",
                _: "u",
                HOME: "/h\nx"
              }
              const run = yield* worker.run({ command: ["/bin/cat", "/proc/self/environ"], env })
              assert.deepStrictEqual(
                text(run.stdout)
                  .split("\0")
                  .filter((line) => line !== "")
                  .sort(),
                [...Object.entries(env).map(([name, value]) => `${name}=${value}`), "PWD=/"].sort()
              )
            })
          )

          it.effect("its working directory, created where it is missing, through links of the image only", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (const [cwd, at, made] of [
                ["/", "/", undefined],
                ["/data", "/data", undefined],
                ["/made/a b/c'd\n", "/made/a b/c'd\n", "made/a b/c'd\n"],
                ["/link/inner/new", "/data/inner/new", "data/inner/new"],
                ["/up/sub", "/etc/sub", "etc/sub"],
                ["/../../x/./y//z/", "/x/y/z", "x/y/z"]
              ] as const) {
                const run = yield* worker.run({ command: ["/bin/readlink", "-n", "/proc/self/cwd"], cwd })
                assert.deepStrictEqual([run.code, text(run.stdout)], [0, at], text(run.stderr))
                if (made !== undefined) {
                  assert.strictEqual(yield* fileType(`${run.upper}/${made}`), "Directory")
                }
              }
            })
          )

          it.effect(
            "its host name, where it asks for none a network of nothing but a loopback, and the usual limits",
            () =>
              Effect.gen(function* () {
                const worker = yield* Worker
                const run = yield* worker.shell(
                  "hostname; ip -o link | wc -l; ping -c1 -w5 127.0.0.1 >/dev/null && echo pong; ulimit -c",
                  { hostname: "a-1.b", network: false }
                )
                assert.deepStrictEqual(text(run.stdout), "a-1.b\n1\npong\n0\n")
                const server = yield* Effect.acquireRelease(
                  Effect.async<ReturnType<typeof createServer>>((resume) => {
                    const listener = createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(listener)))
                  }),
                  (listener) => Effect.sync(() => listener.close())
                )
                const address = server.address()
                const port = address !== null && typeof address === "object" ? address.port : 0
                const reached = yield* worker.shell(`nc -w1 127.0.0.1 ${port} </dev/null && echo reached`)
                assert.strictEqual(text(reached.stdout), "")
              }).pipe(Effect.scoped)
          )

          it.effect("its user and group", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (const [uid, gid] of [
                [0, 0],
                [1000, 1000],
                [1000, 0],
                [0, 7],
                [65535, 65535]
              ] as const) {
                if (identity === "subordinate" && uid === 65535) continue
                const run = yield* worker.shell(
                  "echo $(id -u) $(id -g) $(id -G); echo a >/dev/stdout; echo b | tee /dev/stderr; ls -ln / | grep ' etc$' | tr -s ' '; grep CapEff /proc/self/status",
                  { uid, gid, network: false }
                )
                const [ids, a, b, etc = "", caps = ""] = text(run.stdout).split("\n")
                assert.deepStrictEqual([ids, a, b, text(run.stderr)], [`${uid} ${gid} ${gid}`, "a", "b", "b\n"])
                assert.match(etc, canBeOthers ? /^drwxr-xr-x 2 0 0 / : new RegExp(`^drwxr-xr-x 2 ${uid} ${gid} `))
                assert.strictEqual(caps, `CapEff:\t${uid === 0 ? "00000000a00425fb" : "0000000000000000"}`)
              }
            })
          )
        })

        describe("keeps apart", () => {
          it.effect(
            "what it writes: in the upper folder only, deletions as whiteouts, owners as the image has them",
            () =>
              Effect.gen(function* () {
                const worker = yield* Worker
                const fs = yield* FileSystem.FileSystem
                const before = yield* listing(`${worker.data}/l/base`)
                const run = yield* worker.shell(
                  "echo new >/tmp/new; rm /etc/kept; echo more >>/data/file; chown 1000:1000 /data/text; exit 0"
                )
                assert.deepStrictEqual(yield* listing(`${worker.data}/l/base`), before)
                assert.strictEqual(yield* fs.readFileString(`${run.upper}/tmp/new`), "new\n")
                assert.strictEqual(yield* fs.readFileString(`${run.upper}/data/file`), "filemore\n")
                const gone = yield* fs.stat(`${run.upper}/etc/kept`)
                assert.deepStrictEqual(
                  [gone.type, String(gone.rdev._tag === "Some" ? gone.rdev.value : -1)],
                  ["CharacterDevice", "0"]
                )
                const owned = yield* fs.stat(`${run.upper}/tmp/new`)
                assert.deepStrictEqual(owned.uid._tag === "Some" && owned.uid.value, SandboxWorker.hostId(identity, 0))
                if (canBeOthers) {
                  const given = yield* fs.stat(`${run.upper}/data/text`)
                  assert.deepStrictEqual(
                    given.uid._tag === "Some" && given.uid.value,
                    SandboxWorker.hostId(identity, 1000)
                  )
                }
              })
          )

          it.effect("nothing, when it writes nothing, also from an image without /proc and /dev", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const fs = yield* FileSystem.FileSystem
              const plain = yield* worker.shell("cat /etc/kept; : >/dev/null; ls /proc/self >/dev/null")
              assert.deepStrictEqual([plain.code, yield* fs.readDirectory(plain.upper)], [0, []])
              const bare = `${worker.data}/l/bare`
              yield* fs.makeDirectory(bare)
              yield* SandboxWorker.run("cp", "-a", `${worker.data}/l/base/bin`, bare)
              yield* SandboxWorker.run("chown", "--reference", `${worker.data}/l/base`, bare)
              const run = yield* worker.run({ layers: ["bare"], command: ["/bin/ls", "/"] })
              assert.deepStrictEqual([run.code, text(run.stdout), text(run.stderr)], [0, "bin\ndev\netc\nproc\n", ""])
              assert.deepStrictEqual(yield* fs.readDirectory(run.upper), [])
            })
          )

          it.effect("the layers below, in their order", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const fs = yield* FileSystem.FileSystem
              const first = yield* worker.shell("echo 1 >/data/file; rm /etc/kept")
              yield* fs.rename(first.upper, `${worker.data}/l/first`)
              const second = yield* worker.shell("cat /data/file; ls /etc; echo 2 >/data/file", {
                layers: ["first", "base"]
              })
              assert.strictEqual(text(second.stdout), "1\npasswd\nresolv.conf\n")
              yield* fs.rename(second.upper, `${worker.data}/l/second`)
              const third = yield* worker.shell("cat /data/file", { layers: ["second", "first", "base"] })
              assert.strictEqual(text(third.stdout), "2\n")
            })
          )

          it.effect("the machine: no file, process, descriptor, device or setting of it", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const fs = yield* FileSystem.FileSystem
              yield* fs.writeFileString(`${worker.folder}/secret`, "secret")
              const run = yield* worker.shell(
                `ls ${worker.folder} /sys /mnt; cd /proc; for p in [0-9]*; do cat $p/cmdline | tr '\\0' ' '; echo; done;
              for root in /proc/*/root /proc/*/cwd; do ls $root/mnt $root/../mnt $root/home; done;
              mknod /tmp/d b 254 0; mount -t tmpfs x /tmp; echo x >/proc/sys/kernel/core_pattern; echo 1 >/proc/sys/vm/drop_caches;
              ls /dev | tr '\\n' ' '; echo x >/dev/full; grep -c . /proc/self/mountinfo`
              )
              const said = text(run.stdout)
              assert.notInclude(said, "secret")
              assert.notInclude(said, "program.cjs")
              assert.notMatch(said, /\n(sd|vd|kmsg|mem|loop)/)
              const errors = text(run.stderr)
              assert.match(errors, /No space left on device/)
              for (const denied of ["mknod", "mount", "core_pattern", "drop_caches", worker.folder, "/sys"]) {
                assert.match(
                  errors,
                  new RegExp(`${denied}.*(ermission denied|not permitted|No such file|Read-only|nonexistent)`)
                )
              }
              const open = yield* worker.run({ command: ["/bin/ls", "-l", "/proc/self/fd"] })
              for (const line of text(open.stdout)
                .split("\n")
                .filter((line) => line.includes("->"))) {
                assert.match(
                  line,
                  /( 0 -> .*\/stdin| 1 -> .*\/out| 2 -> .*\/err| -> \/dev\/null| -> \/proc\/\d+\/fd)$/,
                  text(open.stdout)
                )
              }
            })
          )

          it.effect("secrets of its environment from every command line of the machine", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const secret = "swordfish-a8c1"
              const run = yield* worker.start({
                command: ["/bin/sh", "-c", "echo ${#TOKEN}; sleep 1000"],
                env: { PATH: "/bin", TOKEN: secret }
              })
              assert.strictEqual(yield* run.saw("\n"), "14\n")
              assert.deepStrictEqual(yield* processesWith(secret), [])
              yield* run.close
            })
          )
        })

        describe("ends", () => {
          const stubborn =
            "trap '' 1 2 3 15; (setsid sh -c 'trap \"\" 1 2 3 15; exec >/dev/null 2>&1 </dev/null; sh -c \"sleep 98765\" & sleep 98765' &) ; setsid nohup sleep 98765 >/dev/null 2>&1 & echo up; sleep 98765"

          it.effect("soon after a kill, with all that it started, and leaves no process and no mount", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (const end of ["kill", "close"] as const) {
                const run = yield* worker.start({ command: ["/bin/sh", "-c", stubborn] })
                yield* run.saw("up")
                yield* eventually(processesWith("98765"), (found) => found.length >= 3)
                const [took] = yield* Effect.timed(end === "kill" ? Effect.asVoid(run.kill) : run.close)
                assert.deepStrictEqual(yield* processesWith("98765"), [])
                assert.isBelow(Duration.toMillis(took), 1000)
                if (end === "kill") {
                  const outcome = yield* run.outcome
                  assert.deepStrictEqual([outcome.code, outcome.signal, text(outcome.stdout)], [137, 9, "up\n"])
                  yield* run.close
                }
                assert.deepStrictEqual(yield* mountsWith(`upperdir=${worker.directory}/r/${run.id}/u`), [])
              }
            })
          )

          it.effect("also when it is killed in the instant of its start, and its outputs end", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (let delay = 0; delay < 24; delay += 3) {
                const run = yield* worker.start({ command: ["/bin/sleep", "65432"] })
                yield* run.started
                yield* Effect.sleep(delay)
                yield* run.kill
                assert.strictEqual((yield* run.outcome).code, 137)
                assert.deepStrictEqual(yield* processesWith("65432"), [])
                yield* run.close
              }
              assert.strictEqual((yield* worker.run({})).code, 0)
            })
          )

          it.effect("when its command ends, with what that left behind", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const held = yield* worker.shell("(setsid sleep 87654 &); echo done")
              assert.deepStrictEqual([held.code, text(held.stdout)], [0, "done\n"])
              assert.deepStrictEqual(yield* processesWith("87654"), [])
              // So many that their end takes a while, and none holds an output.
              const run = yield* worker.start({
                command: [
                  "/bin/sh",
                  "-c",
                  "i=0; while [ $i -lt 600 ]; do sleep 87654 >/dev/null 2>&1 </dev/null & i=$((i+1)); done"
                ]
              })
              yield* run.outcome
              assert.deepStrictEqual(yield* processesWith("87654"), [])
              yield* run.close
            })
          )

          // The program unshare ends with 1 when its child is killed.
          if (launcher !== "util-linux") {
            it.effect("as killed when something outside kills its processes, and the next one runs", () =>
              Effect.gen(function* () {
                const worker = yield* Worker
                // Whoever has a number of its own in the sandbox: the first there, then the command.
                for (const number of ["1", "2"]) {
                  const run = yield* worker.start({ command: ["/bin/sh", "-c", "echo up; sleep 76541"] })
                  yield* run.saw("up")
                  const inside = yield* numbered(worker.pid, number)
                  assert.strictEqual(inside.length, 1)
                  for (const pid of inside) process.kill(pid, "SIGKILL")
                  const ended = yield* run.outcome
                  assert.deepStrictEqual([ended.code, ended.signal], [137, 9])
                  assert.deepStrictEqual(yield* processesWith("76541"), [])
                  yield* run.close
                }
                assert.strictEqual((yield* worker.run({})).code, 0)
              })
            )
          }

          it.effect("with an error when something outside ends it, and the next one runs", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const run = yield* worker.start({ command: ["/bin/sh", "-c", "echo up; sleep 76543"] })
              yield* run.saw("up")
              const shells = (yield* processesWith(`${worker.directory}/slot`)).filter(
                ({ pid, words }) => words[0] === "sh" && descends(pid, worker.pid)
              )
              assert.isAbove(shells.length, 0)
              for (const { pid } of shells) process.kill(Number(pid), "SIGKILL")
              const failure = yield* run.failure
              assert.strictEqual(failure.reason, "Died")
              assert.deepStrictEqual(yield* processesWith("76543"), [])
              assert.strictEqual((yield* worker.run({})).code, 0)
            })
          )
        })

        describe("refuses", () => {
          it.effect("what no sandbox can carry out, and says what to change", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              for (const [spec, expected] of [
                [{ command: ["a\0b"] }, /the command contains a NUL/],
                [{ command: ["a", "b\0"] }, /argument 1 contains a NUL/],
                [{ env: { "A\0": "" } }, /variable "A\\u0000" contains a NUL/],
                [
                  { env: { S: `hidden${"x".repeat(131_072)}` } },
                  /^the variable "S" is of 131080 bytes, the kernel takes 131071/
                ],
                [{ env: { "": "x" } }, /"" is no name of a variable/],
                [{ env: { "A=B": "x" } }, /"A=B" is no name of a variable/],
                [{ command: [""] }, /the command is empty/],
                [{ cwd: "data" }, /"data" is not absolute/],
                [{ hostname: "" }, /"" is no host name/],
                [{ hostname: "a b" }, /"a b" is no host name/],
                [{ hostname: "x".repeat(65) }, /is no host name/],
                [{ uid: 65_536 }, /65536 is no user id/],
                [{ gid: -1 }, /-1 is no group id/],
                [{ layers: [] }, /no layer/],
                [{ layers: ["../../etc"] }, /"..\/..\/etc" is no name of a layer/],
                [{ layers: Array.from({ length: 900 }, () => "base") }, /900 layers need \d+ bytes/],
                [{ directory: "/tmp" }, /^\/tmp\/u and \/tmp\/w are no folders of a run/],
                [{ directory: `${worker.data}/r/../../x` }, /are no folders of a run/],
                [{ directory: `${worker.data}/r/a,b` }, /are no folders of a run/],
                [{ cwd: "/etc/passwd" }, /working directory is no folder/],
                [{ cwd: "/etc/passwd/x" }, /working directory is no folder/],
                [{ cwd: "/loop/x" }, /working directory is no folder/]
              ] as const) {
                const failure = yield* worker.failure(spec as never)
                assert.match(failure.detail, expected)
                assert.strictEqual(failure.reason, "InvalidSpec")
                assert.notInclude(failure.detail, "hidden")
              }
              const missing = yield* worker.failure({ layers: ["none"] })
              assert.strictEqual(missing.reason, "Refused")
              assert.include(missing.detail, "could not be set up: mount")
            })
          )

          it.effect("an image whose /proc or /dev leads elsewhere", () =>
            Effect.gen(function* () {
              const worker = yield* Worker
              const fs = yield* FileSystem.FileSystem
              for (const name of ["proc", "dev"]) {
                const layer = `trick${name}`
                yield* fs.makeDirectory(`${worker.data}/l/${layer}`)
                yield* fs.symlink("/etc", `${worker.data}/l/${layer}/${name}`)
                const failure = yield* worker.failure({ layers: [layer, "base"] })
                assert.deepStrictEqual(
                  [failure.reason, failure.detail],
                  ["UnusableImage", `/${name} of the image is no folder`]
                )
              }
              assert.strictEqual((yield* worker.run({})).code, 0)
            })
          )
        })

        it.effect("runs fifty commands on two places, each with its own result", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            yield* Effect.forEach(
              Array.from({ length: 50 }, (_, index) => index),
              (index) =>
                Effect.map(worker.shell(`echo ${index}; echo ${index} >/tmp/mine; ls /tmp; exit ${index}`), (run) =>
                  assert.deepStrictEqual([run.code, text(run.stdout)], [index, `${index}\nmine\n`])
                ),
              { concurrency: "unbounded", discard: true }
            )
            const slots = (yield* processesWith("--kill-child=KILL")).filter(({ pid }) => descends(pid, worker.pid))
            assert.strictEqual(slots.length, 2)
          })
        )

        it.effect("lets go of a place that a command still waits for", () =>
          Effect.gen(function* () {
            const worker = yield* Worker
            const busy = [
              yield* worker.start({ command: ["/bin/sleep", "1000"] }),
              yield* worker.start({ command: ["/bin/sleep", "1000"] })
            ]
            for (const run of busy) yield* run.started
            const waiting = yield* worker.start({ command: ["/bin/echo", "late"] })
            assert.isTrue((yield* Effect.timeoutOption(waiting.started, "200 millis"))._tag === "None")
            yield* busy[0]?.close ?? Effect.void
            assert.strictEqual(text((yield* waiting.outcome).stdout), "late\n")
            yield* waiting.close
            yield* busy[1]?.close ?? Effect.void
          })
        )
      }
    )
  }
}

const fileType = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.map(fs.stat(path), (info) => info.type))

/** The processes below one that have this number in a pid namespace of a pid namespace. */
const numbered = (worker: number, inside: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const names = (yield* fs.readDirectory("/proc")).filter((name) => /^\d+$/.test(name))
    const found = yield* Effect.filter(names, (name) =>
      Effect.map(
        Effect.orElseSucceed(fs.readFileString(`/proc/${name}/status`), () => ""),
        (status) => new RegExp(`^NSpid:\t\\d+\t\\d+\t${inside}$`, "m").test(status) && descends(name, worker)
      )
    )
    return found.map(Number)
  })

const listing = (folder: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.flatMap(fs.readDirectory(folder, { recursive: true }), (names) =>
      Effect.forEach(names.sort(), (name) =>
        Effect.map(Effect.option(fs.stat(`${folder}/${name}`)), (info) =>
          info._tag === "None"
            ? name
            : `${name} ${info.value.type} ${info.value.mode} ${info.value.size} ${String(info.value.mtime)}`
        )
      )
    )
  )
