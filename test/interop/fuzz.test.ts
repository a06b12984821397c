/**
 * The HTTP surface under schemathesis, which makes requests from the engine's own OpenAPI document, right and wrong ones,
 * and holds every answer against it. `CONTREE_FUZZ_EXAMPLES=500` makes a longer run; the seed stays.
 */
import { Command, FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, layer as suite } from "@effect/vitest"
import { Config, Effect, Layer, Schema, Stream } from "effect"
import { fileURLToPath } from "node:url"
import { InteropEngine } from "../fixtures/InteropEngine.js"
import * as PythonEnvironment from "../fixtures/PythonEnvironment.js"

/** The tool's checks, but for those that ask more than a document can say. */
const settled = `
[checks]
positive_data_acceptance.enabled = false
missing_required_header.enabled = false
use_after_free.enabled = false
ensure_resource_availability.enabled = false
object_level_authorization.enabled = false

# No body is a file of no bytes.
[[operations]]
include-path = "/v1/files"
include-method = "POST"
checks.negative_data_rejection.enabled = false

# The tool holds a stream's schema against each of its events; other suites decode these.
[[operations]]
include-path-regex = "/events$"
checks.response_schema_conformance.enabled = false
`

const Places = Schema.parseJson(Schema.Struct({ image: Schema.UUID, running: Schema.UUID, over: Schema.UUID }))

/** Requests about what is there, so that more than 404 is answered. */
const about = ({ image, over, running }: typeof Places.Type) => `
[[operations]]
include-path-regex = "/inspect/[^/]+/|/images/[^/]+/"
parameters = { "path.id" = "${image}" }

[[operations]]
include-path-regex = "/subprocesses"
exclude-method = "DELETE"
parameters = { "path.id" = "${running}", "path.spid" = 1 }

[[operations]]
include-path-regex = "/operations/[^/]+$|/events$"
parameters = { "path.id" = "${over}" }
`

const output = (command: Command.Command) =>
  Effect.scoped(
    Effect.gen(function* () {
      const child = yield* Command.start(command)
      const text = (stream: Stream.Stream<Uint8Array, unknown>) => Stream.mkString(Stream.decodeText(stream))
      const said = { stdout: text(child.stdout), stderr: text(child.stderr), code: child.exitCode }
      return yield* Effect.all(said, { concurrency: 3 })
    })
  )

const project = "interop-fuzz"

const fuzz = Effect.fnUntraced(function* (phases: string, places: string) {
  const { token, url } = yield* InteropEngine
  const fs = yield* FileSystem.FileSystem
  const python = yield* PythonEnvironment.python
  const examples = yield* Config.withDefault(Config.integer("CONTREE_FUZZ_EXAMPLES"), 15)
  const folder = yield* fs.makeTempDirectoryScoped()
  yield* fs.writeFileString(`${folder}/schemathesis.toml`, settled + places)
  const words = ["--config-file", `${folder}/schemathesis.toml`, "run", `${url}/openapi.json`]
  const options = ["--phases", phases, "--seed", "1", "--max-examples", `${examples}`]
  // One worker: the order of requests is then the same each time, too.
  const how = ["--workers", "1", "--generation-database", "none", "--no-shrink", "--request-timeout", "20"]
  const headers = ["--header", `Authorization: Bearer ${token}`, "--header", `Project: ${project}`]
  const run = ["-m", "schemathesis.cli", ...words, ...options, ...how, ...headers]
  const { code, stderr, stdout } = yield* output(
    Command.make("setpriv", "--pdeathsig", "KILL", "--", python, ...run).pipe(Command.workingDirectory(folder))
  )
  assert.strictEqual(Number(code), 0, `${stdout}\n${stderr}`)
  assert.match(stdout, /^\s+\d{3,} generated/m)
}, Effect.scoped)

suite(Layer.merge(InteropEngine.layer, NodeContext.layer), { timeout: "5 minutes", excludeTestServices: true })(
  "fuzzed HTTP surface",
  (it) => {
    const timeout = 1_800_000

    it.effect(
      "whatever is asked, the answer is of the contract and no fault of the server",
      () => fuzz("coverage,fuzzing", ""),
      timeout
    )

    it.effect(
      "whatever is asked about an image and runs that are there, the answer is of the contract",
      () =>
        Effect.gen(function* () {
          const { registry, token, url } = yield* InteropEngine
          const script = fileURLToPath(new URL("fuzz_places.py", import.meta.url))
          const { stderr, stdout } = yield* output(
            Command.make(yield* PythonEnvironment.python, script).pipe(
              Command.env({
                INTEROP_CLIENT: "fuzz",
                INTEROP_REGISTRY: registry,
                INTEROP_TOKEN: token,
                INTEROP_URL: url,
                PYTHONDONTWRITEBYTECODE: "1"
              })
            )
          )
          const places = yield* Schema.decode(Places)(stdout).pipe(Effect.catchAll(() => Effect.die(stderr)))
          yield* fuzz("fuzzing", about(places))
        }),
      timeout
    )
  }
)
