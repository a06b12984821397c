/**
 * The engine's worker as its owner sees it: a child process in a mount namespace of its own, which ends with the
 * scope, and with the owner however that dies.
 */
import * as Command from "@effect/platform/Command"
import type * as CommandExecutor from "@effect/platform/CommandExecutor"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createRequire } from "node:module"
import { EngineError } from "../EngineError.js"
import * as MountNamespace from "../MountNamespace.js"
import { drainWord, WorkerAnswer, WorkerSettings } from "./workerProtocol.js"

const doctor = "Run `npx effect-contree doctor` to see what this machine lacks"

/** The worker is always started from the built package, also when a test runner loads this module from source. */
const findProgram = Effect.try({
  try: () => createRequire(import.meta.url).resolve("#engine"),
  catch: () => new EngineError({ detail: "its program is not built", suggestion: "Run `npm run build`" })
})

/** How long a worker may take to end what it still runs after its drain before it is killed. */
const stopLimit = Duration.seconds(5)

/** What a worker said on its standard error before it died, cut to what one reads. */
const tailLength = 2000

/** A worker that serves. */
export interface Worker {
  readonly port: number | undefined
  readonly launcher: string
  /** Waits until the worker ends; it fails when the worker died. */
  readonly ended: Effect.Effect<void, EngineError>
}

const died = (how: string) =>
  new EngineError({ detail: `its process died: ${how}`, suggestion: "Look at its log and start it again" })

/**
 * Starts a worker and waits until it serves.
 *
 * `onLog` receives the lines of its log.
 */
export const start = Effect.fn("EngineProcess.start")(function* (
  settings: typeof WorkerSettings.Type,
  onLog: (line: string) => Effect.Effect<void>
): Effect.fn.Return<Worker, EngineError, CommandExecutor.CommandExecutor | FileSystem.FileSystem | Scope.Scope> {
  const line = yield* Effect.orDie(Schema.encode(WorkerSettings)(settings))
  const program = yield* findProgram
  const stop = yield* Deferred.make<void>()
  const gone = yield* Deferred.make<void>()
  const [file, ...args] = yield* Effect.mapError(
    MountNamespace.command(process.execPath, [program]),
    (error) => new EngineError({ detail: error.message, suggestion: doctor })
  )
  yield* Effect.addFinalizer(() =>
    Effect.zipRight(Deferred.succeed(stop, undefined), Deferred.succeed(gone, undefined))
  )
  const worker = yield* Command.make(file, ...args).pipe(
    Command.stdin(
      Stream.concatAll(
        Chunk.make(
          Stream.make(new TextEncoder().encode(`${line}\n`)),
          Stream.map(Stream.fromEffect(Deferred.await(stop)), () => new TextEncoder().encode(`${drainWord}\n`)),
          // The end of the input would be the owner's own. What writes it outlives the scope, and must not keep this
          // process alive when the worker is gone.
          Stream.drain(Stream.fromEffect(Deferred.await(gone)))
        )
      )
    ),
    Command.start,
    Effect.mapError((error) => new EngineError({ detail: error.message, suggestion: doctor }))
  )
  let tail = ""
  const logged = yield* worker.stderr.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) =>
      Effect.zipRight(
        Effect.sync(() => {
          tail = `${tail}${line}\n`.slice(-tailLength)
        }),
        onLog(line)
      )
    ),
    Effect.ignore,
    Effect.forkScoped
  )
  // Before the command's own finalizer, which kills: a worker that is asked ends what it runs. It is heard until then.
  yield* Effect.addFinalizer(() =>
    Deferred.succeed(stop, undefined).pipe(
      Effect.zipRight(Effect.interruptible(worker.exitCode)),
      Effect.timeout(Duration.sum(Duration.seconds(settings.drainSeconds ?? 0), stopLimit)),
      Effect.catchTag("TimeoutException", () => worker.kill("SIGKILL")),
      Effect.ignore
    )
  )
  const said = yield* worker.stdout.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runHead,
    Effect.orElseSucceed(Option.none<string>)
  )
  const answer = Option.match(said, {
    onNone: () => Either.left(undefined),
    onSome: Schema.decodeEither(WorkerAnswer)
  })
  if (Either.isLeft(answer)) {
    yield* Effect.ignore(Effect.timeout(logged.await, "1 second"))
    return yield* new EngineError({ detail: `Its process ended before it served. ${tail.trim()}`, suggestion: doctor })
  }
  if (answer.right._tag === "Failed") {
    return yield* new EngineError({ detail: answer.right.detail, suggestion: answer.right.suggestion ?? doctor })
  }
  const ended = Effect.matchEffect(worker.exitCode, {
    onFailure: (error) => Effect.fail(died(error.message)),
    onSuccess: (code) => (code === 0 ? Effect.void : Effect.fail(died(`it exited with code ${code}`)))
  })
  return { port: answer.right.port, launcher: answer.right.launcher, ended }
})
