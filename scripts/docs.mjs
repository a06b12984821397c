/**
 * `npm run docs`: the examples of the guides, then the reference of every module into docs/modules.
 * docgen stops at an export without description or @since, and at an @example that does not compile or run.
 */
import * as fs from "node:fs"
import { checkExamples } from "./docs-examples.mjs"
import { inRoot, run } from "./project.mjs"

fs.rmSync(inRoot(".docgen"), { recursive: true, force: true })
process.exitCode = checkExamples() || run("docgen", ["--run-examples"])
if (process.exitCode === 0) {
  fs.rmSync(inRoot("docs/modules"), { recursive: true, force: true })
  fs.cpSync(inRoot(".docgen/modules"), inRoot("docs/modules"), { recursive: true })
}
