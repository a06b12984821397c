import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { createHash } from "node:crypto"
import { Permission } from "../../src/api/Account.js"
import * as AccessToken from "../../src/local/AccessToken.js"

const read = (json: unknown) =>
  AccessToken.fromFile("/etc/tokens.json", typeof json === "string" ? json : JSON.stringify(json))

describe("a file of tokens", () => {
  it.effect("gives each token its project, its permissions and its end; what is left out has a default", () =>
    Effect.gen(function* () {
      const digest = createHash("sha256").update("second").digest("hex")
      const [first, second] = yield* read({
        tokens: [
          { token: "first" },
          {
            name: "ci",
            sha256: digest,
            project: "build",
            projects: ["build", "test"],
            permissions: ["list", "spawn"],
            expires: "2030-01-01T00:00:00Z"
          }
        ]
      })
      assert.deepStrictEqual(first?.permissions, Permission.literals)
      assert.isUndefined(first?.projects)
      assert.deepStrictEqual(first?.expires, Option.none())
      assert.deepStrictEqual(
        [second?.name, second?.digest, second?.project, second?.projects, second?.permissions],
        ["ci", digest, "build", ["build", "test"], ["list", "spawn"]]
      )
      assert.strictEqual(second?.id, AccessToken.fromText("second").id)
    })
  )

  it.effect("that makes no sense is refused by what is wrong, without a word of a token", () =>
    Effect.gen(function* () {
      const secret = "s3cret-value"
      const cases: ReadonlyArray<readonly [unknown, string]> = [
        [`{"tokens": [{"token": "${secret}"`, "is not JSON"],
        [{ tokens: [] }, "tokens"],
        [{}, "tokens"],
        [{ tokens: [{ project: "mine" }] }, "either token or sha256"],
        [{ tokens: [{ token: secret, sha256: "0".repeat(64) }] }, "either token or sha256"],
        [{ tokens: [{ token: [secret] }] }, "tokens.0.token"],
        [{ tokens: [{ sha256: secret }] }, "tokens.0.sha256"],
        [{ tokens: [{ token: secret, permissions: ["everything"] }] }, "tokens.0.permissions.0"],
        [{ tokens: [{ token: secret, expires: "soon" }] }, "tokens.0.expires"],
        [{ tokens: [{ token: secret, projects: [] }] }, "tokens.0.projects"],
        [{ tokens: [{ token: secret, project: "a\u0000b" }] }, "no control characters"],
        [{ tokens: [{ token: secret, role: "admin" }] }, "role"],
        [{ tokens: [{ token: secret }, { sha256: createHash("sha256").update(secret).digest("hex") }] }, "tokens.1"]
      ]
      for (const [json, words] of cases) {
        const { message } = yield* Effect.flip(read(json))
        assert.include(message, "/etc/tokens.json")
        assert.include(message, words)
        assert.notInclude(message, secret)
      }
    })
  )
})

describe("a token", () => {
  it("is found among others by its text alone", () => {
    const tokens = ["a", "b", "c"].map((text) => AccessToken.fromText(text))
    assert.deepStrictEqual(AccessToken.find(tokens, "b"), Option.some(AccessToken.fromText("b")))
    for (const text of ["", "B", "bb"]) assert.isTrue(Option.isNone(AccessToken.find(tokens, text)))
    assert.isTrue(Option.isNone(AccessToken.find([], "a")))
  })

  it("has an id that is the same at each start and no part of its digest", () => {
    const { digest, id } = AccessToken.fromText("a token")
    assert.strictEqual(AccessToken.fromText("a token").id, id)
    assert.notStrictEqual(AccessToken.fromText("another").id, id)
    assert.notInclude(digest, id.slice(0, 8))
  })
})
