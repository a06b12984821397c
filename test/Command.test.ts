import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Duration, Equal, FastCheck, Hash, HashSet, Option, pipe, Stream } from "effect"
import { execFileSync } from "node:child_process"
import * as Command from "../src/Command.js"
import * as FileUpload from "../src/FileUpload.js"

/** What a real shell prints for a script. */
const shell = (script: string): string =>
  execFileSync("/bin/sh", ["-c", script], {
    encoding: "utf8",
    env: { HOME: "/home" },
    stdio: ["ignore", "pipe", "pipe"]
  })

const script = (command: Command.Command): string =>
  command.program._tag === "Shell" ? command.program.script : assert.fail("not a shell command")

/** Text without NUL, which no argument can hold; half of it has what shells give a meaning to. */
const word = FastCheck.oneof(
  FastCheck.fullUnicodeString({ maxLength: 20 }),
  FastCheck.array(FastCheck.constantFrom(..."'\"\\$`!*?[]{}()<>|&;~#%^=- \t\n\ra1é", "🐳", "$HOME", "~", "'\\''"), {
    maxLength: 12
  }).map((parts) => parts.join(""))
).filter((text) => !text.includes("\0"))

describe("Command.quote", () => {
  const rows: ReadonlyArray<readonly [text: string, quoted: string]> = [
    ["plain", "plain"],
    ["/usr/bin/x-1.0_a+b,c:d=e@f%g", "/usr/bin/x-1.0_a+b,c:d=e@f%g"],
    ["", "''"],
    ["a b", "'a b'"],
    ["it's", "'it'\\''s'"],
    ["$HOME", "'$HOME'"],
    ["~", "'~'"],
    ["line\n", "'line\n'"],
    ["é", "'é'"]
  ]
  it.each(rows)("leaves plain words as they are and quotes others: %j", (text, quoted) => {
    assert.strictEqual(Command.quote(text), quoted)
  })

  it.prop(
    "makes of any text one word that a real shell reads back as it was",
    [FastCheck.array(word, { minLength: 1, maxLength: 30 })],
    ([words]) => {
      const printed = shell(`printf '%s\\0' ${words.map(Command.quote).join(" ")}`)
      deepStrictEqual(printed.split("\0").slice(0, -1), words)
    },
    { fastCheck: { numRuns: 50 } }
  )
})

describe("Command.sh", () => {
  it("quotes each value, and each of a list", () => {
    const files = ["a file.txt", "b.txt"]
    assert.strictEqual(script(Command.sh`wc -l ${files} > ${"out put"}`), "wc -l 'a file.txt' b.txt > 'out put'")
  })

  it("leaves the text of the template to the shell", () => {
    assert.strictEqual(shell(script(Command.sh`echo $HOME | tr a-z A-Z; echo ${"$HOME"}`)), "/HOME\n$HOME\n")
  })

  it("takes numbers, no values and an empty list", () => {
    assert.strictEqual(script(Command.sh`seq ${1} ${2.5}`), "seq 1 2.5")
    assert.strictEqual(script(Command.sh`true`), "true")
    assert.strictEqual(script(Command.sh`ls ${[]}`), "ls ")
  })

  it("reads escapes of the template as the language does", () => {
    assert.strictEqual(shell(script(Command.sh`printf '%s' ${"a"}\n`)), "a")
  })

  it.prop(
    "hands any value to a real shell as it is",
    [word, FastCheck.array(word, { maxLength: 5 })],
    ([one, many]) => {
      const printed = shell(script(Command.sh`printf '%s\\0' ${one} ${many}`))
      deepStrictEqual(printed.split("\0").slice(0, -1), [one, ...many])
    },
    { fastCheck: { numRuns: 50 } }
  )
})

describe("the options of a command", () => {
  it("can be given in a pipe or as the first argument", () => {
    const x = Command.shell("x")
    const pairs: ReadonlyArray<readonly [Command.Command, Command.Command]> = [
      [Command.env(x, { A: "1" }), pipe(x, Command.env({ A: "1" }))],
      [Command.workingDirectory(x, "/a"), x.pipe(Command.workingDirectory("/a"))],
      [Command.stdin(x, "in"), x.pipe(Command.stdin("in"))],
      [Command.timeout(x, "1 second"), x.pipe(Command.timeout("1 second"))],
      [Command.outputLimitBytes(x, 5), x.pipe(Command.outputLimitBytes(5))],
      [Command.user(x, 1), x.pipe(Command.user(1))],
      [Command.group(x, 1), x.pipe(Command.group(1))],
      [Command.hostname(x, "h"), x.pipe(Command.hostname("h"))],
      [Command.maxLayerBytes(x, 1), x.pipe(Command.maxLayerBytes(1))],
      [Command.files(x, { "/a": "1" }), x.pipe(Command.files({ "/a": FileUpload.fromText("1") }))],
      [Command.preserveEnv(x), x.pipe(Command.preserveEnv)],
      [Command.preserveWorkingDirectory(x), x.pipe(Command.preserveWorkingDirectory)],
      [Command.withoutNetwork(x), x.pipe(Command.withoutNetwork)]
    ]
    for (const [first, piped] of pairs) {
      assert.isTrue(Equal.equals(first, piped))
      assert.isFalse(Equal.equals(first, x))
    }
  })

  it("leave the command that they are given as it was", () => {
    const x = Command.shell("x")
    x.pipe(Command.env({ A: "1" }), Command.timeout("1 second"), Command.stdin("in"))
    deepStrictEqual(x, Command.shell("x"))
  })

  it("add variables to earlier ones, and the later value wins", () => {
    const { env } = Command.shell("x").pipe(Command.env({ A: "1", B: "1" }), Command.env({ B: "2", C: null }))
    deepStrictEqual(env, { A: "1", B: "2", C: null })
  })

  it("read durations and texts as what they mean", () => {
    const x = Command.shell("x").pipe(Command.timeout("90 seconds"), Command.stdin("é"))
    deepStrictEqual(x.timeout, Option.some(Duration.millis(90_000)))
    deepStrictEqual(x.stdin, Option.some(Uint8Array.of(0xc3, 0xa9)))
  })
})

describe("commands", () => {
  const full = () =>
    Command.exec("/bin/x", "a", "b").pipe(
      Command.env({ A: "1", B: null }),
      Command.workingDirectory("/w"),
      Command.stdin(Uint8Array.of(1, 2)),
      Command.timeout("1 minute"),
      Command.outputLimitBytes(7),
      Command.user(1),
      Command.group(2),
      Command.hostname("h"),
      Command.maxLayerBytes(9),
      Command.files({ "/a": "1", "/b": Uint8Array.of(1, 2) })
    )
  const input = Stream.make(Uint8Array.of(1))

  it("are equal when they say the same", () => {
    for (const make of [
      full,
      () => full().pipe(Command.stdin(input)),
      () => Command.shell("x"),
      () => Command.exec("x"),
      () => Command.sh`a ${"b c"}`
    ]) {
      assert.isTrue(Equal.equals(make(), make()))
      assert.strictEqual(Hash.hash(make()), Hash.hash(make()))
    }
    assert.isTrue(Equal.equals(full().pipe(Command.timeout("60 seconds")), full()))
    const one = Command.shell("x").pipe(Command.env({ A: "1" }), Command.env({ B: "2" }))
    const other = Command.shell("x").pipe(Command.env({ B: "2" }), Command.env({ A: "1" }))
    assert.isTrue(Equal.equals(one, other))
    assert.strictEqual(HashSet.size(HashSet.make(full(), full(), one, other)), 2)
  })

  it("differ when any part differs", () => {
    const others = [
      Command.shell("/bin/x a b"),
      Command.exec("/bin/x", "a b"),
      full().pipe(Command.env({ A: "2" })),
      full().pipe(Command.env({ B: "null" })),
      full().pipe(Command.workingDirectory("/v")),
      full().pipe(Command.stdin(Uint8Array.of(1, 3))),
      full().pipe(Command.stdin("")),
      full().pipe(Command.timeout("61 seconds")),
      full().pipe(Command.timeout(Duration.infinity)),
      full().pipe(Command.outputLimitBytes(8)),
      full().pipe(Command.user(3)),
      full().pipe(Command.group(3)),
      full().pipe(Command.hostname("i")),
      full().pipe(Command.maxLayerBytes(8)),
      full().pipe(Command.preserveEnv),
      full().pipe(Command.preserveWorkingDirectory),
      full().pipe(Command.withoutNetwork),
      full().pipe(Command.files({ "/c": "1" })),
      full().pipe(Command.files({ "/a": "2" })),
      full().pipe(Command.files({ "/a": FileUpload.mode("1", 0o600) })),
      full().pipe(Command.files({ "/b": Uint8Array.of(1, 3) })),
      full().pipe(Command.stdin(input)),
      full().pipe(Command.stdin(Stream.make(Uint8Array.of(1))))
    ]
    for (const other of others) assert.isFalse(Equal.equals(full(), other))
    assert.strictEqual(HashSet.size(HashSet.fromIterable(others)), others.length)
    assert.isFalse(Equal.equals(Command.shell("x"), "x"))
  })

  it("are told from other values", () => {
    assert.isTrue(Command.isCommand(full()))
    for (const other of ["x", null, undefined, { ...Command.shell("x") }]) assert.isFalse(Command.isCommand(other))
  })
})
