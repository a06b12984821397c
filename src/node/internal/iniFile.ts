/**
 * The format of the profile files: that of Python's `ConfigParser`, by which the official clients write and read them.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"

/** Keys are in lower case; values are as they stand in the file, before interpolation. */
export type Section = ReadonlyMap<string, string>

/** What a file says: the defaults of every section, and its sections. */
export interface IniFile {
  readonly defaults: Section
  readonly sections: ReadonlyMap<string, Section>
}

/** What is wrong with a file, and in which line. The line itself may be a secret and is not shown. */
export class IniFault extends Data.TaggedError("IniFault")<{ readonly line: number; readonly reason: string }> {}

const sectionHeader = /^\[(.+)\]/
const keyAndValue = /^(.*?)\s*[=:]\s*(.*)$/

/** A section as it is read: each key with the lines of its value. */
type Lines = Map<string, Array<string>>

const joined = (lines: Lines): Section =>
  new Map(Array.from(lines, ([key, value]) => [key, value.join("\n").trimEnd()]))

/**
 * Reads a file. Keys and values are parted by the first `=` or `:`, lines that begin with `#` or `;` are comments, and
 * a line that is indented further than its key goes on with its value. A key that is there twice, or a line that is
 * nothing of it, is a fault, as it is for the official clients.
 */
export const parse = (text: string): Either.Either<IniFile, IniFault> => {
  const fault = (line: number, reason: string) => Either.left(new IniFault({ line: line + 1, reason }))
  const defaults: Lines = new Map()
  const sections = new Map<string, Lines>()
  let section: Lines | undefined
  let value: Array<string> | undefined
  let indent = 0
  for (const [number, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r\n|\n|\r/)
    .entries()) {
    const content = line.trim()
    if (content.startsWith("#") || content.startsWith(";")) continue
    if (content === "") {
      value?.push("")
      continue
    }
    const depth = line.length - line.trimStart().length
    if (value !== undefined && depth > indent) {
      value.push(content)
      continue
    }
    indent = depth
    const name = sectionHeader.exec(content)?.[1]
    if (name !== undefined) {
      if (sections.has(name)) return fault(number, `the section [${name}] is there already`)
      section = name === "DEFAULT" ? defaults : new Map()
      if (name !== "DEFAULT") sections.set(name, section)
      value = undefined
      continue
    }
    if (section === undefined) return fault(number, "a key stands before the first [section]")
    const [, key = "", start = ""] = keyAndValue.exec(content) ?? []
    if (key === "") return fault(number, "expected `key = value`")
    const named = key.trimEnd().toLowerCase()
    if (section.has(named)) return fault(number, `the key "${named}" is there already`)
    value = [start.trim()]
    section.set(named, value)
  }
  return Either.right({
    defaults: joined(defaults),
    sections: new Map(Array.from(sections, ([name, lines]) => [name, joined(lines)]))
  })
}

const mergedSection = (first: Section = new Map(), then: Section = new Map()): Section => new Map([...first, ...then])

/** Two files read one after the other: a key of the later one wins. */
export const merge = (first: IniFile, then: IniFile): IniFile => ({
  defaults: mergedSection(first.defaults, then.defaults),
  sections: new Map(
    Array.from(new Set([...first.sections.keys(), ...then.sections.keys()]), (name) => [
      name,
      mergedSection(first.sections.get(name), then.sections.get(name))
    ])
  )
})

/** No file, or an empty one. */
export const empty: IniFile = { defaults: new Map(), sections: new Map() }

/** References may lead to references; one that leads to itself would have no end. */
const deepest = 10

/**
 * A value of a section, which inherits the defaults. `%(key)s` is the value of another key and `%%` a percent sign.
 * Any other percent sign is itself: Python refuses it, the JavaScript client writes it.
 *
 * `undefined` says that the key is not there, a `Left` what is wrong with its value.
 */
export const get = (file: IniFile, section: string, key: string): Either.Either<string, string> | undefined => {
  const values = mergedSection(file.defaults, file.sections.get(section))
  const resolve = (key: string, depth: number): Either.Either<string, string> | undefined => {
    const raw = values.get(key)
    if (raw === undefined) return undefined
    if (depth > deepest) return Either.left(`the references of "${key}" have no end`)
    let text = ""
    for (const [part, name] of raw.matchAll(/%%|%\(([^)]*)\)s|[^%]+|%/g)) {
      if (name !== undefined) {
        const other = resolve(name.toLowerCase(), depth + 1)
        if (other === undefined) return Either.left(`it refers to a key "${name}" that is not there`)
        if (Either.isLeft(other)) return other
        text += other.right
      } else text += part === "%%" ? "%" : part
    }
    return Either.right(text)
  }
  return resolve(key, 0)
}
