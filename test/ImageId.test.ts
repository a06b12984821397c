import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, JSONSchema, Schema } from "effect"
import * as ImageId from "../src/ImageId.js"

const canonical = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

describe("ImageId", () => {
  it("reads a UUID in any case and keeps it in lower case", () => {
    for (const text of [canonical, canonical.toUpperCase(), "7C9e6679-7425-40DE-944b-e07fc1f90ae7"]) {
      assert.strictEqual<string>(Either.getOrThrow(ImageId.fromString(text)), canonical)
      assert.strictEqual<string>(Schema.decodeUnknownSync(ImageId.ImageId)(text), canonical)
    }
  })

  it("knows an id by its lower case", () => {
    assert.isTrue(ImageId.isImageId(canonical))
    assert.isFalse(ImageId.isImageId(canonical.toUpperCase()))
  })

  const rows: ReadonlyArray<readonly [what: string, input: string, position: number, reason: RegExp]> = [
    ["an empty text", "", 0, /36 characters and this text has 0/],
    ["braces", `{${canonical}}`, 0, /hexadecimal digit is expected here and not "\{"/],
    ["a URN", `urn:uuid:${canonical}`, 0, /not "u"/],
    ["32 digits without hyphens", canonical.replaceAll("-", ""), 8, /"-" is expected here and not "7"/],
    ["a hyphen in the wrong place", "7c9e-66797425-40de-944b-e07fc1f90ae7", 4, /not "-"/],
    ["a letter after f", canonical.replace("e0", "g0"), 24, /not "g"/],
    ["a UUID cut short", canonical.slice(0, 30), 30, /36 characters and this text has 30/],
    ["a UUID with more after it", `${canonical}0`, 36, /36 characters and this text has 37/],
    ["a blank before it", ` ${canonical}`, 0, /not a blank/]
  ]
  for (const [what, input, position, reason] of rows) {
    it(`does not take ${what} for an id`, () => {
      const error = Either.getOrThrow(Either.flip(ImageId.fromString(input)))
      deepStrictEqual([error.part, error.position], ["uuid", position])
      assert.match(error.reason, reason)
      assert.isTrue(Either.isRight(ImageId.fromString(error.example)))
      assert.isTrue(Either.isLeft(Schema.decodeUnknownEither(ImageId.ImageId)(input)))
    })
  }

  it.prop("every generated id is read back as itself", [ImageId.ImageId], ([id]) => {
    deepStrictEqual(ImageId.fromString(id), Either.right(id))
    assert.strictEqual(Schema.encodeSync(ImageId.ImageId)(id), id)
    assert.isTrue(ImageId.isImageId(id))
  })

  it("is a string of format uuid in a document of the API", () => {
    assert.deepInclude(JSONSchema.make(ImageId.ImageId).$defs?.["ImageId"], { type: "string", format: "uuid" })
  })
})
