import type { CommandExecutor, FileSystem } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect } from "effect"
import * as Doctor from "../../../src/local/Doctor.js"

describe("the types of Doctor", () => {
  it("find things without any failure", () => {
    expectTypeOf(Doctor.report).toEqualTypeOf<
      (
        options: Doctor.DoctorOptions
      ) => Effect.Effect<ReadonlyArray<Doctor.Finding>, never, CommandExecutor.CommandExecutor | FileSystem.FileSystem>
    >()
    expectTypeOf(Doctor.render).toEqualTypeOf<(findings: ReadonlyArray<Doctor.Finding>) => string>()
  })
})
