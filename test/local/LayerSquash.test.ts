import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Random, Schema } from "effect"
import * as OverlayMount from "../../src/local/OverlayMount.js"
import type { Chain } from "../../src/local/LayerStore.js"
import { LayerName } from "../../src/local/LayerStore.js"
import { dataFolder, runDriver, users } from "./layerDriverProcess.js"

const user = users[0] ?? "an ordinary user"

const Failure = Schema.Struct({
  operation: Schema.String,
  path: Schema.String,
  reason: Schema.String,
  code: Schema.String,
  detail: Schema.String,
  suggestion: Schema.String
})

const GENERATIONS = 60

const generations = (user: (typeof users)[number], settings: { readonly generations: number; readonly tar: boolean }) =>
  Effect.gen(function* () {
    const seed = yield* Config.integer("LAYER_SEED").pipe(Effect.orElse(() => Random.nextIntBetween(1, 2 ** 31)))
    // Printed so that a failure can be repeated: LAYER_SEED=… vitest run …
    yield* Effect.logInfo(`${user}: LAYER_SEED=${seed}`)
    const report = yield* runDriver(
      user,
      {
        mode: "generations",
        data: yield* dataFolder(user),
        seed,
        ids: user === "root" ? [100000, 100001, 100033] : [0],
        ...settings
      },
      Schema.Struct({
        flattened: Schema.Number,
        moved: Schema.Number,
        deepest: Schema.Number,
        seen: Schema.Record({ key: Schema.String, value: Schema.Number }),
        mismatches: Schema.Array(Schema.String),
        mounts: Schema.Number
      })
    )
    assert.deepStrictEqual(report.mismatches, [], `seed ${seed}`)
    assert.strictEqual(report.mounts, 0)
    return report
  })

describe("LayerSquash", () => {
  for (const user of users) {
    it.scopedLive(
      `shows the same image after ${GENERATIONS} random generations flattened every few, for ${user}`,
      () =>
        Effect.gen(function* () {
          const report = yield* generations(user, { generations: GENERATIONS, tar: true })
          assert.isAtLeast(report.flattened, 5)
          assert.isAtLeast(report.deepest, 5)
          for (const change of [
            "replaceTree",
            "fileToDirectory",
            "directoryToFile",
            "removeTree",
            "hardLink",
            "symlink"
          ]) {
            assert.isAtLeast(report.seen[change] ?? 0, 1, change)
          }
        }),
      240_000
    )
  }

  it.scopedLive(
    "moves times by no more than a microsecond on a machine without GNU tar",
    () =>
      Effect.gen(function* () {
        const report = yield* generations(user, { generations: 40, tar: false })
        assert.isAtLeast(report.flattened, 1)
        assert.isAbove(report.moved, 0)
        assert.isAtMost(report.moved, 1000)
      }),
    240_000
  )

  it.scopedLive("keeps the extended attributes of directories", () =>
    Effect.gen(function* () {
      const report = yield* runDriver(
        user,
        { mode: "attributes", data: yield* dataFolder(user) },
        Schema.Struct({ layers: Schema.Number, before: Schema.Boolean, after: Schema.Boolean })
      )
      assert.deepStrictEqual(report, { layers: 2, before: true, after: true })
    })
  )

  it.scopedLive("leaves no layer, no mount and no folder behind when it is interrupted", () =>
    Effect.gen(function* () {
      const report = yield* runDriver(
        user,
        { mode: "interrupt", data: yield* dataFolder(user), files: 2000 },
        Schema.Struct({
          interrupted: Schema.Number,
          left: Schema.Array(Schema.String),
          mismatches: Schema.Array(Schema.String)
        })
      )
      assert.isAtLeast(report.interrupted, 3)
      assert.deepStrictEqual(report.left, [])
      assert.deepStrictEqual(report.mismatches, [])
    })
  )

  it.scopedLive("goes on when a file system allows no further hard link of a file", () =>
    Effect.gen(function* () {
      const report = yield* runDriver(
        user,
        { mode: "links", data: yield* dataFolder(user) },
        Schema.Struct({
          counts: Schema.Array(Schema.Number),
          mismatches: Schema.Array(Schema.String),
          whiteouts: Schema.Number,
          ownFile: Schema.Boolean
        })
      )
      assert.deepStrictEqual(report.mismatches, [])
      assert.strictEqual(report.whiteouts, 20)
      // Only where there is a limit (ext4: 65 000) is the file a copy.
      assert.strictEqual(report.ownFile, (report.counts[1] ?? 0) < 70_000)
    })
  )
})

describe("OverlayMount", () => {
  for (const user of users) {
    it.scopedLive(`shows the layers of an image as one read-only tree, for ${user}`, () =>
      Effect.gen(function* () {
        const report = yield* runDriver(
          user,
          { mode: "views", data: yield* dataFolder(user) },
          Schema.Struct({
            untouched: Schema.Boolean,
            touchedRoot: Schema.Boolean,
            single: Schema.Struct({ own: Schema.Boolean, names: Schema.Array(Schema.String) }),
            several: Schema.Struct({
              names: Schema.Array(Schema.String),
              writable: Schema.Boolean,
              mounts: Schema.Number
            }),
            read: Schema.String,
            precious: Schema.Boolean,
            missing: Failure,
            refused: Failure,
            foreign: Failure,
            deep: Schema.Struct({ layers: Schema.Number, size: Schema.Number }),
            temporaries: Schema.Array(Schema.String),
            mounts: Schema.Number
          })
        )
        assert.isTrue(report.untouched, "a run that writes nothing has the image it ran on as its result")
        assert.isTrue(report.touchedRoot, "a new mode of / is a change")
        assert.deepStrictEqual(report.single, { own: true, names: ["base"] })
        assert.deepStrictEqual(report.several, { names: ["base", "top"], writable: false, mounts: 1 })
        assert.strictEqual(report.read, "top")
        assert.isTrue(report.precious, "what is mounted in a run's folder outlives the run")
        assert.strictEqual(report.missing.reason, "Missing")
        assert.match(report.missing.path, /\/l\/zzzz$/)
        assert.strictEqual(report.refused.reason, "Mount")
        assert.match(report.refused.suggestion, /doctor/)
        assert.strictEqual(report.foreign.reason, "Mismatch")
        assert.match(report.foreign.path, /\/base$/)
        assert.deepStrictEqual(report.deep, { layers: 122, size: 123 })
        assert.deepStrictEqual(report.temporaries, [])
        assert.strictEqual(report.mounts, 0)
      })
    )
  }

  it.effect("refuses a chain that the kernel would refuse, and says its limits", () =>
    Effect.gen(function* () {
      const chain = (length: number, name: (index: number) => string): Chain => [
        LayerName.make(name(0)),
        ...Array.from({ length: length - 1 }, (_, index) => LayerName.make(name(index + 1)))
      ]
      assert.match(yield* OverlayMount.viewOptions(chain(500, (n) => n.toString(36))), /^ro,userxattr,lowerdir=0:1:2:/)
      const deep = yield* Effect.flip(OverlayMount.viewOptions(chain(501, (n) => n.toString(36))))
      assert.strictEqual(deep.reason, "TooLong")
      assert.match(deep.message, /501 layers.*500 in 4095.*flatten/)
      const wide = yield* Effect.flip(OverlayMount.viewOptions(chain(500, (n) => (n + 1e13).toString(36))))
      assert.strictEqual(wide.reason, "TooLong")
    })
  )
})
