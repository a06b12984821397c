/** Search in the files of an image, with ripgrep's meaning as far as JavaScript's expressions go. */
import * as Either from "effect/Either"
import type { ApiFailure } from "../../api/Failure.js"
import type { GrepMatch, GrepQuery, GrepResult } from "../../api/Inspect.js"
import * as FileTree from "../FileTree.js"
import { refuse } from "./refusal.js"

type Match = typeof GrepMatch.Type

const utf8 = new TextEncoder()
const text = new TextDecoder()
const longestLine = 4096

const escape = (literal: string): string => literal.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

/** A glob as an expression: `**` crosses folders, one without a slash is about the name alone. */
const globExpression = (glob: string): RegExp => {
  const body = glob.replace(/^\//, "")
  const source = body
    .split(/(\*\*\/|\*\*|\*|\?|\[[^\]]+\]|\{[^}]*\})/)
    .map((part) => {
      if (part === "**/") return "(?:.*/)?"
      if (part === "**") return ".*"
      if (part === "*") return "[^/]*"
      if (part === "?") return "[^/]"
      if (/^\[.+\]$/.test(part)) return part.replace(/^\[!/, "[^")
      if (/^\{.*\}$/.test(part)) return `(?:${part.slice(1, -1).split(",").map(escape).join("|")})`
      return escape(part)
    })
    .join("")
  return new RegExp(glob.includes("/") ? `^${source}$` : `(?:^|/)${source}$`)
}

const isWanted = (globs: ReadonlyArray<string>) => {
  const rules = globs.map((glob) => ({
    no: glob.startsWith("!"),
    expression: globExpression(glob.replace(/^!/, ""))
  }))
  const lastFirst = [...rules].reverse()
  const onlySome = rules.some(({ no }) => !no)
  return (path: string): boolean => {
    const name = path.replace(/^\//, "")
    const folders = name.split("/").slice(0, -1)
    const inExcluded = folders.some((_, index) => {
      const folder = folders.slice(0, index + 1).join("/")
      return lastFirst.find(({ expression }) => expression.test(folder))?.no === true
    })
    if (inExcluded) return false
    const last = lastFirst.find(({ expression }) => expression.test(name))
    return last === undefined ? !onlySome : !last.no
  }
}

const expressionOf = (
  pattern: string,
  casing: "sensitive" | "insensitive" | "smart"
): Either.Either<RegExp, ApiFailure> => {
  const insensitive = casing === "insensitive" || (casing === "smart" && pattern === pattern.toLowerCase())
  return Either.try({
    try: () => new RegExp(pattern, insensitive ? "giu" : "gu"),
    catch: () => refuse(400, `pattern: ${JSON.stringify(pattern)} is not a regular expression`)
  })
}

/** The lines of a file with their ends. */
const linesOf = (content: string): ReadonlyArray<string> => content.match(/[^\n]*\n|[^\n]+$/g) ?? []

const submatches = (line: string, expressions: ReadonlyArray<RegExp>): Match["submatches"] => {
  const found = expressions
    .flatMap((expression) => [...line.replace(/\r?\n$/, "").matchAll(expression)])
    .map((match) => {
      const start = utf8.encode(line.slice(0, match.index)).length
      return { text: match[0], start, end: start + utf8.encode(match[0]).length }
    })
    .sort((a, b) => a.start - b.start || b.end - a.end)
  // Of matches that overlap the first counts.
  let end = 0
  return found.filter((match) => {
    const counts = match.start >= end
    if (counts) end = match.end
    return counts
  })
}

const cut = (line: string): string => {
  const bytes = utf8.encode(line)
  return bytes.length <= longestLine ? line : text.decode(bytes.slice(0, longestLine))
}

/** The matches of one file and the lines around them. */
const searchFile = (
  path: string,
  content: string,
  expressions: ReadonlyArray<RegExp>,
  limits: { readonly most: number; readonly before: number; readonly after: number }
): { readonly rows: ReadonlyArray<Match>; readonly matches: number } => {
  const lines = linesOf(content)
  const matching = lines.map((line) => ({
    is: expressions.some((expression) => line.replace(/\r?\n$/, "").search(expression) >= 0)
  }))
  const hits = matching.flatMap(({ is }, index) => (is ? [index] : [])).slice(0, limits.most)
  const hit = new Set(hits)
  const shown = new Set(
    hits.flatMap((index) =>
      Array.from({ length: limits.before + limits.after + 1 }, (_, offset) => index - limits.before + offset)
    )
  )
  let offset = 0
  const rows = lines.flatMap((line, index): ReadonlyArray<Match> => {
    const lineBytes = utf8.encode(line).length
    const at = offset
    offset += lineBytes
    if (!shown.has(index)) return []
    return [
      {
        path,
        lineNumber: index + 1,
        absoluteOffset: at,
        text: cut(line),
        lineBytes,
        submatches: hit.has(index) ? submatches(line, expressions) : [],
        type: hit.has(index) ? "match" : "context"
      }
    ]
  })
  return { rows, matches: hits.length }
}

/** Searches the files of an image. */
export const grep = (
  tree: FileTree.FileTree,
  query: typeof GrepQuery.Type
): Either.Either<typeof GrepResult.Type, ApiFailure> =>
  Either.gen(function* () {
    const expressions = yield* Either.all(
      query.pattern.map((pattern) => expressionOf(pattern, query.case ?? "sensitive"))
    )
    const places = query.path === undefined || query.path.length === 0 ? ["/"] : query.path
    const wanted = isWanted(query.glob ?? [])
    let left = query.maxTotal ?? 1000
    let truncated = false
    const matches: Array<Match> = []
    for (const place of places) {
      const entry = yield* Either.mapLeft(FileTree.get(tree, place), () => refuse(404, `There is no ${place}`))
      const root = FileTree.normalize(place)
      for (const [path, file] of FileTree.walkFrom(entry, root === "/" ? "" : root)) {
        if (file._tag !== "File" || !wanted(path) || file.bytes.includes(0)) continue
        const most = query.maxCount ?? Number.POSITIVE_INFINITY
        const found = searchFile(path, text.decode(file.bytes), expressions, {
          most: Math.min(most, left + 1),
          before: query.before ?? 0,
          after: query.after ?? 0
        })
        if (found.matches > left) {
          truncated = true
          matches.push(
            ...searchFile(path, text.decode(file.bytes), expressions, {
              most: left,
              before: query.before ?? 0,
              after: query.after ?? 0
            }).rows
          )
          return { path: places[0] ?? "/", patterns: query.pattern, truncated, matches }
        }
        left -= found.matches
        matches.push(...found.rows)
      }
    }
    return { path: places[0] ?? "/", patterns: query.pattern, truncated, matches }
  })
