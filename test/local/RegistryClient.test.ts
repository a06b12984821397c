import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { DateTime, Duration, Effect, Either, Exit, Layer, Logger, Option, Redacted, Stream, Tracer } from "effect"
import * as OciReference from "../../src/OciReference.js"
import * as RegistryClient from "../../src/local/RegistryClient.js"
import type { RegistryError, RegistryErrorReason } from "../../src/local/RegistryError.js"
import * as FaultyRegistry from "../fixtures/FaultyRegistry.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"

const quick = { baseDelay: "1 millis", maxDelay: "2 seconds", idleTimeout: "300 millis" } as const

const client = (options: RegistryClient.Options) =>
  Effect.flatMap(Layer.build(NodeHttpClient.layerUndici), (http) =>
    Effect.provide(RegistryClient.make({ ...quick, ...options }), http)
  )

const bytesOf = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(stream), (pieces) => Buffer.concat(Array.from(pieces)))

const content = { layers: [Buffer.from("a layer"), Buffer.alloc(3_000_000, "x")] }

const credentials = { username: "ada", password: Redacted.make("correct horse") }

/** Resolves the image of a registry with faults and reads its layers. */
const pull = Effect.fnUntraced(function* (
  registry: Effect.Effect.Success<ReturnType<typeof FaultyRegistry.start>>,
  options?: RegistryClient.ResolveOptions & { readonly name?: string; readonly client?: RegistryClient.Options }
) {
  const { resolve } = yield* client({ insecureRegistries: [registry.address], ...options?.client })
  const image = yield* resolve(registry.reference(options?.name), options)
  return yield* Effect.forEach(image.layers, (layer) => bytesOf(image.blob(layer)))
})

const failsWith = <A, R>(
  effect: Effect.Effect<A, RegistryError, R>,
  reason: RegistryErrorReason,
  ...words: ReadonlyArray<string>
) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.strictEqual(error.reason, reason, error.message)
    for (const word of words) assert.include(error.message, word)
    assert.notInclude(JSON.stringify(error) + error.message, Redacted.value(credentials.password))
    return error
  })

const isBlob = (path: string) => path.includes("/blobs/")

describe("RegistryClient against a registry with faults", () => {
  it.scopedLive("an image comes with its digest, its environment and its layers", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content)
      const { resolve } = yield* client({ insecureRegistries: [registry.address] })
      const image = yield* resolve(registry.reference())
      assert.strictEqual(image.digest, registry.manifest.digest)
      assert.isTrue(Option.isNone(image.indexDigest))
      deepStrictEqual(image.env, { PATH: "/bin", EMPTY: "", EQUAL: "a=b" })
      deepStrictEqual(
        image.layers.map(({ digest }) => digest),
        registry.layers.map(({ digest }) => digest)
      )
      assert.strictEqual(image.source, registry.address)
      const layers = yield* Effect.forEach(image.layers, (layer) => bytesOf(image.blob(layer)))
      deepStrictEqual(
        layers.map((bytes) => bytes.length),
        [7, 3_000_000]
      )
    })
  )

  it.scopedLive("a missing image fails with NotFound, naming the image and what the registry says", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({
        status: 404,
        body: FaultyRegistry.serverError("MANIFEST_UNKNOWN", "manifest unknown")
      }))
      const error = yield* failsWith(pull(registry), "NotFound", `${registry.address}/team/app:1`, "MANIFEST_UNKNOWN")
      deepStrictEqual(error.status, Option.some(404))
      assert.lengthOf(registry.requests, 1)
    })
  )

  it.scopedLive("a missing blob fails with NotFound, naming the blob", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ path }) => (isBlob(path) ? { status: 404 } : undefined))
      yield* failsWith(pull(registry), "NotFound", registry.configuration.digest)
    })
  )

  it.scopedLive("without credentials a Basic challenge fails with Unauthorized", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({
        status: 401,
        headers: { "www-authenticate": 'Basic realm="r"' }
      }))
      yield* failsWith(pull(registry), "Unauthorized", "without credentials")
    })
  )

  it.scopedLive("credentials that are refused fail with Unauthorized, after one try, and are not in the error", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ headers }) => ({
        status: 401,
        headers: { "www-authenticate": 'Basic realm="r"' },
        body: FaultyRegistry.serverError("UNAUTHORIZED", `no correct horse here, nor ${headers.authorization}`)
      }))
      const error = yield* failsWith(
        pull(registry, { credentials }),
        "Unauthorized",
        "with the credentials given",
        "***"
      )
      assert.notInclude(error.message, Buffer.from("ada:correct horse").toString("base64"))
      assert.lengthOf(registry.requests, 2)
    })
  )

  it.scopedLive("403 fails with Unauthorized", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({ status: 403 }))
      yield* failsWith(pull(registry), "Unauthorized", "status 403")
    })
  )

  it.scopedLive("a challenge of an unknown scheme fails with Unauthorized", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({
        status: 401,
        headers: { "www-authenticate": "Negotiate" }
      }))
      yield* failsWith(pull(registry, { credentials }), "Unauthorized", "status 401")
    })
  )

  it.scopedLive("a token is asked for once, with the credentials, and used for manifests and blobs", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ headers, path }) =>
        path.startsWith("/token")
          ? { status: 200, body: JSON.stringify({ access_token: "t0ken" }) }
          : headers.authorization === "Bearer t0ken"
            ? undefined
            : {
                status: 401,
                headers: { "www-authenticate": `Bearer realm="http://${headers.host}/token",service="s"` }
              }
      )
      yield* pull(registry, { credentials })
      const tokens = registry.requests.filter(({ path }) => path.startsWith("/token"))
      deepStrictEqual(
        tokens.map(({ path }) => path),
        ["/token?service=s&scope=repository%3Ateam%2Fapp%3Apull"]
      )
      assert.strictEqual(
        tokens[0]?.headers.authorization,
        `Basic ${Buffer.from("ada:correct horse").toString("base64")}`
      )
    })
  )

  it.scopedLive("a token that runs out between two blobs is renewed", () =>
    Effect.gen(function* () {
      let serial = 0
      const registry = yield* FaultyRegistry.start(content, ({ before, headers, path }) => {
        if (path.startsWith("/token")) return { status: 200, body: JSON.stringify({ token: `t${++serial}` }) }
        const stale = isBlob(path) && before === 0 && headers.authorization === "Bearer t1"
        return headers.authorization === undefined || stale
          ? { status: 401, headers: { "www-authenticate": `Bearer realm="http://${headers.host}/token"` } }
          : undefined
      })
      assert.lengthOf(yield* pull(registry), 2)
      assert.strictEqual(serial, 2)
    })
  )

  it.scopedLive("a token server that refuses fails with Unauthorized, one without a token with Protocol", () =>
    Effect.gen(function* () {
      const challenge =
        (answer: FaultyRegistry.Answer): FaultyRegistry.Script =>
        ({ headers, path }) =>
          path.startsWith("/token")
            ? answer
            : { status: 401, headers: { "www-authenticate": `Bearer realm="http://${headers.host}/token"` } }
      const refusing = yield* FaultyRegistry.start(content, challenge({ status: 401 }))
      yield* failsWith(pull(refusing, { credentials }), "Unauthorized", "a token of 127.0.0.1")
      const odd = yield* FaultyRegistry.start(content, challenge({ status: 200, body: "{}" }))
      yield* failsWith(pull(odd, { credentials }), "Protocol", "holds no token")
      const nowhere = yield* FaultyRegistry.start(content, () => ({
        status: 401,
        headers: { "www-authenticate": "Bearer service=s" }
      }))
      yield* failsWith(pull(nowhere), "Protocol", "where it gives out tokens")
    })
  )

  it.scopedLive("429 is waited for as the registry asks", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ before, path }) =>
        path.includes("/manifests/") && before === 0 ? { status: 429, headers: { "retry-after": "1" } } : undefined
      )
      const [elapsed] = yield* Effect.timed(pull(registry))
      assert.isAtLeast(Duration.toMillis(elapsed), 1000)
      assert.lengthOf(
        registry.requests.filter(({ path }) => path.includes("/manifests/")),
        2
      )
    })
  )

  it.scopedLive("429 with a wait beyond the limit fails at once with RateLimited and the time when it ends", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({ status: 429, headers: { "retry-after": "3600" } }))
      const before = yield* DateTime.now
      const error = yield* failsWith(pull(registry), "RateLimited", "until 20")
      const reset = Option.getOrThrow(error.resetAt)
      assert.isTrue(
        DateTime.between(reset, {
          minimum: DateTime.add(before, { seconds: 3590 }),
          maximum: DateTime.add(before, { seconds: 3660 })
        })
      )
      assert.lengthOf(registry.requests, 1)
    })
  )

  it.scopedLive("429 without a time, or with a date, is repeated and then fails with RateLimited", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({ status: 429 }))
      const error = yield* failsWith(pull(registry), "RateLimited")
      assert.isTrue(Option.isNone(error.resetAt))
      assert.lengthOf(registry.requests, 4)
      const dated = yield* FaultyRegistry.start(content, () => ({
        status: 429,
        headers: { "retry-after": "Fri, 01 Jan 2100 00:00:00 GMT" }
      }))
      yield* failsWith(pull(dated), "RateLimited", "2100-01-01T00:00:00")
      const hub = yield* FaultyRegistry.start(content, () => ({
        status: 429,
        headers: { "x-retry-after": "4102444800" }
      }))
      yield* failsWith(pull(hub), "RateLimited", "2100-01-01T00:00:00")
    })
  )

  it.scopedLive("a registry that recovers from 503 is asked again, one that does not fails with Unavailable", () =>
    Effect.gen(function* () {
      const recovers = yield* FaultyRegistry.start(content, ({ before }) => (before < 2 ? { status: 503 } : undefined))
      assert.lengthOf(yield* pull(recovers), 2)
      const broken = yield* FaultyRegistry.start(content, () => ({ status: 500, body: "<html>oops" }))
      yield* failsWith(pull(broken), "Unavailable", "status 500")
      assert.lengthOf(broken.requests, 4)
    })
  )

  it.scopedLive("an answer that no registry gives fails with Protocol", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({ status: 418 }))
      yield* failsWith(pull(registry), "Protocol", "status 418")
      const page = yield* FaultyRegistry.start(content, () => ({ status: 200, body: "<html>Log in" }))
      yield* failsWith(pull(page), "Protocol", "no JSON object")
      const large = yield* FaultyRegistry.start(content, () => ({ status: 200, body: Buffer.alloc(5 * 1024 * 1024) }))
      yield* failsWith(pull(large), "Protocol", "more than 4194304 bytes")
    })
  )

  it.scopedLive("nobody listening fails with Unavailable that speaks of plain http", () =>
    Effect.gen(function* () {
      const registry = yield* Effect.scoped(FaultyRegistry.start(content))
      yield* failsWith(pull(registry), "Unavailable", "ECONNREFUSED", "insecure registries")
    })
  )

  it.scopedLive("a registry of plain http that is not listed as insecure fails with Unavailable", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content)
      yield* failsWith(pull(registry, { client: { insecureRegistries: [] } }), "Unavailable", "plain http")
      assert.lengthOf(registry.requests, 0)
    })
  )

  it.scopedLive("a registry that does not answer in time fails with Unavailable", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, () => ({ status: 200, body: "{}", stallAfter: 0 }))
      yield* failsWith(
        pull(registry, { client: { responseTimeout: "100 millis", idleTimeout: "100 millis", attempts: 2 } }),
        "Unavailable"
      )
    })
  )

  it.scopedLive("a manifest whose content has another digest fails with DigestMismatch", () =>
    Effect.gen(function* () {
      const other = `sha256:${"0".repeat(64)}`
      const forged = yield* FaultyRegistry.start(content, ({ path }) =>
        path.endsWith(other) ? { status: 200, body: "{}" } : undefined
      )
      yield* failsWith(pull(forged, { name: `team/app@${other}` }), "DigestMismatch", other)
      const announced = yield* FaultyRegistry.start(content, ({ path }) =>
        path.includes("/manifests/")
          ? { status: 200, headers: { "docker-content-digest": other }, body: "{}" }
          : undefined
      )
      yield* failsWith(pull(announced), "DigestMismatch", other)
    })
  )

  it.scopedLive("a layer with other content fails with DigestMismatch, naming both digests", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ path }) =>
        path.endsWith(registry0.digest) ? { status: 200, body: "a lawyer".slice(0, 7) } : undefined
      )
      yield* failsWith(pull(registry), "DigestMismatch", registry0.digest, FaultyRegistry.digestOf("a lawye"))
    })
  )

  it.scopedLive("a layer that is too long fails with Oversized", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ path }) =>
        path.endsWith(registry0.digest) ? { status: 200, body: "a layer and more" } : undefined
      )
      yield* failsWith(pull(registry), "Oversized", registry0.digest, "7 bytes")
    })
  )

  it.scopedLive("a layer that is cut off each time fails with Truncated", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ path }) =>
        path.endsWith(registry0.digest) ? { status: 200, body: "a layer", cutAfter: 3 } : undefined
      )
      yield* failsWith(pull(registry), "Truncated", "of 7 bytes")
      const short = yield* FaultyRegistry.start(content, ({ path }) =>
        path.endsWith(registry0.digest) ? { status: 200, body: "a la" } : undefined
      )
      yield* failsWith(pull(short), "Truncated", "after 4 of 7 bytes", "ended early")
    })
  )

  it.scopedLive("a layer whose connection stalls fails with Truncated", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start(content, ({ path }) =>
        path.endsWith(registry0.digest) ? { status: 200, body: "a layer", stallAfter: 3 } : undefined
      )
      yield* failsWith(pull(registry, { client: { attempts: 2 } }), "Truncated", "nothing came for 300ms")
    })
  )

  it.scopedLive("a broken connection is taken up where it broke off, by a range or by reading again", () =>
    Effect.gen(function* () {
      const whole = content.layers[1] ?? Buffer.alloc(0)
      const [, large] = (yield* FaultyRegistry.start(content)).layers
      for (const ranges of [true, false]) {
        const registry = yield* FaultyRegistry.start(content, ({ before, headers, path }) => {
          if (!path.endsWith(large?.digest ?? "")) return undefined
          if (before === 0) return { status: 200, body: whole, cutAfter: 2_000_000 }
          const offset = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1])
          return ranges ? { status: 206, body: whole.subarray(offset) } : { status: 200, body: whole }
        })
        const layers = yield* pull(registry)
        assert.isTrue(layers[1]?.equals(whole))
        const again = registry.requests.filter(({ path }) => path.endsWith(large?.digest ?? ""))
        assert.lengthOf(again, 2)
        assert.match(again[1]?.headers.range ?? "", /^bytes=[1-9]\d*-$/)
      }
    })
  )

  it.scopedLive("a redirect to another host carries no authorization, and a challenge from there gets none", () =>
    Effect.gen(function* () {
      const storage = yield* FaultyRegistry.start(content)
      const hostile = yield* FaultyRegistry.start(content, ({ headers }) => ({
        status: 401,
        headers: { "www-authenticate": `Bearer realm="http://${headers.host}/token"` }
      }))
      const redirecting =
        (target: string): FaultyRegistry.Script =>
        ({ headers, path }) =>
          headers.authorization === undefined
            ? { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } }
            : isBlob(path)
              ? { status: 307, headers: { location: `${target}${path}?signature=s3cret` } }
              : undefined
      const registry = yield* FaultyRegistry.start(content, redirecting(storage.url))
      assert.lengthOf(yield* pull(registry, { credentials }), 2)
      assert.isAbove(storage.requests.length, 0)
      for (const { headers } of storage.requests) assert.isUndefined(headers.authorization)

      const trapped = yield* FaultyRegistry.start(content, redirecting(hostile.url))
      yield* failsWith(pull(trapped, { credentials }), "Unauthorized")
      for (const { headers } of hostile.requests) assert.isUndefined(headers.authorization)
    })
  )

  it.scopedLive("redirects in a ring and to what is no address fail with Protocol", () =>
    Effect.gen(function* () {
      const ring = yield* FaultyRegistry.start(content, ({ path }) => ({ status: 302, headers: { location: path } }))
      yield* failsWith(pull(ring), "Protocol", "more than 5 times")
      const nowhere = yield* FaultyRegistry.start(content, () => ({ status: 302, headers: { location: "http://[" } }))
      yield* failsWith(pull(nowhere), "Protocol", "no address")
      const file = yield* FaultyRegistry.start(content, () => ({
        status: 302,
        headers: { location: "file:///etc/passwd" }
      }))
      yield* failsWith(pull(file), "Protocol", "file:")
    })
  )

  it.scopedLive("the platform is chosen from an index, and attestations are passed over", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({
        ...content,
        configuration: {},
        index: (manifest) => ({
          schemaVersion: 2,
          manifests: [
            { ...descriptorOf("attestation"), platform: { os: "unknown", architecture: "unknown" } },
            { ...descriptorOf("v6"), platform: { os: "linux", architecture: "arm", variant: "v6" } },
            { ...descriptorOf(manifest), platform: { os: "linux", architecture: "arm", variant: "v7" } },
            { ...descriptorOf("arm64"), platform: { os: "linux", architecture: "arm64", variant: "v8" } },
            { ...descriptorOf("windows"), platform: { os: "windows", architecture: "arm" } }
          ]
        })
      })
      const { resolve } = yield* client({ insecureRegistries: [registry.address] })
      const platform = { os: "linux", architecture: "arm", variant: "v7" }
      const image = yield* resolve(registry.reference(), { platform })
      assert.strictEqual(image.digest, registry.manifest.digest)
      deepStrictEqual(image.indexDigest, Option.some(registry.root.digest))
      const riscv = resolve(registry.reference(), { platform: { os: "linux", architecture: "riscv64" } })
      yield* failsWith(
        riscv,
        "PlatformNotFound",
        "linux/riscv64",
        "linux/arm/v6, linux/arm/v7, linux/arm64/v8, windows/arm"
      )
    })
  )

  it.scopedLive("an image for another processor only fails with PlatformNotFound, naming both", () =>
    Effect.gen(function* () {
      const registry = yield* FaultyRegistry.start({
        ...content,
        configuration: { os: "linux", architecture: "s390x" }
      })
      yield* failsWith(
        pull(registry, { platform: { os: "linux", architecture: "amd64" } }),
        "PlatformNotFound",
        "linux/s390x",
        "linux/amd64"
      )
    })
  )

  it.scopedLive("indexes nested without end fail with Unsupported", () =>
    Effect.gen(function* () {
      const wrap = (child: string) => {
        const body = JSON.stringify({
          schemaVersion: 2,
          manifests: [{ mediaType: "i", digest: FaultyRegistry.digestOf(child), size: child.length }]
        })
        return body
      }
      const bodies = ["{}"]
      for (let depth = 0; depth < 6; depth++) bodies.unshift(wrap(bodies[0] ?? ""))
      const registry = yield* FaultyRegistry.start(content, ({ path }) => {
        const body = bodies.find((one) => path.endsWith(FaultyRegistry.digestOf(one))) ?? bodies[0]
        return { status: 200, body }
      })
      yield* failsWith(pull(registry), "Unsupported", "nested")
    })
  )

  it.scopedLive("old manifests, artifacts and unknown layers fail with Unsupported", () =>
    Effect.gen(function* () {
      const old = yield* FaultyRegistry.start(content, () => ({
        status: 200,
        body: JSON.stringify({ schemaVersion: 1, fsLayers: [] })
      }))
      yield* failsWith(pull(old), "Unsupported", "schema 1")
      const chart = yield* FaultyRegistry.start({
        ...content,
        configurationType: "application/vnd.cncf.helm.config.v1+json"
      })
      yield* failsWith(pull(chart), "Unsupported", "helm")
      const encrypted = yield* FaultyRegistry.start({
        ...content,
        layerType: "application/vnd.oci.image.layer.v1.tar+encrypted"
      })
      yield* failsWith(pull(encrypted), "Unsupported", "tar+encrypted")
      const neither = yield* FaultyRegistry.start(content, () => ({
        status: 200,
        body: JSON.stringify({ schemaVersion: 2 })
      }))
      yield* failsWith(pull(neither), "Unsupported", "neither")
      const malformed = yield* FaultyRegistry.start(content, () => ({
        status: 200,
        body: JSON.stringify({ schemaVersion: 2, layers: [], config: 1 })
      }))
      yield* failsWith(pull(malformed), "Protocol", "malformed")
    })
  )

  it.scopedLive("mirrors are asked in order and without credentials; one that lacks the image is passed over", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(FaultyRegistry.start(content))
      const empty = yield* FaultyRegistry.start(content, () => ({ status: 404 }))
      const asking = yield* FaultyRegistry.start(content, () => ({
        status: 401,
        headers: { "www-authenticate": 'Basic realm="r"' }
      }))
      const good = yield* FaultyRegistry.start(content)
      const mirrors = [gone, empty, asking, good].map(({ url }) => ({ registry: "docker.io", url: `${url}/` }))
      const { resolve } = yield* client({ mirrors: [{ registry: "ghcr.io", url: gone.url }, ...mirrors] })
      const image = yield* resolve(Either.getOrThrow(OciReference.fromString("busybox:1")), { credentials })
      assert.strictEqual(image.source, good.address)
      assert.strictEqual(good.requests[0]?.path, "/v2/library/busybox/manifests/1")
      assert.lengthOf(empty.requests, 1)
      for (const { headers } of asking.requests) assert.isUndefined(headers.authorization)
      const [layer] = image.layers
      if (layer !== undefined) assert.strictEqual((yield* bytesOf(image.blob(layer))).toString(), "a layer")
    })
  )

  it.scopedLive("where every place fails the error names all that was tried", () =>
    Effect.gen(function* () {
      const mirror = yield* FaultyRegistry.start(content, () => ({ status: 404 }))
      const registry = yield* FaultyRegistry.start(content, () => ({ status: 403 }))
      yield* failsWith(
        pull(registry, { client: { mirrors: [{ registry: registry.address, url: mirror.url }] } }),
        "Unauthorized",
        registry.address,
        `${mirror.address}: it does not have the image`
      )
    })
  )

  it.scopedLive(
    "neither spans nor logs hold credentials, tokens or signed addresses, and no request tells of our trace",
    () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const tracer = Tracer.make({
          span: (name, parent, context, links, startTime, kind) => {
            const attributes = new Map<string, unknown>()
            seen.push(attributes)
            return {
              _tag: "Span",
              name,
              parent,
              context,
              links,
              kind,
              attributes,
              sampled: true,
              spanId: "1",
              traceId: "2",
              status: { _tag: "Started", startTime },
              attribute: (key, value) => {
                attributes.set(key, value)
              },
              addLinks: () => {},
              end: (_, exit) => {
                seen.push(exit)
              },
              event: (_, __, values) => {
                seen.push(values)
              }
            }
          },
          context: (run) => run()
        })
        const storage = yield* FaultyRegistry.start(content)
        const registry = yield* FaultyRegistry.start(content, ({ headers, path }) =>
          path.startsWith("/token")
            ? { status: 200, body: JSON.stringify({ token: "t0ken" }) }
            : headers.authorization !== "Bearer t0ken"
              ? { status: 401, headers: { "www-authenticate": `Bearer realm="http://${headers.host}/token"` } }
              : isBlob(path)
                ? { status: 307, headers: { location: `${storage.url}${path}?signature=s3cret` } }
                : undefined
        )
        const logger = Logger.make(({ annotations, cause, message }) => {
          seen.push(message, cause, Array.from(annotations))
        })
        yield* pull(registry, { credentials }).pipe(
          Effect.exit,
          Effect.tap((exit) => {
            assert.isTrue(Exit.isSuccess(exit))
          }),
          Effect.withTracer(tracer),
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
        const text = JSON.stringify(seen, (_, value: unknown) =>
          value instanceof Map ? Array.from(value) : typeof value === "bigint" ? String(value) : value
        )
        assert.include(text, "team/app:1")
        for (const secret of ["correct horse", "t0ken", "s3cret", "Basic "]) assert.notInclude(text, secret)
        for (const { headers } of [...registry.requests, ...storage.requests]) {
          assert.isUndefined(headers["traceparent"])
          assert.isUndefined(headers["b3"])
        }
      })
  )
})

const registry0 = { digest: FaultyRegistry.digestOf("a layer") }

const descriptorOf = (of: string | FaultyRegistry.Blob) =>
  typeof of === "string"
    ? { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: FaultyRegistry.digestOf(of), size: of.length }
    : { mediaType: of.mediaType, digest: of.digest, size: of.size }

const account = { username: "ada", password: "correct horse" }

const fromReal = Effect.fnUntraced(function* (options?: RegistryClient.ResolveOptions) {
  const registry = yield* Registry
  const images = yield* Images
  const busybox = yield* images.busyboxIndex
  yield* registry.push(busybox, "team/busybox:1")
  const { resolve } = yield* client({ insecureRegistries: [registry.address] })
  const image = yield* resolve(
    Either.getOrThrow(OciReference.fromString(`${registry.address}/team/busybox:1`)),
    options
  )
  assert.strictEqual(image.digest, busybox.manifest.digest)
  assert.strictEqual(image.env["GREETING"], "hello")
  const sizes = yield* Effect.forEach(image.layers, (layer) =>
    Effect.map(bytesOf(image.blob(layer)), ({ length }) => length)
  )
  deepStrictEqual(
    sizes,
    image.layers.map(({ size }) => size)
  )
})

const isRefused = (...who: Parameters<typeof fromReal>) =>
  failsWith(
    fromReal(...who).pipe(Effect.catchIf((error) => error._tag !== "RegistryError", Effect.die)),
    "Unauthorized"
  )

describe("RegistryClient against docker-registry", () => {
  it.scopedLive(
    "an image is pulled by anybody where the registry asks nobody",
    () => fromReal().pipe(Effect.provide([Registry.layer, Images.layer])),
    60_000
  )

  it.scopedLive(
    "an image is pulled with Basic credentials and not without",
    () =>
      Effect.gen(function* () {
        yield* fromReal({ credentials })
        yield* isRefused()
        const wrong = { ...credentials, password: Redacted.make("wrong") }
        yield* isRefused({ credentials: wrong })
      }).pipe(Effect.provide([Registry.layerBasicAuth(account), Images.layer])),
    60_000
  )

  it.scopedLive(
    "an image is pulled with a token that was asked for with credentials, and not without",
    () =>
      Effect.gen(function* () {
        yield* fromReal({ credentials })
        yield* isRefused()
      }).pipe(Effect.provide([Registry.layerTokenAuth({ ...account, anonymousPull: false }), Images.layer])),
    60_000
  )

  it.scopedLive(
    "an image is pulled with a token for anybody",
    () => fromReal().pipe(Effect.provide([Registry.layerTokenAuth(account), Images.layer])),
    60_000
  )
})
