import { Command as Process, HttpApi, HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, layer as suite } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { ContreeApi } from "../../src/ContreeApi.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as Operation from "../../src/Operation.js"
import { output } from "../contract/steps.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineTraces from "../fixtures/EngineTraces.js"
import { Registry } from "../fixtures/Registry.js"

/** A fresh folder, and engines that are served from it with the token. */
const place = Effect.gen(function* () {
  const folder = yield* Contree.temporaryFolder
  const { address } = yield* Registry
  const dataDirectory = `${folder}/data`
  const args = [...Contree.serveArgs(address, dataDirectory), "--token", Contree.token, "--drain", "0"]
  const serve = Effect.map(Contree.serve({ args }), (served) => ({
    ...served,
    client: Contree.client(served.url, Contree.token)
  }))
  return { folder, dataDirectory, address, serve, traces: EngineTraces.tracesOf(dataDirectory) }
})

/** What `serve` says when it does not start, and its exit code. */
const refusal = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const child = yield* Process.start(
        Process.make(process.execPath, `${Contree.checkout}/dist/cli/main.js`, "serve", ...args).pipe(Process.env(env))
      )
      const text = (stream: Stream.Stream<Uint8Array, unknown>) => Stream.mkString(Stream.decodeText(stream))
      const [code, stdout, stderr] = yield* Effect.all([child.exitCode, text(child.stdout), text(child.stderr)], {
        concurrency: 3
      }).pipe(Effect.timeout("20 seconds"))
      assert.notStrictEqual(code, 0)
      assert.strictEqual(stdout, "")
      return stderr
    })
  )

/** Starts a command that does not end, and waits until it runs. */
const startSleeping = Effect.gen(function* () {
  const client = yield* ContreeClient
  const { id } = yield* Image.oci("busybox:latest")
  const seconds = yield* EngineTraces.uniqueSeconds
  const operation = yield* client.instances.spawn({
    image: id,
    command: `echo x > /x; (setsid sleep ${seconds} &) ; exec sleep ${seconds}`,
    shell: true
  })
  yield* EngineTraces.within(5000)(EngineTraces.processesNaming(seconds), (found) => found.length >= 2)
  return { operation, seconds }
})

/** The words that make another user of a program: the checkout and Node are bound to where any user can go. */
const asUser = (folder: string, uid: number) => {
  const script = `
    mkdir "$0/package" && : > "$0/node"
    mount --bind "${Contree.checkout}" "$0/package"
    mount --bind "${process.execPath}" "$0/node"
    exec setpriv --reuid=${uid} --regid=${uid} --clear-groups --pdeathsig KILL -- "$@"`
  return {
    words: ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, folder],
    node: `${folder}/node`,
    checkout: `${folder}/package`
  }
}

suite(Contree.busyboxRegistry, { excludeTestServices: true })("effect-contree serve", (it) => {
  it.scoped("says on its first line where it listens, and nothing else on standard output", () =>
    Effect.gen(function* () {
      const { serve } = yield* place
      const served = yield* serve
      yield* Effect.provide(
        output(yield* Effect.provide(Image.oci("busybox:latest"), served.client), "true"),
        served.client
      )
      assert.strictEqual(yield* served.stdout, `ready ${served.url}\n`)
      assert.match(served.url, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/)
      assert.include(yield* served.stderr, "sandboxes are launched by")
      assert.notInclude(yield* served.stderr, Contree.token)
      yield* served.kill("SIGTERM")
      yield* served.exit
      assert.strictEqual(yield* served.stdout, `ready ${served.url}\n`)
    })
  )

  it.scoped("keeps images, tags and operations for its next start", () =>
    Effect.gen(function* () {
      const { serve } = yield* place
      const first = yield* Effect.scoped(
        Effect.gen(function* () {
          const served = yield* serve
          return yield* Effect.gen(function* () {
            const base = yield* Image.oci("busybox:latest")
            const made = yield* Image.run(base, "echo kept > /kept; rm /etc/passwd; exit 0", { tag: "made:1" })
            yield* Image.tagAs(made.image, "made:also")
            return { base, made, images: yield* Image.list(), operation: yield* Operation.get(made.operationId) }
          }).pipe(Effect.provide(served.client))
        })
      )
      const again = yield* serve
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* Image.list(), first.images)
        assert.deepStrictEqual(yield* Operation.get(first.made.operationId), first.operation)
        for (const tag of ["made:1", "made:also"]) {
          assert.strictEqual((yield* Image.use(tag, { strict: true })).id, first.made.image.id)
        }
        assert.strictEqual(yield* output("made:1", "cat /kept; ls /etc"), "kept\ngroup\nresolv.conf\n")
        const next = yield* Image.run("made:1", "echo more >> /kept")
        assert.strictEqual(yield* output(next.image, "cat /kept"), "kept\nmore\n")
        const operations = yield* Stream.runCount(Operation.stream({ kind: "image_import" }))
        assert.strictEqual((yield* Image.oci("busybox:latest")).id, first.base.id)
        assert.strictEqual(yield* Stream.runCount(Operation.stream({ kind: "image_import" })), operations)
      }).pipe(Effect.provide(again.client))
    })
  )

  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it.scoped(`leaves no process and no mount soon after ${signal}; what it ran has failed at the next start`, () =>
      Effect.gen(function* () {
        const { serve, traces } = yield* place
        const served = yield* serve
        const { operation, seconds } = yield* Effect.provide(startSleeping, served.client)
        assert.isAbove((yield* traces).overlays.length, 0)
        // A request that waits for the operation must not hold up the end.
        const waiting = yield* Effect.fork(Effect.provide(Effect.flip(Operation.wait(operation)), served.client))
        yield* Effect.sleep("200 millis")
        yield* served.kill(signal)
        yield* EngineTraces.within(5000)(
          Effect.all([traces, EngineTraces.processesNaming(seconds)]),
          ([now, processes]) => EngineTraces.isGone(now) && processes.length === 0
        )
        const heard = yield* Fiber.join(waiting)
        assert.include(["OperationFailed", "Unavailable"], heard._tag, heard.message)
        if (signal === "SIGTERM") assert.deepStrictEqual((yield* traces).runs, [])

        const again = yield* serve
        assert.deepStrictEqual((yield* traces).runs, [])
        yield* Effect.gen(function* () {
          const { error, resultImageId, status } = yield* Operation.get(operation)
          assert.deepStrictEqual([status, resultImageId], ["FAILED", Option.none()])
          assert.match(Option.getOrThrow(error), /engine (was )?stopped before the operation was over/)
          assert.isFalse(yield* Operation.cancel(operation))
          assert.strictEqual(yield* output("busybox:latest", "test ! -e /x && echo sound"), "sound\n")
        }).pipe(Effect.provide(again.client))
      })
    )
  }

  it.scoped("ends with a message when its worker is killed; what was kept is there at the next start", () =>
    Effect.gen(function* () {
      const { serve, traces } = yield* place
      const served = yield* serve
      const { operation, seconds } = yield* Effect.gen(function* () {
        yield* Image.run(yield* Image.oci("busybox:latest"), "echo kept > /kept", { tag: "kept:1" })
        return yield* startSleeping
      }).pipe(Effect.provide(served.client))
      const worker = (yield* traces).processes.find(({ command }) => command.endsWith("/worker.js"))
      assert.isDefined(worker)
      process.kill(worker.pid, "SIGKILL")
      yield* EngineTraces.within(5000)(
        Effect.all([traces, EngineTraces.processesNaming(seconds)]),
        ([now, processes]) => EngineTraces.isGone(now) && processes.length === 0
      )
      assert.strictEqual(yield* served.exit, 1)
      assert.include(yield* served.stderr, "its process died")

      // Nobody had the time to record or to remove anything.
      assert.isAbove((yield* traces).runs.length, 0)
      const again = yield* serve
      assert.deepStrictEqual((yield* traces).runs, [])
      yield* Effect.gen(function* () {
        const { error, status } = yield* Operation.get(operation)
        assert.deepStrictEqual(
          [status, error],
          ["FAILED", Option.some("The engine stopped before the operation was over; start it again")]
        )
        assert.strictEqual(yield* output("kept:1", "cat /kept; test ! -e /x && echo sound"), "kept\nsound\n")
      }).pipe(Effect.provide(again.client))
    })
  )

  describe("lets in", () => {
    it.scoped("nobody without its token, at any endpoint", () =>
      Effect.gen(function* () {
        const { serve } = yield* place
        const { client, url } = yield* serve
        const http = yield* HttpClient.HttpClient
        const endpoints: Array<readonly ["GET" | "POST" | "PATCH" | "DELETE", string]> = []
        HttpApi.reflect(ContreeApi, {
          onGroup: () => {},
          onEndpoint: ({ endpoint: { method, path } }) => {
            assert.include(["GET", "HEAD", "POST", "PATCH", "DELETE"], method)
            // HEAD has no body to tell anything with.
            if (method === "GET" || method === "POST" || method === "PATCH" || method === "DELETE") {
              endpoints.push([method, path.replace(":id", "00000000-0000-4000-8000-000000000000")])
            }
          }
        })
        assert.isAtLeast(endpoints.length, 11)
        for (const [method, path] of endpoints) {
          for (const authorization of [undefined, "Bearer wrong", `Basic ${Contree.token}`, "Bearer ", Contree.token]) {
            const request = HttpClientRequest.make(method)(`${url}${path}`)
            const response = yield* http.execute(
              authorization === undefined
                ? request
                : HttpClientRequest.setHeader(request, "authorization", authorization)
            )
            assert.strictEqual(response.status, 401, `${method} ${path} with ${authorization}`)
            assert.property(yield* response.json, "error")
          }
        }
        const wrong = yield* Effect.flip(Image.list().pipe(Effect.provide(Contree.client(url, "wrong"))))
        assert.strictEqual(wrong._tag, "Unauthorized")
        assert.deepStrictEqual(yield* Effect.provide(Image.list(), client), [])
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )

    it.scoped("whoever may read the token that it makes itself, which stays the same", () =>
      Effect.gen(function* () {
        const { address, dataDirectory } = yield* place
        const file = `${dataDirectory}/token`
        const tokens: Array<string> = []
        for (const _ of [1, 2]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const served = yield* Contree.serve({ args: Contree.serveArgs(address, dataDirectory) })
              const token = readFileSync(file, "utf8").trim()
              tokens.push(token)
              assert.strictEqual(statSync(file).mode & 0o777, 0o600)
              assert.strictEqual(statSync(dataDirectory).mode & 0o777, 0o700)
              assert.include(yield* served.stderr, file)
              assert.notInclude(yield* served.stderr, token)
              yield* Effect.provide(Image.list(), Contree.client(served.url, token))
            })
          )
        }
        assert.isAtLeast(tokens[0]?.length ?? 0, 40)
        assert.strictEqual(tokens[0], tokens[1])
      })
    )
  })

  it.scoped("takes no new work at SIGTERM, and gives what runs its time", () =>
    Effect.gen(function* () {
      const { address, dataDirectory } = yield* place
      const args = [...Contree.serveArgs(address, dataDirectory), "--token", Contree.token, "--drain", "20s"]
      const served = yield* Contree.serve({ args })
      const client = Contree.client(served.url, Contree.token)
      const running = yield* Effect.gen(function* () {
        const contree = yield* ContreeClient
        const { id } = yield* Image.oci("busybox:latest")
        return yield* contree.instances.spawn({ image: id, command: "echo x > /x; sleep 2", shell: true })
      }).pipe(Effect.provide(client))
      yield* Effect.sleep("300 millis")
      yield* served.kill("SIGTERM")
      yield* EngineTraces.within(2000)(served.stderr, (text) => text.includes("no new work is taken"))
      const http = yield* HttpClient.HttpClient
      const health = yield* http.get(`${served.url}/healthz`)
      assert.deepStrictEqual([health.status, yield* health.json], [503, { status: "draining" }])
      assert.strictEqual((yield* http.get(`${served.url}/livez`)).status, 200)
      const refused = yield* HttpClientRequest.post(`${served.url}/v1/instances`).pipe(
        HttpClientRequest.bearerToken(Contree.token),
        HttpClientRequest.bodyUnsafeJson({ image: "tag:busybox:latest", command: "true" }),
        http.execute
      )
      assert.deepStrictEqual([refused.status, refused.headers["retry-after"]], [503, "1"])
      yield* served.exit
      const again = yield* Contree.serve({ args })
      const over = yield* Effect.provide(Operation.get(running), Contree.client(again.url, Contree.token))
      assert.strictEqual(over.status, "SUCCESS")
      // A second signal does not wait.
      yield* Effect.provide(startSleeping, Contree.client(again.url, Contree.token))
      yield* again.kill("SIGTERM")
      yield* EngineTraces.within(2000)(again.stderr, (text) => text.includes("no new work is taken"))
      yield* again.kill("SIGTERM")
      yield* Effect.timeout(again.exit, "2 seconds")
      yield* EngineTraces.within(2000)(EngineTraces.tracesOf(dataDirectory), EngineTraces.isGone)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.scoped("takes its settings from a file; the environment is stronger, and an option than that", () =>
    Effect.gen(function* () {
      const { address, folder } = yield* place
      const file = `${folder}/serve.json`
      const settings = {
        port: 0,
        dataDirectory: "from-file",
        mirrors: [{ registry: "docker.io", url: `http://${address}` }],
        maxConcurrency: 3,
        maxImportConcurrency: 5,
        maxRunTimeoutSeconds: 120
      }
      writeFileSync(file, JSON.stringify(settings))
      const served = yield* Contree.serve({
        args: ["--config", file, "--token", "t", "--max-concurrency", "7"],
        env: { CONTREE_MAX_CONCURRENCY: "6", CONTREE_MAX_IMPORT_CONCURRENCY: "4" }
      })
      assert.isTrue(statSync(`${folder}/from-file`).isDirectory())
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* output(yield* Image.oci("busybox:latest"), "echo here"), "here\n")
        const { account } = yield* ContreeClient
        const { limits } = yield* account.whoami
        assert.deepStrictEqual(
          [limits["instance_max_concurrency"], limits["images_import_max_concurrency"], limits["instance_max_timeout"]],
          [7, 4, 120]
        )
      }).pipe(Effect.provide(Contree.client(served.url, "t")))
      for (const [broken, words] of [
        [{ maxConcurrency: 0 }, "maxConcurrency in "],
        [{ colour: "red" }, "colour in "],
        [[], "not a JSON object"]
      ] as const) {
        writeFileSync(file, JSON.stringify(broken))
        const said = yield* refusal(["--config", file, "--port", "0", "--data-dir", `${folder}/other`])
        assert.include(said, words)
        assert.include(said, file)
      }
    })
  )

  it.scoped("takes its settings from the environment too; an option is stronger", () =>
    Effect.gen(function* () {
      const { address, dataDirectory, folder } = yield* place
      const env = {
        CONTREE_HOST: "127.0.0.1",
        CONTREE_PORT: "0",
        CONTREE_TOKEN: "by-the-environment",
        CONTREE_DATA_DIR: dataDirectory,
        CONTREE_MIRRORS: `docker.io=http://${address}`,
        CONTREE_INSECURE_REGISTRIES: address,
        CONTREE_LAUNCHER: "util-linux",
        CONTREE_MAX_CONCURRENCY: "3"
      }
      const served = yield* Contree.serve({ args: [], env })
      assert.include(yield* served.stderr, "launched by util-linux")
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* output(yield* Image.oci("busybox:latest"), "echo here"), "here\n")
        yield* Image.oci(`docker://${address}/library/busybox:latest`)
        const { account } = yield* ContreeClient
        assert.strictEqual((yield* account.whoami).limits["instance_max_concurrency"], 3)
      }).pipe(Effect.provide(Contree.client(served.url, "by-the-environment")))
      const other = yield* Contree.serve({
        args: ["--data-dir", `${folder}/other`, "--token", "by-an-option", "--max-concurrency", "4"],
        env
      })
      yield* Effect.gen(function* () {
        const { account } = yield* ContreeClient
        assert.strictEqual((yield* account.whoami).limits["instance_max_concurrency"], 4)
      }).pipe(Effect.provide(Contree.client(other.url, "by-an-option")))
    })
  )

  describe("does not start, and says why,", () => {
    it.scoped("with an option or a variable that makes no sense", () =>
      Effect.gen(function* () {
        const { dataDirectory } = yield* place
        const common = ["--port", "0", "--data-dir", dataDirectory]
        const cases: ReadonlyArray<readonly [ReadonlyArray<string>, Readonly<Record<string, string>>, string]> = [
          [[...common, "--mirror", "docker.io"], {}, "docker.io=https://mirror.example.com"],
          [[...common, "--max-concurrency", "0"], {}, "--max-concurrency: "],
          [[...common, "--max-queued", "some"], {}, "--max-queued: "],
          [common, { CONTREE_MAX_CONCURRENCY: "0" }, "CONTREE_MAX_CONCURRENCY: "],
          [[...common, "--cors-origin", "app.example.com"], {}, "--cors-origin: "],
          [[...common, "--drain", "soon"], {}, "--drain: "],
          [[...common, "--config", `${dataDirectory}-none.json`], {}, "--config: "],
          [[...common, "--launcher", "rocket"], {}, "util-linux"],
          [common, { CONTREE_MIRRORS: "docker.io" }, "CONTREE_MIRRORS"]
        ]
        const said = yield* Effect.forEach(cases, ([args, env]) => refusal(args, env), { concurrency: 2 })
        for (const [index, [, , words]] of cases.entries()) assert.include(said[index] ?? "", words)
      })
    )

    it.scoped("on a port or a data folder that is in use", () =>
      Effect.gen(function* () {
        const { dataDirectory, folder, serve } = yield* place
        const { url } = yield* serve
        const port = new URL(url).port
        const [taken, other] = yield* Effect.all(
          [
            refusal(["--port", port, "--data-dir", `${folder}/other`]),
            refusal(["--port", "0", "--data-dir", dataDirectory])
          ],
          { concurrency: 2 }
        )
        assert.match(taken, /EADDRINUSE|in use/)
        assert.include(taken, port)
        assert.match(other, /another engine/i)
        assert.include(other, dataDirectory)
      })
    )
  })

  if (process.getuid?.() === 0) {
    describe("as an ordinary user", () => {
      const uid = 1000

      it.scoped("imports, runs and tags", () =>
        Effect.gen(function* () {
          const { address, dataDirectory, folder, traces } = yield* place
          chownSync(folder, uid, uid)
          const served = yield* Contree.serve({
            ...asUser(folder, uid),
            args: [...Contree.serveArgs(address, dataDirectory), "--token", Contree.token]
          })
          yield* Effect.gen(function* () {
            const base = yield* Image.oci("busybox:latest")
            const made = yield* Image.run(base, "echo mine > /mine; rm /etc/passwd; id -u", { tag: "mine:1" })
            assert.deepStrictEqual([made.exitCode, made.stdout.text, made.stderr.text], [0, "0\n", ""])
            assert.strictEqual(yield* output("mine:1", "cat /mine; ls /etc"), "mine\ngroup\nresolv.conf\n")
            assert.strictEqual(
              yield* output(base, "ls -d /mine 2>&1 || true"),
              "ls: /mine: No such file or directory\n"
            )
            const { seconds } = yield* startSleeping
            yield* served.kill("SIGKILL")
            yield* EngineTraces.within(5000)(
              Effect.all([traces, EngineTraces.processesNaming(seconds)]),
              ([now, processes]) => EngineTraces.isGone(now) && processes.length === 0
            )
          }).pipe(Effect.provide(Contree.client(served.url, Contree.token)))
          assert.strictEqual(statSync(`${dataDirectory}/l`).uid, uid)
        })
      )

      it.scoped("says so when the data folder is not the user's to write", () =>
        Effect.gen(function* () {
          const { dataDirectory, folder } = yield* place
          chmodSync(folder, 0o755)
          const error = yield* Effect.flip(
            Contree.serve({ ...asUser(folder, uid), args: ["--port", "0", "--data-dir", dataDirectory] })
          )
          assert.include(error.message, dataDirectory)
          assert.include(error.message, "--data-dir")
        })
      )
    })
  }
})
