import { FileSystem } from "@effect/platform"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { get } from "node:http"
import { truncateSync } from "node:fs"
import { ImageId } from "../../src/ImageId.js"
import { InspectEngine, layer as engine, urlOf } from "./inspectEngine.js"
import { descends, eventually, processesWith } from "./machine.js"

const Listing = Schema.Struct({
  path: Schema.String,
  files: Schema.Array(
    Schema.Struct({
      path: Schema.String,
      size: Schema.Int,
      owner: Schema.Union(Schema.String, Schema.Int),
      group: Schema.Union(Schema.String, Schema.Int),
      uid: Schema.Int,
      gid: Schema.Int,
      mode: Schema.Int,
      mtime: Schema.Int,
      nlink: Schema.Int,
      is_dir: Schema.Boolean,
      is_regular: Schema.Boolean,
      is_symlink: Schema.Boolean,
      is_socket: Schema.Boolean,
      is_fifo: Schema.Boolean,
      symlink_to: Schema.String
    })
  )
})

const list = Effect.fnUntraced(function* (id: string, path: string) {
  const { ask } = yield* InspectEngine
  const answer = yield* ask(`/v1/inspect/${id}/list`, { path })
  assert.strictEqual(answer.status, 200, answer.text)
  return (yield* Schema.decodeUnknown(Listing)(answer.json)).files
})

const download = Effect.fnUntraced(function* (id: string, path: string) {
  const { ask } = yield* InspectEngine
  const answer = yield* ask(`/v1/inspect/${id}/download`, { path })
  assert.strictEqual(answer.status, 200, answer.text)
  return answer.text
})

/** The status of each of the endpoints that read a path. */
const statuses = Effect.fnUntraced(function* (id: string, path: string) {
  const { ask } = yield* InspectEngine
  const of = (endpoint: string, method: string) =>
    Effect.map(ask(`/v1/inspect/${id}/${endpoint}`, { path }, { method }), ({ status }) => status)
  return {
    list: yield* of("list", "GET"),
    download: yield* of("download", "GET"),
    hasDownload: yield* of("download", "HEAD"),
    archive: yield* of("archive", "GET"),
    hasArchive: yield* of("archive", "HEAD")
  }
})

const all = (status: number) => ({
  list: status,
  download: status,
  hasDownload: status,
  archive: status,
  hasArchive: status
})

layer(engine(), { timeout: "2 minutes", excludeTestServices: true })("looking at an image", (it) => {
  it.effect("lists a folder of several layers with what is known of each entry", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const first = yield* after(
        "mkdir -p /d/gone /d/opaque; touch /d/opaque/hidden /d/removed; echo 12345 > /d/file; chown 7:8 /d/file; chmod 4750 /d/file"
      )
      const id = yield* after(
        `cd /d; rm -r gone removed opaque; mkdir opaque; touch -d '2001-02-03 04:05:06' opaque/new; ln -s /etc/passwd link
         ln file twin; mkfifo pipe; echo bin:x:7: > /etc/passwd; echo things:x:8: > /etc/group`,
        first
      )
      const files = yield* list(id, "/d")
      assert.deepStrictEqual(
        files.map(({ path }) => path),
        ["file", "link", "opaque", "pipe", "twin"]
      )
      const [file, link, opaque, pipe] = files
      assert.deepInclude(file, { size: 6, owner: "bin", group: "things", uid: 7, gid: 8, mode: 0o104750, nlink: 2 })
      assert.deepInclude(file, { is_regular: true, is_dir: false, is_symlink: false, symlink_to: "" })
      assert.deepInclude(link, { is_symlink: true, symlink_to: "/etc/passwd", mode: 0o120777, owner: 0, group: 0 })
      assert.deepInclude(opaque, { is_dir: true, mode: 0o040755 })
      assert.deepInclude(pipe, { is_fifo: true, is_regular: false, is_socket: false })
      assert.deepInclude((yield* list(id, "/d/opaque"))[0], { path: "new", mtime: 981_173_106, size: 0 })
      assert.lengthOf(yield* list(id, "/d/opaque"), 1)
      // The image before it is as it was.
      assert.lengthOf(yield* list(first, "/d"), 4)
    })
  )

  it.effect("lists as text whenever the flag is there, and no name can forge a line", () =>
    Effect.gen(function* () {
      const { after, ask } = yield* InspectEngine
      const id = yield* after(
        `mkdir /t; cd /t; printf 123 > plain; chown 12345:0 plain; chmod 1644 plain; ln -s plain link; mkdir sub; chmod 2775 sub
         touch "$(printf 'two\\nlines')"; touch -d '2001-02-03 04:05:06' * .`
      )
      for (const text of ["", "1", "0", "true"]) {
        const answer = yield* ask(`/v1/inspect/${id}/list`, { path: "/t", text })
        assert.strictEqual(answer.headers["content-type"], "text/plain; charset=utf-8")
        const [total, ...lines] = answer.text.split("\n")
        assert.match(total ?? "", /^total \d+$/)
        assert.deepStrictEqual(
          lines.map((line) => line.replace(/ +/g, " ")),
          [
            lines[0]?.replace(/ +/g, " ") ?? "",
            "-rw-r--r-T 1 12345 root 3 2001-02-03 04:05 plain",
            "drwxrwsr-x 2 root root 4096 2001-02-03 04:05 sub",
            "-rw-r--r-- 1 root root 0 2001-02-03 04:05 two\\012lines",
            ""
          ].map((line) => line.replace(/ 2 root root \d+/, " 2 root root 4096"))
        )
        assert.match(lines[0] ?? "", /^lrwxrwxrwx +1 root +root +5 .* link -> plain$/)
      }
    })
  )

  it.effect("never follows a link out of the image", () =>
    Effect.gen(function* () {
      const { after, dataDirectory } = yield* InspectEngine
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(`${dataDirectory}/secret`, "of the host")
      const up = "../".repeat(20)
      const id = yield* after(
        `mkdir -p /h/deep; cd /h; echo inside > /h/target
         ln -s / root; ln -s ${up}h/target up; ln -s /h/target absolute; ln -s ${up}${dataDirectory.slice(1)}/secret host
         ln -s ${dataDirectory}/secret hostAbsolute; ln -s loop loop; ln -s b a; ln -s a b; ln -s absolute chain
         ln -s nowhere dangling; ln -s /proc/self/root/etc/shadow proc; ln -s ../h/./deep//../target odd; ln -s /h/ slash`
      )
      for (const path of [
        "/h/up",
        "/h/absolute",
        "/h/chain",
        "/h/odd",
        "/h/root/h/root/h/target",
        "/../../h/target",
        "/h/slash/target",
        "//h/./deep/../target/"
      ]) {
        assert.strictEqual(yield* download(id, path), "inside\n", path)
      }
      for (const path of [
        "/h/host",
        "/h/hostAbsolute",
        "/h/loop",
        "/h/a",
        "/h/dangling",
        "/h/proc",
        "/h/target/x",
        "/h/target/.."
      ]) {
        assert.deepStrictEqual(yield* statuses(id, path), all(404), path)
      }
      assert.deepStrictEqual(yield* list(id, "/h/root"), yield* list(id, "/"))
      assert.deepStrictEqual(yield* list(id, "/h/../../.."), yield* list(id, "/"))
    })
  )

  it.effect("says what is wrong with a path by the status, and in words that name it", () =>
    Effect.gen(function* () {
      const { after, ask } = yield* InspectEngine
      const id = yield* after("mkdir /k; mkfifo /k/pipe; echo x > /k/file")
      assert.deepStrictEqual(yield* statuses(id, "/k/none"), all(404))
      assert.deepStrictEqual(yield* statuses(id, `/k/${"n".repeat(300)}`), all(404))
      for (const path of ["k/file", "", "./k", "/k\0/file"]) assert.deepStrictEqual(yield* statuses(id, path), all(400))
      assert.deepStrictEqual(yield* statuses(id, "/k/pipe"), all(422))
      assert.deepStrictEqual(yield* statuses(id, "/k"), { ...all(200), download: 422, hasDownload: 422 })
      assert.deepStrictEqual(yield* statuses(id, "/k/file"), { ...all(200), list: 422 })
      const never = "00000000-0000-4000-8000-000000000000"
      assert.deepStrictEqual(yield* statuses(never, "/"), all(404))
      assert.strictEqual((yield* ask(`/v1/inspect/${never}/grep`, { pattern: "x" })).status, 404)
      assert.deepStrictEqual(yield* statuses("no-uuid", "/"), all(400))
      assert.strictEqual((yield* ask(`/v1/inspect/${id}/list`)).status, 400)
      const missing = yield* ask(`/v1/inspect/${id}/download`, { path: "/k/none" })
      assert.deepStrictEqual(missing.json, { error: 'path "/k/none": the image has no such path', status: 404 })
      const head = yield* ask(`/v1/inspect/${id}/download`, { path: "/k/none" }, { method: "HEAD" })
      assert.strictEqual(head.bytes.length, 0)
    })
  )

  it.effect("gives a file's bytes with their number, as text where asked so", () =>
    Effect.gen(function* () {
      const { after, ask, client } = yield* InspectEngine
      const id = yield* after(
        "dd if=/dev/urandom of=/big bs=1M count=3 2> /dev/null; sha256sum /big > /sum; : > /empty"
      )
      const sum = yield* download(id, "/sum")
      const answer = yield* ask(`/v1/inspect/${id}/download`, { path: "/big" })
      assert.strictEqual(answer.headers["content-length"], String(3 * 1024 * 1024))
      assert.strictEqual(answer.headers["content-type"], "application/octet-stream")
      assert.strictEqual(`${createHash("sha256").update(answer.bytes).digest("hex")}  /big\n`, sum)
      const head = yield* ask(`/v1/inspect/${id}/download`, { path: "/big" }, { method: "HEAD" })
      assert.deepInclude(head, { status: 200, broken: false })
      assert.strictEqual(head.headers["content-length"], String(3 * 1024 * 1024))
      assert.strictEqual(head.bytes.length, 0)
      const text = yield* ask(`/v1/inspect/${id}/download`, { path: "/sum", text: "" })
      assert.strictEqual(text.headers["content-type"], "text/plain; charset=utf-8")
      assert.strictEqual(text.text, sum)
      assert.strictEqual((yield* ask(`/v1/inspect/${id}/download`, { path: "/empty" })).bytes.length, 0)
      const typed = yield* Stream.runFold(
        client.inspect.download(yield* Schema.decode(ImageId)(id), "/big"),
        0,
        (all, piece) => all + piece.length
      )
      assert.strictEqual(typed, answer.bytes.length)
    })
  )

  it.effect("shows names that are not UTF-8 with U+FFFD, and finds them by what it shows", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after(
        `mkdir "/$(printf 'odd\\377')"; cd /odd*; echo yes > "$(printf 'a\\377b')"; echo é > "é ü"
         mkdir /two; cd /two; touch "$(printf '\\376')" "$(printf '\\377')"`
      )
      assert.deepStrictEqual(
        (yield* list(id, "/odd\uFFFD")).map(({ path }) => path),
        ["a\uFFFDb", "é ü"]
      )
      assert.strictEqual(yield* download(id, "/odd\uFFFD/a\uFFFDb"), "yes\n")
      assert.strictEqual(yield* download(id, "/odd\uFFFD/é ü"), "é\n")
      // Two names that are shown alike are not told apart.
      assert.deepStrictEqual(yield* statuses(id, "/two/\uFFFD"), all(404))
    })
  )

  it.effect("lists a folder of ten thousand files", () =>
    Effect.gen(function* () {
      const { after } = yield* InspectEngine
      const id = yield* after("mkdir /many; cd /many; i=0; while [ $i -lt 10000 ]; do : > f$i; i=$((i+1)); done")
      const files = yield* list(id, "/many")
      assert.strictEqual(files.length, 10_000)
      assert.deepStrictEqual(
        files.slice(0, 3).map(({ path }) => path),
        ["f0", "f1", "f10"]
      )
    })
  )

  it.effect("redirects who leaves out the last slash, relative to where they are", () =>
    Effect.gen(function* () {
      const { after, ask } = yield* InspectEngine
      const id = yield* after("touch /redirected")
      const bare = yield* ask("/v1/inspect", { tag: "some:tag" })
      assert.strictEqual(bare.status, 307)
      assert.strictEqual(bare.headers["location"], "inspect/?tag=some%3Atag")
      const image = yield* ask(`/v1/inspect/${id}`)
      assert.strictEqual(image.status, 307)
      assert.strictEqual(image.headers["location"], `${id}/`)
      const there = yield* ask(`/v1/inspect/${id}/`)
      assert.strictEqual(there.status, 200)
      assert.strictEqual((yield* ask("/v1/inspect/", { tag: "no:such" })).status, 404)
      assert.strictEqual((yield* ask("/v1/inspect/")).status, 400)
    })
  )

  /** Starts to read an answer, does something while the rest waits, and gives what came in all. */
  const meanwhile = <E>(url: URL, act: (destroy: () => void) => Effect.Effect<void, E>) =>
    Effect.async<{ readonly broken: boolean }, E>((resume) => {
      const sent = get(url, { agent: false }, (answer) => {
        answer.once("readable", () => {
          resume(
            Effect.zipRight(
              act(() => sent.destroy()),
              Effect.async<{ readonly broken: boolean }>((ended) => {
                answer.on("close", () => ended(Effect.succeed({ broken: !answer.complete }))).resume()
              })
            )
          )
        })
        answer.on("error", () => {})
      })
      sent.on("error", () => {})
    })

  it.effect("keeps no descriptor open for a download or an archive that the client gives up", () =>
    Effect.gen(function* () {
      const { address, after } = yield* InspectEngine
      const id = yield* after("dd if=/dev/zero of=/large bs=1M count=64 2> /dev/null")
      const fs = yield* FileSystem.FileSystem
      const worker = (yield* processesWith("internal/worker.js")).find(
        ({ pid, words }) => descends(pid, process.pid) && !words.some((word) => word.endsWith("unshare"))
      )
      const descriptors = Effect.gen(function* () {
        const names = yield* fs.readDirectory(`/proc/${worker?.pid}/fd`)
        const targets = yield* Effect.forEach(names, (name) =>
          Effect.orElseSucceed(fs.readLink(`/proc/${worker?.pid}/fd/${name}`), () => "")
        )
        return targets.filter((target) => target.endsWith("/large")).length
      })
      for (const endpoint of ["download", "archive"]) {
        const { broken } = yield* meanwhile(
          urlOf(address, `/v1/inspect/${id}/${endpoint}`, { path: "/large" }),
          (destroy) =>
            Effect.map(
              // The header of an archive may come before its file is opened.
              eventually(descriptors, (count) => count === 1),
              destroy
            )
        )
        assert.isTrue(broken)
        yield* eventually(descriptors, (count) => count === 0)
      }
    })
  )

  it.effect("breaks the connection when a body cannot be finished, so that nobody takes it for whole", () =>
    Effect.gen(function* () {
      const { address, after, dataDirectory } = yield* InspectEngine
      const fs = yield* FileSystem.FileSystem
      for (const endpoint of ["download", "archive"]) {
        const id = yield* after(`dd if=/dev/zero of=/damaged-${endpoint} bs=1M count=64 2> /dev/null`)
        const [damaged = ""] = yield* Effect.filter(
          (yield* fs.readDirectory(`${dataDirectory}/l`)).map(
            (name) => `${dataDirectory}/l/${name}/damaged-${endpoint}`
          ),
          (path) => fs.exists(path)
        )
        const url = urlOf(address, `/v1/inspect/${id}/${endpoint}`, { path: `/damaged-${endpoint}` })
        assert.isFalse((yield* meanwhile(url, () => Effect.void)).broken)
        const { broken } = yield* meanwhile(url, () => Effect.sync(() => truncateSync(damaged, 1024)))
        assert.isTrue(broken, endpoint)
      }
    })
  )
})
