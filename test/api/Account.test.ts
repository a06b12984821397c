import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, Option, Schema } from "effect"
import { WhoAmI } from "../../src/api/Account.js"

describe("WhoAmI", () => {
  const read = Schema.decodeUnknownEither(WhoAmI)
  const least = { token_uuid: "t", permissions: { list: true, spawn: false } }

  it("is read with everything, with nulls, and with what it must have alone", () => {
    const full = Either.getOrThrow(
      read({
        ...least,
        token_expiration: 1,
        operations_stat: { running: 2 },
        limits: { instance_max_timeout: 600 },
        x: 1
      })
    )
    deepStrictEqual(full.permissions, least.permissions)
    deepStrictEqual([full.tokenExpiration, full.operationsStat], [Option.some(1), { running: 2 }])
    deepStrictEqual(full.limits, { instance_max_timeout: 600 })
    for (const bare of [least, { ...least, token_expiration: null, operations_stat: null, limits: null }]) {
      const { limits, operationsStat, tokenExpiration } = Either.getOrThrow(read(bare))
      deepStrictEqual([tokenExpiration, operationsStat, limits], [Option.none(), {}, {}])
    }
  })

  it("is written with the keys that strict readers need", () => {
    const written = Schema.encodeSync(WhoAmI)(Either.getOrThrow(read(least)))
    deepStrictEqual<object>(written, { ...least, token_expiration: null, operations_stat: {}, limits: {} })
  })

  it("is refused without a token or permissions", () => {
    for (const wrong of [{}, { token_uuid: "t" }, { ...least, permissions: { list: "yes" } }]) {
      assert.isTrue(Either.isLeft(read(wrong)))
    }
  })
})
