/**
 * What the public functions need, give and fail with, a file for each module. The compiler checks them; here it is checked
 * that none is left out.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { readFileSync } from "node:fs"
import * as Client from "../../src/index.js"
import * as Local from "../../src/local/index.js"
import * as Node from "../../src/node/index.js"
import * as Testing from "../../src/testing/index.js"
import "./Command.js"
import "./ContreeApi.js"
import "./ContreeClient.js"
import "./ContreeConfig.js"
import "./ContreeError.js"
import "./ContreeMetrics.js"
import "./FileUpload.js"
import "./Hasher.js"
import "./Image.js"
import "./ImageFiles.js"
import "./ImageId.js"
import "./ImageRef.js"
import "./ImageTag.js"
import "./Instance.js"
import "./InstanceEvent.js"
import "./InvalidImageRef.js"
import "./OciReference.js"
import "./Operation.js"
import "./ResourceUsage.js"
import "./RetryPolicy.js"
import "./Run.js"
import "./Subprocess.js"
import "./WaitPolicy.js"
import "./local/Doctor.js"
import "./local/EngineConfig.js"
import "./local/EngineError.js"
import "./local/LocalContree.js"
import "./node/LocalFileError.js"
import "./node/LocalFiles.js"
import "./node/NodeHasher.js"
import "./node/ProfileFile.js"
import "./testing/CommandHandler.js"
import "./testing/FaultPlan.js"
import "./testing/FileTree.js"
import "./testing/TestContree.js"

const entryPoints = { "": Client, "local/": Local, "node/": Node, "testing/": Testing }

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8")

/** The declarations that the package keeps to itself. */
const internal = (source: string): ReadonlySet<string> =>
  new Set([...source.matchAll(/@internal(?:(?!\*\/)[^])*\*\/\s*export const (\w+)/g)].flatMap(([, name]) => name ?? []))

/** Classes and schemas are types themselves. */
const isType = (value: unknown): boolean =>
  Schema.isSchema(value) || (typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value)))

describe("the types", () => {
  it("are written down of everything that is public", () => {
    const self = text("types.test.ts")
    const missing = Object.entries(entryPoints).flatMap(([folder, modules]) =>
      Object.entries(modules).flatMap(([module, members]) => {
        const hidden = internal(text(`../../src/${folder}${module}.ts`))
        const written = text(`${folder}${module}.ts`)
        assert.include(self, `import "./${folder}${module}.js"`)
        return Object.entries(members)
          .filter(([name, value]) => !isType(value) && !hidden.has(name))
          .filter(([name]) => !new RegExp(String.raw`expectTypeOf\(\s*${module}\.${name}\b`).test(written))
          .map(([name]) => `${folder}${module}.${name}`)
      })
    )
    assert.deepStrictEqual(missing, [])
  })
})
