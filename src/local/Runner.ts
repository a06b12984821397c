/**
 * Runs one command on one image: mounts the layers, executes in a sandbox, keeps what was written as a new layer.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { CapturedStream } from "../api/StreamRepr.js"
import * as RunRequest from "../internal/runRequest.js"
import { ImageStore, type StoredImage } from "./ImageStore.js"
import type { Chain } from "./LayerStore.js"
import { LayerStore } from "./LayerStore.js"
import type { LayerStoreError } from "./LayerStoreError.js"
import { Sandbox, type SandboxExit } from "./Sandbox.js"
import type { SandboxError } from "./SandboxError.js"

/**
 * How a command ended; of one that was killed the times are not known.
 *
 * @since 0.1.0
 * @category models
 */
export interface End extends Omit<SandboxExit, "userTime" | "systemTime"> {
  readonly userTime: Duration.Duration | undefined
  readonly systemTime: Duration.Duration | undefined
}

/**
 * What a command left behind.
 *
 * - `kept`: what was made of its changes; none when it changed nothing or nothing is kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunResult<A> {
  readonly exit: End
  readonly timedOut: boolean
  readonly stdout: CapturedStream
  readonly stderr: CapturedStream
  readonly kept: Option.Option<A>
}

/**
 * What the caller of a run does at its turning points.
 *
 * - `onStart`: once the command has its turn.
 * - `keep`: makes something of the layers with the command's changes on top. It cannot be interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Steps<A, E> {
  readonly onStart: Effect.Effect<void, E>
  readonly keep: (chain: Chain) => Effect.Effect<A, E>
}

type Ended = Pick<RunResult<never>, "exit" | "timedOut">

/** Keeps the first bytes of a stream and reads on to its end, so that the command is never held up. */
const capture = <E>(stream: Stream.Stream<Uint8Array, E>, limit: number): Effect.Effect<CapturedStream, E> =>
  Effect.suspend(() => {
    const kept: Array<Uint8Array> = []
    let size = 0
    let truncated = false
    return Stream.runForEach(stream, (chunk) =>
      Effect.sync(() => {
        const room = limit - size
        if (chunk.length > room) truncated = true
        if (room > 0) {
          const part = chunk.length > room ? chunk.subarray(0, room) : chunk
          kept.push(part)
          size += part.length
        }
      })
    ).pipe(
      Effect.map(() => {
        const bytes = new Uint8Array(size)
        let offset = 0
        for (const part of kept) {
          bytes.set(part, offset)
          offset += part.length
        }
        return { bytes, truncated }
      })
    )
  })

/** The kernel's number of the signal that nothing can refuse. */
const SIGKILL = 9

const killed = (after: Duration.Duration): End => ({
  code: 128 + SIGKILL,
  signal: SIGKILL,
  elapsed: after,
  userTime: undefined,
  systemTime: undefined
})

/**
 * Runs the command and gives its result. Interruption ends the command and leaves nothing behind.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = Effect.fn("Runner.run")(function* <A, E>(
  image: StoredImage,
  request: RunRequest.RunRequest,
  steps: Steps<A, E>
): Effect.fn.Return<RunResult<A>, E | SandboxError | LayerStoreError, ImageStore | LayerStore | Sandbox> {
  const images = yield* ImageStore
  const layers = yield* LayerStore
  const sandboxes = yield* Sandbox
  const chain = yield* images.mountChain(image)
  const env = RunRequest.environment(request, image)

  return yield* Effect.scoped(
    Effect.gen(function* () {
      const folder = yield* layers.newRun(chain[0])
      const ended = yield* Effect.scoped(
        Effect.gen(function* () {
          const sandbox = yield* sandboxes.start({
            layers: chain,
            directory: folder.directory,
            upper: folder.upper,
            work: folder.work,
            command: RunRequest.argv(request, env),
            env,
            cwd: RunRequest.workingDirectory(request, image),
            hostname: request.hostname,
            uid: request.uid,
            gid: request.gid,
            stdin: request.stdin.length === 0 ? undefined : request.stdin,
            network: request.networking
          })
          yield* steps.onStart
          const exit = sandbox.exit.pipe(
            Effect.timeoutOption(request.timeout),
            Effect.flatMap(
              Option.match({
                onSome: (exit) => Effect.succeed<Ended>({ exit, timedOut: false }),
                onNone: () => Effect.as(sandbox.kill, { exit: killed(request.timeout), timedOut: true })
              })
            )
          )
          const [{ exit: end, timedOut }, stdout, stderr] = yield* Effect.all(
            [
              exit,
              capture(sandbox.stdout, request.truncateOutputAt),
              capture(sandbox.stderr, request.truncateOutputAt)
            ],
            { concurrency: "unbounded" }
          )
          return { exit: end, timedOut, stdout, stderr }
        })
      )
      if (request.disposable || (yield* layers.isEmpty(folder))) {
        return { ...ended, kept: Option.none() }
      }
      // A layer that no image lists would only be found at the engine's next start.
      const kept = yield* Effect.uninterruptible(
        Effect.flatMap(layers.commit(folder), (layer) => steps.keep([layer, ...chain]))
      )
      return { ...ended, kept: Option.some(kept) }
    })
  )
})
