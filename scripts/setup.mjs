/**
 * Makes a checkout ready to run: npm packages as the lockfile says, dist as src says.
 * Everything it prints goes to standard error, so that `npm run --silent serve` prints only its own lines.
 *
 * --no-build     npm packages only
 * --bubblewrap   also bubblewrap, where it is missing and may be installed; goes on without it
 * --tests        also the programs that the tests start; stops where one is missing and cannot be installed
 */
import { build, isBuilt } from "./dist.mjs"
import { exclusively, fail, readIfThere, run, say } from "./project.mjs"
import { bubblewrap, ensurePrograms, testPrograms } from "./system-packages.mjs"

/** Whether node_modules holds each package of the lockfile in its version. */
const isInstalled = () => {
  const installed = readIfThere("node_modules/.package-lock.json")
  if (installed === undefined) return false
  const there = JSON.parse(installed).packages
  return Object.entries(JSON.parse(readIfThere("package-lock.json")).packages).every(
    ([name, { optional, version }]) => name === "" || optional === true || there[name]?.version === version
  )
}

const [major, minor] = process.versions.node.split(".").map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node.js 20.19 or newer is needed, this is ${process.versions.node}: see https://nodejs.org/en/download`)
}

const needsBuild = () => !process.argv.includes("--no-build") && !isBuilt()
if (!isInstalled() || needsBuild()) {
  await exclusively(() => {
    if (!isInstalled()) {
      say("Installing npm packages ...")
      const status = run("npm", ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"])
      if (status !== 0) fail("npm ci failed; see its message above.")
    }
    if (needsBuild()) {
      say("Building ...")
      if (build() !== 0) fail("The build failed; see the compiler's messages above.")
    }
  })
}

if (process.argv.includes("--bubblewrap")) {
  const reason = ensurePrograms(bubblewrap)
  if (reason !== undefined) say(`${reason}\nGoing on without bubblewrap: sandboxes start with util-linux instead.`)
}
if (process.argv.includes("--tests")) {
  const reason = ensurePrograms(testPrograms())
  if (reason !== undefined) fail(`The tests start real registries and sandboxes. ${reason}`)
}
