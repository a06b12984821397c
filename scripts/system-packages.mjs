/** Programs that npm does not bring, through the system's package manager where that is permitted. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { readIfThere, run, say } from "./project.mjs"

const managers = [
  { program: "apt-get", refresh: ["update"], install: ["install", "--yes"] },
  { program: "dnf", install: ["install", "--assumeyes"] },
  { program: "apk", install: ["add"] },
  { program: "pacman", install: ["-Sy", "--noconfirm", "--needed"] },
  { program: "zypper", install: ["--non-interactive", "install"] }
]

const folders = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/sbin", "/sbin", "/usr/bin", "/bin"]

/** Whether a program is on the path. */
export const hasProgram = (name) => folders.some((folder) => folder !== "" && fs.existsSync(path.join(folder, name)))

/** Whether a program is there; with `works` also whether it ends well with these arguments. */
const isUsable = ({ binary, works }) =>
  hasProgram(binary) && (works === undefined || spawnSync(binary, works, { stdio: "ignore" }).status === 0)

/** The words before a command that needs root, or undefined where this user may not have it. */
const privilege = () => {
  if (process.getuid?.() === 0) return []
  return spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status === 0 ? ["sudo", "-n"] : undefined
}

const invoke = (prefix, program, args) => {
  const [command, ...rest] = [...prefix, program, ...args]
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  return run(command, rest, { env })
}

/**
 * Installs the packages of the programs that are missing. Gives undefined when all programs are there afterwards,
 * else one sentence with the reason and the command to run.
 */
export const ensurePrograms = (wanted) => {
  const missing = wanted.filter((program) => !isUsable(program))
  if (missing.length === 0) return undefined
  const packages = [...new Set(missing.map((one) => one.package))]
  const manager = managers.find(({ program }) => hasProgram(program))
  if (manager === undefined) return `No known package manager found; please install ${packages.join(", ")}.`
  const command = [manager.program, ...manager.install, ...packages].join(" ")
  const prefix = privilege()
  if (prefix === undefined) return `Missing: ${packages.join(", ")}. Installing needs root; please run: sudo ${command}`
  say(`Installing ${packages.join(", ")} with ${manager.program} ...`)
  if (manager.refresh !== undefined) invoke(prefix, manager.program, manager.refresh)
  invoke(prefix, manager.program, [...manager.install, ...packages])
  const still = missing.filter((program) => !isUsable(program))
  if (still.length === 0) return undefined
  return `${manager.program} did not bring ${still.map(({ binary }) => binary).join(", ")}; please run: ${command}`
}

/** The sandbox launcher of first choice; the engine works without it. */
export const bubblewrap = [{ binary: "bwrap", package: "bubblewrap" }]

/** What the tests start; the packages' names are Debian's. */
export const testPrograms = () => JSON.parse(readIfThere("test/fixtures/requirements.json") ?? "[]")
