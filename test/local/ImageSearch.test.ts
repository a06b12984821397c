import { assert, layer } from "@effect/vitest"
import { Effect, Either, Schema } from "effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { GrepResult } from "../../src/api/Inspect.js"
import { find } from "../fixtures/Requirements.js"
import { InspectEngine, layer as engine } from "./inspectEngine.js"
import { descends, eventually, processesWith } from "./machine.js"
import { generator } from "./randomTree.js"

type Query = Readonly<Record<string, string | ReadonlyArray<string>>>

const grep = Effect.fnUntraced(function* (id: string, query: Query) {
  const { ask } = yield* InspectEngine
  const answer = yield* ask(`/v1/inspect/${id}/grep`, query)
  assert.strictEqual(answer.status, 200, answer.text)
  return yield* Schema.decodeUnknown(GrepResult)(answer.json)
})

const refusal = Effect.fnUntraced(function* (id: string, query: Query) {
  const { ask } = yield* InspectEngine
  const { status, text } = yield* ask(`/v1/inspect/${id}/grep`, query)
  return { status, text }
})

/** Where the matches are: `path:line`, context with a dash. */
const places = ({ matches }: typeof GrepResult.Type) =>
  matches.map(({ lineNumber, path, type }) => `${path}${type === "match" ? ":" : "-"}${lineNumber}`)

const words = ["foo", "Foo", "bar", "föö", "a.b", "", "x y", "foo foo", "\xff", "z"]

/** A random folder of text as a shell writes it, the same for rg and for the image. */
const randomFolder = (random: () => number): ReadonlyArray<readonly [path: string, content: Buffer]> => {
  const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(random() * from.length)] as A
  return Array.from({ length: 12 }, (_, index) => {
    const lines = Array.from({ length: Math.floor(random() * 12) }, () =>
      Array.from({ length: Math.floor(random() * 4) }, () => pick(words)).join(pick([" ", "\t", ""]))
    )
    const text = lines.join(pick(["\n", "\r\n"])) + pick(["", "\n"])
    const encoding = text.includes("\xff") ? "latin1" : "utf8"
    return [
      `${pick(["", "sub/", ".hid/", "sub/deep/"])}${pick(["a", ".b", "c.txt", "d.rs"])}${index}`,
      Buffer.from(text, encoding)
    ]
  })
}

layer(engine(), { timeout: "2 minutes", excludeTestServices: true })("searching an image", (it) => {
  it.effect("gives each line that matches, with bytes to find it by", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(`mkdir /s; printf 'one\\ntwö foo bar foo\\r\\nlast foo' > /s/file; echo foo > /s/.hidden`)
      const result = yield* grep(id, { pattern: "fo+", path: "/s" })
      assert.deepStrictEqual(result, {
        path: "/s",
        patterns: ["fo+"],
        truncated: false,
        matches: [
          {
            path: "/s/.hidden",
            lineNumber: 1,
            absoluteOffset: 0,
            text: "foo\n",
            lineBytes: 4,
            submatches: [{ text: "foo", start: 0, end: 3 }],
            type: "match"
          },
          {
            path: "/s/file",
            lineNumber: 2,
            absoluteOffset: 4,
            text: "twö foo bar foo\r\n",
            lineBytes: 18,
            submatches: [
              { text: "foo", start: 5, end: 8 },
              { text: "foo", start: 13, end: 16 }
            ],
            type: "match"
          },
          {
            path: "/s/file",
            lineNumber: 3,
            absoluteOffset: 22,
            text: "last foo",
            lineBytes: 8,
            submatches: [{ text: "foo", start: 5, end: 8 }],
            type: "match"
          }
        ]
      })
      assert.strictEqual((yield* grep(id, { pattern: "no such text" })).path, "/")
    })
  )

  it.effect("searches hidden and ignored files, follows no link, and leaves out files with a NUL byte", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(
        `mkdir -p /s/.git /s/sub; cd /s; echo '*' > .gitignore; echo '*' > .ignore; echo '*' > .rgignore
         echo needle > ignored; echo needle > .git/x; echo needle > /outside; ln -s /outside link; ln -s /s/sub folder
         printf 'needle\\nx\\0y\\nneedle\\n' > binary; printf '\\377needle\\n' > latin; mkfifo pipe; echo needle > sub/in`
      )
      assert.deepStrictEqual(places(yield* grep(id, { pattern: "needle", path: "/s" })), [
        "/s/.git/x:1",
        "/s/ignored:1",
        "/s/latin:1",
        "/s/sub/in:1"
      ])
      // A link that is asked for is followed, within the image, and results keep the name that was asked for.
      assert.deepStrictEqual(places(yield* grep(id, { pattern: "needle", path: "/s/folder" })), ["/s/folder/in:1"])
      assert.deepStrictEqual(places(yield* grep(id, { pattern: "needle", path: ["/s/link", "/s/pipe"] })), [
        "/s/link:1"
      ])
      const [latin] = (yield* grep(id, { pattern: "needle", path: "/s/latin" })).matches
      assert.deepInclude(latin, { text: "\uFFFDneedle\n", lineBytes: 8 })
    })
  )

  it.effect("takes several patterns and paths, globs, and the three ways to see case", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(
        "mkdir -p /g/sub /h; cd /g; echo Alpha > a.txt; echo alpha > b.rs; echo beta > sub/c.txt; echo alpha > /h/d.txt; echo alpha > -e"
      )
      const at = (query: Query) => Effect.map(grep(id, { path: "/g", ...query }), places)
      assert.deepStrictEqual(yield* at({ pattern: ["alpha", "beta"] }), ["/g/-e:1", "/g/b.rs:1", "/g/sub/c.txt:1"])
      assert.deepStrictEqual(
        yield* at({ pattern: "alpha", path: ["/h", "/g"] }),
        ["/g/-e:1", "/g/b.rs:1", "/h/d.txt:1"].sort((a, b) => (a.startsWith("/h") ? -1 : b.startsWith("/h") ? 1 : 0))
      )
      assert.deepStrictEqual(yield* at({ pattern: "a", glob: "*.txt" }), ["/g/a.txt:1", "/g/sub/c.txt:1"])
      assert.deepStrictEqual(yield* at({ pattern: "a", glob: ["*.txt", "!sub"] }), ["/g/a.txt:1"])
      assert.deepStrictEqual(yield* at({ pattern: "alpha", glob: "!*.rs", case: "insensitive" }), [
        "/g/-e:1",
        "/g/a.txt:1"
      ])
      assert.lengthOf(yield* at({ pattern: "alpha", case: "smart" }), 3)
      assert.lengthOf(yield* at({ pattern: "Alpha", case: "smart" }), 1)
      assert.lengthOf(yield* at({ pattern: "Alpha", case: "sensitive" }), 1)
      assert.deepStrictEqual(yield* at({ pattern: "-e" }), [])
    })
  )

  it.effect("gives lines of context, and stops where it is told", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after("mkdir /c; cd /c; seq 1 30 > a; seq 1 30 > b; seq 1 9 > c")
      const at = (query: Query) =>
        Effect.map(grep(id, { path: "/c", ...query }), (result) => [result.truncated, ...places(result)])
      assert.deepStrictEqual(yield* at({ pattern: "^5$", before: "1", after: "2", glob: "a" }), [
        false,
        "/c/a-4",
        "/c/a:5",
        "/c/a-6",
        "/c/a-7"
      ])
      assert.deepStrictEqual(yield* at({ pattern: "^2", max_count: "2", glob: "[ab]" }), [
        false,
        "/c/a:2",
        "/c/a:20",
        "/c/b:2",
        "/c/b:20"
      ])
      assert.deepStrictEqual(yield* at({ pattern: "^9$", max_total: "3" }), [false, "/c/a:9", "/c/b:9", "/c/c:9"])
      assert.deepStrictEqual(yield* at({ pattern: "^9$", max_total: "2" }), [true, "/c/a:9", "/c/b:9"])
      assert.deepStrictEqual(yield* at({ pattern: "^(5|9)$", max_total: "1", before: "3", after: "1" }), [
        true,
        "/c/a-2",
        "/c/a-3",
        "/c/a-4",
        "/c/a:5",
        "/c/a-6"
      ])
    })
  )

  it.effect("cuts what it shows of a long line, and says its whole length", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(
        `mkdir /l; cd /l; (printf x; yes é | head -c 30000 | tr -d '\\n'; echo end) > long; head -c 20000000 /dev/zero | tr '\\0' y > huge`
      )
      const { matches } = yield* grep(id, { pattern: "end", path: "/l/long" })
      const bytes = Buffer.from(matches[0]?.text ?? "")
      assert.strictEqual(matches[0]?.lineBytes, 20_005)
      assert.strictEqual(bytes.length, 4095)
      assert.isTrue(bytes.toString().endsWith("éé"))
      assert.deepStrictEqual(matches[0]?.submatches, [{ text: "end", start: 20_001, end: 20_004 }])
      // What is said of this line would be too much to take apart.
      const huge = yield* grep(id, { pattern: "y$", path: "/l/huge" })
      assert.deepStrictEqual([huge.truncated, huge.matches.length], [true, 0])
    })
  )

  it.effect("names a pattern or a glob that is none, and the path that is not there", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after("echo x > /x")
      for (const pattern of ["foo(", "a{2,1}", "(?=ahead)", "(a)\\1", "a\nb", "(\\w{100}){100}{100}"]) {
        const { status, text } = yield* refusal(id, { pattern: ["fine", pattern] })
        assert.strictEqual(status, 400, pattern)
        // As it stands within the JSON of the answer.
        assert.include(text, JSON.stringify(`"${pattern}"`).slice(1, -1))
        assert.notMatch(text, /effect-contree|\/tmp/)
      }
      assert.deepInclude(yield* refusal(id, { pattern: "x", glob: "[z" }), { status: 400 })
      assert.deepInclude(yield* refusal(id, { pattern: "x\0" }), { status: 400 })
      assert.deepInclude(yield* refusal(id, { pattern: "x", path: "/none" }), { status: 404 })
      assert.deepInclude(yield* refusal(id, { pattern: "x", path: "relative" }), { status: 400 })
      for (const wrong of [
        {},
        { pattern: "" },
        { pattern: "p".repeat(1025) },
        { pattern: Array.from({ length: 17 }, () => "p") },
        { pattern: "x", path: Array.from({ length: 17 }, () => "/") },
        { pattern: "x", max_count: "0" },
        { pattern: "x", max_total: "10001" },
        { pattern: "x", before: "51" },
        { pattern: "x", case: "other" }
      ]) {
        assert.deepInclude(yield* refusal(id, wrong), { status: 400 }, JSON.stringify(wrong))
      }
    })
  )

  it.effect("takes no longer for a pattern that would hold up other engines, and ends with its client", () =>
    Effect.gen(function* () {
      const { after, ask } = yield* InspectEngine
      const id = yield* after(
        `yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab | head -n 1000000 > /as
         mkdir /many; for n in $(seq 64); do ln /as /many/$n; done`
      )
      assert.lengthOf((yield* grep(id, { pattern: "^(a+)+$", path: "/as" })).matches, 0)
      const searching = Effect.map(processesWith("--regexp=^(a|aa)+"), (found) =>
        found.filter(({ pid }) => descends(pid, process.pid))
      )
      yield* ask(`/v1/inspect/${id}/grep`, { pattern: "^(a|aa)+[ac]{20}$", path: "/many" }).pipe(
        Effect.race(eventually(searching, (found) => found.length > 0))
      )
      yield* eventually(searching, (found) => found.length === 0)
    })
  )

  it.effect("finds what ripgrep of the system finds, in random folders", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const rg = yield* Effect.orDie(find("rg"))
      const seed = Math.floor(Math.random() * 2 ** 31)
      const random = generator(seed)
      const folder = mkdtempSync(`${tmpdir()}/effect-contree-search-`)
      const files = randomFolder(random)
      for (const [path, content] of files) {
        mkdirSync(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true })
        writeFileSync(`${folder}/${path}`, content)
      }
      const script = files.map(([path, content]) => {
        const octal = Array.from(content, (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("")
        return `mkdir -p "$(dirname '/r/${path}')"; printf '${octal}' > '/r/${path}'`
      })
      const id = yield* after(script.join("\n"))
      for (const options of [
        { pattern: "foo" },
        { pattern: "(?i)FOO|bar$" },
        { pattern: "^\\s*$" },
        { pattern: "\\w+\\.\\w" },
        { pattern: "f[öo]+", before: "1", after: "2" },
        { pattern: "foo", max_count: "1", case: "insensitive" },
        { pattern: "FOO", case: "smart", glob: "!*.rs" },
        { pattern: ["z", "x y"], glob: "*.txt" }
      ] satisfies ReadonlyArray<Query>) {
        const query: Query = options
        const flags = Object.entries(query).flatMap(([key, value]) => {
          const values = typeof value === "string" ? [value] : value
          switch (key) {
            case "pattern":
              return values.map((pattern) => `--regexp=${pattern}`)
            case "glob":
              return values.map((glob) => `--glob=${glob}`)
            case "case":
              return [values[0] === "smart" ? "--smart-case" : "--ignore-case"]
            case "max_count":
              return [`--max-count=${values[0]}`]
            default:
              return [`--${key}-context=${values[0]}`]
          }
        })
        // Without a match it exits with 1.
        const said = Either.getOrElse(
          Either.try(() =>
            execFileSync(
              rg,
              [
                "--no-config",
                "--hidden",
                "--no-ignore",
                "--sort=path",
                "--no-heading",
                "--null",
                "--with-filename",
                "--line-number",
                "--byte-offset",
                "--no-context-separator",
                ...flags,
                "./"
              ],
              { cwd: folder, encoding: "utf8" }
            )
          ),
          () => ""
        )
        const result = yield* grep(id, { path: "/r", ...query })
        const found = result.matches.map(({ absoluteOffset, lineNumber, path, text, type }) => {
          const mark = type === "match" ? ":" : "-"
          return `./${path.slice(3)}\0${lineNumber}${mark}${absoluteOffset}${mark}${text.replace(/\n$/, "")}\n`
        })
        assert.deepStrictEqual(found.join("").split("\n"), said.split("\n"), `seed ${seed}: ${JSON.stringify(query)}`)
      }
      rmSync(folder, { recursive: true })
    })
  )
})
