import { Command as Process } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, layer as suite } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { readdirSync } from "node:fs"
import * as Contree from "./fixtures/Contree.js"
import * as EngineTraces from "./fixtures/EngineTraces.js"
import { Images } from "./fixtures/Images.js"
import { Registry } from "./fixtures/Registry.js"

/** The lines that tell that an example did what it is about; each file of `examples` is here. */
const keyLines: Readonly<Record<string, ReadonlyArray<RegExp>>> = {
  "testing-your-program.ts": [
    /^it says: built, asked for: npm run build$/m,
    /^tagged: Some$/m,
    /^a busy service: 2 requests$/m,
    /^a build that hangs: CommandFailed$/m,
    /^interrupted: 1 cancelled, 0 running$/m
  ],
  "live-output.ts": [
    /^build \| compiling$/m,
    /^build ! a warning$/m,
    /^build \| linked\nbuilt [0-9a-f-]{36}$/m,
    /^upper \| FIRST\nupper \| SECOND$/m,
    /^beside \| 42$/m,
    /^the server was ended by SIGINT$/m
  ],
  "attach.ts": [
    /^operation [0-9a-f-]{36}$/m,
    /^watcher \| step one$/m,
    /^watcher \| step three$/m,
    /^owner \| step three$/m,
    /^the watcher saw exit code 3$/m,
    /^the owner saw exit code 3 after /m
  ],
  "files-and-reading.ts": [
    /^placed: \/app\/README \/app\/count\.sh \/app\/data\/words\.txt \/app\/large$/m,
    /^the same content is the same file: true$/m,
    /^lines: 3$/m,
    /^entries: README \(file, 17\), count\.sh \(file, 45\), data \(directory, \d+\), large \(file, 10485760\), lines\.txt/m,
    /^bytes below \/app: 10485838$/m,
    /^a log file is there: false$/m,
    /^too large: FileTooLarge$/m,
    /^\/app\/README:1: TODO: write more$/m,
    /^\/app\/data\/words\.txt:2: two$/m,
    /^\/app\/data\/words\.txt:3: three$/m,
    /^downloaded 3, extracted 5 files$/m
  ],
  "working-with-images.ts": [
    /^four fetches, 1 import\(s\): (\S+) is \1$/m,
    /^importFrom: 2 import\(s\) now, same image: true$/m,
    /^lazy Tag and Uuid, strict (\S+) and \1$/m,
    /^a missing tag: NotFound, .*no-such-tag:latest/m,
    /^in the new image: made by contree; in the base: exit code 1$/m,
    /^the tag moved to the branch: true$/m,
    /^the newest two: 2 image\(s\)$/m,
    /^with a tag: 4 image\(s\)$/m,
    /^by prefix: 3 image\(s\)$/m,
    /^imported: 1 image\(s\)$/m,
    /^of the last hour: 4 image\(s\)$/m,
    /^since the start of the year: 4 image\(s\)$/m
  ],
  "observability.ts": [
    /name: 'my-program'/m,
    /name: 'Image.run'/m,
    /name: 'ContreeClient.instances.spawn'/m,
    /name: 'http.client POST'/m,
    /'contree.operation': '[0-9a-f-]{36}'/m,
    /'http.response.status_code': 201/m,
    /^the command said: hello$/m,
    /^runs measured: 1$/m
  ]
}

suite(Layer.mergeAll(Registry.layer, Images.layer, NodeContext.layer), { excludeTestServices: true })(
  "the examples",
  (it) => {
    it.effect("are all tested here", () =>
      Effect.sync(() => {
        const files = readdirSync(`${Contree.checkout}/examples`).filter((name) => name.endsWith(".ts"))
        assert.deepStrictEqual(files.sort(), Object.keys(keyLines).sort())
      })
    )

    for (const [name, lines] of Object.entries(keyLines)) {
      it.scoped(`${name} runs on a fresh engine and says what it did`, () =>
        Effect.gen(function* () {
          yield* Contree.ensureBuilt
          const registry = yield* Registry
          yield* registry.push(yield* (yield* Images).busybox, "library/busybox:latest")
          const dataDirectory = `${yield* Contree.temporaryFolder}/data`
          // As a user's program: by the package's name, and so from dist.
          const child = yield* Process.start(
            Process.make(process.execPath, "--import", "tsx", `examples/${name}`).pipe(
              Process.workingDirectory(Contree.checkout),
              Process.env({
                TSX_TSCONFIG_PATH: "tsconfig.build.json",
                CONTREE_DATA_DIR: dataDirectory,
                CONTREE_MIRRORS: `docker.io=http://${registry.address}`
              })
            )
          )
          const text = (stream: Stream.Stream<Uint8Array, unknown>) => Stream.mkString(Stream.decodeText(stream))
          const [code, stdout, stderr] = yield* Effect.all([child.exitCode, text(child.stdout), text(child.stderr)], {
            concurrency: 3
          })
          assert.strictEqual(code, 0, stdout + stderr)
          assert.strictEqual(stderr, "")
          for (const line of lines) assert.match(stdout, line)
          assert.deepStrictEqual((yield* EngineTraces.tracesOf(dataDirectory)).processes, [])
        })
      )
    }
  }
)
