/**
 * Random changes of a directory tree, and what a program could see of one. Names are byte strings (latin1).
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"

const LATIN1 = { encoding: "latin1" } as const
const bytes = (path: string) => Buffer.from(path, "latin1")

/** mulberry32 */
export const generator = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const paths = (root: string): Array<{ path: string; directory: boolean }> => {
  const found: Array<{ path: string; directory: boolean }> = []
  const walk = (at: string) => {
    for (const entry of Fs.readdirSync(bytes(`${root}${at}`), { ...LATIN1, withFileTypes: true })) {
      const path = `${at}/${entry.name}`
      found.push({ path, directory: entry.isDirectory() })
      if (entry.isDirectory()) {
        walk(path)
      }
    }
  }
  walk("")
  return found
}

/** Everything that a program in the image could see of a tree, one line for each path. */
export const dump = (root: string, times = true): Array<string> => {
  const inodes = new Map<bigint, string>()
  return [{ path: "", directory: true }, ...paths(root)]
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ path }) => {
      const full = bytes(`${root}${path}`)
      const stats = Fs.lstatSync(full, { bigint: true })
      const content = stats.isFile()
        ? createHash("sha256").update(Fs.readFileSync(full)).digest("hex").slice(0, 16)
        : stats.isSymbolicLink()
          ? Fs.readlinkSync(full, LATIN1)
          : ""
      const twin = stats.isDirectory() ? path : (inodes.get(stats.ino) ?? path)
      inodes.set(stats.ino, twin)
      return [
        JSON.stringify(path),
        stats.mode.toString(8),
        stats.uid,
        stats.gid,
        stats.rdev,
        stats.isDirectory() ? "" : stats.size,
        times ? stats.mtimeNs : "",
        content,
        twin
      ].join(" ")
    })
}

export const timesOf = (root: string) =>
  new Map(
    ["", ...paths(root).map((entry) => entry.path)].map(
      (path) => [path, Fs.lstatSync(bytes(`${root}${path}`), { bigint: true }).mtimeNs] as const
    )
  )

/** By how many nanoseconds a time moved at most. */
export const drift = (before: ReadonlyMap<string, bigint>, after: ReadonlyMap<string, bigint>) =>
  Math.max(...Array.from(before, ([path, time]) => Math.abs(Number(time - (after.get(path) ?? 0n)))))

export const difference = (before: ReadonlyArray<string>, after: ReadonlyArray<string>) => [
  ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
  ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`)
]

const GROWING = ["create", "tree", "directory", "fileToDirectory", "symlink", "hardLink"]

const NAMES = ["a", "b", "c", "d", "-rf", "with space", "n\nl", "\xff\xe9", "\xc3\xa9", "*", ".wh.x"]

/** One random change of the tree under `root`; a change that the kernel refuses (EXDEV, ENOTEMPTY) changes nothing. */
export const change = (root: string, random: () => number, ids: ReadonlyArray<number>): string => {
  const pick = <A>(from: ReadonlyArray<A>): A | undefined => from[Math.floor(random() * from.length)]
  const all = paths(root)
  const directories = ["", ...all.filter((entry) => entry.directory).map((entry) => entry.path)]
  const files = all.filter((entry) => !entry.directory).map((entry) => entry.path)
  const regular = files.filter((path) => Fs.lstatSync(bytes(root + path)).isFile())
  const fresh = () => `${pick(directories)}/${pick(NAMES)}`
  const at = (path: string) => bytes(root + path)
  const remove = (path: string) => Fs.rmSync(at(path), { recursive: true, force: true })
  const fill = (path: string, depth: number) => {
    Fs.mkdirSync(at(path))
    for (const name of NAMES.slice(0, Math.floor(random() * 4))) {
      if (depth > 0 && random() < 0.4) {
        fill(`${path}/${name}`, depth - 1)
      } else {
        Fs.writeFileSync(at(`${path}/${name}`), String(random()))
      }
    }
  }
  const operations: Record<string, () => unknown> = {
    create: () => Fs.writeFileSync(at(fresh()), String(random()), { flag: "wx" }),
    append: () => Fs.appendFileSync(at(pick(regular) ?? ""), String(random())),
    overwrite: () => Fs.writeFileSync(at(pick(regular) ?? ""), String(random())),
    truncate: () => Fs.truncateSync(at(pick(regular) ?? ""), Math.floor(random() * 4)),
    unlink: () => Fs.unlinkSync(at(pick(files) ?? "")),
    rename: () => Fs.renameSync(at(pick(all)?.path ?? ""), at(random() < 0.5 ? fresh() : (pick(all)?.path ?? ""))),
    directory: () => Fs.mkdirSync(at(fresh())),
    tree: () => fill(fresh(), 2),
    removeTree: () => remove(pick(directories.slice(1)) ?? "/none"),
    // The directory comes back, so the overlay marks it opaque.
    replaceTree: () => {
      const path = pick(directories.slice(1))
      if (path !== undefined) {
        remove(path)
        fill(path, 2)
      }
    },
    fileToDirectory: () => {
      const path = pick(files)
      if (path !== undefined) {
        remove(path)
        fill(path, 1)
      }
    },
    directoryToFile: () => {
      const path = pick(directories.slice(1))
      if (path !== undefined) {
        remove(path)
        Fs.writeFileSync(at(path), "was a directory")
      }
    },
    mode: () =>
      Fs.chmodSync(
        at(pick([...directories, ...regular]) ?? ""),
        pick([0o755, 0o700, 0o4755, 0o2775, 0o1777, 0o644, 0]) ?? 0
      ),
    owner: () => Fs.lchownSync(at(pick(all)?.path ?? ""), pick(ids) ?? 0, pick(ids) ?? 0),
    time: () => Fs.lutimesSync(at(pick(all)?.path ?? ""), 1, Math.floor(random() * 2e9)),
    symlink: () => Fs.symlinkSync(bytes(pick(["/", "..", "../../etc", "a", "\xff"]) ?? "a"), at(fresh())),
    hardLink: () => Fs.linkSync(at(pick(files) ?? ""), at(fresh())),
    fifo: () => execFileSync("mkfifo", [`${root}/fifo${Math.floor(random() * 3)}`], { stdio: "ignore" })
  }
  // A small tree grows, or the generations would end in an empty one.
  const name = pick(all.length < 150 && random() < 0.5 ? GROWING : Object.keys(operations)) ?? ""
  try {
    operations[name]?.()
    return name
  } catch {
    return `${name} refused`
  }
}
