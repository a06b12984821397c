/**
 * Headers of a POSIX tar archive (pax). What the plain header cannot say stands in an extended one before it.
 */

/**
 * One member. Names are bytes (one character each), and stand in the archive as they are, as GNU tar does it: one that is
 * not UTF-8 breaks the letter of the format, and every reader takes it. A directory's name ends in `/`.
 */
export interface Member {
  readonly name: string
  readonly kind: "file" | "link" | "symlink" | "directory" | "fifo"
  /** Of links. */
  readonly target: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Of files: the bytes that follow. */
  readonly size: number
  readonly mtimeNs: bigint
}

export const BLOCK = 512

/** What fills the last block of so many bytes. */
export const padding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK)

/** The end of an archive. */
export const trailer: Uint8Array = new Uint8Array(2 * BLOCK)

const types = { file: "0", link: "1", symlink: "2", directory: "5", fifo: "6" } as const

const NAME_BYTES = 100
const MAX_OCTAL_7 = 0o7777777
const MAX_OCTAL_11 = 0o77777777777
const BILLION = 1_000_000_000n

// oxlint-disable-next-line no-control-regex
const plain = /^[\x00-\x7f]*$/

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width, "0")}\0`

const block = (fields: {
  readonly name: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
  readonly type: string
  readonly target: string
}): Buffer => {
  const header = Buffer.alloc(BLOCK)
  const put = (text: string, at: number) => header.write(text, at, "latin1")
  put(fields.name, 0)
  put(octal(fields.mode, 7), 100)
  put(octal(fields.uid, 7), 108)
  put(octal(fields.gid, 7), 116)
  put(octal(fields.size, 11), 124)
  put(octal(fields.mtime, 11), 136)
  put("        ", 148)
  put(fields.type, 156)
  put(fields.target, 157)
  put("ustar\x0000", 257)
  const sum = header.reduce((sum, byte) => sum + byte, 0)
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return header
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
const record = (key: string, value: string): string => {
  const rest = ` ${key}=${value}\n`
  let length = rest.length
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length
  return String(length) + rest
}

const seconds = (mtimeNs: bigint): string => {
  const negative = mtimeNs < 0n
  const absolute = negative ? -mtimeNs : mtimeNs
  const fraction = (absolute % BILLION).toString().padStart(9, "0").replace(/0+$/, "")
  return `${negative ? "-" : ""}${absolute / BILLION}${fraction === "" ? "" : `.${fraction}`}`
}

const records = (member: Member): string => {
  const long = (text: string) => text.length > NAME_BYTES || !plain.test(text)
  const named: Array<readonly [key: string, value: string]> = [
    ...(long(member.name) ? [["path", member.name] as const] : []),
    ...(long(member.target) ? [["linkpath", member.target] as const] : [])
  ]
  const others: Array<readonly [key: string, value: string]> = [
    ...(member.uid > MAX_OCTAL_7 ? [["uid", String(member.uid)] as const] : []),
    ...(member.gid > MAX_OCTAL_7 ? [["gid", String(member.gid)] as const] : []),
    ...(member.size > MAX_OCTAL_11 ? [["size", String(member.size)] as const] : []),
    ...(member.mtimeNs % BILLION === 0n && member.mtimeNs >= 0n && member.mtimeNs / BILLION <= BigInt(MAX_OCTAL_11)
      ? []
      : [["mtime", seconds(member.mtimeNs)] as const])
  ]
  return [...named, ...others].map(([key, value]) => record(key, value)).join("")
}

/** The header of a member, with an extended one before it where it is needed. */
export const header = (member: Member): Uint8Array => {
  const extended = records(member)
  const mtime = Number(member.mtimeNs / BILLION)
  const own = block({
    name: member.name.slice(0, NAME_BYTES),
    mode: member.mode & 0o7777,
    uid: Math.min(member.uid, MAX_OCTAL_7),
    gid: Math.min(member.gid, MAX_OCTAL_7),
    size: Math.min(member.size, MAX_OCTAL_11),
    mtime: Math.min(Math.max(mtime, 0), MAX_OCTAL_11),
    type: types[member.kind],
    target: member.target.slice(0, NAME_BYTES)
  })
  if (extended === "") return own
  const before = block({
    name: "PaxHeaders/0",
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: extended.length,
    mtime: 0,
    type: "x",
    target: ""
  })
  return Buffer.concat([before, Buffer.from(extended, "latin1"), padding(extended.length), own])
}
