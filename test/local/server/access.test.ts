import { HttpApi, HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, layer as suite } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { createHash } from "node:crypto"
import { chmodSync, writeFileSync } from "node:fs"
import { Permission, Permits } from "../../../src/api/Account.js"
import { ContreeApi } from "../../../src/ContreeApi.js"
import { ContreeClient } from "../../../src/ContreeClient.js"
import * as Image from "../../../src/Image.js"
import * as Contree from "../../fixtures/Contree.js"
import { Registry } from "../../fixtures/Registry.js"

const expires = "2100-01-01T00:00:00Z"

const tokens = [
  { name: "alice", token: "token-alice", project: "alice" },
  { name: "bob", sha256: createHash("sha256").update("token-bob").digest("hex"), project: "bob", expires },
  { name: "late", token: "token-late", project: "alice", expires: "2001-01-01T00:00:00Z" },
  { name: "any", token: "token-any", projects: "*" },
  { name: "some", token: "token-some", project: "alice", projects: ["bob"] },
  { name: "librarian", token: "token-public", project: "public" },
  ...Permission.literals.map((permission) => ({
    token: `token-${permission}`,
    project: "empty",
    permissions: [permission]
  })),
  { token: "token-none", project: "empty", permissions: [] }
]

class Place extends Context.Tag("effect-contree/test/AccessPlace")<
  Place,
  { readonly url: string; readonly stderr: Effect.Effect<string> }
>() {}

const served = Layer.scoped(
  Place,
  Effect.gen(function* () {
    const folder = yield* Contree.temporaryFolder
    const { address } = yield* Registry
    const file = `${folder}/tokens.json`
    writeFileSync(file, JSON.stringify({ tokens }))
    chmodSync(file, 0o600)
    const args = ["--tokens-file", file, "--public-project", "public", "--token", "token-single"]
    return yield* Contree.serve({ args: [...Contree.serveArgs(address, `${folder}/data`), ...args] })
  })
).pipe(Layer.provide(Contree.busyboxRegistry), Layer.merge(NodeHttpClient.layerUndici))

const methods = ["GET", "HEAD", "POST", "PATCH", "DELETE"] as const
type Method = (typeof methods)[number]
const isMethod = (text: string): text is Method => methods.some((method) => method === text)

interface Endpoint {
  readonly name: string
  readonly method: Method
  readonly path: string
  readonly permits: Option.Option<ReadonlyArray<Permission>>
}

/** Every endpoint that the API declares, those of later versions included. */
const endpoints = (() => {
  const all: Array<Endpoint> = []
  HttpApi.reflect(ContreeApi, {
    onGroup: () => {},
    onEndpoint: ({ endpoint: { annotations, method, name, path }, group }) => {
      assert.isTrue(isMethod(method))
      if (!isMethod(method)) return
      all.push({ name: `${group.identifier}.${name}`, method, path, permits: Context.getOption(annotations, Permits) })
    }
  })
  return all
})()

const request = Effect.fnUntraced(function* (
  method: Method,
  path: string,
  token: string | undefined,
  options: { readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> } = {}
) {
  const { url } = yield* Place
  const http = yield* HttpClient.HttpClient
  const made = HttpClientRequest.make(method)(`${url}${path}`).pipe(
    HttpClientRequest.setHeaders({
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...options.headers
    })
  )
  const response = yield* http.execute(
    options.body === undefined ? made : HttpClientRequest.bodyUnsafeJson(made, options.body)
  )
  return { status: response.status, text: yield* response.text }
})

/** Bodies that are good, so that what refuses a request is what it names. */
const bodies: Readonly<Record<string, unknown>> = {
  "images.tag": { tag: "taken:1" },
  "subprocesses.start": { command: "true" },
  "subprocesses.writeStdin": { value: "" }
}

const filled = (path: string, of: { readonly image: string; readonly operation: string; readonly sha256: string }) =>
  `${path
    .replace(":sha256", of.sha256)
    .replace(":spid", "1")
    .replace(":id", path.includes("/operations/") ? of.operation : of.image)}?path=%2F&pattern=x&tag=secret%3A1`

const nothing = {
  image: "00000000-0000-4000-8000-000000000000",
  operation: "00000000-0000-4000-8000-000000000000",
  sha256: "0".repeat(64)
}

const as = (token: string) => Effect.map(Place, ({ url }) => Contree.client(url, token))

/** An image with a tag and an operation, and a file, of the project of the token. */
const things = Effect.fnUntraced(function* (token: string, tag: string) {
  const content = `of ${token}`
  const client = yield* as(token)
  return yield* Effect.gen(function* () {
    const base = yield* Image.oci("busybox:latest", { tag })
    const run = yield* Image.run(base, "echo secret > /secret", { tag: "secret:1" })
    const { files } = yield* ContreeClient
    const { sha256 } = yield* files.upload(new TextEncoder().encode(content))
    return { base: base.id, image: run.image.id, operation: run.operationId, sha256 }
  }).pipe(Effect.provide(client))
})

suite(served, { excludeTestServices: true, timeout: "1 minute" })("tokens of a served engine", (it) => {
  describe("a token with one permission alone", () => {
    for (const endpoint of endpoints) {
      it.effect(`reaches ${endpoint.method} ${endpoint.path} only where the endpoint asks for it`, () =>
        Effect.gen(function* () {
          const reads = endpoint.method === "GET" || endpoint.method === "HEAD"
          if (!reads)
            assert.isTrue(Option.isSome(endpoint.permits), "an endpoint that changes something says what it needs")
          const anyOf: ReadonlyArray<string> = Option.getOrElse(endpoint.permits, () => ["list"])
          const path = filled(endpoint.path, nothing)
          for (const name of [...Permission.literals, "none"]) {
            const { status, text } = yield* request(endpoint.method, path, `token-${name}`, {
              body: reads || endpoint.method === "DELETE" ? undefined : {}
            })
            if (anyOf.length === 0 || anyOf.includes(name)) {
              assert.notInclude([401, 403], status, `${name}: ${text}`)
            } else {
              assert.strictEqual(status, 403, `${name}: ${text}`)
              if (endpoint.method !== "HEAD") assert.include(text, `lacks the permission ${anyOf.join(" or ")}`)
            }
          }
        })
      )
    }

    it.effect("starts disposable runs, others, or follows events as its permissions go", () =>
      Effect.gen(function* () {
        const body = { image: "tag:none:1", command: "true" }
        const statuses = (token: string) =>
          Effect.forEach([{ ...body, disposable: true }, { ...body, disposable: false }, body], (body) =>
            Effect.map(request("POST", "/v1/instances", token, { body }), ({ status }) => status)
          )
        assert.deepStrictEqual(yield* statuses("token-spawn"), [403, 404, 404])
        assert.deepStrictEqual(yield* statuses("token-spawn_disposable"), [404, 403, 403])
        const events = `/v1/operations/${nothing.operation}/events`
        assert.notStrictEqual((yield* request("GET", events, "token-list")).status, 403)
        assert.strictEqual((yield* request("GET", `${events}?follow=1`, "token-list")).status, 403)
        assert.notStrictEqual((yield* request("GET", `${events}?follow=1`, "token-alice")).status, 403)
      })
    )
  })

  it.effect("see nothing of another project, at any endpoint", () =>
    Effect.gen(function* () {
      const alice = yield* things("token-alice", "alice-base:1")
      const ids = [alice.base, alice.image, alice.operation, alice.sha256]
      for (const { method, name, path } of endpoints) {
        const { status, text } = yield* request(method, filled(path, alice), "token-bob", { body: bodies[name] })
        if (path.includes(":")) assert.strictEqual(status, 404, `${method} ${path}: ${text}`)
        for (const secret of [...ids, "secret:1", "alice-base:1"]) {
          if (status !== 404) assert.notInclude(text, secret, `${method} ${path}`)
        }
      }
      for (const image of [alice.image, "tag:secret:1", "tag:alice-base:1"]) {
        const spawned = yield* request("POST", "/v1/instances", "token-bob", { body: { image, command: "true" } })
        assert.strictEqual(spawned.status, 404)
      }
      // All of it is as it was.
      yield* Effect.gen(function* () {
        const { files, operations } = yield* ContreeClient
        assert.strictEqual((yield* Image.use("secret:1", { strict: true })).id, alice.image)
        assert.strictEqual((yield* operations.get(alice.operation, {})).status, "SUCCESS")
        assert.isTrue(yield* files.exists(alice.sha256))
      }).pipe(Effect.provide(yield* as("token-alice")))
    })
  )

  it.effect("of two projects make two images of one remote image, and the same tag twice", () =>
    Effect.gen(function* () {
      const [first, second] = [yield* things("token-alice", "base:1"), yield* things("token-bob", "base:1")]
      assert.notStrictEqual(first.base, second.base)
      const again = yield* things("token-bob", "base:1")
      assert.strictEqual(again.base, second.base)
      for (const [token, { base, image }] of [
        ["token-alice", first],
        ["token-bob", again]
      ] as const) {
        const client = yield* as(token)
        assert.strictEqual((yield* Effect.provide(Image.use("base:1", { strict: true }), client)).id, base)
        assert.strictEqual((yield* Effect.provide(Image.use("secret:1", { strict: true }), client)).id, image)
      }
    })
  )

  it.effect("of any project run the public images, and cannot change them", () =>
    Effect.gen(function* () {
      const { base } = yield* things("token-public", "public-base:1")
      const client = yield* as("token-bob")
      yield* Effect.gen(function* () {
        const { inspect } = yield* ContreeClient
        const image = yield* Image.use("public-base:1", { strict: true })
        const record = yield* inspect.byId(image.id)
        assert.strictEqual(record.id, base)
        assert.isTrue(Option.isNone(record.operationId))
        const run = yield* Image.run(image, "echo mine > /mine")
        assert.isTrue(Option.isSome((yield* inspect.byId(run.image.id)).operationId))
        yield* Image.untagAll(base)
        assert.strictEqual((yield* Image.use("public-base:1", { strict: true })).id, base)
        yield* Image.tagAs(run.image, "public-base:1")
        assert.strictEqual((yield* Image.use("public-base:1", { strict: true })).id, run.image.id)
        yield* Image.untag(run.image, "public-base:1")
        assert.strictEqual((yield* Image.use("public-base:1", { strict: true })).id, base)
      }).pipe(Effect.provide(client))
    })
  )

  describe("the header Project", () => {
    const statusFor = (token: string, project: string | undefined) =>
      Effect.map(
        request("GET", "/v1/images", token, { headers: project === undefined ? {} : { project } }),
        ({ status }) => status
      )

    it.effect("says nothing to a token of one project, whatever stands there", () =>
      Effect.gen(function* () {
        for (const project of [undefined, "", "aiproject-e00abc", "bob", "no such: project"]) {
          assert.strictEqual(yield* statusFor("token-alice", project), 200)
          const images = yield* request("GET", "/v1/images?tag=of-alice", "token-alice", {
            headers: project === undefined ? {} : { project }
          })
          assert.strictEqual(images.status, 200)
        }
      })
    )

    it.effect("chooses for a token of several or of all projects", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* statusFor("token-any", undefined), 401)
        assert.strictEqual(yield* statusFor("token-any", ""), 401)
        assert.strictEqual(yield* statusFor("token-any", "x".repeat(257)), 403)
        assert.strictEqual(yield* statusFor("token-any", "a new one"), 200)
        assert.strictEqual(yield* statusFor("token-some", undefined), 200)
        assert.strictEqual(yield* statusFor("token-some", "alice"), 200)
        assert.strictEqual(yield* statusFor("token-some", "bob"), 200)
        assert.strictEqual(yield* statusFor("token-some", "carol"), 403)
        const { image } = yield* things("token-bob", "chosen:1")
        const path = `/v1/inspect/${image}/`
        assert.strictEqual((yield* request("GET", path, "token-some", { headers: { project: "bob" } })).status, 200)
        assert.strictEqual((yield* request("GET", path, "token-some")).status, 404)
        assert.strictEqual((yield* request("GET", path, "token-any", { headers: { project: "bob" } })).status, 200)
      })
    )
  })

  it.effect("are refused when they have expired, are unknown or missing", () =>
    Effect.gen(function* () {
      for (const token of ["token-late", "token-unknown", "", undefined]) {
        for (const { method, path } of endpoints) {
          const { status, text } = yield* request(method, filled(path, nothing), token)
          assert.strictEqual(status, 401, `${method} ${path}`)
          if (method !== "HEAD") assert.property(JSON.parse(text), "error")
        }
      }
      assert.include((yield* request("GET", "/v1/images", "token-late")).text, "expired")
      assert.strictEqual((yield* request("GET", "/v1/images", "token-single")).status, 200)
    })
  )

  it.effect("are told who they are", () =>
    Effect.gen(function* () {
      const whoami = Effect.flatMap(ContreeClient, ({ account }) => account.whoami)
      const seen = yield* Effect.forEach(["token-alice", "token-bob", "token-list", "token-alice"], (token) =>
        Effect.flatMap(as(token), (client) => Effect.provide(whoami, client))
      )
      const [alice, bob, list, again] = seen
      assert.isDefined(alice)
      assert.isDefined(bob)
      assert.isDefined(list)
      assert.deepStrictEqual(alice, again)
      assert.strictEqual(new Set(seen.map(({ tokenId }) => tokenId)).size, 3)
      assert.match(alice.tokenId, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/)
      assert.deepStrictEqual(alice.tokenExpiration, Option.none())
      assert.deepStrictEqual(bob.tokenExpiration, Option.some(Date.parse(expires) / 1000))
      assert.isTrue(Object.values(alice.permissions).every((granted) => granted))
      assert.deepStrictEqual(
        Object.entries(list.permissions).filter(([, granted]) => granted),
        [["list", true]]
      )
      assert.hasAllKeys(list.permissions, [...Permission.literals])
      assert.hasAllKeys(list.limits, [
        "instance_max_timeout",
        "images_import_max_timeout",
        "instance_max_concurrency",
        "images_import_max_concurrency"
      ])
    })
  )

  it.effect("stand in no line of its log", () =>
    Effect.gen(function* () {
      const { stderr } = yield* Place
      assert.notInclude(yield* stderr, "token-")
    })
  )
})
