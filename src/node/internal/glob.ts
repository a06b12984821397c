/**
 * Patterns for the names of files, with the meaning that they have in `.gitignore`.
 */

const escape = (text: string): string => text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&")

const token = /\*\*\/|\*\*|\*|\?|\{[^{}]*\}|[^*?{}]+|./gs

const source = (pattern: string): string =>
  (pattern.match(token) ?? [])
    .map((part) => {
      if (part === "**/") return "(?:[^/]+/)*"
      if (part === "**") return ".*"
      if (part === "*") return "[^/]*"
      if (part === "?") return "[^/]"
      return part.length > 1 && part.startsWith("{")
        ? `(?:${part.slice(1, -1).split(",").map(source).join("|")})`
        : escape(part)
    })
    .join("")

/**
 * Tells whether one of the patterns matches a path that is relative and has `/` between its parts.
 *
 * `*` and `?` stand for what is within a name, `**` for names too, `{a,b}` for either. A pattern without `/` matches a
 * name at any depth; a `/` at its beginning ties it to the top.
 */
export const matcher = (patterns: ReadonlyArray<string>): ((path: string) => boolean) => {
  const expressions = patterns.map((given) => {
    const pattern = given.replace(/\/$/, "")
    const anchored = pattern.includes("/")
    return new RegExp(`^${anchored ? "" : "(?:.*/)?"}${source(pattern.replace(/^\//, ""))}$`, "s")
  })
  return (path) => expressions.some((expression) => expression.test(path))
}
