import { FileSystem, HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { createHash } from "node:crypto"
import { gunzipSync } from "node:zlib"
import * as Executable from "../../quickstart/Executable.js"
import * as OciLayout from "../../quickstart/OciLayout.js"
import * as SampleImage from "../../quickstart/SampleImage.js"
import * as SampleRegistry from "../../quickstart/SampleRegistry.js"
import * as FileTree from "../fixtures/FileTree.js"

const Platform = Layer.merge(NodeContext.layer, NodeHttpClient.layer)

const layersOf = Effect.fnUntraced(function* (directory: string) {
  const root = yield* OciLayout.readRoot(directory)
  const manifest = yield* OciLayout.readManifest(directory, root.digest)
  return (manifest.layers ?? []).map((layer) => OciLayout.blobPath(directory, layer.digest))
})

/** Unpacks an image and runs its shell with the image as its whole file system. */
const run = Effect.fnUntraced(function* (directory: string, script: string) {
  const fs = yield* FileSystem.FileSystem
  const root = yield* fs.makeTempDirectoryScoped()
  for (const layer of yield* layersOf(directory)) {
    yield* FileTree.exec("tar", ["--extract", "--no-same-owner", "--file", layer, "--directory", root])
  }
  return yield* FileTree.exec("unshare", ["--map-root-user", `--root=${root}`, "/bin/sh", "-c", script])
})

const packed = Effect.fnUntraced(function* (files: ReadonlyMap<string, SampleImage.RootFile>) {
  const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  yield* SampleImage.packFiles(directory, files, {})
  return directory
})

const bytes = (url: string) =>
  HttpClient.get(url).pipe(
    Effect.flatMap((response) => response.arrayBuffer),
    Effect.map((buffer) => new Uint8Array(buffer))
  )

const sha256 = (content: Uint8Array) => `sha256:${createHash("sha256").update(content).digest("hex")}`

describe("the sample image", () => {
  it.scoped("runs its shell with nothing but itself", () =>
    Effect.gen(function* () {
      const image = yield* SampleImage.make
      const lines = (yield* run(image.directory, "echo hi; ls /; uname -s")).trim().split("\n")
      assert.strictEqual(lines[0], "hi")
      assert.includeMembers(lines, ["bin", "dev", "etc", "proc", "tmp"])
      assert.notInclude(lines, "srv")
      assert.strictEqual(lines.at(-1), "Linux")
    }).pipe(Effect.provide(Platform))
  )

  it.scoped("runs its shell where it is made of the machine's own tools", () =>
    Effect.gen(function* () {
      const directory = yield* packed(yield* SampleImage.hostToolFiles)
      const output = yield* run(
        directory,
        "mkdir -p /data/one && echo two words > /data/one/file && cp /data/one/file /data/copy && cat /data/copy | wc -w && ls /data"
      )
      assert.deepStrictEqual(
        output.split("\n").map((line) => line.trim()),
        ["2", "copy", "one", ""]
      )
    }).pipe(Effect.provide(Platform))
  )

  it.scoped("has the same digest each time it is made", () =>
    Effect.gen(function* () {
      const first = yield* SampleImage.make
      const second = yield* SampleImage.make
      assert.strictEqual(first.root.digest, second.root.digest)
    }).pipe(Effect.provide(Platform))
  )

  it.scoped("says what is missing on a machine without a shell", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const empty: FileSystem.FileSystem = { ...fs, stat: (path) => fs.stat(`/nowhere${path}`) }
      const error = yield* Effect.flip(SampleImage.make).pipe(Effect.provideService(FileSystem.FileSystem, empty))
      assert.include(error.message, "no executable `sh` on PATH")
    }).pipe(Effect.provide(Platform))
  )
})

describe("what a program needs", () => {
  it.effect("the loader of a dynamic program, and the interpreter of a script, are read from the file", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const node = Executable.inspect(yield* fs.readFile(yield* fs.realPath(process.execPath)))
      assert.isTrue(node._tag === "Dynamic" && node.loader.includes("ld-"))
      assert.deepStrictEqual(Executable.inspect(new TextEncoder().encode("#! /usr/bin/env sh\n")), {
        _tag: "Script",
        interpreter: "/usr/bin/env"
      })
      assert.strictEqual(Executable.inspect(new TextEncoder().encode("text"))._tag, "Other")
      const brokenOff = (yield* fs.readFile("/bin/sh")).slice(0, 64)
      assert.strictEqual(Executable.inspect(brokenOff)._tag, "Other")
    }).pipe(Effect.provide(Platform))
  )

  it.effect("the loaders of glibc and musl are both understood", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(
        Executable.libraries(
          [
            "\tlinux-vdso.so.1 (0x00007ffd)",
            "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)",
            "\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"
          ].join("\n")
        ),
        ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
      )
      assert.deepStrictEqual(
        Executable.libraries(
          "\t/lib/ld-musl-x86_64.so.1 (0x7f)\n\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f)\n"
        ),
        ["/lib/ld-musl-x86_64.so.1"]
      )
    })
  )
})

describe("the sample registry", () => {
  const served = <A, E>(
    use: (url: string) => Effect.Effect<A, E, HttpClient.HttpClient | FileSystem.FileSystem | NodeContext.NodeContext>
  ) =>
    Effect.gen(function* () {
      const image = yield* SampleImage.make
      return yield* Effect.flatMap(SampleRegistry.SampleRegistry, ({ address }) => use(`http://${address}`)).pipe(
        Effect.provide(SampleRegistry.layer({ "library/sample:latest": image }))
      )
    }).pipe(Effect.scoped, Effect.provide(Platform))

  it.live("serves the manifest by tag and digest, and each blob with the digest it names", () =>
    served(
      Effect.fnUntraced(function* (url) {
        const base = `${url}/v2/library/sample`
        const manifest = yield* bytes(`${base}/manifests/latest`)
        assert.deepStrictEqual(yield* bytes(`${base}/manifests/${sha256(manifest)}`), manifest)
        const { config, layers } = yield* Schema.decode(Schema.parseJson(OciLayout.Manifest))(
          new TextDecoder().decode(manifest)
        )
        const Config = Schema.parseJson(
          Schema.Struct({ rootfs: Schema.Struct({ diff_ids: Schema.Array(Schema.String) }) })
        )
        const configBytes = yield* bytes(`${base}/blobs/${config?.digest}`)
        assert.strictEqual(sha256(configBytes), config?.digest)
        const layer = yield* bytes(`${base}/blobs/${layers?.[0]?.digest}`)
        assert.strictEqual(sha256(layer), layers?.[0]?.digest)
        const { rootfs } = yield* Schema.decode(Config)(new TextDecoder().decode(configBytes))
        assert.deepStrictEqual(rootfs.diff_ids, [sha256(gunzipSync(layer))])
      })
    )
  )

  it.live("answers HEAD with size, type and digest", () =>
    served(
      Effect.fnUntraced(function* (url) {
        const response = yield* HttpClient.execute(HttpClientRequest.head(`${url}/v2/library/sample/manifests/latest`))
        assert.strictEqual(response.status, 200)
        assert.strictEqual(response.headers["content-type"], "application/vnd.oci.image.manifest.v1+json")
        const manifest = yield* bytes(`${url}/v2/library/sample/manifests/latest`)
        assert.strictEqual(response.headers["content-length"], String(manifest.length))
        assert.strictEqual(response.headers["docker-content-digest"], sha256(manifest))
      })
    )
  )

  it.live("says of each thing that it has not which one it is", () =>
    served(
      Effect.fnUntraced(function* (url) {
        const answer = (request: HttpClientRequest.HttpClientRequest) =>
          Effect.flatMap(HttpClient.execute(request), (response) =>
            Effect.map(response.text, (text) => `${response.status} ${/"code":"(\w+)"/.exec(text)?.[1]}`)
          )
        const get = (path: string) => answer(HttpClientRequest.get(`${url}${path}`))
        const unknown = `sha256:${"0".repeat(64)}`
        assert.strictEqual(yield* get("/v2/"), "200 undefined")
        assert.strictEqual(yield* get("/v2/library/sample/manifests/old"), "404 MANIFEST_UNKNOWN")
        assert.strictEqual(yield* get(`/v2/library/sample/manifests/${unknown}`), "404 MANIFEST_UNKNOWN")
        assert.strictEqual(yield* get(`/v2/library/sample/blobs/${unknown}`), "404 BLOB_UNKNOWN")
        assert.strictEqual(yield* get("/v2/library/other/manifests/latest"), "404 NAME_UNKNOWN")
        assert.strictEqual(yield* get("/v2/library/sample/tags/list"), "404 NAME_UNKNOWN")
        assert.strictEqual(
          yield* answer(HttpClientRequest.post(`${url}/v2/library/sample/blobs/uploads/`)),
          "405 UNSUPPORTED"
        )
      })
    )
  )
})
