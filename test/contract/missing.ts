import { assert, describe } from "@effect/vitest"
import { Effect, Either } from "effect"
import { endpoints } from "./endpoints.js"
import type { It } from "./suite.js"

export const missing = (it: It) => {
  describe("what is not there", () => {
    it.effect("is not found at any endpoint", () =>
      Effect.gen(function* () {
        for (const [name, { call, missing }] of Object.entries(endpoints)) {
          if (missing === "nothing") continue
          const answer = yield* Effect.either(call)
          const told = Either.isLeft(answer) ? `${answer.left._tag} ${answer.left.status ?? ""}` : String(answer.right)
          assert.strictEqual(told, missing === "false" ? "false" : "NotFound 404", name)
        }
      })
    )
  })
}
