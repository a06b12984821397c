import { assert, describe, it } from "@effect/vitest"
import { matcher } from "../../../src/node/internal/glob.js"

describe("patterns", () => {
  const rows: ReadonlyArray<
    readonly [pattern: string, matching: ReadonlyArray<string>, others: ReadonlyArray<string>]
  > = [
    ["*.log", ["a.log", "x/y/a.log", ".log"], ["a.log2", "a.log/b"]],
    ["/dist", ["dist"], ["x/dist", "dist2"]],
    ["node_modules/", ["node_modules", "x/node_modules"], ["node_modules2"]],
    ["src/**", ["src/a", "src/a/b"], ["src", "x/src/a"]],
    ["**/test/*.ts", ["test/a.ts", "x/y/test/a.ts"], ["test/x/a.ts", "mytest/a.ts"]],
    ["a?c", ["abc", "x/abc"], ["ac", "a/c"]],
    ["*.{ts,tsx}", ["a.ts", "a.tsx"], ["a.js", "a.t"]],
    ["{a,b*}/c", ["a/c", "bx/c"], ["c", "x/c"]],
    ["a+(b)[c].$", ["a+(b)[c].$"], ["aab"]],
    ["**", ["a", "a/b"], []],
    ["é*", ["été"], ["ete"]]
  ]
  it.each(rows)("%s matches what .gitignore would", (pattern, matching, others) => {
    const matches = matcher([pattern])
    for (const path of matching) assert.isTrue(matches(path), path)
    for (const path of others) assert.isFalse(matches(path), path)
  })

  it("match when one of them does, and no pattern matches nothing", () => {
    assert.isTrue(matcher(["a", "b"])("b"))
    assert.isFalse(matcher([])("b"))
  })
})
