import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, FastCheck as fc } from "effect"
import * as IniFile from "../../../src/node/internal/iniFile.js"

/** Every value of a file as a program reads it; a reference that leads nowhere is `undefined`. */
const read = (text: string) =>
  Either.map(IniFile.parse(text), (file) =>
    Object.fromEntries(
      Array.from(file.sections, ([name, section]) => [
        name,
        Object.fromEntries(
          Array.from(new Set([...file.defaults.keys(), ...section.keys()])).map((key) => {
            const value = IniFile.get(file, name, key)
            return [key, value !== undefined && Either.isRight(value) ? value.right : undefined]
          })
        )
      ])
    )
  )

describe("a profile file", () => {
  // What Python 3.11's ConfigParser gives for the same text.
  const rows: ReadonlyArray<readonly [text: string, sections: object]> = [
    ["[a]\nk=v", { a: { k: "v" } }],
    ["[a]\nk : v", { a: { k: "v" } }],
    ["[a]\nKEY = Value ", { a: { key: "Value" } }],
    ["[a]\nk=a=b:c", { a: { k: "a=b:c" } }],
    ["[a]\nk: a=b", { a: { k: "a=b" } }],
    ["[a]\nurl: https://h:8080/x", { a: { url: "https://h:8080/x" } }],
    ["[a]\na b = c d", { a: { "a b": "c d" } }],
    ["[a]\nk=", { a: { k: "" } }],
    ["[a]\n# k=1\n  ; k=2\nk=3", { a: { k: "3" } }],
    ["[a]\nk=v ; no comment # here", { a: { k: "v ; no comment # here" } }],
    ['[a]\nk="v"', { a: { k: '"v"' } }],
    ["[a]\nk=1\n  2\n\n  3\n\nl=4", { a: { k: "1\n2\n\n3", l: "4" } }],
    ["[a]\nk=1\n# c\n  2", { a: { k: "1\n2" } }],
    ["[a]\nk=1\n  [b]", { a: { k: "1\n[b]" } }],
    ["  [a]\n  k=1\n  l=2", { a: { k: "1", l: "2" } }],
    ["[a] trailing\nk=1", { a: { k: "1" } }],
    ["[a]]\nk=1", { "a]": { k: "1" } }],
    ["[DEFAULT]\nk=1\nl=1\n[a]\nk=2\n[b]", { a: { k: "2", l: "1" }, b: { k: "1", l: "1" } }],
    ["[a]\n[DEFAULT]\nk=1\n[b]\n[DEFAULT]\nl=2", { a: { k: "1", l: "2" }, b: { k: "1", l: "2" } }],
    ["[default]\nk=1", { default: { k: "1" } }],
    ["[a]\nk=100%%", { a: { k: "100%" } }],
    ["[a]\nk=%(l)s/x\nl=1", { a: { k: "1/x", l: "1" } }],
    ["[DEFAULT]\nhost=h\n[a]\nurl=https://%(HOST)s/%%(host)s", { a: { host: "h", url: "https://h/%(host)s" } }],
    ["[a]\nk=%(none)s", { a: { k: undefined } }],
    ["[a]\nk=%(k)s", { a: { k: undefined } }],
    ["[a]\r\nk=1\r\n[b]\r\nl=2", { a: { k: "1" }, b: { l: "2" } }],
    ["", {}],
    ["# only a comment", {}]
  ]
  it.each(rows)("is read as the official Python clients read it: %j", (text, sections) => {
    deepStrictEqual<unknown>(read(text), Either.right(sections))
  })

  it("may hold a percent sign as the JavaScript client writes it, and a byte order mark", () => {
    deepStrictEqual<unknown>(read("\uFEFF[a]\nk=50%\nl=%x%%y%"), Either.right({ a: { k: "50%", l: "%x%y%" } }))
  })

  const faults: ReadonlyArray<readonly [text: string, line: number, reason: string]> = [
    ["token=s3cret", 1, "before the first [section]"],
    ["\n[a]\ns3cret", 3, "key = value"],
    ["[a]\n=s3cret", 2, "key = value"],
    ["[a]\ntoken=s3cret\nTOKEN=s3cret", 3, '"token" is there already'],
    ["[DEFAULT]\nk=1\n[DEFAULT]\nk=1", 4, '"k" is there already'],
    ["[a]\n[b]\n[a]", 3, "[a] is there already"],
    ["[]\nk=1", 1, "before the first [section]"]
  ]
  it.each(faults)("that is wrong says where, and never shows the line: %j", (text, line, reason) => {
    const fault = Either.getOrThrow(Either.flip(IniFile.parse(text)))
    assert.strictEqual(fault.line, line)
    assert.include(fault.reason, reason)
    assert.notInclude(JSON.stringify(fault) + String(fault), "s3cret")
  })

  const key = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/)
  const section = fc.stringMatching(/^profile:[A-Za-z0-9_-]{1,8}$/)
  const value = fc
    .string({ maxLength: 20 })
    .map((text) => text.replace(/[\r\n]/g, " ").trim())
    .filter((text) => text === text.trim())
  const sections = fc.dictionary(section, fc.dictionary(key, value, { maxKeys: 5 }), { maxKeys: 4 })
  const between = fc.constantFrom("=", " = ", ":", " : ", "\t=")
  const noise = fc.constantFrom("", "# token = x", "  ; comment", "   ")
  const end = fc.constantFrom("\n", "\r\n")

  it("gives back whatever was written, in each spelling", () => {
    fc.assert(
      fc.property(sections, between, noise, end, (written, between, noise, end) => {
        const lines = Object.entries(written).flatMap(([name, values]) => [
          `[${name}]`,
          ...Object.entries(values).flatMap(([key, value]) => [
            noise,
            `${key.toUpperCase()}${between}${value.replaceAll("%", "%%")}`
          ])
        ])
        deepStrictEqual<unknown>(
          read(lines.join(end)),
          Either.right(Object.fromEntries(Object.entries(written).map(([name, values]) => [name, { ...values }])))
        )
      }),
      { numRuns: 500 }
    )
  })

  it("of any text is read or refused, and a later file wins key by key", () => {
    fc.assert(
      fc.property(fc.string(), sections, sections, (text, first, then) => {
        IniFile.parse(text)
        const file = (content: Record<string, Record<string, string>>): IniFile.IniFile => ({
          defaults: new Map(),
          sections: new Map(Object.entries(content).map(([name, values]) => [name, new Map(Object.entries(values))]))
        })
        const merged = IniFile.merge(file(first), file(then))
        for (const name of new Set([...Object.keys(first), ...Object.keys(then)])) {
          deepStrictEqual(Object.fromEntries(merged.sections.get(name) ?? []), { ...first[name], ...then[name] })
        }
      }),
      { numRuns: 500 }
    )
  })
})
