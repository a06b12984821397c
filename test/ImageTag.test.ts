import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, FastCheck, Schema } from "effect"
import * as ImageTag from "../src/ImageTag.js"

/** The rule as the API's document states it. */
const documented = /^[A-Za-z0-9][A-Za-z0-9_-]*(?:[:/.][A-Za-z0-9_-]+)*$/

describe("ImageTag", () => {
  const valid = [
    "a",
    "7",
    "myapp:ready",
    "MyApp:Ready",
    "a:b:c",
    "ghcr.io/o/i:t",
    "localhost:5000/foo:1",
    "team/app.v1-2_3",
    "a/-b",
    "a:_b",
    "x-",
    "x_",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "a".repeat(256)
  ]
  for (const tag of valid) {
    it(`takes ${tag.slice(0, 40)} as it is`, () => {
      assert.strictEqual<string>(Either.getOrThrow(ImageTag.fromString(tag)), tag)
      assert.isTrue(ImageTag.isImageTag(tag))
    })
  }

  const invalid: ReadonlyArray<readonly [what: string, input: string, position: number, reason: RegExp]> = [
    ["an empty tag", "", 0, /the tag is empty/],
    ["a tag of 257 characters", "a".repeat(257), 256, /at most 256 characters and this one has 257/],
    ["a tag that begins with a hyphen", "-a", 0, /begins with a letter or digit and not with "-"/],
    ["a tag that begins with an underscore", "_a", 0, /begins with a letter or digit and not with "_"/],
    ["a tag that begins with a separator", ".a", 0, /begins with a letter or digit/],
    ["two separators in a row", "a::b", 2, /":" follows another/],
    ["two different separators in a row", "a:/b", 2, /"\/" follows another/],
    ["a separator at the end", "myapp:", 6, /nothing follows ":"/],
    ["a blank", "my app", 2, /a blank cannot stand in a ConTree tag/],
    ["a line break", "app\n", 3, /U\+000A cannot stand/],
    ["a digest", `app@sha256:${"a".repeat(64)}`, 3, /"@" cannot stand/],
    ["a letter that is not ASCII", "büro", 1, /"ü" cannot stand/],
    ["a plus sign", "app:1.0+build", 7, /"\+" cannot stand/]
  ]
  for (const [what, input, position, reason] of invalid) {
    it(`refuses ${what}`, () => {
      const error = Either.getOrThrow(Either.flip(ImageTag.fromString(input)))
      deepStrictEqual([error.part, error.position], ["tag", position])
      assert.match(error.reason, reason)
      assert.isTrue(Either.isRight(ImageTag.fromString(error.example)))
    })
  }

  it("says through the schema what it says itself", () => {
    for (const input of ["myapp:", "a".repeat(257)]) {
      const error = Either.getOrThrow(Either.flip(ImageTag.fromString(input)))
      const issue = Either.getOrThrow(Either.flip(Schema.decodeUnknownEither(ImageTag.ImageTag)(input)))
      assert.strictEqual(issue.message, error.message)
    }
  })

  it.prop("every generated tag is valid and read back as itself", [ImageTag.ImageTag], ([tag]) => {
    assert.match(tag, documented)
    assert.isAtMost(tag.length, 256)
    deepStrictEqual(ImageTag.fromString(tag), Either.right(tag))
  })

  it.prop(
    "a text is a tag if and only if the documented pattern says so",
    [FastCheck.array(FastCheck.constantFrom("a", "Z", "1", "_", "-", ":", "/", ".", "@", " ", "é"), { maxLength: 9 })],
    ([chars]) => {
      const text = chars.join("")
      assert.strictEqual(Either.isRight(ImageTag.fromString(text)), documented.test(text))
      assert.strictEqual(ImageTag.isImageTag(text), documented.test(text))
    },
    { fastCheck: { numRuns: 2000 } }
  )
})
