/** A folder's listing as text, in the manner of `ls -l`. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import type { FileItem } from "../../api/Inspect.js"

const TYPE = 0o170000

const types = new Map([
  [0o140000, "s"],
  [0o120000, "l"],
  [0o100000, "-"],
  [0o060000, "b"],
  [0o040000, "d"],
  [0o020000, "c"],
  [0o010000, "p"]
])

/** `drwxr-xr-x`; a bit that changes who a program runs as stands in the place of its `x`. */
export const modeText = (mode: number): string => {
  const triple = (shift: number, special: boolean, letter: string) => {
    const bits = (mode >> shift) & 7
    const last = (bits & 1) !== 0 ? (special ? letter : "x") : special ? letter.toUpperCase() : "-"
    return `${(bits & 4) !== 0 ? "r" : "-"}${(bits & 2) !== 0 ? "w" : "-"}${last}`
  }
  return [
    types.get(mode & TYPE) ?? "?",
    triple(6, (mode & 0o4000) !== 0, "s"),
    triple(3, (mode & 0o2000) !== 0, "s"),
    triple(0, (mode & 0o1000) !== 0, "t")
  ].join("")
}

/** A name may hold a line's end: what could forge another line is written as `ls -b` writes it. */
const escaped = (name: string): string =>
  // oxlint-disable-next-line no-control-regex
  name.replace(/[\x00-\x1f\x7f]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`)

const timeText = (seconds: number): string =>
  Option.match(DateTime.make(seconds * 1000), {
    onNone: () => "?",
    onSome: (time) => DateTime.formatIso(time).slice(0, -8).replace("T", " ")
  })

/** First `total <size>`, the bytes of all entries; then a line for each, with times in UTC. */
export const listingText = (files: ReadonlyArray<FileItem>): ReadonlyArray<string> => {
  const rows = files.map((file) => ({
    file,
    cells: [String(file.nlink), String(file.owner), String(file.group), String(file.size)] as const
  }))
  const widths = [0, 0, 0, 0]
  for (const { cells } of rows) {
    cells.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)))
  }
  const total = files.reduce((sum, { size }) => sum + size, 0)
  return [
    `total ${total}\n`,
    ...rows.map(({ cells: [nlink, owner, group, size], file }) => {
      const columns = [
        modeText(file.mode),
        nlink.padStart(widths[0] ?? 0),
        owner.padEnd(widths[1] ?? 0),
        group.padEnd(widths[2] ?? 0),
        size.padStart(widths[3] ?? 0),
        timeText(file.mtime),
        escaped(file.name)
      ]
      return `${columns.join(" ")}${file.isSymlink ? ` -> ${escaped(file.target)}` : ""}\n`
    })
  ]
}
