import { FileSystem } from "@effect/platform"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { request } from "node:http"
import { connect } from "node:net"
import { FileRecord, Sha256, UploadReceipt } from "../../../src/api/Files.js"
import { InspectEngine, layer as engine, urlOf } from "../inspectEngine.js"
import { descends, eventually, processesWith } from "../machine.js"

const bytes = (text: string) => new TextEncoder().encode(text)
const hex = (content: Uint8Array) => createHash("sha256").update(content).digest("hex")

const upload = Effect.fnUntraced(function* (content: Uint8Array) {
  const { ask } = yield* InspectEngine
  const answer = yield* ask("/v1/files", {}, { method: "POST", body: content })
  assert.strictEqual(answer.status, 201, answer.text)
  return yield* Schema.decodeUnknown(UploadReceipt)(answer.json)
})

const receiving = Effect.flatMap(InspectEngine, ({ dataDirectory }) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readDirectory(`${dataDirectory}/f/new`))
)

layer(engine({ maxUploadBytes: 200 * 1024 * 1024 }), { timeout: "2 minutes", excludeTestServices: true })(
  "uploading files",
  (it) => {
    it.effect("answers with the same file for the same content, by its digest in either case", () =>
      Effect.gen(function* () {
        const { ask } = yield* InspectEngine
        const content = bytes("content of a file")
        const first = yield* upload(content)
        assert.deepStrictEqual(
          first,
          new UploadReceipt({ ...first, sha256: yield* Schema.decode(Sha256)(hex(content)), size: 17 })
        )
        assert.deepStrictEqual(yield* upload(content), first)
        for (const digest of [hex(content), hex(content).toUpperCase()]) {
          const found = yield* ask(`/v1/files/${digest}`)
          const record = yield* Schema.decodeUnknown(FileRecord)(found.json)
          assert.deepInclude(record, { id: first.id, sha256: first.sha256, size: 17 })
          const head = yield* ask(`/v1/files/${digest}`, {}, { method: "HEAD" })
          assert.deepStrictEqual([head.status, head.bytes.length], [200, 0])
        }
        const none = hex(bytes("never uploaded"))
        assert.strictEqual((yield* ask(`/v1/files/${none}`)).status, 404)
        assert.strictEqual((yield* ask(`/v1/files/${none}`, {}, { method: "HEAD" })).status, 404)
        assert.strictEqual((yield* ask("/v1/files/xyz")).status, 400)
      })
    )

    it.effect("still answers the clients that ask by a query", () =>
      Effect.gen(function* () {
        const { ask } = yield* InspectEngine
        const { id, sha256 } = yield* upload(bytes("asked for by a query"))
        const found = yield* ask("/v1/files", { sha256: sha256.toUpperCase() })
        assert.strictEqual((yield* Schema.decodeUnknown(FileRecord)(found.json)).id, id)
        const never = { sha256: "0".repeat(64), uuid: "00000000-0000-4000-8000-000000000000" }
        for (const query of [{ sha256 }, { uuid: id }]) {
          assert.strictEqual((yield* ask("/v1/files", query, { method: "HEAD" })).status, 200)
        }
        for (const query of [{ sha256: never.sha256 }, { uuid: never.uuid }]) {
          assert.strictEqual((yield* ask("/v1/files", query, { method: "HEAD" })).status, 404)
          assert.strictEqual((yield* ask("/v1/files", query)).status, 404)
        }
        assert.strictEqual((yield* ask("/v1/files", { sha256: "short" })).status, 400)
      })
    )

    it.effect("lists files, the newest first", () =>
      Effect.gen(function* () {
        const { ask, client } = yield* InspectEngine
        const [one, two] = [yield* upload(bytes("first of the list")), yield* upload(bytes("second of the list"))]
        assert.deepStrictEqual(
          (yield* client.files.list({ limit: 2 })).map(({ id }) => id),
          [two.id, one.id]
        )
        assert.lengthOf(yield* client.files.list({ limit: 1, offset: 1 }), 1)
        assert.strictEqual((yield* ask("/v1/files", { since: "15m", limit: "1" })).status, 200)
        assert.strictEqual((yield* ask("/v1/files", { limit: "0" })).status, 400)
      })
    )

    it.effect("takes a chunked body of any length in little memory", () =>
      Effect.gen(function* () {
        const { client } = yield* InspectEngine
        const fs = yield* FileSystem.FileSystem
        const worker = (yield* processesWith("internal/worker.js")).find(({ pid }) => descends(pid, process.pid))
        const peak = Effect.map(fs.readFileString(`/proc/${worker?.pid}/status`), (status) =>
          Number(/VmHWM:\s+(\d+)/.exec(status)?.[1])
        )
        const before = yield* peak
        const piece = new Uint8Array(256 * 1024).fill(7)
        const hash = createHash("sha256")
        const body = Stream.range(1, 600).pipe(
          Stream.map(() => {
            hash.update(piece)
            return piece
          })
        )
        const { sha256, size } = yield* client.files.upload(body)
        assert.strictEqual(size, 600 * piece.length)
        assert.strictEqual(sha256, hash.digest("hex"))
        assert.isBelow((yield* peak) - before, 80 * 1024)
      })
    )

    it.effect("refuses what is too large, before it is read where its length is known", () =>
      Effect.gen(function* () {
        const { address, client } = yield* InspectEngine
        const piece = new Uint8Array(1024 * 1024)
        const announced = yield* Effect.async<{ status: number; connection: string | undefined }, Error>((resume) => {
          const sent = request(urlOf(address, "/v1/files"), {
            method: "POST",
            headers: { "content-length": String(300 * piece.length) }
          })
          sent.on("response", (answer) => {
            resume(Effect.succeed({ status: answer.statusCode ?? 0, connection: answer.headers.connection }))
            sent.destroy()
          })
          sent.on("error", (error) => resume(Effect.fail(error)))
          sent.write(piece)
        })
        assert.deepStrictEqual(announced, { status: 413, connection: "close" })
        const error = yield* Effect.flip(client.files.upload(Stream.range(1, 300).pipe(Stream.map(() => piece))))
        assert.notStrictEqual(error._tag, "NotFound")
        assert.deepStrictEqual(yield* receiving, [])
      })
    )

    it.effect("keeps nothing of an upload whose client goes away or breaks the chunks", () =>
      Effect.gen(function* () {
        const { address } = yield* InspectEngine
        const { hostname, port } = new URL(address)
        for (const last of ["", "no chunk\r\n"]) {
          const socket = connect(Number(port), hostname)
          socket.on("error", () => {})
          socket.write("POST /v1/files HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
          yield* eventually(receiving, (names) => names.length === 1)
          socket.end(last)
          if (last === "") socket.destroy()
          yield* eventually(receiving, (names) => names.length === 0)
          socket.destroy()
        }
      })
    )
  }
)
