/**
 * A process that answers as the service does, from memory and without thought, so that what is measured is the client.
 * Its first message is its address.
 */
import { createServer, type ServerResponse } from "node:http"
import { downloadBytes, eventCount, imageCount, pageSize } from "./sizes.js"

const uuid = (number: number) => `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`
const createdAt = "2026-01-05T10:20:30.123456+00:00"

const stream = (value: string) => ({ value, encoding: "ascii", truncated: false })
const operation = Buffer.from(
  JSON.stringify({
    uuid: uuid(1),
    kind: "instance",
    status: "SUCCESS",
    error: null,
    created_at: createdAt,
    duration: 1.25,
    image_size: 123_456,
    consumed_cpu: 0.25,
    consumed_memory: 2048,
    image_uuid: uuid(2),
    result_image_uuid: uuid(3),
    metadata: {
      command: "echo hello",
      args: [],
      shell: true,
      env: {},
      cwd: "/root",
      disposable: false,
      files: {},
      hostname: "linuxkit",
      image: uuid(2),
      stdin: stream(""),
      timeout: 30,
      truncate_output_at: 65_536,
      result: {
        resources: {
          block_input: 0,
          block_output: 8,
          cost: 0.001,
          elapsed_time: 1.2,
          involuntary_switches: 1,
          max_rss: 2048,
          monotonic_time: 1.2,
          page_faults: 100,
          page_faults_io: 0,
          shared_memory: 0,
          signals: 0,
          swaps: 0,
          system_cpu_time: 0.01,
          unshared_memory: 0,
          user_cpu_time: 0.02,
          voluntary_switches: 12
        },
        state: {
          continued: false,
          core_dump: false,
          exit_code: 0,
          pid: 12,
          signal: -1,
          stopped: false,
          timed_out: false
        },
        stdout: stream("hello\n"),
        stderr: stream("")
      }
    },
    result: { image: uuid(3), tag: null }
  })
)
const started = Buffer.from(JSON.stringify({ uuid: uuid(1) }))
const receipt = Buffer.from(JSON.stringify({ uuid: uuid(4), sha256: "0".repeat(64), size: downloadBytes }))

const pages = Array.from({ length: imageCount / pageSize }, (_, page) =>
  Buffer.from(
    JSON.stringify({
      images: Array.from({ length: pageSize }, (_, row) => ({
        uuid: uuid(page * pageSize + row),
        tag: row % 3 === 0 ? `app/${row}:latest` : null,
        created_at: `2026-01-05T10:20:${String(row % 60).padStart(2, "0")}.123456+00:00`,
        operation_uuid: uuid(1_000_000 + row)
      }))
    })
  )
)

const event = (id: number, type: string, data: unknown, spid?: number) => {
  const seconds = String(Math.floor(id / 10_000)).padStart(2, "0")
  const nanos = String((id % 10_000) * 100_000).padStart(9, "0")
  const json = JSON.stringify({ id, ts: `2026-01-05T10:20:${seconds}.${nanos}Z`, spid, type, data })
  return `id: ${id}\nevent: ${type}\ndata: ${json}\n\n`
}
/** The log, in pieces that end anywhere. */
const log: Array<Buffer> = []
{
  let text = ""
  const flush = () => {
    log.push(Buffer.from(text))
    text = ""
  }
  for (let id = 0; id < eventCount - 1; id++) {
    // Each tenth piece has bytes that are no plain text.
    text +=
      id % 10 === 9
        ? event(id, "stdout", { ...stream(Buffer.from(`line ${id} é\n`).toString("base64")), encoding: "base64" }, 1)
        : event(id, "stdout", stream(`line ${id} of what a command has written\n`), 1)
    if (text.length > 64 * 1024) {
      const cut = text.length - 100
      const rest = text.slice(cut)
      text = text.slice(0, cut)
      flush()
      text = rest
    }
  }
  text += event(eventCount - 1, "completion", {
    status: "SUCCESS",
    duration_ms: 1250,
    result_image_uuid: uuid(3),
    error: null,
    image_size_bytes: 123_456
  })
  flush()
}

const block = Buffer.alloc(64 * 1024, 0x61)
const blocks = { length: downloadBytes / block.length }

/** Writes as fast as the reader takes. */
const pour = (response: ServerResponse, pieces: Iterator<Buffer>) => {
  const more = () => {
    for (let next = pieces.next(); next.done !== true; next = pieces.next()) {
      if (!response.write(next.value)) return response.once("drain", more)
    }
    return response.end()
  }
  more()
}
function* repeated() {
  for (let index = 0; index < blocks.length; index++) yield block
}

const json = (response: ServerResponse, status: number, body: Buffer) =>
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length }).end(body)

const server = createServer((request, response) => {
  const url = request.url ?? "/"
  if (request.method === "POST") {
    request.resume()
    request.once("end", () => json(response, 201, url.startsWith("/v1/files") ? receipt : started))
  } else if (url.startsWith("/v1/images")) {
    const offset = Number(new URLSearchParams(url.slice(url.indexOf("?"))).get("offset") ?? 0)
    json(response, 200, pages[offset / pageSize] ?? Buffer.from('{"images":[]}'))
  } else if (url.includes("/events")) {
    response.writeHead(200, { "content-type": "text/event-stream" })
    pour(response, log.values())
  } else if (url.includes("/download")) {
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": downloadBytes })
    pour(response, repeated())
  } else json(response, 200, operation)
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address === "object") process.send?.({ url: `http://127.0.0.1:${address.port}` })
})
process.on("disconnect", () => process.exit(0))
