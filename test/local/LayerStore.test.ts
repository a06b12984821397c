import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashSet, Layer, Schedule, Schema, type Scope } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as LayerStore from "../../src/local/LayerStore.js"
import * as LayerStoreError from "../../src/local/LayerStoreError.js"
import { dataFolder, killDriver, runDriver, users } from "./layerDriverProcess.js"

const user = users[0] ?? "an ordinary user"

const names = (...all: ReadonlyArray<string>) =>
  HashSet.fromIterable(all.map((name) => LayerStore.LayerName.make(name)))

/** Opens a store, uses it, and closes it: what it removes in the background is gone then. */
const session = <A, E>(
  options: {
    readonly directory: string
    readonly known?: HashSet.HashSet<LayerStore.LayerName>
    readonly durable?: boolean
  },
  use: (store: LayerStore.LayerStore.Service) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.scoped(Effect.flatMap(LayerStore.LayerStore, use)).pipe(
    Effect.provide(
      LayerStore.layer({
        directory: options.directory,
        known: Effect.succeed(options.known ?? HashSet.empty()),
        durable: options.durable
      })
    )
  )

const imported = (store: LayerStore.LayerStore.Service, fill: (root: string) => void = () => {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const fresh = yield* store.newImport
      fill(fresh.root)
      return yield* store.commitImport(fresh)
    })
  )

const entries = (path: string) => Fs.readdirSync(path).sort()

describe("LayerStore", () => {
  it.scopedLive("keeps its folders private to the user who runs the engine", () =>
    Effect.gen(function* () {
      const directory = `${yield* dataFolder(user)}/fresh`
      yield* session({ directory }, () => Effect.void)
      for (const folder of [directory, `${directory}/l`, `${directory}/r`, `${directory}/t`]) {
        assert.strictEqual(Fs.statSync(folder).mode & 0o777, 0o700, folder)
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("leaves the mode of a data folder that was there as it is", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      Fs.chmodSync(directory, 0o755)
      yield* session({ directory }, () => Effect.void)
      assert.strictEqual(Fs.statSync(directory).mode & 0o777, 0o755)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("gives a run an upper directory that looks like the root of its image", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      const owner = process.getuid?.() === 0 ? 100_000 : (process.getuid?.() ?? 0)
      yield* session({ directory }, (store) =>
        Effect.gen(function* () {
          const top = yield* imported(store, (root) => {
            Fs.chownSync(root, owner, owner)
            Fs.chmodSync(root, 0o3751)
            Fs.utimesSync(root, 1, 1_234_567_890.5)
          })
          const run = yield* store.newRun(top)
          const stats = Fs.statSync(run.upper)
          assert.deepStrictEqual(
            [stats.mode & 0o7777, stats.uid, stats.gid, stats.mtimeMs],
            [0o3751, owner, owner, 1_234_567_890_500]
          )
          assert.strictEqual(run.upper, `${directory}/r/${run.name}/u`)
          assert.strictEqual(run.work, `${directory}/r/${run.name}/w`)
        })
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("fails with the missing layer when a run asks for one that is not there", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      const error = yield* session({ directory }, (store) => Effect.flip(store.newRun(LayerStore.LayerName.make("zz"))))
      assert.strictEqual(error.reason, "Missing")
      assert.strictEqual(error.path, `${directory}/l/zz`)
      assert.deepStrictEqual(entries(`${directory}/r`), [])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("turns what a run wrote into a layer and leaves nothing else of the run", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      yield* session({ directory }, (store) =>
        Effect.gen(function* () {
          const base = yield* imported(store)
          const layer = yield* Effect.scoped(
            Effect.gen(function* () {
              const run = yield* store.newRun(base)
              assert.isTrue(yield* store.isEmpty(run))
              Fs.writeFileSync(`${run.upper}/file`, "content")
              // What the kernel leaves in the work directory of a volatile overlay.
              Fs.mkdirSync(`${run.work}/work/incompat/volatile`, { recursive: true })
              Fs.chmodSync(`${run.work}/work`, 0)
              assert.isFalse(yield* store.isEmpty(run))
              const layer = yield* store.commit(run)
              const again = yield* Effect.flip(store.commit(run))
              assert.strictEqual(again.reason, "Missing")
              return layer
            })
          )
          assert.strictEqual(Fs.readFileSync(`${store.path(layer)}/file`, "utf8"), "content")
          assert.deepStrictEqual(entries(`${directory}/r`), [])
          assert.isTrue(HashSet.has(yield* store.layers, layer))
        })
      )
      assert.deepStrictEqual(entries(`${directory}/t`), [])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sees a run that changed only the mode of its root as one that wrote", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      yield* session({ directory }, (store) =>
        Effect.gen(function* () {
          const run = yield* store.newRun(yield* imported(store))
          Fs.chmodSync(run.upper, 0o1777)
          assert.isFalse(yield* store.isEmpty(run))
        })
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("removes a run and an import that were not committed when their scope closes", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      yield* session({ directory }, (store) =>
        Effect.gen(function* () {
          const base = yield* imported(store)
          yield* Effect.scoped(
            Effect.gen(function* () {
              const run = yield* store.newRun(base)
              Fs.mkdirSync(`${run.upper}/deep/er`, { recursive: true })
              Fs.symlinkSync(directory, `${run.upper}/deep/link`)
              Fs.writeFileSync(`${(yield* store.newImport).root}/file`, "")
            })
          )
          assert.deepStrictEqual(entries(`${directory}/r`), [])
        })
      )
      assert.deepStrictEqual(entries(`${directory}/t`), [])
      assert.deepStrictEqual(entries(`${directory}/l`), ["0"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("removes a folder whose paths are too long to be named", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      yield* session({ directory }, (store) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { root } = yield* store.newImport
            execFileSync(
              "sh",
              ["-c", `n=$(printf %0200d 0); for i in $(seq 30); do mkdir $n && cd -P $n; done; : > end`],
              {
                cwd: root
              }
            )
          })
        )
      )
      assert.deepStrictEqual(entries(`${directory}/t`), [])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sweeps what a killed engine left: runs, temporaries, and layers that the database does not list", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      for (const path of [
        "r/0/u/etc",
        "r/0/w/work",
        "t/0/usr",
        "t/odd name",
        "l/1/kept",
        "l/2/orphan",
        "l/not-a-layer"
      ]) {
        Fs.mkdirSync(`${directory}/${path}`, { recursive: true })
      }
      yield* session({ directory, known: names("1") }, (store) =>
        Effect.gen(function* () {
          // At once, though the space follows later.
          assert.deepStrictEqual(entries(`${directory}/l`), ["1", "not-a-layer"])
          assert.deepStrictEqual(entries(`${directory}/r`), [])
          yield* store.newImport
          yield* store.newRun(LayerStore.LayerName.make("1"))
          yield* Effect.sync(() => entries(`${directory}/t`).length).pipe(
            Effect.repeat({ until: (count) => count === 1, schedule: Schedule.spaced(5), times: 200 })
          )
        })
      )
      assert.deepStrictEqual(entries(`${directory}/t`), [])
      assert.deepStrictEqual(entries(`${directory}/l/1`), ["kept"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("never gives a layer a name that another one had, though that one is gone", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      const first = yield* session({ directory }, (store) =>
        Effect.gen(function* () {
          const all = [yield* imported(store), yield* imported(store), yield* imported(store)]
          yield* store.remove(all.slice(1))
          return all
        })
      )
      assert.deepStrictEqual(first, ["0", "1", "2"])
      assert.deepStrictEqual(entries(`${directory}/l`), ["0"])
      // The sweep of an unlisted layer is a removal too.
      const second = yield* session({ directory, known: names("0") }, imported)
      assert.strictEqual(second, "3")
      const third = yield* session({ directory, known: names("0") }, imported)
      assert.strictEqual(third, "4")
      // A layer that the database lists counts, though its folder is missing.
      const fourth = yield* session({ directory, known: names("0", "zz") }, imported)
      assert.strictEqual(fourth, "100")
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("measures a layer by its files, each inode once", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      yield* session({ directory }, (store) =>
        Effect.gen(function* () {
          const layer = yield* imported(store, (root) => {
            Fs.mkdirSync(`${root}/a`)
            Fs.writeFileSync(`${root}/a/file`, "12345")
            Fs.linkSync(`${root}/a/file`, `${root}/again`)
            Fs.symlinkSync("/etc/passwd", `${root}/link`)
          })
          assert.deepStrictEqual(yield* store.cost(layer), { bytes: 5, entries: 4 })
          const other = yield* imported(store, (root) => Fs.linkSync(`${store.path(layer)}/again`, `${root}/shared`))
          assert.deepStrictEqual(yield* store.cost(other), { bytes: 5, entries: 1 })
          assert.deepStrictEqual(yield* store.size, { bytes: 5, entries: 7 })
          yield* store.remove([other, LayerStore.LayerName.make("nope")])
          const gone = yield* Effect.flip(store.cost(other))
          assert.strictEqual(gone.reason, "Missing")
        })
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("waits for the disk before a durable commit, and commits nothing if the disk refuses", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      const asked: Array<string> = []
      let refuse = false
      const recording = Layer.effect(
        CommandExecutor.CommandExecutor,
        Effect.map(CommandExecutor.CommandExecutor, (real) =>
          CommandExecutor.makeExecutor((command) => {
            if (command._tag === "StandardCommand") {
              asked.push([command.command, ...command.args].join(" "))
            }
            return real.start(refuse ? Command.make("sync", "-f", "/none") : command)
          })
        )
      )
      const durable = session({ directory, durable: true }, (store) =>
        Effect.gen(function* () {
          const base = yield* imported(store)
          const run = yield* store.newRun(base)
          Fs.writeFileSync(`${run.upper}/file`, "content")
          yield* store.commit(run)
          assert.include(asked, `sync -f ${run.upper}`)
          const lost = yield* store.newRun(base)
          const before = entries(`${directory}/l`)
          refuse = true
          const error = yield* Effect.flip(store.commit(lost))
          assert.strictEqual(error.operation, "flush")
          assert.match(error.detail, /none/)
          assert.deepStrictEqual(entries(`${directory}/l`), before)
          refuse = false
        })
      )
      yield* Effect.provide(durable, recording)
      asked.length = 0
      yield* Effect.provide(session({ directory }, imported), recording)
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("has each committed layer whole after the engine was killed, and no other", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      const [base = "", ...committed] = yield* killDriver({ mode: "commits", data: directory }, 60)
      assert.isAtLeast(committed.length, 59)
      yield* session({ directory, known: names(base, ...committed) }, (store) =>
        Effect.gen(function* () {
          const present = yield* store.layers
          assert.strictEqual(HashSet.size(present), committed.length + 1)
          for (const name of committed) {
            assert.strictEqual(entries(`${directory}/l/${name}`).length, 20, name)
          }
          assert.deepStrictEqual(entries(`${directory}/r`), [])
        })
      )
      assert.deepStrictEqual(entries(`${directory}/t`), [])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("says that the disk is full, what to do, and stays sound", () =>
    Effect.gen(function* () {
      const Failure = Schema.Struct({ reason: Schema.String, code: Schema.String, message: Schema.String })
      const report = yield* runDriver(
        user,
        { mode: "full", data: yield* dataFolder(user) },
        Schema.Struct({
          squash: Failure,
          run: Failure,
          sound: Schema.Struct({
            names: Schema.Boolean,
            runs: Schema.Array(Schema.String),
            temporaries: Schema.Array(Schema.String),
            mounts: Schema.Number,
            difference: Schema.Array(Schema.String)
          }),
          afterwards: Schema.Array(Schema.String)
        })
      )
      for (const failure of [report.squash, report.run]) {
        assert.strictEqual(failure.reason, "DiskFull")
        assert.strictEqual(failure.code, "ENOSPC")
        assert.match(failure.message, /no space left.*Free space/)
      }
      assert.deepStrictEqual(report.sound, { names: true, runs: [], temporaries: [], mounts: 0, difference: [] })
      assert.deepStrictEqual(report.afterwards, [], "after a removal the same squash succeeds")
    })
  )

  it.scopedLive("fails with the path when something else occupies its place", () =>
    Effect.gen(function* () {
      const directory = yield* dataFolder(user)
      Fs.writeFileSync(`${directory}/l`, "not a folder")
      const error = yield* Effect.flip(session({ directory }, () => Effect.void))
      assert.strictEqual(error.reason, "Occupied")
      assert.strictEqual(error.path, `${directory}/l`)
    }).pipe(Effect.provide(NodeContext.layer))
  )
})

describe("LayerStoreError", () => {
  it("tells apart what a program would do differently about", () => {
    const reasons = [
      "ENOSPC",
      "EDQUOT",
      "EACCES",
      "EPERM",
      "EROFS",
      "ENOENT",
      "EEXIST",
      "ENOTEMPTY",
      "ENAMETOOLONG",
      "EIO"
    ].map((code) => LayerStoreError.make({ operation: "write", path: "/x", code, detail: code }).reason)
    assert.deepStrictEqual(reasons, [
      "DiskFull",
      "DiskFull",
      "Denied",
      "Denied",
      "Denied",
      "Missing",
      "Occupied",
      "Occupied",
      "TooLong",
      "Failed"
    ])
  })

  it("names the operation, the path, the cause and the way out in its message", () => {
    const error = LayerStoreError.make({ operation: "rename", path: "/x", code: "ENOSPC", detail: "no space" })
    assert.match(error.message, /^rename \/x: no space\. Free space/)
  })
})
