import { assert, describe, it } from "@effect/vitest"
import { constants } from "node:os"
import { signalName } from "../../src/internal/signalNames.js"

describe("the name of a signal", () => {
  it("is that of this machine's own list", () => {
    for (const [name, number] of Object.entries(constants.signals)) {
      // Some numbers have two names; the list has the one that `kill -l` prints.
      if (["SIGIOT", "SIGPOLL", "SIGUNUSED"].includes(name)) continue
      assert.strictEqual(signalName(number), name)
    }
  })

  it("tells real-time signals by their distance from the first, and other numbers as they are", () => {
    assert.deepStrictEqual([34, 36, 64, 65, 32, 0].map(signalName), [
      "SIGRTMIN",
      "SIGRTMIN+2",
      "SIGRTMIN+30",
      "signal 65",
      "signal 32",
      "signal 0"
    ])
  })
})
