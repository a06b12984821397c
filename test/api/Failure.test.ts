import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, FastCheck, Schema } from "effect"
import { ApiFailure, failure, failureText } from "../../src/api/Failure.js"

const notFound = failure(404, "No such image")

describe("the body of a failure", () => {
  const rows: ReadonlyArray<readonly [error: unknown, text: string]> = [
    ["no such image", "no such image"],
    ["", ""],
    [{ limit: "too big" }, '{"limit":"too big"}'],
    [[{ msg: "a" }, { msg: "b" }], '[{"msg":"a"},{"msg":"b"}]'],
    [null, "null"],
    [7, "7"],
    [undefined, ""]
  ]
  it.each(rows)("is told in words, whatever its shape: %j", (error, text) => {
    assert.strictEqual(failureText(error), text)
  })

  it("is written with the status that it is declared for, and for no other", () => {
    const write = Schema.encodeEither(notFound)
    deepStrictEqual(
      write(new ApiFailure({ status: 404, error: "no such image" })),
      Either.right({ error: "no such image", status: 404 })
    )
    assert.isTrue(Either.isLeft(write(new ApiFailure({ status: 409, error: "over" }))))
  })

  it("is read with or without its optional keys", () => {
    const read = Schema.decodeUnknownEither(notFound)
    for (const body of [{ error: "x" }, { error: "x", status: 404, traceback: ["a"], hint: "new" }]) {
      const { error, message, status } = Either.getOrThrow(read(body))
      deepStrictEqual([error, message, status], ["x", "x", 404])
    }
    assert.isTrue(Either.isLeft(read("x")))
  })

  it.prop("is read from any JSON without throwing", [FastCheck.jsonValue()], ([value]) => {
    assert.isTrue(Either.isEither(Schema.decodeUnknownEither(notFound)(value)))
    assert.isString(failureText(value))
  })
})
