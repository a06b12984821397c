/** What ripgrep says with `--json`, gathered into the answer of a search. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { GrepMatch } from "../../api/Inspect.js"

/** Text, or bytes that are not UTF-8 in base64. */
const Words = Schema.Union(Schema.Struct({ text: Schema.String }), Schema.Struct({ bytes: Schema.String }))

const Line = Schema.Struct({
  path: Words,
  lines: Words,
  line_number: Schema.Int,
  absolute_offset: Schema.Int,
  submatches: Schema.Array(Schema.Struct({ match: Words, start: Schema.Int, end: Schema.Int }))
})

const Event = Schema.parseJson(
  Schema.Union(
    Schema.Struct({ type: Schema.Literal("match", "context"), data: Line }),
    Schema.Struct({
      type: Schema.Literal("end"),
      data: Schema.Struct({ binary_offset: Schema.NullOr(Schema.Number) })
    }),
    Schema.Struct({ type: Schema.Literal("begin", "summary") })
  )
)

const decodeEvent = Schema.decodeUnknownOption(Event)

/** A line is shown up to here. */
const LINE_BYTES = 4096

/** An answer has at most so many bytes of lines. */
const ANSWER_BYTES = 32 * 1024 * 1024

const bytesOf = (words: typeof Words.Type): Buffer =>
  "text" in words ? Buffer.from(words.text, "utf8") : Buffer.from(words.bytes, "base64")

/** At most `LINE_BYTES` of it, and no part of a character. */
const shown = (bytes: Buffer): string => {
  let end = Math.min(bytes.length, LINE_BYTES)
  if (end < bytes.length) {
    let back = end
    while (back > end - 4 && ((bytes[back] ?? 0) & 0xc0) === 0x80) back--
    // Bytes that continue nothing are shown as they are.
    if (((bytes[back] ?? 0) & 0xc0) !== 0x80) end = back
  }
  return bytes.subarray(0, end).toString("utf8")
}

/** Takes the lines of the output one by one, as long as `take` says that there is room for more. */
export const collector = (options: {
  readonly maxTotal: number
  readonly after: number
  readonly pathOf: (shown: string) => string
}) => {
  const matches: Array<typeof GrepMatch.Type> = []
  /** Of the file that is being searched: it counts when its end says that it is no binary one. */
  let file: Array<typeof GrepMatch.Type> = []
  let total = 0
  let inFile = 0
  let bytes = 0
  let truncated = false
  let finished = false

  const enough = () => {
    truncated = true
    // Lines that were to lead up to a match which is not given any more.
    const last = file.map(({ type }) => type).lastIndexOf("match")
    const until = (file[last]?.lineNumber ?? 0) + options.after
    matches.push(...file.filter(({ lineNumber }, index) => index <= last || (last >= 0 && lineNumber <= until)))
    file = []
    return false
  }

  const line = (type: "match" | "context", data: typeof Line.Type): boolean => {
    if (type === "match" && total === options.maxTotal) return enough()
    const whole = bytesOf(data.lines)
    const text = shown(whole)
    bytes += text.length + 100 * (1 + data.submatches.length)
    if (bytes > ANSWER_BYTES) return enough()
    if (type === "match") {
      total++
      inFile++
    }
    file.push({
      path: options.pathOf(bytesOf(data.path).toString("utf8")),
      lineNumber: data.line_number,
      absoluteOffset: data.absolute_offset,
      text,
      lineBytes: whole.length,
      submatches:
        type === "context"
          ? []
          : data.submatches.map(({ end, match, start }) => ({ text: shown(bytesOf(match)), start, end })),
      type
    })
    return true
  }

  return {
    /** `undefined` stands for a line that was too long to be kept. */
    take: (text: string | undefined): boolean => {
      const event = text === undefined ? Option.none() : decodeEvent(text)
      if (Option.isNone(event)) {
        truncated = true
        return true
      }
      switch (event.value.type) {
        case "match":
        case "context":
          return line(event.value.type, event.value.data)
        case "end":
          if (event.value.data.binary_offset === null) matches.push(...file)
          else total -= inFile
          file = []
          inFile = 0
          return true
        case "begin":
          return true
        case "summary":
          finished = true
          return true
      }
    },
    result: () => ({ matches, truncated }),
    /** Whether the search came to its own end. */
    finished: () => finished
  }
}

/** Cuts bytes into lines; one that is longer than the limit is `undefined`. */
export const lineSplitter = (limit: number) => {
  let pending: Array<Uint8Array> = []
  let size = 0
  const add = (piece: Uint8Array) => {
    size += piece.length
    if (size <= limit) pending.push(piece)
    else pending = []
  }
  return (piece: Uint8Array): ReadonlyArray<string | undefined> => {
    const lines: Array<string | undefined> = []
    let from = 0
    for (let at = piece.indexOf(10, from); at >= 0; at = piece.indexOf(10, from)) {
      add(piece.subarray(from, at))
      lines.push(size > limit ? undefined : Buffer.concat(pending).toString("utf8"))
      pending = []
      size = 0
      from = at + 1
    }
    if (from < piece.length) add(piece.subarray(from))
    return lines
  }
}
