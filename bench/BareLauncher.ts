/**
 * What a run cannot do without, from a shell: an overlay mounted over the same root, bubblewrap with the engine's own
 * options, and the unmounting. No client, no engine, nothing stored; the folders are made beforehand.
 *
 * `spawned` is a process for each run, as a program without an engine would start it. `resident` gives the same lines
 * to one shell that runs all the time: what remains is the work of mount, bubblewrap, the kernel and the command.
 * Both run in the user namespace in which the engine's worker runs, that is in none of their own as root, where the
 * engine uses one more.
 */
import { FileSystem } from "@effect/platform"
import { Data, Deferred, Effect, Exit, Queue } from "effect"
import { execFile, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as Launcher from "../src/local/Launcher.js"
import * as MountNamespace from "../src/local/MountNamespace.js"
import * as SeccompFilter from "../src/local/SeccompFilter.js"
import { timed } from "./Stopwatch.js"
import { nowhere } from "../test/fixtures/LauncherPlace.js"

export class BareLauncherError extends Data.TaggedError("BareLauncherError")<{ readonly detail: string }> {
  override get message() {
    return `The bare launcher failed: ${this.detail}`
  }
}

export interface BareRun {
  /** The layer's name in the folder of layers. */
  readonly layer: string
  readonly command: string
  readonly env: Readonly<Record<string, string>>
  /** A file that the command leaves in the root, to see that it has run. */
  readonly leaves: string | undefined
}

export interface BareLauncher {
  /** Milliseconds from starting the process to its end. */
  readonly spawned: (run: BareRun) => Effect.Effect<number, BareLauncherError>
  /** Milliseconds from writing the lines to the shell to its answer. */
  readonly resident: (run: BareRun) => Effect.Effect<number, BareLauncherError>
}

/** One line of shell: it ends with the command's status, and the mount with it. */
const script = (run: BareRun, layers: string, folder: string) => {
  const mountPoint = `${folder}/m`
  const { args } = Launcher.bubblewrap.files(
    {
      command: ["/bin/sh", "-c", run.command],
      env: run.env,
      cwd: "/",
      hostname: "linuxkit",
      uid: 0,
      gid: 0,
      network: "private"
    },
    { ...nowhere, mountPoint },
    new Map(),
    ""
  )
  const options = args.split("\0").slice(0, -1).map(Launcher.quote).join(" ")
  const overlay = `lowerdir=${run.layer},upperdir=${folder}/u,workdir=${folder}/w,userxattr,volatile,index=off`
  const [layersWord, mountWord, overlayWord, commandWord] = [layers, mountPoint, overlay, run.command].map(
    Launcher.quote
  )
  return (
    `cd ${layersWord} && mount -n -t overlay -o ${overlayWord} overlay ${mountWord} && ` +
    `bwrap ${options} -- /bin/sh -c ${commandWord} </dev/null 4<${Launcher.quote(`${folder}/filter`)}; status=$?; umount -n ${mountWord}; `
  )
}

/** Makes both; `folder` is for what the runs write, on the file system of `layers`. */
export const make = Effect.fnUntraced(function* (options: { readonly layers: string; readonly folder: string }) {
  const fs = yield* FileSystem.FileSystem
  const [file, ...words] = yield* MountNamespace.command("sh", [])
  const failed = Effect.mapError(
    (error: { readonly message: string }) => new BareLauncherError({ detail: error.message })
  )

  const lines = yield* Queue.unbounded<string>()
  const gone = yield* Deferred.make<never, BareLauncherError>()
  const shell = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(file, words, { stdio: ["pipe", "pipe", "inherit"] })
      createInterface(child.stdout).on("line", (line) => lines.unsafeOffer(line))
      const end = (detail: string) => Deferred.unsafeDone(gone, Exit.fail(new BareLauncherError({ detail })))
      child.on("error", (error) => end(error.message))
      child.on("exit", (code) => end(`its shell ended with ${code}`))
      return child.stdin
    }),
    (input) => Effect.sync(() => input.end())
  )

  const filter = SeccompFilter.make(process.arch === "arm64" ? "arm64" : "x64")
  let counter = 0
  /** Makes the folders, measures, looks for what the command leaves, and removes them. */
  const measured =
    (launch: (script: string) => Effect.Effect<void, BareLauncherError>) =>
    (run: BareRun): Effect.Effect<number, BareLauncherError> =>
      Effect.gen(function* () {
        const folder = `${options.folder}/${counter++}`
        yield* Effect.forEach(["u", "w", "m"], (name) => fs.makeDirectory(`${folder}/${name}`, { recursive: true }))
        yield* fs.writeFile(`${folder}/filter`, filter)
        const { millis } = yield* timed(launch(script(run, options.layers, folder)))
        if (run.leaves !== undefined && !(yield* fs.exists(`${folder}/u/${run.leaves}`))) {
          return yield* new BareLauncherError({ detail: `${JSON.stringify(run.command)} left no ${run.leaves}` })
        }
        yield* fs.remove(folder, { recursive: true })
        return millis
      }).pipe(Effect.catchTags({ BadArgument: (error) => failed(error), SystemError: (error) => failed(error) }))

  const launcher: BareLauncher = {
    spawned: measured((script) =>
      Effect.async((resume) => {
        execFile(file, [...words, "-c", `${script}exit $status`], (error) =>
          resume(error === null ? Effect.void : new BareLauncherError({ detail: error.message }))
        )
      })
    ),
    resident: measured((script) =>
      Effect.gen(function* () {
        yield* Effect.sync(() => shell.write(`${script}echo $status\n`))
        const said = yield* Effect.raceFirst(Queue.take(lines), Deferred.await(gone))
        if (said !== "0")
          return yield* new BareLauncherError({ detail: `the shell's answer is ${JSON.stringify(said)}` })
      })
    )
  }
  return launcher
})
