import { assert, describe, layer as suite } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { writeFileSync } from "node:fs"
import { get } from "node:http"
import { connect } from "node:net"
import { createGunzip, gunzipSync } from "node:zlib"
import * as Image from "../../../src/Image.js"
import { acceptsGzip } from "../../../src/local/server/compression.js"
import { isAllowedHost } from "../../../src/local/server/hosts.js"
import * as Contree from "../../fixtures/Contree.js"
import { Registry } from "../../fixtures/Registry.js"

class Place extends Context.Tag("effect-contree/test/WirePlace")<
  Place,
  { readonly port: number; readonly url: string; readonly stderr: Effect.Effect<string> }
>() {}

const origin = "https://app.example.com"

const served = Layer.scoped(
  Place,
  Effect.gen(function* () {
    const folder = yield* Contree.temporaryFolder
    const { address } = yield* Registry
    const file = `${folder}/tokens.json`
    writeFileSync(file, JSON.stringify({ tokens: [{ token: "blind", permissions: ["import"] }] }))
    const args = ["--token", Contree.token, "--tokens-file", file, "--cors-origin", origin, "--allowed-host", "contree"]
    const limits = [
      "--max-json-bytes",
      "2048",
      "--log-format",
      "json",
      "--server-log-level",
      "Debug",
      "--max-queued",
      "1"
    ]
    const served = yield* Contree.serve({
      args: [
        ...Contree.serveArgs(address, `${folder}/data`),
        ...args,
        ...limits,
        "--max-concurrency",
        "1",
        "--drain",
        "0"
      ]
    })
    return { ...served, port: Number(new URL(served.url).port) }
  })
).pipe(Layer.provide(Contree.busyboxRegistry))

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

const parse = (bytes: Buffer): Answer => {
  const end = bytes.indexOf("\r\n\r\n")
  const [first = "", ...lines] = bytes.subarray(0, end).toString().split("\r\n")
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()])
  )
  const body = bytes.subarray(end + 4)
  return {
    status: Number(first.split(" ")[1]),
    headers,
    body: headers["transfer-encoding"] === "chunked" ? unchunked(body) : body
  }
}

const unchunked = (bytes: Buffer): Buffer => {
  const pieces: Array<Buffer> = []
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf("\r\n", at)
    const size = Number.parseInt(bytes.subarray(at, line).toString(), 16)
    if (size === 0) break
    pieces.push(bytes.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
  return Buffer.concat(pieces)
}

/** What the server sends for these bytes, until it closes the connection. */
const raw = (text: string) =>
  Effect.flatMap(Place, ({ port }) =>
    Effect.async<Answer>((resume) => {
      const chunks: Array<Buffer> = []
      const socket = connect(port, "127.0.0.1", () => socket.write(text))
      socket.on("data", (chunk) => chunks.push(chunk))
      socket.on("error", () => undefined)
      socket.on("close", () => resume(Effect.sync(() => parse(Buffer.concat(chunks)))))
      return Effect.sync(() => socket.destroy())
    }).pipe(Effect.timeout("10 seconds"), Effect.orDie)
  )

interface Options {
  readonly headers?: ReadonlyArray<string>
  readonly body?: string
  readonly host?: string
  readonly token?: string
}

/** One request with exactly these headers, on a connection of its own. */
const send = (line: string, { body, headers = [], host = "127.0.0.1", token = Contree.token }: Options = {}) =>
  raw(
    [
      `${line} HTTP/1.1`,
      `Host: ${host}`,
      "Connection: close",
      ...(token === "" ? [] : [`Authorization: Bearer ${token}`]),
      ...(body === undefined ? [] : ["Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`]),
      ...headers,
      "",
      body ?? ""
    ].join("\r\n")
  )

const json = ({ body }: Answer): unknown => JSON.parse(body.toString())

const assertFailure = (answer: Answer, status: number, words: string) => {
  assert.strictEqual(answer.status, status, answer.body.toString())
  assert.strictEqual(answer.headers["content-type"], "application/json")
  const failure = json(answer)
  assert.deepPropertyVal(failure, "status", status)
  assert.include(answer.body.toString(), words)
}

const nobody = "00000000-0000-4000-8000-000000000000"

suite(served, { excludeTestServices: true, timeout: "1 minute" })("on the wire", (it) => {
  describe("a failure has the contract's shape", () => {
    const cases: ReadonlyArray<readonly [string, string, Options, number, string]> = [
      ["an unknown path", "GET /v1/nothing", {}, 404, "no endpoint GET /v1/nothing"],
      ["a path outside the API", "GET /", {}, 404, "no endpoint"],
      ["a wrong method", "PUT /v1/images", {}, 405, "knows GET"],
      ["no token", "GET /v1/images", { token: "" }, 401, "missing or unknown"],
      ["a permission that is missing", "GET /v1/images", { token: "blind" }, 403, "permission list"],
      ["something that is not there", `GET /v1/operations/${nobody}`, {}, 404, nobody],
      ["a bad query", "GET /v1/images?limit=0", {}, 400, "limit"],
      ["a path that is no UUID", "GET /v1/operations/x", {}, 400, "id"],
      ["a broken escape in the path", "GET /v1/operations/%zz", {}, 400, "not well encoded"],
      ["a body that is no JSON", "POST /v1/instances", { body: "{" }, 400, "JSON"],
      ["an empty body", "POST /v1/instances", { body: "" }, 400, ""],
      ["a body with a wrong field", "POST /v1/instances", { body: '{"command":1,"image":"x"}' }, 400, "command"],
      ["a body that is too large", "POST /v1/instances", { body: `"${"x".repeat(3000)}"` }, 413, "2048 bytes"]
    ]
    for (const [what, line, options, status, words] of cases) {
      it.effect(`for ${what}`, () => Effect.map(send(line, options), (answer) => assertFailure(answer, status, words)))
    }

    it.effect("for a body of another type, which is not read", () =>
      Effect.gen(function* () {
        for (const type of [
          "application/octet-stream",
          "multipart/form-data; boundary=x",
          "application/x-www-form-urlencoded"
        ]) {
          const answer = yield* send("POST /v1/instances", {
            headers: [`Content-Type: ${type}`, "Content-Length: 4000000000"]
          })
          assertFailure(answer, 400, "must be JSON")
        }
      })
    )

    it.effect("for a chunked body that grows too large, and for one that announces it", () =>
      Effect.gen(function* () {
        const head = `POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${Contree.token}\r\nContent-Type: application/json\r\n`
        const chunk = `400\r\n${"x".repeat(1024)}\r\n`
        assertFailure(yield* raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}`), 413, "2048")
        const announced = yield* raw(`${head}Content-Length: 4000000000\r\n\r\n`)
        assertFailure(announced, 413, "2048")
        assert.strictEqual(announced.headers["connection"], "close")
      })
    )

    it.effect("for a request that is no HTTP, or whose headers are too large", () =>
      Effect.gen(function* () {
        assertFailure(yield* raw("hello\r\n\r\n"), 400, "not HTTP")
        const large = yield* send("GET /v1/images", { headers: [`X-Large: ${"x".repeat(20_000)}`] })
        assertFailure(large, 431, "too large")
      })
    )

    it.effect("and no body where HEAD asks", () =>
      Effect.gen(function* () {
        const answer = yield* send(`HEAD /v1/files/${"0".repeat(64)}`)
        assert.deepStrictEqual([answer.status, answer.body.length], [404, 0])
      })
    )

    it.effect("and says when to come back, and which methods there are", () =>
      Effect.gen(function* () {
        assert.strictEqual((yield* send("DELETE /v1/images")).headers["allow"], "GET, HEAD")
        assert.strictEqual((yield* send("GET /v1/images", { token: "" })).headers["www-authenticate"], "Bearer")
        const { url } = yield* Place
        const client = Contree.client(url, Contree.token)
        const image = yield* Effect.provide(Image.oci("busybox:latest"), client)
        const body = JSON.stringify({ image: image.id, command: "sleep 20", disposable: true, shell: true })
        const started = yield* Effect.forEach([1, 2, 3, 4], () => send("POST /v1/instances", { body }))
        assert.deepStrictEqual(
          started.map(({ status }) => status),
          [201, 201, 429, 429]
        )
        for (const refused of started.slice(2)) {
          assertFailure(refused, 429, "wait already")
          assert.match(refused.headers["retry-after"] ?? "", /^[1-9]\d*$/)
        }
        for (const { headers } of started.slice(0, 2)) {
          const id = headers["location"]?.split("/").at(-1)
          assert.strictEqual((yield* send(`DELETE /v1/operations/${id}`)).status, 202)
        }
      })
    )
  })

  describe("gzip", () => {
    it("is taken by those that name it, unless they give it no weight", () => {
      for (const yes of ["gzip", "deflate, gzip;q=0.5", "GZIP", "*", "x-gzip", "br;q=1, *;q=0.1"]) {
        assert.isTrue(acceptsGzip(yes), yes)
      }
      for (const no of [undefined, "", "identity", "gzip;q=0", "gzip; q=0.000", "br", "*;q=0", "gzip;q=0, *"]) {
        assert.isFalse(acceptsGzip(no), no)
      }
    })

    it.effect("squeezes answers of some size, failures too, and says so", () =>
      Effect.gen(function* () {
        for (const [line, status] of [
          ["GET /openapi.json", 200],
          [`GET /v1/${"x".repeat(300)}`, 404]
        ] as const) {
          const plain = yield* send(line)
          const squeezed = yield* send(line, { headers: ["Accept-Encoding: gzip, deflate"] })
          assert.deepStrictEqual([plain.status, squeezed.status], [status, status])
          assert.isUndefined(plain.headers["content-encoding"])
          assert.strictEqual(squeezed.headers["content-encoding"], "gzip")
          assert.include(squeezed.headers["vary"], "Accept-Encoding")
          assert.strictEqual(Number(squeezed.headers["content-length"]), squeezed.body.length)
          assert.deepStrictEqual(gunzipSync(squeezed.body), plain.body)
        }
        assert.isUndefined(
          (yield* send("GET /livez", { headers: ["Accept-Encoding: gzip"] })).headers["content-encoding"]
        )
        const head = yield* send("HEAD /openapi.json", { headers: ["Accept-Encoding: gzip"] })
        assert.deepStrictEqual([head.status, head.body.length], [200, 0])
      })
    )

    const busybox = Effect.flatMap(Place, ({ url }) =>
      Effect.provide(Image.oci("busybox:latest"), Contree.client(url, Contree.token))
    )

    it.effect("squeezes archives, and leaves the content of a file as it is", () =>
      Effect.gen(function* () {
        const { id } = yield* busybox
        const archive = `GET /v1/inspect/${id}/archive?path=/bin`
        const plain = yield* send(archive)
        const squeezed = yield* send(archive, { headers: ["Accept-Encoding: gzip"] })
        assert.deepStrictEqual([plain.status, squeezed.status], [200, 200])
        assert.isUndefined(plain.headers["content-encoding"])
        assert.strictEqual(squeezed.headers["content-encoding"], "gzip")
        assert.strictEqual(squeezed.headers["content-type"], "application/x-tar")
        assert.isBelow(squeezed.body.length, plain.body.length)
        assert.isTrue(gunzipSync(squeezed.body).equals(plain.body))
        const file = yield* send(`GET /v1/inspect/${id}/download?path=/bin/busybox`, {
          headers: ["Accept-Encoding: gzip"]
        })
        assert.strictEqual(file.status, 200)
        assert.isUndefined(file.headers["content-encoding"])
      })
    )

    it.effect("squeezes events, each of which comes at once", () =>
      Effect.gen(function* () {
        const { id } = yield* busybox
        const { port } = yield* Place
        const body = JSON.stringify({ image: id, command: "echo hello; sleep 20", disposable: true, shell: true })
        const started = yield* send("POST /v1/instances", { body })
        const operation = `/v1/operations/${started.headers["location"]?.split("/").at(-1)}`
        const encoding = yield* Effect.async<string | undefined>((resume) => {
          const request = get(
            {
              port,
              path: `${operation}/events?follow=1`,
              headers: { authorization: `Bearer ${Contree.token}`, "accept-encoding": "gzip" }
            },
            (response) => {
              let text = ""
              const plain = response.on("error", () => {}).pipe(createGunzip())
              plain.on("error", () => {})
              plain.on("data", (piece) => {
                text += String(piece)
                if (/event: stdout\ndata: .*\n\n/.test(text)) {
                  resume(Effect.succeed(response.headers["content-encoding"]))
                }
              })
            }
          )
          request.on("error", (error) => resume(Effect.die(error)))
          return Effect.sync(() => request.destroy())
        }).pipe(Effect.timeout("10 seconds"))
        assert.strictEqual(encoding, "gzip")
        const { status } = JSON.parse((yield* send(`GET ${operation}`)).body.toString())
        assert.strictEqual(status, "EXECUTING")
        assert.strictEqual((yield* send(`DELETE ${operation}`)).status, 202)
      })
    )
  })

  describe("a browser", () => {
    it("reaches addresses, loopback names and names that are allowed, no others", () => {
      for (const yes of [
        "localhost",
        "localhost:8753",
        "a.localhost",
        "127.0.0.1:1",
        "[::1]:8753",
        "10.0.0.1",
        "contree:80"
      ]) {
        assert.isTrue(isAllowedHost(yes, ["contree"]), yes)
      }
      for (const no of [
        undefined,
        "",
        "evil.com",
        "127.0.0.1.evil.com",
        "localhost.evil.com:8753",
        "[::1",
        "a b",
        "contree2"
      ]) {
        assert.isFalse(isAllowedHost(no, ["contree"]), no)
      }
      assert.isTrue(isAllowedHost("evil.com", ["*"]))
    })

    it.effect("is refused under another name of the server, and for a page of a foreign origin", () =>
      Effect.gen(function* () {
        assertFailure(yield* send("GET /v1/images", { host: "rebound.example.com" }), 403, "--allowed-host")
        assertFailure(yield* send("GET /healthz", { host: "rebound.example.com" }), 403, "--allowed-host")
        assert.strictEqual((yield* send("GET /v1/images", { host: "contree:1234" })).status, 200)
        for (const foreign of ["https://evil.com", "null", "https://app.example.com.evil.com"]) {
          const answer = yield* send("GET /v1/images", { headers: [`Origin: ${foreign}`] })
          assertFailure(answer, 403, "--cors-origin")
          assert.isUndefined(answer.headers["access-control-allow-origin"])
        }
        const own = yield* send("GET /v1/images", { headers: ["Origin: http://127.0.0.1"] })
        assert.strictEqual(own.status, 200)
      })
    )

    it.effect("lets the pages of an allowed origin ask and read, failures and headers too", () =>
      Effect.gen(function* () {
        const preflight = yield* send("OPTIONS /v1/instances", {
          token: "",
          headers: [
            `Origin: ${origin}`,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization"
          ]
        })
        assert.strictEqual(preflight.status, 204)
        assert.strictEqual(preflight.headers["access-control-allow-origin"], origin)
        assert.strictEqual(preflight.headers["access-control-allow-methods"], "POST")
        assert.include(preflight.headers["access-control-allow-headers"], "authorization")
        for (const [line, status] of [
          ["GET /v1/images", 200],
          ["GET /v1/nothing", 404]
        ] as const) {
          const answer = yield* send(line, { headers: [`Origin: ${origin}`] })
          assert.strictEqual(answer.status, status)
          assert.strictEqual(answer.headers["access-control-allow-origin"], origin)
          assert.include(answer.headers["access-control-expose-headers"], "Location")
          assert.include(answer.headers["access-control-expose-headers"], "Retry-After")
          assert.include(answer.headers["vary"], "Origin")
        }
        assert.isUndefined((yield* send("GET /v1/images")).headers["access-control-allow-origin"])
      })
    )
  })

  describe("beside the API", () => {
    it.effect("the API describes itself, as data and as a page that loads nothing", () =>
      Effect.gen(function* () {
        const answer = yield* send("GET /openapi.json", { token: "" })
        const document = json(answer)
        assert.nestedPropertyVal(document, "openapi", "3.1.0")
        assert.nestedProperty(document, "paths./v1/instances.post.responses.429")
        assert.nestedPropertyVal(document, "components.securitySchemes.bearer.scheme", "bearer")
        assert.nestedProperty(document, "paths./v1/inspect/.get.responses.302.headers.Location")
        assert.notNestedProperty(document, "paths./v1/inspect/.get.responses.200")
        const docs = yield* send("GET /docs", { token: "" })
        assert.strictEqual(docs.headers["content-type"], "text/html; charset=utf-8")
        const html = docs.body.toString()
        assert.include(html, "/v1/operations/{id}/events")
        assert.notMatch(html, /<script|(?:src|href)="(?:https?:)?\/\//)
        assertFailure(yield* send("POST /docs"), 405, "knows GET")
      })
    )

    it.effect("anybody sees that it lives; figures are for those who may list", () =>
      Effect.gen(function* () {
        for (const path of ["/livez", "/readyz", "/healthz"]) {
          const answer = yield* send(`GET ${path}`, { token: "" })
          assert.deepStrictEqual([answer.status, json(answer)], [200, { status: "ok" }])
        }
        assertFailure(yield* send("GET /metrics", { token: "" }), 401, "token")
        assertFailure(yield* send("GET /metrics", { token: "blind" }), 403, "list")
        yield* send("GET /v1/images")
        const metrics = yield* send("GET /metrics")
        assert.match(metrics.headers["content-type"] ?? "", /^text\/plain; version=0\.0\.4/)
        const text = metrics.body.toString()
        assert.match(text, /^contree_http_requests_total\{method="GET",route="\/v1\/images",status="200"\} [1-9]/m)
        assert.match(text, /^contree_http_request_duration_seconds_bucket\{route="\/v1\/images",le="\+Inf"\} [1-9]/m)
        for (const name of [
          'contree_operations{kind="instance",status="SUCCESS"}',
          "contree_images",
          'contree_working{lane="run"}',
          'contree_waiting{lane="import"}',
          "contree_disk_free_bytes"
        ]) {
          assert.match(text, new RegExp(`^${name.replace(/[{}]/g, "\\$&")} \\d+$`, "m"))
        }
        // Each line is a comment or a sample, and each name has one type.
        for (const line of text.trimEnd().split("\n")) {
          assert.match(
            line,
            /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="[^"]*",?)+\})? (?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf))$/
          )
        }
        const types = text.match(/^# TYPE \w+/gm) ?? []
        assert.strictEqual(new Set(types).size, types.length)
      })
    )

    it.effect("the log has a line of JSON for each request, with its id and without secrets", () =>
      Effect.gen(function* () {
        const { stderr } = yield* Place
        const answer = yield* send("GET /v1/operations?kind=instance&since=1h")
        const id = answer.headers["x-request-id"]
        assert.match(id ?? "", /^[0-9a-f-]{36}$/)
        yield* Effect.sleep("200 millis")
        const log = yield* stderr
        const line = log.split("\n").find((line) => line.includes(`${id}`))
        const entry: unknown = JSON.parse(line ?? "")
        assert.deepNestedInclude(entry, {
          message: "request",
          "annotations.path": "/v1/operations",
          "annotations.method": "GET",
          "annotations.status": 200,
          "annotations.project": "default"
        })
        assert.notInclude(log, Contree.token)
        assert.notInclude(log, "blind")
      })
    )
  })
})
