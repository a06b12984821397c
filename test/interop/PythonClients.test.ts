/**
 * The published Python clients against `effect-contree serve`. Each driver of this folder runs once, in a project of its
 * own; each of its cases is a test here. `README.md` says what of each client's surface they cover.
 */
import { Command } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, layer as suite } from "@effect/vitest"
import { Context, Effect, HashMap, Layer, Option, Schema, Stream } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { InteropEngine } from "../fixtures/InteropEngine.js"
import * as PythonEnvironment from "../fixtures/PythonEnvironment.js"

interface Driver {
  readonly client: string
  readonly script: string
  readonly args: ReadonlyArray<string>
}

const backends = ["http", "urllib3", "requests", "httpx", "httpx-async", "aiohttp"]

const drivers: ReadonlyArray<Driver> = [
  // The slowest first.
  { client: "contree-cli", script: "cli.py", args: [] },
  { client: "contree-sdk", script: "sdk.py", args: [] },
  ...backends.map((backend) => ({ client: `contree-client over ${backend}`, script: "client.py", args: [backend] })),
  { client: "contree-mcp", script: "mcp_tools.py", args: [] }
]

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** The cases that a driver has, by their titles. */
const titles = (script: string): ReadonlyArray<string> =>
  [...readFileSync(path(script), "utf8").matchAll(/^@case\("(.+)"\)$/gm)].map(([, title]) => title ?? "")

const Outcome = Schema.parseJson(
  Schema.Struct({ case: Schema.String, ok: Schema.Boolean, error: Schema.NullOr(Schema.String) })
)

interface Ran {
  readonly outcomes: HashMap.HashMap<string, typeof Outcome.Type>
  /** What it wrote besides. */
  readonly stderr: string
}

/** What each driver reported. */
class Reports extends Context.Tag("effect-contree/test/interop/Reports")<Reports, HashMap.HashMap<string, Ran>>() {}

const run = Effect.fnUntraced(function* (driver: Driver, python: string, engine: InteropEngine.Service) {
  // With this process it goes too, and with it what it has started.
  const child = yield* Command.make(
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    python,
    path(driver.script),
    ...driver.args
  ).pipe(
    Command.env({
      INTEROP_CLIENT: driver.client,
      INTEROP_REGISTRY: engine.registry,
      INTEROP_TOKEN: engine.token,
      INTEROP_URL: engine.url,
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONWARNINGS: "ignore"
    }),
    Command.start
  )
  const outcomes = child.stdout.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.mapEffect((line) => Schema.decode(Outcome)(line)),
    Stream.runFold(HashMap.empty<string, typeof Outcome.Type>(), (all, outcome) =>
      HashMap.set(all, outcome.case, outcome)
    )
  )
  const ran: Ran = yield* Effect.all(
    { outcomes, stderr: Stream.mkString(Stream.decodeText(child.stderr)) },
    { concurrency: 2 }
  )
  return [driver.client, ran] as const
}, Effect.scoped)

const reports = Layer.effect(
  Reports,
  Effect.gen(function* () {
    const engine = yield* InteropEngine
    const python = yield* PythonEnvironment.python
    // They wait more than they work.
    const ran = yield* Effect.forEach(drivers, (driver) => run(driver, python, engine), { concurrency: 4 })
    return HashMap.fromIterable(ran)
  })
).pipe(Layer.provide(InteropEngine.layer), Layer.provide(NodeContext.layer))

suite(reports, { timeout: "8 minutes", excludeTestServices: true })("published Python clients", (it) => {
  for (const { client, script } of drivers) {
    for (const title of titles(script)) {
      it.effect(`${client}: ${title}`, () =>
        Effect.gen(function* () {
          const { outcomes, stderr } = HashMap.unsafeGet(yield* Reports, client)
          const outcome = Option.getOrElse(HashMap.get(outcomes, title), () =>
            assert.fail(`the driver did not report this case; it wrote ${stderr.slice(-2_000)}`)
          )
          assert.isTrue(outcome.ok, outcome.error ?? "")
        })
      )
    }
  }

  it.effect("no driver reports a case that is not listed", () =>
    Effect.gen(function* () {
      const all = yield* Reports
      for (const { client, script } of drivers) {
        const reported = [...HashMap.keys(HashMap.unsafeGet(all, client).outcomes)]
        assert.sameMembers(reported, [...titles(script)])
      }
    })
  )
})
