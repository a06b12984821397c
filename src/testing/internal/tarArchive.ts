/** POSIX tar archives (PAX) of entries in memory. */
import type { Entry } from "../FileTree.js"
import * as Bytes from "../../internal/bytes.js"

const block = 512
const utf8 = new TextEncoder()

const padded = (bytes: Uint8Array): Uint8Array => {
  const rest = bytes.length % block
  return rest === 0 ? bytes : Bytes.concat([bytes, new Uint8Array(block - rest)])
}

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, "0")}\0`

const header = (fields: {
  readonly name: Uint8Array
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
  readonly type: string
  readonly target: Uint8Array
}): Uint8Array => {
  const bytes = new Uint8Array(block)
  const put = (at: number, text: string) => bytes.set(utf8.encode(text), at)
  bytes.set(fields.name.subarray(0, 100), 0)
  put(100, octal(fields.mode & 0o7777, 8))
  put(108, octal(Math.min(fields.uid, 0o7777777), 8))
  put(116, octal(Math.min(fields.gid, 0o7777777), 8))
  put(124, octal(fields.size, 12))
  put(136, octal(fields.mtime, 12))
  put(148, "        ")
  put(156, fields.type)
  bytes.set(fields.target.subarray(0, 100), 157)
  put(257, "ustar\x0000")
  put(
    148,
    `${bytes
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `
  )
  return bytes
}

/** `<length> key=value`, where the length counts its own digits. */
const paxRecord = (key: string, value: string): Uint8Array => {
  const rest = utf8.encode(` ${key}=${value}\n`)
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Bytes.concat([utf8.encode(String(length)), rest])
}

const isPlain = (bytes: Uint8Array): boolean => bytes.length <= 100 && bytes.every((byte) => byte < 0x80)

const member = (name: string, entry: Entry): ReadonlyArray<Uint8Array> => {
  const path = entry._tag === "Folder" ? `${name}/` : name
  const target = entry._tag === "Link" ? entry.target : ""
  const content = entry._tag === "File" ? entry.bytes : new Uint8Array(0)
  const fields = {
    name: utf8.encode(path),
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: content.length,
    mtime: Math.max(0, Math.floor(entry.mtime / 1000)),
    type: entry._tag === "Folder" ? "5" : entry._tag === "Link" ? "2" : "0",
    target: utf8.encode(target)
  }
  const extended = Bytes.concat([
    ...(isPlain(fields.name) ? [] : [paxRecord("path", path)]),
    ...(isPlain(fields.target) ? [] : [paxRecord("linkpath", target)]),
    ...(entry.uid > 0o7777777 ? [paxRecord("uid", String(entry.uid))] : []),
    ...(entry.gid > 0o7777777 ? [paxRecord("gid", String(entry.gid))] : [])
  ])
  return [
    ...(extended.length === 0
      ? []
      : [
          header({
            ...fields,
            name: utf8.encode("PaxHeader"),
            mode: 0o644,
            size: extended.length,
            type: "x",
            target: new Uint8Array(0)
          }),
          padded(extended)
        ]),
    header(fields),
    padded(content)
  ]
}

/** The pieces of an archive with a member for each entry. */
export const pack = (entries: ReadonlyArray<readonly [name: string, entry: Entry]>): ReadonlyArray<Uint8Array> => [
  ...entries.flatMap(([name, entry]) => member(name, entry)),
  new Uint8Array(2 * block)
]
