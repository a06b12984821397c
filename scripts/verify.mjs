/** `npm run verify`: every gate in order, each a script of package.json; stops at the first that fails. */
import * as fs from "node:fs"
import { inRoot, readIfThere, run, say } from "./project.mjs"

const gates = [
  ["setup", "npm packages, and the programs that the tests start"],
  ["check:types", "type check: sources, tests, examples, benches; the client without Node's types"],
  ["check:effect", "Effect language-service diagnostics"],
  ["check:lint", "lint"],
  ["check:format", "format"],
  ["check:cycles", "import cycles"],
  ["docs", "reference documentation, its examples compiled and run"],
  ["build", "build"],
  ["check:bundle", "size of the client in a browser"],
  ["check:exports", "package.json and its types as others resolve them (publint, attw)"],
  ["check:packed", "the packed package, installed in an empty folder"],
  ["check:tests", "tests"]
]

const report = ".cache/vitest.json"
fs.rmSync(inRoot(report), { force: true })

const times = []
let failedGate
for (const [script, meaning] of gates) {
  say(`\n=== ${script}: ${meaning}`)
  const start = performance.now()
  const status =
    script === "setup"
      ? run(process.execPath, ["scripts/setup.mjs", "--no-build", "--tests"])
      : run("npm", ["run", "--silent", script])
  times.push(`${((performance.now() - start) / 1000).toFixed(1).padStart(7)} s  ${script}`)
  if (status !== 0) {
    failedGate = script
    say(`\n=== FAILED: ${script} (${meaning}). To run it alone: npm run ${script}`)
    break
  }
}

say(`\n${times.join("\n")}\n`)
const tests = JSON.parse(readIfThere(report) ?? "{}")
const passed = tests.numPassedTests ?? 0
const failed = Math.max(tests.numFailedTests ?? 0, failedGate === undefined ? 0 : 1)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
