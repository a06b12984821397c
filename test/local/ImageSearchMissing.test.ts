import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as ImageSearch from "../../src/local/ImageSearch.js"
import * as Contree from "../fixtures/Contree.js"

vi.mock("@vscode/ripgrep", () => {
  throw new Error("the package is not installed")
})

describe("a search on a machine without ripgrep", () => {
  it.scopedLive("says which package is missing, and not that nothing was found", () =>
    Effect.gen(function* () {
      const root = yield* Contree.temporaryFolder
      const nothing = Effect.dieMessage("nothing of the image is read")
      const image = { root, idShift: 0, list: () => nothing, file: () => nothing }
      const { search } = yield* Effect.provideService(
        ImageSearch.make,
        FileSystem.FileSystem,
        // Where no program is found.
        FileSystem.makeNoop({})
      )
      const error = yield* Effect.flip(search(image, { pattern: ["x"] }))
      assert.strictEqual(error._tag === "ImageSearchError" ? error.reason : error._tag, "Missing")
      assert.include(error.message, "npm install @vscode/ripgrep")
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
