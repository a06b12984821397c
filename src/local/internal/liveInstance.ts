/**
 * A running instance: its processes, and what is done with them from outside.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { ApiFailure } from "../../api/Failure.js"
import type { StdinRepr } from "../../api/StreamRepr.js"
import type { ExecRequest } from "../../api/Subprocesses.js"
import * as RunRequest from "../../internal/runRequest.js"
import type { OperationLog } from "../EventLog.js"
import type { StoredImage } from "../ImageStore.js"
import type { Instance, InstanceProcess } from "../Instances.js"
import type { RunningSandbox } from "../Sandbox.js"
import type { SandboxError } from "../SandboxError.js"
import * as LiveProcess from "./liveProcess.js"
import type { Input } from "./namedPipe.js"
import * as ProcessOutput from "./processOutput.js"

const failure = (status: 400 | 404 | 409 | 410 | 425 | 500 | 504, error: string) => new ApiFailure({ status, error })

const toFailure = (error: SandboxError): ApiFailure => {
  switch (error.reason) {
    case "InvalidSpec":
      return failure(400, error.message)
    case "NotReady":
      return new ApiFailure({ status: 425, error: error.message, retryAfterSeconds: 1 })
    case "Gone":
    case "Died":
      return failure(404, error.message)
    default:
      return failure(500, error.message)
  }
}

/** So long a write may find the pipe full before the client is told that its outcome is not known. */
const writeLimit = Duration.seconds(30)

/** What a process left behind may still hold its outputs open: so long they are read before its end is told. */
const lastWords = Duration.millis(50)

/** A helper that has been killed ends within this. */
const deadline = Duration.seconds(5)

/** The standard input of a process, from the first byte to its end. */
const makeStdin = (input: Input | undefined, stream: ProcessOutput.ProcessStream) =>
  Effect.map(Effect.makeSemaphore(1), (order) => {
    let state: "open" | "closed" | "ended" = input === undefined ? "closed" : "open"
    return {
      write: ({ bytes, close }: typeof StdinRepr.Type): Effect.Effect<void, ApiFailure> =>
        Effect.suspend(() => {
          if (state === "ended") return failure(410, "The process has ended")
          if (state === "closed" || input === undefined) {
            return failure(409, "The standard input of the process is closed")
          }
          if (close) state = "closed"
          return stream.take(bytes).pipe(
            Effect.zipRight(input.write(bytes)),
            Effect.zipRight(close ? Effect.zipRight(input.close, stream.end) : Effect.void),
            // What has been taken is delivered in its order, also when whoever brought it no longer waits.
            Effect.uninterruptible,
            order.withPermits(1),
            Effect.forkDaemon,
            Effect.flatMap((fiber) => fiber.await),
            Effect.timeoutFail({
              duration: writeLimit,
              onTimeout: () => failure(504, "The process does not read its standard input; it may have got some of it")
            }),
            Effect.asVoid
          )
        }),
      end: Effect.suspend(() => {
        const wasOpen = state === "open"
        state = "ended"
        return wasOpen ? stream.end : Effect.void
      })
    }
  })

export interface LiveInstance extends Instance {
  readonly main: LiveProcess.LiveProcess
  /** The input that came with the request, written and recorded. */
  readonly begin: Effect.Effect<void>
  /** The main process has ended, and with it all others. */
  readonly end: Effect.Effect<void>
}

export interface InstanceOptions {
  readonly sandbox: RunningSandbox
  readonly request: RunRequest.RunRequest
  readonly image: StoredImage
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly log: OperationLog
}

/** The instance of a sandbox that has just been started. Its other processes end with the scope. */
export const make = Effect.fnUntraced(function* ({ cwd, env, image, log, request, sandbox }: InstanceOptions) {
  const scope = yield* Effect.scope
  const main = yield* LiveProcess.make(1, { ...request, env, cwd }, sandbox.pid, log)
  const mainStdin = yield* makeStdin(sandbox.stdin, main.stdin)
  const processes = new Map<number, InstanceProcess>()
  let last = 1
  const ends = new Set<Fiber.RuntimeFiber<void>>()
  let isOver = false
  processes.set(1, {
    result: main.result,
    signal: (number) => Effect.mapError(sandbox.signal(number), toFailure),
    writeStdin: mainStdin.write
  })

  const start = Effect.fnUntraced(function* (
    asked: ExecRequest,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    if (isOver) return yield* failure(409, "The instance has ended")
    yield* RunRequest.checkProcess(asked)
    if (asked.shell === true && (asked.args ?? []).length > 0) {
      return yield* failure(400, "args: they have no meaning with shell, leave them out")
    }
    const process = {
      command: asked.command,
      args: asked.args ?? [],
      shell: asked.shell ?? false,
      preserveEnv: false,
      env: asked.env ?? {},
      cwd: asked.cwd ?? "",
      uid: asked.uid ?? 0,
      gid: asked.gid ?? 0,
      truncateOutputAt: asked.truncateOutputAt ?? RunRequest.defaultOutputLimitBytes
    }
    const stdin = asked.stdin ?? { bytes: new Uint8Array(0), close: true }
    const itsEnv = RunRequest.environment(process, image)
    const itsCwd = RunRequest.workingDirectory(process, image)
    const own = yield* Scope.fork(scope, { _tag: "Sequential" })
    const visit = yield* sandbox
      .enter({
        command: RunRequest.argv(process, itsEnv),
        env: itsEnv,
        cwd: itsCwd,
        uid: process.uid,
        gid: process.gid,
        stdin: stdin.close ? (stdin.bytes.length === 0 ? undefined : stdin.bytes) : "open"
      })
      .pipe(
        Scope.extend(own),
        restore,
        Effect.mapError(toFailure),
        Effect.onError((cause) => Scope.close(own, Exit.failCause(cause)))
      )
    const spid = ++last
    const live = yield* LiveProcess.make(spid, { ...process, env: itsEnv, cwd: itsCwd }, undefined, log)
    const input = yield* makeStdin(visit.stdin, live.stdin)
    let hasEnded = false
    processes.set(spid, {
      result: live.result,
      signal: (number) =>
        hasEnded ? failure(404, `Process ${spid} has ended`) : Effect.mapError(visit.signal(number), toFailure),
      writeStdin: input.write
    })
    yield* log.append([live.spawned])
    if (stdin.close) yield* Effect.zipRight(live.stdin.take(stdin.bytes), live.stdin.end)
    else if (stdin.bytes.length > 0) yield* Effect.forkIn(input.write(stdin), own)
    const ended = yield* Effect.gen(function* () {
      const reading = yield* Effect.all(
        [ProcessOutput.drain(visit.stdout, live.stdout), ProcessOutput.drain(visit.stderr, live.stderr)],
        { concurrency: "unbounded" }
      ).pipe(Effect.ignore, Effect.forkIn(own))
      const exit = yield* visit.exit
      hasEnded = true
      yield* Effect.timeoutOption(Fiber.await(reading), lastWords)
      yield* input.end
      yield* log.append([live.ended({ ...exit, pid: undefined, usage: {}, timedOut: false })])
      yield* Effect.forkIn(Fiber.await(reading).pipe(Effect.ensuring(Scope.close(own, Exit.void))), scope)
    }).pipe(Effect.interruptible, Effect.forkIn(own))
    ends.add(ended)
    return spid
  })

  const live: LiveInstance = {
    main,
    process: (spid) => Option.fromNullable(processes.get(spid)),
    start: (asked) => Effect.uninterruptibleMask((restore) => start(asked, restore)),
    begin: request.stdinCloses
      ? Effect.zipRight(main.stdin.take(request.stdin), main.stdin.end)
      : request.stdin.length === 0
        ? Effect.void
        : Effect.asVoid(Effect.forkIn(Effect.ignore(mainStdin.write({ bytes: request.stdin, close: false })), scope)),
    end: Effect.suspend(() => {
      isOver = true
      // All that was in the sandbox is dead; its ends are told before the instance's own.
      return Effect.zipRight(Effect.timeoutOption(Fiber.awaitAll(ends), deadline), mainStdin.end)
    })
  }
  return live
})
