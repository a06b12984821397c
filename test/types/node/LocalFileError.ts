import { describe, expectTypeOf, it } from "@effect/vitest"
import type * as LocalFileError from "../../../src/node/LocalFileError.js"

describe("the types of LocalFileError", () => {
  it("name the file, or why an archive was refused", () => {
    expectTypeOf<LocalFileError.LocalFileError["path"]>().toEqualTypeOf<string>()
    expectTypeOf<LocalFileError.ArchiveRefused["reason"]>().toEqualTypeOf<"Malformed" | "TooLarge" | "UnsafeName">()
  })
})
