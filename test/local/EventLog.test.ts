import { FileSystem } from "@effect/platform"
import { assert, layer as suite } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as LiveEngine from "../fixtures/LiveEngine.js"
import { output, Place, spawn, types } from "../fixtures/LiveEngine.js"
import * as Sse from "../fixtures/Sse.js"

suite(LiveEngine.layer({}), { excludeTestServices: true, timeout: "2 minutes" })("an event log", (it) => {
  it.scoped("tells of a run from its start to its completion, with numbers from 0 upwards", () =>
    Effect.gen(function* () {
      const run = yield* spawn({
        command: "echo out; echo oops >&2; exit 3",
        env: { API_TOKEN: "hush", NAME: "value" },
        stdin: { bytes: new TextEncoder().encode("given"), close: true }
      })
      const events = yield* Sse.all(`${run.events}?follow=1`)
      assert.deepStrictEqual(types(events).slice(0, 3), ["init", "spawn", "stdin"])
      assert.deepStrictEqual(types(events).slice(3, 5).sort(), ["stderr", "stdout"])
      assert.deepStrictEqual(types(events).slice(5), ["exit", "network", "shutdown", "completion"])
      assert.deepStrictEqual(
        events.map(({ id }) => id),
        events.map((_, index) => index)
      )
      assert.deepStrictEqual(
        events.map(({ spid }) => spid),
        [0, 1, 1, 1, 1, 1, 0, 0, undefined]
      )
      const carried = events.find(({ type }) => type === "network")?.data
      assert.deepInclude(carried?.["configured"], { ip4: "10.0.2.100/24", ip4_gw: "10.0.2.2" })
      assert.deepStrictEqual(JSON.stringify(carried?.["interfaces"]).match(/"name":"[a-z0-9]+"/g), [
        '"name":"lo"',
        '"name":"tap0"'
      ])
      const [init, started] = events
      for (const key of ["started_at", "runtime_path", "verbose", "init_pid", "kernel", "boot_id"]) {
        assert.property(init?.data, key)
      }
      assert.deepInclude(started?.data, { command: "echo out; echo oops >&2; exit 3", shell: true, uid: 0, cwd: "/" })
      assert.deepInclude(started?.data["env"], { API_TOKEN: "<MASKED>", NAME: "value" })
      assert.strictEqual(output(events, "stdout").toString(), "out\n")
      assert.strictEqual(output(events, "stdin").toString(), "given")
      const exit = events.find(({ type }) => type === "exit")?.data
      assert.deepInclude(exit, { code: 3, signal: -1, timed_out: false })
      assert.property(exit?.["resources"], "user_time_us")
      assert.deepInclude(events.at(-1)?.data, { status: "SUCCESS", error: null })
      // The record is there before the last event is.
      assert.deepStrictEqual(yield* Sse.all(run.events), events)
    })
  )

  it.scoped("is followed from where a reader left off, and by process", () =>
    Effect.gen(function* () {
      const run = yield* spawn({ command: "echo a; sleep 0.2; echo b" })
      const events = yield* Sse.all(`${run.events}?follow`)
      assert.deepStrictEqual(yield* Sse.all(`${run.events}?since=2`), events.slice(3))
      assert.deepStrictEqual(
        yield* Sse.all(`${run.events}?since=0&follow=1`, { "last-event-id": "3" }),
        events.slice(4)
      )
      assert.deepStrictEqual(types(yield* Sse.all(`${run.events}?spid=1`)), [
        "spawn",
        "stdout",
        "stdout",
        "exit",
        "completion"
      ])
      assert.deepStrictEqual(yield* Sse.all(`${run.events}?since=100000`), [])
    })
  )

  it.scoped("brings output as it is written, to every follower", () =>
    Effect.gen(function* () {
      const run = yield* spawn({
        command: "read line; echo $line; sleep 1000",
        stdin: { bytes: Buffer.from("hi\n"), close: true }
      })
      const streams = yield* Effect.forEach(Array.from({ length: 50 }), () => Sse.open(`${run.events}?follow=1`), {
        concurrency: 50
      })
      yield* Effect.forEach(
        streams,
        (stream) =>
          Effect.repeat(stream.next, {
            until: (frame) =>
              frame !== "end" && frame.event === "stdout" && Sse.decode(frame.data ?? "").data["value"] === "hi\n"
          }),
        { concurrency: 50 }
      )
      const client = yield* ContreeClient
      yield* client.operations.cancel(run.id)
      const last = yield* Effect.forEach(
        streams,
        (stream) => {
          const seen: Array<string | undefined> = []
          return Effect.repeat(
            Effect.tap(stream.next, (frame) => Effect.sync(() => frame !== "end" && seen.push(frame.event))),
            { until: (frame) => frame === "end" }
          ).pipe(Effect.as(seen))
        },
        { concurrency: 50 }
      )
      for (const seen of last) assert.deepStrictEqual(seen, ["shutdown", "completion"], String(seen))
      assert.deepInclude((yield* Sse.all(run.events)).at(-1)?.data, { status: "CANCELLED" })
    })
  )

  it.scoped("cuts each stream at its limit and says so at its end", () =>
    Effect.gen(function* () {
      const run = yield* spawn({ command: "seq 1 20000; echo short >&2", truncateOutputAt: 10_000 })
      const events = yield* Sse.all(`${run.events}?follow=1`)
      assert.strictEqual(output(events, "stdout").length, 10_000)
      assert.strictEqual(output(events, "stderr").toString(), "short\n")
      const cut = events.filter(({ type }) => type === "truncated")
      assert.deepStrictEqual(
        cut.map(({ data, spid }) => [spid, data]),
        [[1, { stream: "stdout", bytes_emitted: 10_000, bytes_dropped: 108_894 - 10_000 }]]
      )
      for (const { data } of events.filter(({ type }) => type === "stdout")) {
        assert.isAtMost(String(data["value"]).length, 8192)
      }
    })
  )

  it.scoped("holds bytes that are no text", () =>
    Effect.gen(function* () {
      const run = yield* spawn({ command: "printf 'a\\377\\0b'" })
      const events = yield* Sse.all(`${run.events}?follow=1`)
      assert.deepStrictEqual([...output(events, "stdout")], [0x61, 0xff, 0, 0x62])
      assert.deepInclude(events.find(({ type }) => type === "stdout")?.data, { encoding: "base64", truncated: false })
    })
  )

  it.scoped("says when a command hit its time limit", () =>
    Effect.gen(function* () {
      const run = yield* spawn({ command: "sleep 1000", timeout: Duration.seconds(1) })
      const events = yield* Sse.all(`${run.events}?follow=1`)
      assert.deepInclude(events.find(({ type }) => type === "exit")?.data, { code: -1, signal: 9, timed_out: true })
      assert.deepInclude(events.find(({ type }) => type === "shutdown")?.data, { reason: "timeout" })
    })
  )

  it.scoped("is there for an import too", () =>
    Effect.gen(function* () {
      const { url } = yield* Place
      const client = yield* ContreeClient
      const id = yield* client.images.import({ registry: { url: "docker://docker.io/library/busybox:latest" } })
      const events = yield* Sse.all(`${url}/operations/${id}/events?follow=1`)
      assert.deepStrictEqual(types(events), ["init", "completion"])
      const failing = yield* client.images.import({ registry: { url: "docker://docker.io/library/none:latest" } })
      const end = (yield* Sse.all(`${url}/operations/${failing}/events?follow=1`)).at(-1)
      assert.deepInclude(end?.data, { status: "FAILED", result_image_uuid: null })
    })
  )

  it.scoped("refuses what is not there, and what is no number", () =>
    Effect.gen(function* () {
      const { url } = yield* Place
      const run = yield* spawn({})
      yield* Sse.all(`${run.events}?follow=1`)
      const status = (address: string, headers?: Record<string, string>) =>
        Effect.map(Effect.flip(Sse.open(address, headers)), ({ status }) => status)
      assert.strictEqual(yield* status(`${url}/operations/00000000-0000-4000-8000-000000000000/events`), 404)
      for (const query of ["since=x", "since=-1", "spid=1.5", "spid=x"]) {
        assert.strictEqual(yield* status(`${run.events}?${query}`), 400)
      }
      assert.strictEqual(yield* status(run.events, { "last-event-id": "x" }), 400)
    })
  )

  it.scoped("is too early for an operation that waits for its turn", () =>
    Effect.gen(function* () {
      const busy = [yield* spawn({ command: "sleep 1000" }), yield* spawn({ command: "sleep 1000" })]
      const waiting = yield* spawn({ command: "echo late" })
      const refused = yield* Effect.flip(Sse.open(waiting.events))
      assert.strictEqual(refused.status, 425)
      // A follower has patience.
      const client = yield* ContreeClient
      const [events] = yield* Effect.all(
        [
          Sse.all(`${waiting.events}?follow=1`),
          Effect.delay(
            Effect.forEach(busy, ({ id }) => client.operations.cancel(id)),
            "200 millis"
          )
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(output(events, "stdout").toString(), "late\n")
    })
  )

  it.scoped("is there after a restart, and is closed for what the restart has ended", () =>
    Effect.gen(function* () {
      const { dataDirectory, restart } = yield* Place
      const fs = yield* FileSystem.FileSystem
      const over = yield* spawn({ command: "echo kept" })
      const before = yield* Sse.all(`${over.events}?follow=1`)
      const open = yield* spawn({ command: "echo begun; sleep 1000" })
      const stream = yield* Sse.open(`${open.events}?follow=1`)
      yield* Effect.repeat(stream.next, { until: (frame) => frame === "end" || frame.event === "stdout" })
      const log = `${dataDirectory}/e/${open.id}`
      const written = yield* fs.readFileString(log)
      yield* restart
      assert.deepStrictEqual(yield* Sse.all(over.events), before)
      const closed = yield* Sse.all(open.events)
      assert.deepInclude(closed.at(-1), { type: "completion" })
      assert.deepInclude(closed.at(-1)?.data, { status: "FAILED" })
      // As a power cut would leave it: without its end, and torn.
      yield* fs.writeFileString(log, `${written}id: 3\nevent: std`)
      const repaired = yield* Sse.all(`${open.events}?follow=1`)
      assert.deepStrictEqual(types(repaired), ["init", "spawn", "stdout", "completion"])
      assert.deepStrictEqual(yield* Sse.all(open.events), repaired)
      yield* fs.remove(log)
      assert.deepStrictEqual(types(yield* Sse.all(open.events)), ["completion"])
    })
  )

  it.scoped("shows what a command has written so far, with the operation", () =>
    Effect.gen(function* () {
      const { url } = yield* Place
      const client = yield* ContreeClient
      const run = yield* spawn({ command: "echo half; sleep 1000" })
      const stream = yield* Sse.open(`${run.events}?follow=1`)
      yield* Effect.repeat(stream.next, { until: (frame) => frame === "end" || frame.event === "stdout" })
      const get = (query: string) =>
        Effect.promise(() => fetch(`${url}/operations/${run.id}${query}`).then((answer) => answer.json()))
      assert.isNull((yield* get("")).metadata.result)
      const partial = yield* get("?inflight=1")
      assert.deepInclude(partial.metadata.result.stdout, { value: "half\n", encoding: "ascii" })
      assert.deepInclude(partial.metadata.result.state, { exit_code: -1, signal: -1 })
      assert.isNumber(partial.duration)
      yield* client.operations.cancel(run.id)
      const again = yield* Effect.promise(() => fetch(`${url}/operations/${run.id}`, { method: "DELETE" }))
      assert.strictEqual(again.status, 409)
    })
  )
})
