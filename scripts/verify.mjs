/**
 * `npm run verify`: every gate in order, each a script of package.json; stops at the first that fails.
 *
 * The diagnostics of Effect's language service take as long as the gates between set-up and tests together, so they run
 * beside those; what they say is shown in their turn.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { inRoot, readIfThere, run, say } from "./project.mjs"

const gates = [
  ["setup", "npm packages, and the programs that the tests start"],
  ["check:types", "type check: sources, tests, examples, benches; the client without Node's types"],
  ["check:lint", "lint"],
  ["check:format", "format"],
  ["check:cycles", "import cycles"],
  ["docs", "reference documentation, its examples compiled and run"],
  ["build", "build"],
  ["check:bundle", "size of the client in a browser"],
  ["check:exports", "package.json and its types as others resolve them (publint, attw)"],
  ["check:packed", "the packed package, installed in an empty folder"],
  ["check:effect", "Effect language-service diagnostics"],
  ["check:tests", "tests"]
]

const report = ".cache/vitest.json"
fs.rmSync(inRoot(report), { force: true })

/** Starts a script; gives its exit code and what it said once it has ended. */
const start = (script) => {
  const child = spawn("npm", ["run", "--silent", script], { cwd: inRoot(), stdio: ["ignore", "pipe", "pipe"] })
  let said = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      said += text
    })
  }
  return new Promise((resolve) => child.on("close", (code) => resolve({ status: code ?? 1, said: said.trimEnd() })))
}

const times = []
const gate = async (script, meaning, carryOut) => {
  say(`\n=== ${script}: ${meaning}`)
  const begun = performance.now()
  const status = await carryOut()
  times.push(`${((performance.now() - begun) / 1000).toFixed(1).padStart(7)} s  ${script}`)
  if (status !== 0) say(`\n=== FAILED: ${script} (${meaning}). To run it alone: npm run ${script}`)
  return status === 0
}

let diagnostics
const carryOut = async (script) => {
  switch (script) {
    case "setup":
      return run(process.execPath, ["scripts/setup.mjs", "--no-build", "--tests"])
    case "check:effect": {
      const { said, status } = await diagnostics
      if (said !== "") say(said)
      return status
    }
    default:
      return run("npm", ["run", "--silent", script])
  }
}

let failedGate
for (const [script, meaning] of gates) {
  if (!(await gate(script, meaning, () => carryOut(script)))) {
    failedGate = script
    break
  }
  if (script === "setup") diagnostics = start("check:effect")
}

say(`\n${times.join("\n")}\n`)
const tests = JSON.parse(readIfThere(report) ?? "{}")
const passed = tests.numPassedTests ?? 0
const failed = Math.max(tests.numFailedTests ?? 0, failedGate === undefined ? 0 : 1)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
