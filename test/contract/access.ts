/** What a caller may do, where there are several callers: the engine in a process of one's own has one that may do all. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Permission } from "../../src/api/Account.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import { Callers } from "../fixtures/Contree.js"
import { endpoints } from "./endpoints.js"
import { failsWith } from "./steps.js"
import type { CallersIt } from "./suite.js"

export const access = (it: CallersIt) => {
  describe("a caller", () => {
    for (const granted of [...Permission.literals, undefined]) {
      it.effect(`${granted === undefined ? "without permissions" : `who may ${granted}`} is told so everywhere`, () =>
        Effect.gen(function* () {
          const { may } = yield* Callers
          yield* Effect.gen(function* () {
            const { permissions } = yield* Effect.flatMap(ContreeClient, ({ account }) => account.whoami)
            for (const name of Permission.literals) assert.strictEqual(permissions[name], name === granted)
            for (const [name, { call, permissions }] of Object.entries(endpoints)) {
              const allowed = permissions.some((one) => one === granted)
              const told = yield* Effect.match(call, { onFailure: ({ _tag }) => _tag, onSuccess: () => "done" })
              if (allowed) assert.notInclude(["Forbidden", "Unauthorized"], told, name)
              else assert.strictEqual(told, "Forbidden", name)
            }
          }).pipe(Effect.provide(may(granted)))
        })
      )
    }

    it.effect("whom nobody knows is refused everywhere", () =>
      Effect.gen(function* () {
        const { stranger } = yield* Callers
        yield* Effect.gen(function* () {
          const { account } = yield* ContreeClient
          yield* failsWith(account.whoami, "Unauthorized")
          for (const { call } of Object.values(endpoints)) yield* failsWith(call, "Unauthorized")
        }).pipe(Effect.provide(stranger))
      })
    )
  })
}
