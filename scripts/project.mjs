/** What the scripts share: the checkout, running a program, a hash of files, one script at a time. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

/** The checkout. */
const root = fileURLToPath(new URL("..", import.meta.url))

/** A path inside the checkout. */
export const inRoot = (...parts) => path.join(root, ...parts)

/** Tells the user something. Standard output belongs to the program that a script starts. */
export const say = (text) => process.stderr.write(`${text}\n`)

/** Stops with a message that says what to do. */
export const fail = (text) => {
  say(text)
  process.exit(1)
}

/** Runs a program, its output on standard error; gives the exit code. */
export const run = (command, args, options = {}) => {
  const result = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], ...options })
  if (result.error !== undefined) say(`${command}: ${result.error.message}`)
  return result.status ?? 1
}

/** Runs a program and gives its standard output; stops when it fails. */
export const output = (command, args, options = {}) => {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "pipe", 2],
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    ...options
  })
  if (result.status !== 0)
    fail(`${command} ${args.join(" ")} failed: ${result.error?.message ?? `exit ${result.status}`}`)
  return result.stdout
}

/** Every file below a folder of the checkout, or the file itself; relative and sorted. */
export const filesOf = (relative) => {
  const stat = fs.statSync(inRoot(relative), { throwIfNoEntry: false })
  if (stat === undefined) return []
  if (!stat.isDirectory()) return [relative]
  return fs
    .readdirSync(inRoot(relative))
    .sort()
    .flatMap((name) => filesOf(path.join(relative, name)))
}

/** A hash over names and contents. */
export const fingerprint = (...relatives) => {
  const hash = createHash("sha256")
  for (const file of relatives.flatMap(filesOf)) hash.update(`${file}\0`).update(fs.readFileSync(inRoot(file)))
  return hash.digest("hex")
}

/** The text of a file, or undefined where there is none. */
export const readIfThere = (relative) => {
  try {
    return fs.readFileSync(inRoot(relative), "utf8")
  } catch (error) {
    if (error.code === "ENOENT") return undefined
    throw error
  }
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === "EPERM"
  }
}

/** Runs `work` while no other process of this checkout does; a lock left by a dead process is taken over. */
export const exclusively = async (work) => {
  const lock = inRoot(".cache/setup.lock")
  fs.mkdirSync(path.dirname(lock), { recursive: true })
  for (let waits = 0; ; waits++) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: "wx" })
      break
    } catch (error) {
      if (error.code !== "EEXIST") throw error
    }
    const owner = Number(readIfThere(".cache/setup.lock"))
    if (owner > 0 && !isAlive(owner)) fs.rmSync(lock, { force: true })
    else {
      if (waits === 0) say(`Waiting for the setup that process ${owner} does ...`)
      await sleep(200)
    }
  }
  process.once("exit", () => fs.rmSync(lock, { force: true }))
  return work()
}
