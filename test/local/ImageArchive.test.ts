import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { InspectEngine, layer as engine } from "./inspectEngine.js"

const archive = Effect.fnUntraced(function* (id: string, path: string, method = "GET") {
  const { ask } = yield* InspectEngine
  const answer = yield* ask(`/v1/inspect/${id}/archive`, { path }, { method })
  assert.strictEqual(answer.status, 200, answer.text)
  assert.isFalse(answer.broken)
  assert.strictEqual(answer.headers["content-type"], "application/x-tar")
  return { disposition: answer.headers["content-disposition"], bytes: answer.bytes }
})

const tar = (bytes: Uint8Array, ...args: ReadonlyArray<string>) =>
  execFileSync("tar", ["-f", "-", ...args], {
    input: bytes,
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8" }
  })

const names = (bytes: Uint8Array) => tar(bytes, "-t").trim().split("\n")

layer(engine(), { timeout: "2 minutes", excludeTestServices: true })("an archive of an image", (it) => {
  it.effect("has a folder's members below its name, a file by itself, and the root's members by themselves", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(
        "mkdir -p /d/sub /d/empty; echo one > /d/file; echo two > /d/sub/deep; ln -s sub /d/link; ln -s d /alias"
      )
      assert.deepStrictEqual(names((yield* archive(id, "/d")).bytes), [
        "d/",
        "d/empty/",
        "d/file",
        "d/link",
        "d/sub/",
        "d/sub/deep"
      ])
      assert.deepStrictEqual(names((yield* archive(id, "/d/sub/")).bytes), ["sub/", "sub/deep"])
      const file = yield* archive(id, "/d/sub/deep")
      assert.deepStrictEqual(names(file.bytes), ["deep"])
      assert.strictEqual(tar(file.bytes, "-xO"), "two\n")
      // A link that is asked for is followed and keeps its name, one inside stays a link.
      assert.deepStrictEqual(names((yield* archive(id, "/alias/link")).bytes), ["link/", "link/deep"])
      assert.match(tar((yield* archive(id, "/alias")).bytes, "-tv"), / alias\/link -> sub\n/)
      const root = names((yield* archive(id, "/")).bytes)
      assert.deepStrictEqual(root.slice(0, 2), ["./", "alias"])
      assert.includeMembers(root, ["bin/", "d/sub/deep", "etc/passwd"])
      assert.deepStrictEqual(names((yield* archive(id, "/d/sub/..")).bytes).slice(0, 1), ["d/"])
    })
  )

  it.effect("is offered under the path's name, and HEAD says the same without a body", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(`mkdir -p '/q"é'; echo x > '/q"é/f'`)
      for (const [path, disposition] of [
        ["/bin/busybox", 'attachment; filename="bin_busybox.tar"'],
        ["/etc/", 'attachment; filename="etc.tar"'],
        ["/", 'attachment; filename="root.tar"'],
        ['/q"é/f', `attachment; filename="q\\"__f.tar"; filename*=UTF-8''q%22%C3%A9_f.tar`]
      ] as const) {
        const head = yield* archive(id, path, "HEAD")
        assert.strictEqual(head.disposition, disposition)
        assert.strictEqual(head.bytes.length, 0)
        assert.strictEqual((yield* archive(id, path)).disposition, disposition)
      }
    })
  )

  it.effect("keeps owners as the image knows them, hard links, pipes, large files and long names", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const long = "n".repeat(120)
      const id = yield* after(
        `mkdir -p /k/${long}/${long}; cd /k; echo x > ${long}/${long}/${long}; dd if=/dev/urandom of=large bs=1M count=3 2> /dev/null
         ln large twin; mkfifo pipe; echo o > owned; chown 1000:33 owned; chmod 4711 owned; touch -d '2001-02-03 04:05:06' owned
         sha256sum large > /sum`
      )
      const { bytes } = yield* archive(id, "/k")
      const lines = tar(bytes, "-tv", "--numeric-owner", "--full-time", "--utc").trim().split("\n")
      const line = (name: string) => (lines.find((line) => line.includes(` k/${name}`)) ?? "").replace(/ +/g, " ")
      assert.match(line("owned"), /^-rws--x--x 1000\/33 2 2001-02-03 04:05:06 k\/owned$/)
      assert.match(line("twin"), /^h.* k\/twin link to k\/large$/)
      assert.match(line("pipe"), /^prw/)
      assert.match(line(`${long}/${long}/${long}`), /^-rw/)
      const { ask } = yield* InspectEngine
      const sum = (yield* ask(`/v1/inspect/${id}/download`, { path: "/sum" })).text.slice(0, 64)
      const large = execFileSync("tar", ["-xO", "-f", "-", "k/large"], { input: bytes, maxBuffer: 2 ** 24 })
      assert.strictEqual(execFileSync("sha256sum", { input: large, encoding: "utf8" }).slice(0, 64), sum)
    })
  )
})
