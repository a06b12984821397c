import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { execFileSync } from "node:child_process"
import * as Pax from "../../../src/local/internal/paxHeader.js"

/** A line for each member, as GNU tar reads it. */
const byTar = (archive: Uint8Array) =>
  execFileSync("tar", ["--numeric-owner", "--full-time", "--utc", "--quoting-style=escape", "-tvf", "-"], {
    input: archive,
    env: { ...process.env, LC_ALL: "C" },
    encoding: "utf8"
  })
    .split("\n")
    .filter((line) => line !== "")

const escape = (name: string) =>
  Array.from(name, (byte) => {
    const code = byte.charCodeAt(0)
    return byte === "\\" ? "\\\\" : code < 0x20 || code > 0x7e ? `\\${code.toString(8).padStart(3, "0")}` : byte
  }).join("")

const letters = {
  "\\007": "\\a",
  "\\010": "\\b",
  "\\011": "\\t",
  "\\012": "\\n",
  "\\013": "\\v",
  "\\014": "\\f",
  "\\015": "\\r"
}
const shown = (name: string) =>
  escape(name).replace(/\\0(07|10|11|12|13|14|15)/g, (code) => letters[code as keyof typeof letters] ?? code)

const name = fc
  .array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 180 })
  .map((bytes) => String.fromCharCode(...bytes).replaceAll("/", "_"))
  .filter((text) => !/^[. ]|[ ]$/.test(text))

const member = fc.record({
  name,
  kind: fc.constantFrom("file" as const, "symlink" as const, "fifo" as const),
  target: name,
  mode: fc.integer({ min: 0, max: 0o777 }),
  uid: fc.integer({ min: 0, max: 2 ** 31 }),
  gid: fc.integer({ min: 0, max: 2 ** 31 }),
  size: fc.integer({ min: 0, max: 3000 }),
  mtimeNs: fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n })
})

describe("an archive's headers", () => {
  it("say to GNU tar what they were made of, for any bytes in names, any owner and any time", () => {
    fc.assert(
      fc.property(fc.array(member, { minLength: 1, maxLength: 5 }), (members) => {
        const archive = Buffer.concat([
          ...members.flatMap((given) => {
            const size = given.kind === "file" ? given.size : 0
            const target = given.kind === "symlink" ? given.target : ""
            return [Pax.header({ ...given, size, target }), Buffer.alloc(size, 1), Pax.padding(size)]
          }),
          Pax.trailer
        ])
        assert.strictEqual(archive.length % Pax.BLOCK, 0)
        const lines = byTar(archive)
        assert.strictEqual(lines.length, members.length)
        members.forEach((given, index) => {
          const text = lines[index] ?? ""
          const [mode, owner, size] = text.split(/ +/)
          assert.strictEqual(mode?.[0], { file: "-", symlink: "l", fifo: "p" }[given.kind])
          assert.strictEqual(owner, `${given.uid}/${given.gid}`)
          assert.strictEqual(size, given.kind === "file" ? String(given.size) : "0")
          const time = /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? /.exec(text)
          const named = text.slice((time?.index ?? 0) + (time?.[0].length ?? 0)).trimStart()
          assert.strictEqual(
            named,
            given.kind === "symlink" ? `${shown(given.name)} -> ${shown(given.target)}` : shown(given.name)
          )
          const seconds = Date.parse(`${(time?.[0] ?? "").trim().replace(" ", "T").slice(0, 19)}Z`) / 1000
          assert.strictEqual(BigInt(seconds), given.mtimeNs / 1_000_000_000n)
        })
      }),
      { numRuns: 60 }
    )
  })

  it("keep sizes beyond eight gigabytes and times before 1970", () => {
    const header = Buffer.from(
      Pax.header({
        name: "large",
        kind: "file",
        target: "",
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 2 ** 40,
        mtimeNs: -1_500_000_000n
      })
    ).toString("latin1")
    assert.include(header, "22 size=1099511627776\n")
    assert.include(header, "14 mtime=-1.5\n")
  })

  it("count the length of a record with its own digits", () => {
    for (let length = 80; length < 120; length++) {
      const header = Buffer.from(
        Pax.header({
          name: "é".repeat(length),
          kind: "directory",
          target: "",
          mode: 0o755,
          uid: 0,
          gid: 0,
          size: 0,
          mtimeNs: 0n
        })
      )
      const record = /(\d+) path=/.exec(header.toString("latin1"))
      const at = record?.index ?? 0
      assert.strictEqual(header[at + Number(record?.[1]) - 1], 10)
      assert.strictEqual(header[at + Number(record?.[1])], 0)
    }
  })
})
