/** A running instance of the double: its files, its processes, and what is written to its log. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SynchronizedRef from "effect/SynchronizedRef"
import { EventResources } from "../../api/Events.js"
import type { ApiFailure } from "../../api/Failure.js"
import type { OperationId } from "../../api/Images.js"
import { ProcessResources, type ProcessResult } from "../../api/Operations.js"
import { ProcessNumber } from "../../api/Subprocesses.js"
import { maskedEnvironment } from "../../internal/maskedEnvironment.js"
import type * as RunRequest from "../../internal/runRequest.js"
import type { CommandHandler, Ending, Invocation } from "../CommandHandler.js"
import type { FileTree } from "../FileTree.js"
import type { EventLog } from "./eventLog.js"
import * as Files from "./files.js"
import { makeCapture } from "./capture.js"
import { refuse } from "./refusal.js"

type Result = typeof ProcessResult.Type

/** What a process is started with, all defaults filled in. */
export interface ProcessSpec extends Pick<
  RunRequest.RunRequest,
  "command" | "args" | "shell" | "uid" | "gid" | "hostname" | "networking" | "truncateOutputAt"
> {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly stdin: Uint8Array
  readonly stdinOpen: boolean
  readonly timeout: Option.Option<Duration.Duration>
}

/** A process of an instance. */
export interface Process {
  /** How it stands; while it runs, exit code and signal are -1. */
  readonly state: Effect.Effect<Result>
  /** How it ended; dies of what its handler died of. */
  readonly ended: Effect.Effect<Result>
  readonly running: Effect.Effect<boolean>
  readonly signal: (number: number) => Effect.Effect<void>
  readonly write: (input: { readonly bytes: Uint8Array; readonly close: boolean }) => Effect.Effect<void, ApiFailure>
}

export interface Instance {
  /** What the instance was started with. */
  readonly image: RunRequest.Inheritance
  readonly run: RunRequest.RunRequest
  readonly files: Effect.Effect<FileTree>
  readonly start: (spec: ProcessSpec) => Effect.Effect<readonly [ProcessNumber, Process]>
  readonly process: (number: ProcessNumber) => Effect.Effect<Process, ApiFailure>
  /** Ends all that still runs. */
  readonly end: Effect.Effect<void>
}

const SIGKILL = 9
/** What these signals do to a process that does not take them is nothing that the double has. */
const harmless = new Set([0, 17, 18, 19, 20, 21, 22, 23, 28])

const unmeasured = Schema.decodeSync(ProcessResources)({})
const eventResources = Schema.decodeSync(EventResources)({})

const signalOf = (ending: Ending): number => (typeof ending === "number" ? -1 : ending.signal)

/** Makes an instance; its processes end with the scope. */
export const make = Effect.fnUntraced(function* (options: {
  readonly operationId: OperationId
  readonly image: RunRequest.Inheritance
  readonly run: RunRequest.RunRequest
  readonly files: FileTree
  readonly maxBytes: number
  readonly handler: CommandHandler
  readonly log: EventLog
}): Effect.fn.Return<Instance, never, Scope.Scope> {
  const { handler, log, operationId } = options
  const files = yield* SynchronizedRef.make(options.files)
  const processes = yield* Ref.make(HashMap.empty<ProcessNumber, Process>())
  const fibers = yield* FiberSet.make<void>()

  const start = Effect.fnUntraced(function* (spec: ProcessSpec) {
    const startedMillis = yield* Clock.currentTimeMillis
    const stdin = yield* Queue.unbounded<Option.Option<Uint8Array>>()
    const open = yield* Ref.make(spec.stdinOpen)
    const killed = yield* Deferred.make<Ending>()
    const over = yield* Deferred.make<Result>()
    const traps = yield* Ref.make(HashMap.empty<number, Queue.Enqueue<number>>())
    const stdout = makeCapture(spec.truncateOutputAt)
    const stderr = makeCapture(spec.truncateOutputAt)
    const number = ProcessNumber.make(HashMap.size(yield* Ref.get(processes)) + 1)

    const resultOf = (ending: Ending | undefined, timedOut: boolean) =>
      Effect.map(Clock.currentTimeMillis, (now): Result => ({
        resources: {
          ...unmeasured,
          cost: 0,
          elapsedTime: (now - startedMillis) / 1000,
          monotonicTime: startedMillis / 1000
        },
        state: {
          exitCode: typeof ending === "number" ? ending : -1,
          signal: ending === undefined ? -1 : signalOf(ending),
          pid: number,
          timedOut,
          coreDump: false,
          continued: false,
          stopped: false
        },
        stdout: stdout.captured(),
        stderr: stderr.captured()
      }))

    const writer = (capture: typeof stdout, tag: "Stdout" | "Stderr") => (piece: string | Uint8Array) =>
      Effect.suspend(() => {
        const kept = capture.take(typeof piece === "string" ? new TextEncoder().encode(piece) : piece)
        return kept.length === 0 ? Effect.void : log.append({ _tag: tag, spid: number, data: { bytes: kept } })
      })

    const give = (bytes: Uint8Array) =>
      bytes.length === 0
        ? Effect.void
        : Effect.zipRight(
            log.append({ _tag: "Stdin", spid: number, data: { bytes } }),
            Queue.offer(stdin, Option.some(bytes))
          )

    const input = Stream.fromQueue(stdin).pipe(
      Stream.takeWhile(Option.isSome),
      Stream.map(({ value }) => value)
    )
    const invocation: Invocation = {
      operationId,
      process: number,
      command: spec.command,
      args: spec.args,
      shell: spec.shell,
      env: spec.env,
      cwd: spec.cwd,
      uid: spec.uid,
      gid: spec.gid,
      hostname: spec.hostname,
      networking: spec.networking,
      stdin: input,
      stdinText: Stream.mkString(Stream.decodeText(input)),
      files: Files.make(files, { ...spec, original: options.files, maxBytes: options.maxBytes }),
      stdout: writer(stdout, "Stdout"),
      stderr: writer(stderr, "Stderr"),
      trap: (...signals) =>
        Effect.gen(function* () {
          const taken = yield* Effect.acquireRelease(Queue.unbounded<number>(), Queue.shutdown)
          yield* Ref.update(traps, (all) =>
            signals.filter((signal) => signal !== SIGKILL).reduce((all, signal) => HashMap.set(all, signal, taken), all)
          )
          return Stream.fromQueue(taken)
        })
    }

    yield* log.append({
      _tag: "Spawn",
      spid: number,
      data: {
        pid: number,
        command: spec.command,
        args: spec.args,
        shell: spec.shell,
        cwd: spec.cwd,
        uid: spec.uid,
        gid: spec.gid,
        timeout: Option.match(spec.timeout, { onNone: () => -1, onSome: Duration.toSeconds }),
        truncateAt: spec.truncateOutputAt,
        env: maskedEnvironment(spec.env)
      }
    })
    yield* give(spec.stdin)
    if (!spec.stdinOpen) yield* Queue.offer(stdin, Option.none())

    const handled = Effect.scoped(Effect.suspend(() => handler(invocation))).pipe(
      Effect.raceFirst(Deferred.await(killed)),
      (run) =>
        Option.match(spec.timeout, {
          onNone: () => Effect.map(run, (ending) => [ending, false] as const),
          onSome: (limit) =>
            Effect.map(
              Effect.timeoutOption(run, limit),
              Option.match({
                onNone: () => [{ signal: SIGKILL }, true] as const,
                onSome: (ending) => [ending, false] as const
              })
            )
        })
    )
    const finish = Effect.fnUntraced(function* (ending: Ending, timedOut: boolean) {
      const result = yield* resultOf(ending, timedOut)
      for (const [stream, capture] of [
        ["stdout", stdout],
        ["stderr", stderr]
      ] as const) {
        const { dropped, kept } = capture.counts()
        if (dropped > 0) {
          yield* log.append({
            _tag: "Truncated",
            spid: number,
            data: { stream, bytesEmitted: kept, bytesDropped: dropped }
          })
        }
      }
      yield* log.append({
        _tag: "Exit",
        spid: number,
        data: {
          pid: number,
          code: result.state.exitCode,
          signal: result.state.signal,
          timedOut,
          duration: Duration.seconds(result.resources.elapsedTime),
          resources: eventResources,
          coreDump: false
        }
      })
      yield* Deferred.succeed(over, result)
    })
    yield* FiberSet.run(
      fibers,
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          Effect.exit(restore(handled)),
          Exit.match({
            onSuccess: ([ending, timedOut]) => finish(ending, timedOut),
            onFailure: (cause) =>
              Cause.isInterruptedOnly(cause)
                ? finish({ signal: SIGKILL }, false)
                : Effect.asVoid(Deferred.failCause(over, cause))
          })
        )
      )
    )

    const running = Effect.map(Deferred.isDone(over), (done) => !done)
    const process: Process = {
      state: Effect.if(running, { onTrue: () => resultOf(undefined, false), onFalse: () => Deferred.await(over) }),
      ended: Deferred.await(over),
      running,
      signal: (signal) =>
        Effect.flatMap(Ref.get(traps), (traps) =>
          Option.match(signal === SIGKILL ? Option.none() : HashMap.get(traps, signal), {
            onSome: (trap) => Effect.asVoid(Queue.offer(trap, signal)),
            onNone: () => (harmless.has(signal) ? Effect.void : Effect.asVoid(Deferred.succeed(killed, { signal })))
          })
        ),
      write: ({ bytes, close }) =>
        Effect.gen(function* () {
          if (!(yield* running)) return yield* refuse(410, `Process ${number} has ended`)
          if (!(yield* Ref.get(open))) {
            return yield* refuse(409, `The standard input of process ${number} is closed`)
          }
          yield* give(bytes)
          if (close) {
            yield* Ref.set(open, false)
            yield* Queue.offer(stdin, Option.none())
          }
        })
    }
    yield* Ref.update(processes, HashMap.set(number, process))
    return [number, process] as const
  })

  return {
    image: options.image,
    run: options.run,
    files: SynchronizedRef.get(files),
    start,
    process: (number) =>
      Effect.flatMap(Ref.get(processes), (processes) =>
        Effect.mapError(HashMap.get(processes, number), () =>
          refuse(404, `Operation ${operationId} has no process ${number}`)
        )
      ),
    end: FiberSet.clear(fibers)
  }
})
