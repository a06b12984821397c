import { describe, expectTypeOf, it } from "@effect/vitest"
import type { ProcessNumber } from "../../src/api/Subprocesses.js"
import type { Process } from "../../src/Instance.js"
import type { Subprocess } from "../../src/Subprocess.js"

describe("the types of Subprocess", () => {
  it("are those of a process, and its number", () => {
    expectTypeOf<Subprocess>().toExtend<Process>()
    expectTypeOf<Omit<Subprocess, keyof Process>>().toEqualTypeOf<{ readonly spid: ProcessNumber }>()
  })
})
