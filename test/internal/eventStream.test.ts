import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, FastCheck as fc, Stream } from "effect"
import type { EventFrame } from "../../src/internal/eventStream.js"
import * as EventStream from "../../src/internal/eventStream.js"
import * as Logs from "../fixtures/EventLogs.js"

const request = { method: "GET", path: "/v1/operations/x/events" }
const utf8 = new TextEncoder()

/** The frames of a text that comes in pieces of the sizes given, the last one repeated. */
const read = (text: string | Uint8Array, sizes: ReadonlyArray<number> = [1_000_000]): ReadonlyArray<EventFrame> => {
  const bytes = typeof text === "string" ? utf8.encode(text) : text
  const reader = new EventStream.FrameReader()
  const frames: Array<EventFrame> = []
  let at = 0
  for (let index = 0; at < bytes.length; index++) {
    const size = sizes[Math.min(index, sizes.length - 1)] ?? 1
    assert.isTrue(reader.read(bytes.subarray(at, at + size), frames))
    at += size
  }
  return frames
}

const ids = (frames: ReadonlyArray<EventFrame>) =>
  frames.map((frame) => (frame._tag === "Event" ? frame.event.id : frame._tag))

const event = (id: number) => JSON.stringify(Logs.written(id, "stdout", "x"))

describe("the frames of an event stream", () => {
  it("are the same wherever the body is cut", () => {
    const text = `\uFEFF: hello\r\n\r\n${Logs.frames(Logs.sample)}: keepalive\n\nevent: sse_error\ndata: gone\n\n`
    const whole = read(text)
    deepStrictEqual(ids(whole), ["Keepalive", 0, 2, 3, 5, 8, 11, 12, "Keepalive", "Broken"])
    for (let cut = 1; cut < utf8.encode(text).length; cut++) deepStrictEqual(read(text, [cut, 1_000_000]), whole)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) =>
        deepStrictEqual(read(text, sizes), whole)
      ),
      { numRuns: 100 }
    )
  })

  it("end at LF, CR and CRLF, also where the two come apart", () => {
    for (const end of ["\n", "\r", "\r\n"]) {
      const text = [`data: ${event(1)}`, "", ": alive", "", `data:${event(2)}`, "", ""].join(end)
      for (let cut = 1; cut <= text.length; cut++) deepStrictEqual(ids(read(text, [cut, 7])), [1, "Keepalive", 2])
    }
  })

  it("join the data of several lines, and begin without a byte order mark", () => {
    const cut = event(4).indexOf(",")
    const [start, rest] = [event(4).slice(0, cut), event(4).slice(cut)]
    deepStrictEqual(ids(read(`\uFEFFdata: ${start}\ndata: ${rest}\n\n`)), [4])
  })

  it("say when the server breaks off, and how long to stay away", () => {
    deepStrictEqual(read(": bye\n\nevent: sse_error\ndata: log\ndata: lost\n\n")[1], {
      _tag: "Broken",
      detail: "log\nlost"
    })
    deepStrictEqual(
      read("retry: 2500\nretry: soon\n\n").map((frame) =>
        frame._tag === "Reconnect" ? String(frame.after) : frame._tag
      ),
      ["Duration(2s 500ms)"]
    )
  })

  it("keep what is of an unknown type or has unknown data, and leave out what is no event", () => {
    const odd = { id: 3, ts: "2024-01-01T12:00:00Z", type: "exit", spid: 1, data: { code: "none" } }
    const frames = read(
      `data: ${JSON.stringify(odd)}\n\ndata: {"id":4,"ts":"2024-01-01T12:00:00Z","type":"aurora","data":[1]}\n\n` +
        `data: {"id":5}\n\ndata: nothing\n\n`
    )
    deepStrictEqual(
      frames.map((frame) => (frame._tag === "Event" ? [frame.event._tag, frame.event.data] : frame._tag)),
      [["Unknown", { code: "none" }], ["Unknown", [1]], "Malformed", "Malformed"]
    )
  })

  it("that are cut by the stream's end are none", () => {
    deepStrictEqual(ids(read(`data: ${event(1)}\n\ndata: ${event(2)}\n`)), [1])
  })

  it.effect("above 4 MiB are refused before more of them is taken", () =>
    Effect.gen(function* () {
      let taken = 0
      const megabyte = utf8.encode("x".repeat(1024 * 1024))
      const endless = Stream.concat(
        Stream.make(utf8.encode("data: ")),
        Stream.repeatEffect(
          Effect.sync(() => {
            taken++
            return megabyte
          })
        )
      )
      const error = yield* Effect.flip(Stream.runDrain(EventStream.frames(request)(endless)))
      assert.strictEqual(error._tag, "UnexpectedResponse")
      assert.isAtMost(taken, 5)
      const lines = Stream.repeatValue(utf8.encode(`data: ${"y".repeat(1000)}\n`))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(EventStream.frames(request)(lines))))._tag, error._tag)
    })
  )
})
