import { assert, describe, it } from "@effect/vitest"
import { Config, Effect, Random, Schema } from "effect"
import { dataFolder, runDriver, users } from "./layerDriverProcess.js"

const GENERATIONS = 30

describe("reading an image", () => {
  for (const user of users) {
    it.scopedLive(
      `shows in listings, downloads and archives what the run saw, over ${GENERATIONS} random generations, for ${user}`,
      () =>
        Effect.gen(function* () {
          const seed = yield* Config.integer("LAYER_SEED").pipe(Effect.orElse(() => Random.nextIntBetween(1, 2 ** 31)))
          // Printed so that a failure can be repeated: LAYER_SEED=… vitest run …
          yield* Effect.logInfo(`${user}: LAYER_SEED=${seed}`)
          const report = yield* runDriver(
            user,
            {
              mode: "reads",
              data: yield* dataFolder(user),
              seed,
              generations: GENERATIONS,
              ids: user === "root" ? [100000, 100001, 100033, 2_097_151, 2_097_152] : [0]
            },
            Schema.Struct({ paths: Schema.Number, mismatches: Schema.Array(Schema.String), mounts: Schema.Number })
          )
          assert.deepStrictEqual(report.mismatches, [], `seed ${seed}`)
          assert.isAtLeast(report.paths, 20)
          assert.strictEqual(report.mounts, 0)
        }),
      240_000
    )
  }
})
