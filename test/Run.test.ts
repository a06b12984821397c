import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { DateTime, Duration, Effect, Encoding, FastCheck, Fiber, Option, pipe, Schema, Stream, TestClock } from "effect"
import { OperationId } from "../src/api/Images.js"
import * as Command from "../src/Command.js"
import * as Image from "../src/Image.js"
import { ProcessResources } from "../src/api/Operations.js"
import * as ResourceUsage from "../src/ResourceUsage.js"
import * as Run from "../src/Run.js"
import * as Scripted from "./fixtures/ScriptedService.js"
import { image, on, operationId, record } from "./fixtures/ScriptedService.js"

const spawn = "POST /v1/instances"
const poll = `GET /v1/operations/${operationId}`
const madeId = "9a9e6679-7425-40de-944b-e07fc1f90ae7"
const patch = `PATCH /v1/images/${madeId}/tag`

/** What the service says of a process that ended, with `changes` to it. */
const processResult = (changes: {
  readonly state?: object | null
  readonly resources?: object | null
  readonly stdout?: object | null
  readonly stderr?: object | null
}) => ({
  resources: { elapsed_time: 2.5, max_rss: 1000 },
  state: { exit_code: 0, signal: -1, pid: 7, timed_out: false, core_dump: false, continued: false, stopped: false },
  stdout: { value: "", encoding: "ascii", truncated: false },
  stderr: { value: "", encoding: "ascii", truncated: false },
  ...changes
})

const over = (result: object | null, fields: object = { result: { image: madeId, tag: null } }) => ({
  [spawn]: Scripted.json({ uuid: operationId, image: image.id }, 201),
  [poll]: Scripted.json(Scripted.operation("SUCCESS", { metadata: { command: "true", result }, ...fields }))
})

/** The result of a command that ended so. */
const ended = (result: object | null) =>
  Effect.flatMap(on(over(result), Image.run(image.id, "true", { disposable: true })), ({ error, value }) =>
    value === undefined ? Effect.fail(error) : Effect.succeed(value)
  )

describe("the request of a run", () => {
  const plain = { image: image.id, disposable: false, truncate_output_at: 1_048_576 }
  const rows: ReadonlyArray<readonly [what: string, command: Command.Command | string, body: object]> = [
    ["a text is a shell command", "echo $HOME", { command: "echo $HOME", shell: true }],
    ["a shell command", Command.shell("a | b"), { command: "a | b", shell: true }],
    ["an executable", Command.exec("/bin/ls", "-l", "a b"), { command: "/bin/ls", args: ["-l", "a b"], shell: false }],
    ["an executable alone", Command.exec("ls"), { command: "ls", args: [], shell: false }],
    [
      "variables, one of which is taken away",
      Command.shell("x").pipe(Command.env({ A: "1", PATH: null, E: "" })),
      { command: "x", shell: true, env: { A: "1", PATH: null, E: "" } }
    ],
    [
      "a working directory",
      Command.shell("x").pipe(Command.workingDirectory("/a b/c")),
      { command: "x", shell: true, cwd: "/a b/c" }
    ],
    [
      "plain input",
      Command.shell("x").pipe(Command.stdin("a\tb\n")),
      { command: "x", shell: true, stdin: { value: "a\tb\n", encoding: "ascii", close: true } }
    ],
    [
      "input that is not ASCII",
      Command.shell("x").pipe(Command.stdin("é")),
      { command: "x", shell: true, stdin: { value: "w6k=", encoding: "base64", close: true } }
    ],
    [
      "input as bytes",
      Command.shell("x").pipe(Command.stdin(Uint8Array.of(0, 255))),
      { command: "x", shell: true, stdin: { value: "AP8=", encoding: "base64", close: true } }
    ],
    [
      "empty input",
      Command.shell("x").pipe(Command.stdin("")),
      { command: "x", shell: true, stdin: { value: "", encoding: "ascii", close: true } }
    ],
    [
      "a time limit, rounded up",
      Command.shell("x").pipe(Command.timeout("1001 millis")),
      { command: "x", shell: true, timeout: 2 }
    ],
    [
      "a time limit of whole seconds",
      Command.shell("x").pipe(Command.timeout("3 seconds")),
      { command: "x", shell: true, timeout: 3 }
    ],
    ["no time", Command.shell("x").pipe(Command.timeout(0)), { command: "x", shell: true, timeout: 1 }],
    [
      "variables and a directory that the image keeps",
      Command.shell("x").pipe(
        Command.env({ A: "1" }),
        Command.preserveEnv,
        Command.workingDirectory("/w"),
        Command.preserveWorkingDirectory
      ),
      { command: "x", shell: true, env: { A: "1" }, preserve_env: true, cwd: "/w", preserve_cwd: true }
    ],
    [
      "a user and a group",
      Command.shell("x").pipe(Command.user(1000), Command.group(0)),
      { command: "x", shell: true, uid: 1000, gid: 0 }
    ],
    ["a host name", Command.shell("x").pipe(Command.hostname("box")), { command: "x", shell: true, hostname: "box" }],
    [
      "a limit on what it writes",
      Command.shell("x").pipe(Command.maxLayerBytes(1_000_000)),
      { command: "x", shell: true, resources_limits: { max_layer_bytes: 1_000_000 } }
    ],
    [
      "no network",
      Command.shell("x").pipe(Command.withoutNetwork),
      { command: "x", shell: true, networking: { enabled: false } }
    ],
    [
      "a stream as input",
      Command.shell("x").pipe(Command.stdin(Stream.make("a", "b").pipe(Stream.encodeText))),
      { command: "x", shell: true, stdin: { value: "ab", encoding: "ascii", close: true } }
    ],
    [
      "an output limit",
      Command.shell("x").pipe(Command.outputLimitBytes(0)),
      { command: "x", shell: true, truncate_output_at: 0 }
    ]
  ]
  it.effect.each(rows)("has what was set and nothing else: %s", ([_what, command, body]) =>
    Effect.gen(function* () {
      const { service } = yield* on(over(processResult({})), Image.run(image.id, command))
      deepStrictEqual(service.of(spawn)[0]?.body, { ...plain, ...body })
    })
  )

  it.effect("says when nothing is kept", () =>
    Effect.gen(function* () {
      const { service } = yield* on(over(processResult({})), Image.run(image.id, "true", { disposable: true }))
      deepStrictEqual(service.of(spawn)[0]?.body, { ...plain, command: "true", shell: true, disposable: true })
    })
  )

  it.effect("names the image by what it was given: an image, a UUID, a tag, a reference", () =>
    Effect.gen(function* () {
      const known = new Image.Image({ id: image.id, tag: Option.some("x"), createdAt: Option.none() })
      for (const [input, name] of [
        [known, image.id],
        [image.id, image.id],
        ["ubuntu:latest", "tag:ubuntu:latest"],
        ["docker://ubuntu", "tag:ubuntu"],
        [yield* Image.use("tag:a"), "tag:a"]
      ] as const) {
        const { service } = yield* on(over(processResult({})), pipe(input, Image.run("true")))
        assert.propertyVal(service.of(spawn)[0]?.body, "image", name)
      }
    })
  )

  it.effect("that is out of bounds is refused without any request", () =>
    Effect.gen(function* () {
      for (const command of [
        Command.shell("x").pipe(Command.workingDirectory("relative")),
        Command.shell("x").pipe(Command.outputLimitBytes(10_485_761)),
        Command.shell("x").pipe(Command.outputLimitBytes(-1)),
        Command.shell("x").pipe(Command.timeout(Duration.infinity)),
        Command.shell("x").pipe(Command.user(-1)),
        Command.shell("x").pipe(Command.group(1.5)),
        Command.shell("x").pipe(Command.hostname("h".repeat(65))),
        Command.shell("x").pipe(Command.maxLayerBytes(0)),
        Command.shell("x").pipe(Command.stdin(Stream.repeatValue(new Uint8Array(1_048_576)))),
        Command.shell("")
      ]) {
        const { error, service } = yield* on({}, Image.run("ubuntu:latest", command))
        assert.strictEqual(error?._tag, "RequestRejected")
        assert.isEmpty(service.requests)
      }
    })
  )
})

describe("the input of a run", () => {
  it.effect("may be a stream of exactly 8 MiB", () =>
    Effect.gen(function* () {
      const most = Stream.repeatValue(new Uint8Array(1_048_576).fill(97)).pipe(Stream.take(8))
      const { error, service } = yield* on(
        over(processResult({})),
        Image.run(image.id, Command.stdin(Command.shell("x"), most))
      )
      assert.isUndefined(error)
      assert.deepNestedPropertyVal(service.of(spawn)[0]?.body, "stdin.value", "a".repeat(8_388_608))
    })
  )

  it.effect("that fails is InputFailed with its own error, and nothing is started", () =>
    Effect.gen(function* () {
      const boom = new Error("no more")
      const { error, service } = yield* on(
        {},
        Image.run(image.id, Command.stdin(Command.shell("x"), Stream.fail(boom)))
      )
      assert.strictEqual(error?._tag, "InputFailed")
      if (error?._tag === "InputFailed") deepStrictEqual([error.what, error.cause], ["standard input", boom])
      assert.isEmpty(service.requests)
    })
  )
})

describe("the result of a run", () => {
  it.effect("has the name of its signal and what it consumed", () =>
    Effect.gen(function* () {
      const run = yield* ended(
        processResult({
          state: { exit_code: -1, signal: 9 },
          resources: { elapsed_time: 2.5, user_cpu_time: 0.25, system_cpu_time: 1, max_rss: 1000, page_faults: 0 }
        })
      )
      deepStrictEqual(run.signalName, Option.some("SIGKILL"))
      const { resources } = run
      deepStrictEqual(
        [resources.elapsed, resources.userTime, resources.systemTime, resources.cpuTime],
        [2500, 250, 1000, 1250].map((millis) => Option.some(Duration.millis(millis)))
      )
      deepStrictEqual(
        [resources.maxMemoryBytes, resources.pageFaults, resources.swaps, resources.cost],
        [Option.some(1_024_000), Option.some(0), Option.none(), Option.none()]
      )
    })
  )

  it.effect("has the exit code, the output and the time of the command", () =>
    Effect.gen(function* () {
      const run = yield* ended(
        processResult({
          state: { exit_code: 3, signal: -1 },
          stdout: { value: "out\n", encoding: "ascii" },
          stderr: { value: "err", encoding: "ascii", truncated: true }
        })
      )
      deepStrictEqual([run.exitCode, run.signal, run.timedOut], [3, Option.none(), false])
      deepStrictEqual([run.stdout.text, run.stdout.truncated], ["out\n", false])
      deepStrictEqual([run.stderr.text, run.stderr.truncated], ["err", true])
      deepStrictEqual(run.elapsed, Duration.millis(2500))
      assert.strictEqual(run.operationId, operationId)
      assert.notProperty(run, "image")
    })
  )

  const ends: ReadonlyArray<readonly [state: object, exitCode: number, signal: number | undefined]> = [
    [{ exit_code: 0, signal: -1 }, 0, undefined],
    [{ exit_code: 0, signal: 0 }, 0, undefined],
    [{ exit_code: 255, signal: -1 }, 255, undefined],
    [{ exit_code: -1, signal: 9 }, 137, 9],
    [{ exit_code: -1, signal: 15 }, 143, 15],
    [{ exit_code: 137, signal: 9 }, 137, 9],
    [{ exit_code: -1, signal: -1 }, 128, undefined],
    [{}, 128, undefined]
  ]
  it.effect.each(ends)("reads the state %j", ([state, exitCode, signal]) =>
    Effect.gen(function* () {
      const run = yield* ended(processResult({ state }))
      deepStrictEqual([run.exitCode, run.signal], [exitCode, Option.fromNullable(signal)])
      assert.strictEqual(Run.succeeded(run), exitCode === 0)
    })
  )

  it.effect("says that the command ran out of time, which is no success", () =>
    Effect.gen(function* () {
      const run = yield* ended(processResult({ state: { exit_code: 0, signal: -1, timed_out: true } }))
      assert.isTrue(run.timedOut)
      assert.isFalse(Run.succeeded(run))
    })
  )

  const streams: ReadonlyArray<
    readonly [what: string, stream: object | null, text: string, bytes: ReadonlyArray<number>]
  > = [
    ["base64", { value: "AP/DqQ==", encoding: "base64" }, "\0\ufffdé", [0, 255, 0xc3, 0xa9]],
    ["ascii", { value: "ab", encoding: "ascii" }, "ab", [97, 98]],
    ["text that is not ASCII under the name ascii", { value: "é", encoding: "ascii" }, "é", [0xc3, 0xa9]],
    ["no encoding", { value: "ab" }, "ab", [97, 98]],
    ["null", null, "", []]
  ]
  it.effect.each(streams)("reads a stream with %s", ([_what, stream, text, bytes]) =>
    Effect.gen(function* () {
      const run = yield* ended(processResult({ stdout: stream, stderr: stream }))
      for (const output of [run.stdout, run.stderr]) {
        assert.strictEqual(output.text, text)
        deepStrictEqual([...output.bytes], bytes)
      }
    })
  )

  it.effect("takes the time from the operation where the service does not measure the process", () =>
    Effect.gen(function* () {
      for (const resources of [{ elapsed_time: -1 }, {}, null]) {
        const { value } = yield* on(
          over(processResult({ resources }), { duration: 4 }),
          Image.run(image.id, "true", { disposable: true })
        )
        deepStrictEqual(value?.elapsed, Duration.seconds(4))
      }
      deepStrictEqual((yield* ended(processResult({ resources: null }))).elapsed, Duration.zero)
    })
  )

  it.effect("that is missing or cannot be read is a typed error", () =>
    Effect.gen(function* () {
      const absent = yield* Effect.flip(ended(null))
      assert.strictEqual(absent?._tag, "UnexpectedResponse")
      assert.include(absent?.message, "succeeded without a result")
      const wrong = { ...over(processResult({ stdout: { value: "%", encoding: "base64" } })), ...cancel }
      const { error, service } = yield* on(wrong, Image.run(image.id, "true", { disposable: true }))
      assert.strictEqual(error?._tag, "UnexpectedResponse")
      assert.include(error?.message, "is not base64")
      assert.strictEqual(service.log().at(-1), `DELETE /v1/operations/${operationId}`)
    })
  )
  const cancel = { [`DELETE /v1/operations/${operationId}`]: Scripted.failure(409) }
})

describe("a kept run", () => {
  it.effect("gives the image that it made", () =>
    Effect.gen(function* () {
      for (const fields of [{ result: { image: madeId, tag: null } }, { result_image_uuid: madeId }]) {
        const { service, value } = yield* on(over(processResult({}), fields), Image.run(image.id, "true"))
        assert.strictEqual<string | undefined>(value?.image.id, madeId)
        deepStrictEqual(service.log(), [spawn, poll])
      }
    })
  )

  it.effect("without an image is a typed error", () =>
    Effect.gen(function* () {
      const { error } = yield* on(over(processResult({}), {}), Image.run(image.id, "true"))
      assert.strictEqual(error?._tag, "UnexpectedResponse")
      assert.include(error?.message, "succeeded without an image")
    })
  )

  it.effect("gets its tag when the command has succeeded", () =>
    Effect.gen(function* () {
      const { service, value } = yield* on(
        { ...over(processResult({})), [patch]: Scripted.json(record({ uuid: madeId, tag: "another" })) },
        Image.run(image.id, "true", { tag: "mine:1" })
      )
      deepStrictEqual(service.log(), [spawn, poll, patch])
      deepStrictEqual(service.of(patch)[0]?.body, { tag: "mine:1" })
      assert.strictEqual<string | undefined>(value?.image.id, madeId)
      deepStrictEqual(value?.image.tag, Option.some("mine:1"))
      deepStrictEqual(value?.image.createdAt, Option.map(DateTime.make("2024-01-01T12:00:00Z"), DateTime.toUtc))
    })
  )

  it.effect("gets no tag when the command has failed", () =>
    Effect.gen(function* () {
      for (const state of [{ exit_code: 1 }, { exit_code: -1, signal: 9 }, { exit_code: 0, timed_out: true }]) {
        const { service, value } = yield* on(
          over(processResult({ state })),
          Image.run(image.id, "true", { tag: "mine:1" })
        )
        deepStrictEqual(service.log(), [spawn, poll])
        deepStrictEqual(value?.image.tag, Option.none())
      }
    })
  )

  it.effect("refuses a tag that cannot be given before the command runs", () =>
    Effect.gen(function* () {
      const { error, service } = yield* on({}, Image.run(image.id, "true", { tag: "not a tag" }))
      assert.strictEqual(error?._tag, "InvalidImageRef")
      assert.isEmpty(service.requests)
    })
  )

  it.effect("waits as its own policy says", () =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [spawn]: Scripted.json({ uuid: operationId }, 201),
        [poll]: Scripted.json(Scripted.operation("EXECUTING")),
        [`DELETE /v1/operations/${operationId}`]: Scripted.empty(202)
      })
      const wait = { schedule: Scripted.everySecond.schedule, deadline: "3500 millis" } as const
      const fiber = yield* Effect.fork(
        Effect.flip(Image.run(image.id, "sleep 9", { wait })).pipe(Effect.provide(service.layer()))
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "TimedOut")
      assert.lengthOf(service.of(poll), 5)
    })
  )
})

describe("a run whose wait ran out", () => {
  const executing = Scripted.operation("EXECUTING")
  const waiting = (inflight: Scripted.Reply) =>
    Effect.gen(function* () {
      const service = Scripted.make({
        [spawn]: Scripted.json({ uuid: operationId }, 201),
        [poll]: (request) => (request.query["inflight"] === "1" ? inflight : Scripted.json(executing)),
        [`DELETE /v1/operations/${operationId}`]: Scripted.empty(202)
      })
      const fiber = yield* Effect.fork(Effect.flip(Image.run(image.id, "make").pipe(Effect.provide(service.layer()))))
      yield* TestClock.adjust("65 seconds")
      const error = yield* Fiber.join(fiber)
      return error._tag === "TimedOut" ? error : assert.fail(error._tag)
    })

  it.effect("keeps what the command had written", () =>
    Effect.gen(function* () {
      const metadata = {
        result: { stdout: { value: "half", encoding: "ascii" }, stderr: { value: "AP8=", encoding: "base64" } }
      }
      const error = yield* waiting(Scripted.json({ ...executing, metadata }))
      deepStrictEqual([error.limit, error.after], ["wait", Duration.minutes(1)])
      const { stderr, stdout } = Option.getOrThrow(Run.partialOutput(error))
      deepStrictEqual([stdout.text, stderr.bytes], ["half", Uint8Array.of(0, 255)])
    })
  )

  it.effect("says that it ran out also when the server cannot tell, fails or is silent", () =>
    Effect.gen(function* () {
      for (const reply of [Scripted.json(executing), Scripted.failure(500), Scripted.silence]) {
        deepStrictEqual(Run.partialOutput(yield* waiting(reply)), Option.none())
      }
    })
  )
})

describe("the excerpts of an output", () => {
  const output = (text: string, truncated = false) =>
    new Run.Output({ bytes: new TextEncoder().encode(text), truncated })

  it("are the whole of a short one", () => {
    for (const text of ["", "abc"]) {
      assert.strictEqual(Run.excerpt(output(text), { head: 2, tail: 1 }), text)
      assert.strictEqual(Run.head(output(text), 3), text)
      assert.strictEqual(Run.tail(output(text), 3), text)
    }
  })

  it("say in bytes what they leave out", () => {
    const text = output("0123456789")
    assert.strictEqual(Run.excerpt(text, { head: 2, tail: 3 }), "01\n[5 bytes left out]\n789")
    assert.strictEqual(Run.head(text, 4), "0123\n[6 bytes left out]")
    assert.strictEqual(pipe(text, Run.tail(4)), "[6 bytes left out]\n6789")
    assert.strictEqual(pipe(text, Run.head(0)), "[10 bytes left out]")
    assert.strictEqual(pipe(text, Run.excerpt({ head: -1, tail: 1.5 })), "[9 bytes left out]\n9")
  })

  it("say when the service kept only the beginning", () => {
    const mark = "\n[the output went on; only its first 4 bytes were kept]"
    assert.strictEqual(Run.head(output("0123", true), 10), `0123${mark}`)
    assert.strictEqual(Run.tail(output("0123", true), 1), `[3 bytes left out]\n3${mark}`)
  })

  it.prop(
    "cut no character of a text, and account for every byte",
    [FastCheck.fullUnicodeString({ maxLength: 40 }), FastCheck.nat(60), FastCheck.nat(60)],
    ([text, head, tail]) => {
      const { bytes } = output(text)
      const excerpt = Run.excerpt(output(text), { head, tail })
      const match = /^(?:([^]*)\n)?\[(\d+) bytes left out\](?:\n([^]*))?$/.exec(excerpt)
      if (match === null) assert.strictEqual(excerpt, new TextDecoder().decode(bytes))
      else {
        const [, start = "", left, end = ""] = match
        const size = (part: string) => new TextEncoder().encode(part).length
        assert.isAtMost(size(start), head)
        assert.isAtMost(size(end), tail)
        assert.isTrue(new TextDecoder().decode(bytes).startsWith(start))
        assert.isTrue(text.endsWith(end))
        assert.strictEqual(size(start) + Number(left) + size(end), bytes.length)
      }
    }
  )

  it("of what is not text still are of bounded length", () => {
    const bytes = new Uint8Array(1000).fill(0x80)
    const excerpt = Run.excerpt(new Run.Output({ bytes, truncated: false }), { head: 10, tail: 10 })
    assert.strictEqual(excerpt, `${"\ufffd".repeat(10)}\n[980 bytes left out]\n${"\ufffd".repeat(10)}`)
  })
})

describe("Run.orFail", () => {
  const output = (text: string) => new Run.Output({ bytes: new TextEncoder().encode(text), truncated: false })
  const base: Run.Run = {
    _tag: "Run",
    operationId: OperationId.make(operationId),
    exitCode: 0,
    signal: Option.none(),
    signalName: Option.none(),
    timedOut: false,
    stdout: output("the output\n"),
    stderr: output(""),
    elapsed: Duration.zero,
    resources: ResourceUsage.fromProcessResources(Schema.decodeSync(ProcessResources)({}))
  }

  it.effect("gives a run that succeeded as it is", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Run.orFail(base), base)
      const kept: Run.Kept = {
        ...base,
        image: new Image.Image({ id: image.id, tag: Option.none(), createdAt: Option.none() })
      }
      assert.strictEqual((yield* Run.orFail(kept)).image, kept.image)
      expectTypeOf(Run.orFail(kept)).toEqualTypeOf<Effect.Effect<Run.Kept, Run.CommandFailed>>()
    })
  )

  const rows: ReadonlyArray<readonly [changes: Partial<Run.Run>, message: string]> = [
    [{ exitCode: 2 }, `The command exited with code 2 (operation ${operationId}): the output`],
    [
      { exitCode: 2, stderr: output("no such file\n") },
      `The command exited with code 2 (operation ${operationId}): no such file`
    ],
    [
      { exitCode: 137, signal: Option.some(9) },
      `The command was ended by SIGKILL (operation ${operationId}): the output`
    ],
    [
      { timedOut: true, exitCode: 137, signal: Option.some(9) },
      `The command ran out of time (operation ${operationId}): the output`
    ],
    [{ exitCode: 1, stdout: output("") }, `The command exited with code 1 (operation ${operationId})`]
  ]
  it.effect.each(rows)("fails with how it ended and the end of its output: %j", ([changes, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Run.orFail({ ...base, ...changes }))
      assert.strictEqual(error._tag, "CommandFailed")
      assert.strictEqual(error.message, message)
    })
  )

  it.effect("keeps the last 2000 characters of each stream", () =>
    Effect.gen(function* () {
      const long = `${"x".repeat(5000)}end`
      const error = yield* Effect.flip(Run.orFail({ ...base, exitCode: 1, stdout: output(long), stderr: output(long) }))
      for (const tail of [error.stdoutTail, error.stderrTail]) {
        assert.lengthOf(tail, 2000)
        assert.isTrue(tail.endsWith("end"))
      }
    })
  )
})

describe("Run.Output", () => {
  it.effect("is what the process wrote, also where the service had to encode it", () =>
    Effect.gen(function* () {
      const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte)
      const stdout = { value: Encoding.encodeBase64(bytes), encoding: "base64", truncated: true }
      const run = yield* ended(processResult({ stdout }))
      deepStrictEqual(run.stdout.bytes, bytes)
      assert.isTrue(run.stdout.truncated)
    })
  )
})
