/**
 * What is done in the sandbox of a slot's run from beside it: more processes, and signals.
 *
 * The worker starts a helper that enters the slot's namespaces and from there the sandbox's, and becomes the process,
 * so that its own end is the process's end, signal or not.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as SandboxError from "../SandboxError.js"
import * as NamedPipe from "./namedPipe.js"

/** Where the slot is. `stdio` is how a child of the worker gets no descriptor but its own. */
export interface VisitOptions {
  readonly enter: ReadonlyArray<string>
  readonly directory: string
  readonly folder: string
  readonly pid: number
  readonly idShift: number
  readonly mountPoint: string
  readonly searchPath: string
  /** What limits one process, as the programs take it. */
  readonly limits: ReadonlyArray<string>
  /** Moves a process into the slot's control group. */
  readonly join: (pid: number) => Effect.Effect<void, Cause.UnknownException>
  readonly stdio: () => Array<"pipe" | "ignore" | number>
}

export interface VisitExit {
  readonly code: number
  readonly signal: number | undefined
  readonly elapsed: Duration.Duration
}

/** What the input of a process is: nothing, bytes, or what is written while it runs. */
export type StdinSource = Uint8Array | "open" | undefined

export interface Visit {
  readonly stdout: Stream.Stream<Uint8Array, SandboxError.SandboxError>
  readonly stderr: Stream.Stream<Uint8Array, SandboxError.SandboxError>
  readonly stdin: NamedPipe.Input | undefined
  readonly exit: Effect.Effect<VisitExit>
  readonly signal: (signal: number) => Effect.Effect<void, SandboxError.SandboxError>
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** What the programs of a visit say, and how they end. */
interface Helper {
  readonly control: NonNullable<ChildProcess.ChildProcess["stdin"]>
  readonly lines: Queue.Queue<string>
  readonly ended: Deferred.Deferred<Ended>
  /** When all that it said has been read, too. */
  readonly closed: Deferred.Deferred<void>
}

const reasons: ReadonlyArray<SandboxError.SandboxErrorReason> = ["InvalidSpec", "NotReady", "Gone"]

const start = (options: VisitOptions, program: string, args: ReadonlyArray<string>) =>
  Effect.flatMap(
    Effect.all([Queue.unbounded<string>(), Deferred.make<Ended>(), Deferred.make<void>()]),
    ([lines, ended, closed]) =>
      Effect.acquireRelease(
        Effect.async<Helper & { readonly child: ChildProcess.ChildProcess }, SandboxError.SandboxError>((resume) => {
          const [file = "", ...words] = [
            options.enter,
            ["nsenter", `--target=${options.pid}`, "--mount", "--pid", "--"],
            ["sh", `${options.directory}/${program}`, options.folder, ...args]
          ].flat()
          const child = ChildProcess.spawn(file, words, {
            cwd: "/",
            detached: true,
            env: { PATH: options.searchPath, LC_ALL: "C" },
            stdio: options.stdio()
          })
          const { stdin: control, stdio } = child
          const status = stdio[3]
          if (control === null || !(status instanceof Net.Socket)) {
            return resume(SandboxError.make("SetupFailed", "a process has no pipes"))
          }
          let partial = ""
          status.setEncoding("utf8").on("data", (text: string) => {
            const parts = (partial + text).split("\n")
            partial = parts.pop() ?? ""
            for (const line of parts) lines.unsafeOffer(line)
          })
          for (const stream of [control, status, child.stderr]) stream?.on("error", () => {})
          child.stderr?.resume()
          child.on("error", (error) => resume(SandboxError.make("MissingTool", `${file}: ${error.message}`)))
          child.on("exit", (code, signal) => Deferred.unsafeDone(ended, Exit.succeed({ code, signal })))
          child.on("close", () => Deferred.unsafeDone(closed, Exit.void))
          child.on("spawn", () => resume(Effect.succeed({ child, control, lines, ended, closed })))
        }),
        ({ child, ended }) =>
          // Its group: what has entered the sandbox is in another, and ends with that.
          Effect.ignore(Effect.try(() => child.pid !== undefined && process.kill(-child.pid, "SIGKILL"))).pipe(
            Effect.zipRight(Deferred.await(ended)),
            Effect.timeout("10 seconds"),
            Effect.ignore
          )
      )
  )

/** The next word of a helper; a fault, and its end before it said anything, fail. */
const next = (helper: Helper): Effect.Effect<string, SandboxError.SandboxError> =>
  Effect.raceFirst(
    helper.lines.take,
    Effect.zipRight(
      Deferred.await(helper.closed),
      Effect.flatMap(Queue.poll(helper.lines), (line) =>
        line._tag === "Some" ? Effect.succeed(line.value) : SandboxError.make("Gone", "the instance has ended")
      )
    )
  ).pipe(
    Effect.flatMap((line) => {
      const [, word, text = ""] = /^fault (\S+) (.*)$/.exec(line) ?? []
      return word === undefined
        ? Effect.succeed(line)
        : Effect.fail(SandboxError.make(reasons.find((name) => name === word) ?? "SetupFailed", text))
    })
  )

/** Signals the group of the process whose files have the prefix, or of the run's own command where it is empty. */
export const signal = (
  options: VisitOptions,
  launcher: string,
  prefix: string,
  number: number
): Effect.Effect<void, SandboxError.SandboxError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const helper = yield* start(options, "signal", [prefix, options.mountPoint, launcher, String(number)])
      const { code } = yield* Deferred.await(helper.ended)
      if (code === 0) return
      yield* next(helper)
      // A fault, or that it was about to send: with nothing after it the run's end, which the signal may have brought,
      // has taken the helper along.
      yield* Deferred.await(helper.closed)
      if ((yield* Queue.size(helper.lines)) > 0) yield* next(helper)
    })
  )

const numberOf = (signal: NodeJS.Signals | null): number | undefined =>
  signal === null ? undefined : Os.constants.signals[signal]

/** Starts a process in the sandbox; the end of the scope gives its files back, and ends it. */
export const enter = (
  options: VisitOptions,
  launcher: string,
  name: string,
  files: (input: string) => { readonly script: string; readonly entry: Uint8Array },
  stdin: StdinSource
): Effect.Effect<Visit, SandboxError.SandboxError, Scope.Scope> =>
  Effect.gen(function* () {
    const prefix = `${options.folder}/x${name}`
    const input = stdin === undefined ? "/dev/null" : stdin === "open" ? `${prefix}.in` : `${prefix}.stdin`
    yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          const write = (path: string, content: string | Uint8Array, mode = 0o600) => {
            Fs.writeFileSync(path, content, { mode })
            Fs.chownSync(path, options.idShift, options.idShift)
          }
          const { entry, script } = files(input)
          write(prefix, script)
          write(`${prefix}.entry`, entry, 0o755)
          write(`${prefix}.pid`, "")
          if (stdin instanceof Uint8Array) write(`${prefix}.stdin`, stdin)
        },
        catch: (error) => SandboxError.make("SetupFailed", `the files of a process: ${String(error)}`)
      }),
      () =>
        Effect.sync(() => {
          for (const end of ["", ".entry", ".pid", ".stdin", ".in", ".out", ".err"]) {
            Fs.rmSync(prefix + end, { force: true })
          }
        })
    )
    const helper = yield* start(options, "enter", [prefix, options.mountPoint, ...options.limits])
    yield* next(helper)
    yield* Effect.mapError(options.join(helper.child.pid ?? 0), (error) =>
      SandboxError.make("SetupFailed", `the control group of a process: ${String(error.cause)}`)
    )
    const stdout = yield* NamedPipe.openReader(`${prefix}.out`)
    const stderr = yield* NamedPipe.openReader(`${prefix}.err`)
    const writer = stdin === "open" ? yield* NamedPipe.openWriter(`${prefix}.in`) : undefined
    yield* Effect.sync(() => helper.control.end("go\n"))
    yield* next(helper)
    const begun = yield* Clock.currentTimeNanos
    const exit = yield* Deferred.make<VisitExit>()
    yield* Deferred.await(helper.ended).pipe(
      Effect.flatMap(({ code, signal }) =>
        Effect.map(Clock.currentTimeNanos, (now) => ({
          code: code ?? 128 + (numberOf(signal) ?? 0),
          signal: numberOf(signal),
          elapsed: Duration.nanos(now - begun)
        }))
      ),
      Effect.intoDeferred(exit),
      Effect.interruptible,
      Effect.forkScoped
    )
    return {
      stdout: NamedPipe.read(stdout),
      stderr: NamedPipe.read(stderr),
      stdin: writer,
      exit: Deferred.await(exit),
      signal: (number) => signal(options, launcher, prefix, number)
    }
  })
