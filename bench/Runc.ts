/**
 * The same command with `runc run`, over a root of its own: no layers, nothing kept, one process for each run, as a
 * program with an OCI runtime and no engine would start it.
 */
import { Command, CommandExecutor, FileSystem } from "@effect/platform"
import { Data, Effect, Schema, Stream } from "effect"
import { timed } from "./Stopwatch.js"

export class RuncError extends Data.TaggedError("RuncError")<{ readonly detail: string }> {
  override get message() {
    return `runc failed: ${this.detail}`
  }
}

export interface Runc {
  /** Milliseconds from starting the process to its end. */
  readonly sample: Effect.Effect<number, RuncError>
}

const Bundle = Schema.parseJson(
  Schema.Struct(
    { process: Schema.Record({ key: Schema.String, value: Schema.Unknown }) },
    Schema.Record({ key: Schema.String, value: Schema.Unknown })
  )
)

/** Makes it over an empty folder, with a copy of the layer as the root. Fails where there is no runc that works. */
export const make = Effect.fnUntraced(function* (options: {
  readonly folder: string
  readonly layer: string
  readonly command: string
}) {
  const fs = yield* FileSystem.FileSystem
  const executor = yield* CommandExecutor.CommandExecutor
  const run = (program: string, ...args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const child = yield* Command.start(Command.make(program, ...args))
      const [code, said] = yield* Effect.all(
        [child.exitCode, child.stderr.pipe(Stream.decodeText(), Stream.mkString), Stream.runDrain(child.stdout)],
        { concurrency: "unbounded" }
      )
      if (code !== 0) return yield* new RuncError({ detail: said.trim() })
    }).pipe(
      Effect.scoped,
      Effect.catchTags({
        BadArgument: (error) => new RuncError({ detail: error.message }),
        SystemError: (error) => new RuncError({ detail: error.message })
      }),
      Effect.provideService(CommandExecutor.CommandExecutor, executor)
    )
  yield* fs.makeDirectory(options.folder, { recursive: true })
  yield* run("cp", "-a", options.layer, `${options.folder}/root`)
  yield* run("chown", "-R", "0:0", `${options.folder}/root`)
  yield* run("runc", "spec", "--bundle", options.folder)
  const config = `${options.folder}/config.json`
  const bundle = yield* Schema.decode(Bundle)(yield* fs.readFileString(config))
  const changed = {
    ...bundle,
    process: { ...bundle.process, terminal: false, args: ["/bin/sh", "-c", options.command] },
    root: { path: "root", readonly: false }
  }
  yield* fs.writeFileString(config, yield* Schema.encode(Bundle)(changed))
  let counter = 0
  const runc: Runc = {
    sample: Effect.suspend(() =>
      Effect.map(
        timed(run("runc", "--root", `${options.folder}/state`, "run", "--bundle", options.folder, `b${counter++}`)),
        ({ millis }) => millis
      )
    )
  }
  yield* runc.sample
  return runc
})
