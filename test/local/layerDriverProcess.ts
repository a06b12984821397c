/**
 * Starts `layerDriver.ts` in a process of its own, bundled first: the file can then be read by another user, and
 * starts without a loader.
 */
import { Command } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Data, Effect, Schema, Stream } from "effect"
import { build } from "esbuild"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

class DriverError extends Data.TaggedError("DriverError")<{ readonly message: string }> {}

/** A user who is nobody in particular: the id needs no account. */
const ORDINARY = 1000

/** Its further settings depend on the mode; the driver checks them. */
interface Task {
  readonly mode: string
  readonly data: string
  readonly [setting: string]: unknown
}

const privileged = process.getuid?.() === 0

/**
 * Who runs the driver in a private mount namespace: root, or an ordinary user as root of a user namespace. A suite
 * that is itself run by an ordinary user has no root to offer.
 */
export const users: ReadonlyArray<"root" | "an ordinary user"> = privileged
  ? ["root", "an ordinary user"]
  : ["an ordinary user"]

const NAMESPACE = ["--mount", "--propagation", "private"]

const prefixes: Record<(typeof users)[number], ReadonlyArray<string>> = {
  root: ["unshare", ...NAMESPACE],
  "an ordinary user": [
    ...(privileged ? ["setpriv", "--reuid", `${ORDINARY}`, "--regid", `${ORDINARY}`, "--clear-groups"] : []),
    "unshare",
    "--map-root-user",
    ...NAMESPACE
  ]
}

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-contree-layers-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** The bundled driver, readable by everyone. */
const driver = Effect.gen(function* () {
  const folder = yield* temporaryDirectory
  Fs.chmodSync(folder, 0o755)
  const outfile = Path.join(folder, "driver.cjs")
  yield* Effect.promise(() =>
    build({
      entryPoints: [Path.join(import.meta.dirname, "layerDriver.ts")],
      bundle: true,
      platform: "node",
      format: "cjs",
      outfile,
      logLevel: "error"
    })
  )
  return outfile
})

/** A data folder that goes with the scope; its owner is the user who runs the driver. */
export const dataFolder = (user: (typeof users)[number]) =>
  Effect.tap(temporaryDirectory, (path) =>
    Effect.sync(() => {
      if (privileged && user !== "root") {
        Fs.chownSync(path, ORDINARY, ORDINARY)
      }
    })
  )

/** Runs a task of the driver to its end and decodes its report. */
export const runDriver = <A, I>(user: (typeof users)[number], task: Task, report: Schema.Schema<A, I>) =>
  Effect.gen(function* () {
    const file = yield* driver
    const [command = "", ...args] = [...prefixes[user], process.execPath, file, JSON.stringify(task)]
    const child = yield* Command.start(Command.make(command, ...args))
    const [out, errors, code] = yield* Effect.all(
      [
        child.stdout.pipe(Stream.decodeText(), Stream.mkString),
        child.stderr.pipe(Stream.decodeText(), Stream.mkString),
        child.exitCode
      ],
      { concurrency: "unbounded" }
    )
    if (code !== 0) {
      return yield* new DriverError({ message: `${command} ${args.join(" ")} ended with ${code}: ${out}${errors}` })
    }
    return yield* Schema.decode(Schema.parseJson(report))(out)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** Runs a task with no end, kills it with SIGKILL once it has printed so many lines, and gives what it printed. */
export const killDriver = (task: Task, lines: number) =>
  Effect.gen(function* () {
    const file = yield* driver
    const child = yield* Command.start(Command.make(process.execPath, file, JSON.stringify(task)))
    const printed: Array<string> = []
    yield* child.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.runForEach((line) => {
        printed.push(line)
        return printed.length === lines ? child.kill("SIGKILL").pipe(Effect.ignore) : Effect.void
      })
    )
    return printed
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
