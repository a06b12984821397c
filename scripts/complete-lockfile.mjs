/**
 * `npm run lockfile`: after `npm install` changed the lockfile.
 * npm leaves packages of other platforms out of the lockfile when the registry in use does not offer them, and
 * `npm ci` then refuses that lockfile on every machine. This adds them: version as their dependant wants it,
 * platform as their name says.
 */
import * as fs from "node:fs"
import { fail, inRoot, say } from "./project.mjs"

const operatingSystems = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32"
]
const processors = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"]

const file = inRoot("package-lock.json")
const lock = JSON.parse(fs.readFileSync(file, "utf8"))

/** Whether a package in `folder` finds `name`, by Node's walk up the node_modules folders. */
const resolves = (folder, name) => {
  for (let at = folder; ; at = at.slice(0, Math.max(at.lastIndexOf("/node_modules/"), 0))) {
    if (lock.packages[at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`] !== undefined) return true
    if (at === "") return false
    if (!at.includes("/node_modules/")) at = ""
  }
}

for (const [folder, dependant] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(dependant.optionalDependencies ?? {})) {
    if (resolves(folder, name)) continue
    const words = name.split(/[/-]/)
    const os = operatingSystems.filter((one) => words.includes(one))
    const cpu = processors.filter((one) => words.includes(one))
    if (os.length !== 1 || cpu.length !== 1)
      fail(`The name of ${name} does not say its platform; add it to package-lock.json by hand.`)
    const libc = words.some((word) => word.startsWith("musl"))
      ? ["musl"]
      : words.some((word) => word.startsWith("gnu"))
        ? ["glibc"]
        : undefined
    lock.packages[`node_modules/${name}`] = {
      version: version.replace(/^[\^~]/, ""),
      cpu,
      ...(dependant.dev === true ? { dev: true } : {}),
      ...(libc === undefined || os[0] !== "linux" ? {} : { libc }),
      optional: true,
      os
    }
    say(`added ${name}`)
  }
}

const [first, ...others] = Object.entries(lock.packages)
lock.packages = Object.fromEntries([first, ...others.sort(([a], [b]) => a.localeCompare(b, "en"))])
fs.writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`)
