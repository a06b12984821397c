/**
 * The same work with podman: `podman run` of a command, `podman commit` of what it wrote, `podman rm`. Its images and
 * containers are kept in a folder of their own.
 */
import { Command, CommandExecutor } from "@effect/platform"
import { Data, Effect, Stream } from "effect"
import { timed } from "./Stopwatch.js"

export class PodmanError extends Data.TaggedError("PodmanError")<{
  readonly args: ReadonlyArray<string>
  readonly detail: string
}> {
  override get message() {
    return `podman ${this.args.join(" ")} failed: ${this.detail}`
  }
}

export interface Podman {
  readonly version: string
  /** Fetches an image from a registry on this machine; the result names it to `sample`. */
  readonly pull: (reference: string) => Effect.Effect<string, PodmanError>
  /** Milliseconds from starting `podman run` to the end of `podman rm`. */
  readonly sample: (image: string, command: string) => Effect.Effect<number, PodmanError>
}

// What a machine may refuse to raise, podman would raise by default.
const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]

/** Makes it over an empty folder. It fails when there is no podman, or it does not work here. */
export const make = Effect.fnUntraced(function* (folder: string) {
  const executor = yield* CommandExecutor.CommandExecutor
  const [root, runRoot] = [`${folder}/storage`, `${folder}/run`]

  const podman = (...args: ReadonlyArray<string>): Effect.Effect<string, PodmanError> =>
    Effect.gen(function* () {
      const process = yield* Command.start(Command.make("podman", "--root", root, "--runroot", runRoot, ...args))
      const [code, stdout, stderr] = yield* Effect.all(
        [
          process.exitCode,
          process.stdout.pipe(Stream.decodeText(), Stream.mkString),
          process.stderr.pipe(Stream.decodeText(), Stream.mkString)
        ],
        { concurrency: "unbounded" }
      )
      return code === 0 ? stdout.trim() : yield* new PodmanError({ args, detail: stderr.trim() })
    }).pipe(
      Effect.scoped,
      Effect.catchTags({
        BadArgument: (error) => new PodmanError({ args, detail: error.message }),
        SystemError: (error) => new PodmanError({ args, detail: error.message })
      }),
      Effect.provideService(CommandExecutor.CommandExecutor, executor)
    )

  const version = yield* podman("version", "--format", "{{.Client.Version}}")
  // It mounts the folder of its layers on itself and leaves that so.
  yield* Effect.addFinalizer(() =>
    Command.exitCode(Command.make("umount", "--lazy", `${root}/overlay`)).pipe(
      Effect.ignore,
      Effect.provideService(CommandExecutor.CommandExecutor, executor)
    )
  )

  let counter = 0
  const service: Podman = {
    version,
    pull: (reference) => podman("pull", "--quiet", "--tls-verify=false", reference),
    sample: (image, command) =>
      Effect.map(
        timed(
          Effect.gen(function* () {
            const name = `bench-${counter++}`
            yield* podman("run", "--name", name, "--network", "none", ...limits, image, "/bin/sh", "-c", command)
            yield* podman("commit", "--quiet", name)
            yield* podman("rm", name)
          })
        ),
        ({ millis }) => millis
      )
  }
  return service
})
