import { assert, describe, layer as suite } from "@effect/vitest"
import { Effect } from "effect"
import type { LauncherName } from "../../src/local/Launcher.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as LiveEngine from "../fixtures/LiveEngine.js"
import { output, Place, spawn, types } from "../fixtures/LiveEngine.js"
import * as Sse from "../fixtures/Sse.js"

interface Answer {
  readonly status: number
  // oxlint-disable-next-line typescript/no-explicit-any -- it is looked at as it is
  readonly body: any
  readonly location: string | null
}

/** A request as it stands on the wire. */
const call = (method: string, path: string, body?: unknown) =>
  Effect.flatMap(Place, ({ url }) =>
    Effect.promise(async (): Promise<Answer> => {
      const answer = await fetch(`${url}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } })
      })
      const text = await answer.text()
      return {
        status: answer.status,
        body: text === "" ? undefined : JSON.parse(text),
        location: answer.headers.get("location")
      }
    })
  )

/** Asks again until it is so. */
const again = <A, E, R>(ask: Effect.Effect<A, E, R>, isSo: (answer: A) => boolean): Effect.Effect<A, E, R> =>
  Effect.flatMap(ask, (answer) => (isSo(answer) ? Effect.succeed(answer) : Effect.delay(again(ask, isSo), "10 millis")))

/** An instance that waits, once it takes more processes. */
const instance = Effect.fn(function* (command = "sleep 1000", fields: Parameters<typeof spawn>[0] = {}) {
  const run = yield* spawn({ command, ...fields })
  const processes = `/operations/${run.id}/subprocesses`
  yield* Effect.addFinalizer(() => Effect.ignore(call("DELETE", `/operations/${run.id}`)))
  const start = (request: Record<string, unknown>) =>
    again(call("POST", processes, request), ({ status }) => status !== 425).pipe(
      Effect.flatMap((answer) =>
        answer.status === 201 ? Effect.succeed(answer.body.spid as number) : Effect.die(JSON.stringify(answer))
      )
    )
  const result = (spid: number) =>
    Effect.map(
      again(
        call("GET", `${processes}/${spid}`),
        ({ body, status }) => status !== 200 || body.state.exit_code !== -1 || body.state.signal !== -1
      ),
      ({ body }) => body
    )
  return {
    ...run,
    processes,
    start,
    result,
    out: (spid: number) => Effect.map(result(spid), ({ stdout }) => stdout.value)
  }
})

const launchers: ReadonlyArray<LauncherName> = ["built-in", "bubblewrap", "util-linux"]

for (const launcher of launchers) {
  suite(LiveEngine.layer({ launcher }), { excludeTestServices: true, timeout: "30 seconds" })(
    `in an instance by ${launcher}`,
    (it) => {
      describe("one more process", () => {
        it.scoped("is numbered from 2, and has its own result and events", () =>
          Effect.gen(function* () {
            const { events, id, processes, result, start } = yield* instance()
            assert.strictEqual(yield* start({ command: "echo out; echo oops >&2; exit 4", shell: true }), 2)
            const over = yield* result(2)
            assert.deepInclude(over.stdout, { value: "out\n", encoding: "ascii", truncated: false })
            assert.deepInclude(over.stderr, { value: "oops\n" })
            assert.deepInclude(over.state, { exit_code: 4, signal: -1 })
            const answer = yield* call("POST", processes, { command: "sleep", args: ["1000"] })
            assert.deepStrictEqual(
              [answer.status, answer.body, answer.location],
              [201, { spid: 3 }, `/v1/operations/${id}/subprocesses/3`]
            )
            const still = (yield* call("GET", `${processes}/3`)).body
            assert.deepInclude(still.state, { exit_code: -1, signal: -1 })
            assert.deepInclude((yield* call("GET", `${processes}/1`)).body.state, { exit_code: -1, signal: -1 })
            yield* call("DELETE", `/operations/${id}`)
            const all = yield* Sse.all(events)
            assert.deepStrictEqual(types(all.filter(({ spid }) => spid === 2)).sort(), [
              "exit",
              "spawn",
              "stderr",
              "stdout"
            ])
            assert.strictEqual(
              output(
                all.filter(({ spid }) => spid === 2),
                "stdout"
              ).toString(),
              "out\n"
            )
            assert.deepInclude(all.find(({ spid, type }) => spid === 2 && type === "spawn")?.data, { shell: true })
            assert.strictEqual(all.at(-1)?.type, "completion")
          })
        )

        it.scoped("is in the same sandbox, with the same privileges", () =>
          Effect.gen(function* () {
            const probe =
              "for n in mnt pid net ipc uts user cgroup; do readlink /proc/self/ns/$n; done; hostname; " +
              "grep -E '^(Cap(Prm|Eff)|NoNewPrivs|Uid|Gid|Groups|Seccomp|SigIgn|SigBlk):' /proc/self/status; " +
              "cat /proc/self/uid_map; ls /; pwd; ls -l /proc/self/fd | wc -l; cat /file; echo shm >/dev/shm/x; umask"
            const { events, out, start } = yield* instance(`echo here >/file; ${probe}; echo end; sleep 1000`)
            const stream = yield* Sse.open(`${events}?follow=1`)
            let first = ""
            while (!first.endsWith("end\n")) {
              const frame = yield* stream.next
              if (frame === "end") return yield* Effect.die("it ended")
              if (frame.event === "stdout") first += output([Sse.decode(frame.data ?? "")], "stdout").toString()
            }
            const spid = yield* start({ command: probe, shell: true })
            assert.strictEqual(`${yield* out(spid)}end\n`, first)
            const other = yield* start({ command: "cat /dev/shm/x; ps; ls -l /proc/1/root /proc/*/exe", shell: true })
            const seen = yield* out(other)
            assert.match(seen, /^shm\n/)
            assert.include(seen, "sleep 1000")
          })
        )

        it.scoped("has its own user, folder, variables and input", () =>
          Effect.gen(function* () {
            const { out, result, start } = yield* instance()
            const spid = yield* start({
              command: 'id -u; id -g; pwd; echo "$NAME"; env | sort | head -20; cat',
              shell: true,
              uid: 1000,
              gid: 1001,
              cwd: "/new/folder",
              env: { NAME: "a 'quoted' value" },
              stdin: { value: "given" }
            })
            const lines = (yield* out(spid)).split("\n")
            assert.deepStrictEqual(lines.slice(0, 4), ["1000", "1001", "/new/folder", "a 'quoted' value"])
            assert.include(lines, "PWD=/new/folder")
            assert.strictEqual(lines.at(-1), "given")
            const missing = yield* start({ command: "/none" })
            assert.strictEqual((yield* result(missing)).state.exit_code, 127)
            const exact = yield* start({ command: "exit 137", shell: true })
            assert.deepInclude((yield* result(exact)).state, { exit_code: 137, signal: -1 })
          })
        )

        it.scoped("can write to /dev/stdout, and is cut at its limit", () =>
          Effect.gen(function* () {
            const { result, start } = yield* instance()
            const spid = yield* start({
              command: "echo opened >/dev/stdout; seq 1 1000",
              shell: true,
              truncate_output_at: 10
            })
            assert.deepInclude((yield* result(spid)).stdout, { value: "opened\n1\n2", truncated: true })
          })
        )

        it.scoped("gets signals by name and number, with all of its group", () =>
          Effect.gen(function* () {
            const { processes, result, start } = yield* instance()
            const trapping = yield* start({ command: "trap 'echo got; exit 9' INT; sleep 1000 & wait", shell: true })
            yield* Effect.sleep("200 millis")
            assert.strictEqual((yield* call("DELETE", `${processes}/${trapping}?signal=INT`)).status, 204)
            const over = yield* result(trapping)
            assert.deepStrictEqual([over.stdout.value, over.state.exit_code], ["got\n", 9])
            for (const [signal, number] of [
              ["", 9],
              ["?signal=SIGTERM", 15],
              ["?signal=term", 15],
              ["?signal=1", 1]
            ] as const) {
              // At once: it need not have become its command.
              const spid = yield* start({ command: "sleep", args: ["1000"] })
              assert.strictEqual((yield* call("DELETE", `${processes}/${spid}${signal}`)).status, 204)
              assert.deepInclude((yield* result(spid)).state, { exit_code: -1, signal: number })
              assert.strictEqual((yield* call("DELETE", `${processes}/${spid}`)).status, 404)
            }
            assert.strictEqual((yield* call("DELETE", `${processes}/1?signal=NONE`)).status, 400)
            assert.strictEqual((yield* call("DELETE", `${processes}/99`)).status, 404)
          })
        )

        it.scoped("takes its input piece by piece until it is closed", () =>
          Effect.gen(function* () {
            const { processes, result, start } = yield* instance()
            const spid = yield* start({ command: "cat", shell: true, stdin: { value: "one ", close: false } })
            const write = (body: unknown) => call("POST", `${processes}/${spid}/stdin`, body)
            for (const value of ["two ", "three "])
              assert.strictEqual((yield* write({ value, close: false })).status, 204)
            assert.strictEqual((yield* write({ value: "", close: true })).status, 204)
            assert.deepInclude((yield* result(spid)).stdout, { value: "one two three " })
            const late = (yield* write({ value: "late" })).status
            assert.include([409, 410], late)
            const closed = yield* start({ command: "sleep", args: ["1000"] })
            assert.strictEqual((yield* call("POST", `${processes}/${closed}/stdin`, { value: "x" })).status, 409)
          })
        )

        it.scoped("ends with the instance", () =>
          Effect.gen(function* () {
            const { events, id, processes, start } = yield* instance("read line; echo over", {
              stdin: { bytes: new Uint8Array(0), close: false }
            })
            yield* start({ command: "setsid sleep 1000 & sleep 1000", shell: true })
            yield* call("POST", `${processes}/1/stdin`, { value: "go\n" })
            const all = yield* Sse.all(`${events}?follow=1`)
            assert.deepStrictEqual(types(all).slice(-5), ["exit", "exit", "network", "shutdown", "completion"])
            assert.deepInclude(all.find(({ spid, type }) => spid === 2 && type === "exit")?.data, { signal: 9 })
            assert.deepInclude(all.at(-1)?.data, { status: "SUCCESS" })
            assert.strictEqual((yield* call("GET", `${processes}/1`)).body.state.exit_code, 0)
            assert.strictEqual((yield* call("GET", `${processes}/2`)).status, 404)
            assert.strictEqual((yield* call("POST", processes, { command: "true" })).status, 409)
            assert.strictEqual((yield* call("DELETE", `${processes}/1`)).status, 409)
            assert.strictEqual((yield* call("POST", `${processes}/1/stdin`, { value: "x" })).status, 410)
            void id
          })
        )

        it.scoped("is refused where it makes no sense", () =>
          Effect.gen(function* () {
            const { processes, start } = yield* instance()
            yield* start({ command: "true" })
            const none = "/operations/00000000-0000-4000-8000-000000000000/subprocesses"
            assert.strictEqual((yield* call("POST", none, { command: "true" })).status, 404)
            assert.strictEqual((yield* call("POST", processes, { command: "" })).status, 400)
            assert.strictEqual((yield* call("POST", processes, { command: "x", shell: true, args: ["y"] })).status, 400)
            assert.strictEqual((yield* call("GET", `${processes}/x`)).status, 400)
            assert.strictEqual((yield* call("GET", `${processes}/7`)).status, 404)
            const client = yield* ContreeClient
            const imported = yield* client.images.import({
              registry: { url: "docker://docker.io/library/busybox:latest" }
            })
            assert.strictEqual(
              (yield* call("POST", `/operations/${imported}/subprocesses`, { command: "true" })).status,
              409
            )
          })
        )
      })

      describe("the command itself", () => {
        it.scoped("takes its input while it runs", () =>
          Effect.gen(function* () {
            const { events, processes } = yield* instance("cat", { stdin: { bytes: Buffer.from("a"), close: false } })
            const stream = yield* Sse.open(`${events}?follow=1`)
            yield* Effect.repeat(stream.next, { until: (frame) => frame === "end" || frame.event === "spawn" })
            for (const value of ["b", "c"]) {
              assert.strictEqual((yield* call("POST", `${processes}/1/stdin`, { value, close: false })).status, 204)
            }
            const big = Buffer.alloc(300_000, "x").toString()
            assert.strictEqual((yield* call("POST", `${processes}/1/stdin`, { value: big, close: true })).status, 204)
            const late = yield* again(
              call("POST", `${processes}/1/stdin`, { value: "late" }),
              ({ status }) => status !== 425
            )
            assert.include([409, 410], late.status)
            const all = yield* Sse.all(`${events}?follow=1`)
            assert.strictEqual(output(all, "stdin").toString(), `abc${big}`)
            assert.strictEqual(output(all, "stdout").toString(), `abc${big}`)
          })
        )

        it.scoped("reads nothing any more from its end on, before that is recorded and after", () =>
          Effect.gen(function* () {
            const { events, processes } = yield* instance("read line; dd if=/dev/zero of=/new bs=1M count=20", {
              stdin: { bytes: new Uint8Array(0), close: false }
            })
            const stream = yield* Sse.open(`${events}?follow=1`)
            const until = (event: string) =>
              Effect.repeat(stream.next, { until: (frame) => frame === "end" || frame.event === event })
            yield* until("spawn")
            const write = (close: boolean) => call("POST", `${processes}/1/stdin`, { value: "go\n", close })
            assert.strictEqual((yield* write(false)).status, 204)
            yield* until("exit")
            const recorded = yield* Effect.fork(until("completion"))
            const statuses = new Set<string>()
            const attempt = Effect.gen(function* () {
              const input = yield* write(false)
              const process = yield* call("POST", processes, { command: "true" })
              statuses.add(`${input.status} ${process.status}`)
            })
            while (recorded.unsafePoll() === null) yield* attempt
            yield* attempt
            assert.deepStrictEqual([...statuses], ["410 409"])
          })
        )

        it.scoped("is signalled, and the operation ends with it", () =>
          Effect.gen(function* () {
            const { events, processes } = yield* instance(
              "trap 'echo bye; exit 3' INT; echo up; while :; do sleep 0.1; done"
            )
            const stream = yield* Sse.open(`${events}?follow=1`)
            yield* Effect.repeat(stream.next, { until: (frame) => frame === "end" || frame.event === "stdout" })
            assert.strictEqual((yield* call("DELETE", `${processes}/1?signal=INT`)).status, 204)
            const all = yield* Sse.all(`${events}?follow=1`)
            assert.strictEqual(output(all, "stdout").toString(), "up\nbye\n")
            assert.deepInclude(all.find(({ type }) => type === "exit")?.data, { code: 3, signal: -1 })
            const killed = yield* instance("echo up; sleep 1000")
            const other = yield* Sse.open(`${killed.events}?follow=1`)
            yield* Effect.repeat(other.next, { until: (frame) => frame === "end" || frame.event === "stdout" })
            assert.strictEqual((yield* call("DELETE", `${killed.processes}/1`)).status, 204)
            const end = yield* Sse.all(`${killed.events}?follow=1`)
            assert.deepInclude(end.find(({ type }) => type === "exit")?.data, { code: -1, signal: 9 })
            assert.deepInclude(end.at(-1)?.data, { status: "SUCCESS" })
          })
        )
      })
    }
  )
}
