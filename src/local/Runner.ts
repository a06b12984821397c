/**
 * Runs one command on one image: mounts the layers, executes in a sandbox, keeps what was written as a new layer.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { OperationId } from "../api/Images.js"
import type { ProcessResult } from "../api/Operations.js"
import type { EventBody, OperationLog } from "./EventLog.js"
import { Instances } from "./Instances.js"
import * as LiveInstance from "./internal/liveInstance.js"
import type { ProcessEnd } from "./internal/liveProcess.js"
import { Machine } from "./internal/machine.js"
import type { InterfaceCounters } from "./internal/networkCounters.js"
import * as OutboundTool from "./internal/outboundTool.js"
import * as PlacedFiles from "./internal/placedFiles.js"
import type { PlacedFile } from "./internal/placedFiles.js"
import * as ProcessOutput from "./internal/processOutput.js"
import * as WriteLimit from "./internal/writeLimit.js"
import * as RunRequest from "../internal/runRequest.js"
import { ImageStore, type StoredImage } from "./ImageStore.js"
import { ImageView } from "./ImageView.js"
import type { Chain, Run } from "./LayerStore.js"
import { LayerStore } from "./LayerStore.js"
import type { LayerStoreError } from "./LayerStoreError.js"
import { MountNamespace } from "./MountNamespace.js"
import { Sandbox } from "./Sandbox.js"
import type { SandboxError } from "./SandboxError.js"

/**
 * What a command left behind.
 *
 * - `kept`: what was made of its changes; none when it changed nothing or nothing is kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunResult<A> {
  readonly result: typeof ProcessResult.Type
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

/** The kernel's number of the signal that nothing can refuse. */
const SIGKILL = 9

type Ended = Pick<ProcessEnd, "code" | "signal" | "elapsed" | "usage" | "timedOut">

const killed = (after: Duration.Duration): Ended => ({
  code: 128 + SIGKILL,
  signal: SIGKILL,
  elapsed: after,
  usage: {},
  timedOut: true
})

const shutdown = (reason: string): Effect.Effect<EventBody> =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    _tag: "Shutdown",
    spid: 0,
    data: { stoppedAt: Option.some(DateTime.unsafeMake(now)), reason }
  }))

const networkEvent = (
  interfaces: ReadonlyArray<InterfaceCounters>,
  { outbound }: Context.Tag.Service<Sandbox>
): EventBody => ({
  _tag: "Network",
  spid: 0,
  data: {
    interfaces: interfaces.map((counters) => ({ ...counters })),
    configured: {
      ip4: OutboundTool.configured.address,
      ip4_gw: OutboundTool.configured.gateway,
      nameserver: Either.match(outbound, { onLeft: () => null, onRight: ({ nameServers }) => nameServers[0] ?? null })
    }
  }
})

const placeFiles = (chain: Chain, { upper }: Run, files: ReadonlyArray<PlacedFile>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { idShift, ownership } = yield* MountNamespace
      const image = yield* Effect.flatMap(ImageView, (views) => views.open(chain))
      yield* PlacedFiles.place({
        image: image.root,
        upper,
        idShift: ownership === "single" ? undefined : idShift,
        files
      })
    })
  )

/**
 * Runs the command and gives its result; its events go to the log. Interruption ends the command and leaves nothing
 * behind.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = Effect.fn("Runner.run")(function* <A, E>(
  id: OperationId,
  image: StoredImage,
  request: RunRequest.RunRequest,
  placed: ReadonlyArray<PlacedFile>,
  log: OperationLog,
  steps: Steps<A, E>
): Effect.fn.Return<
  RunResult<A>,
  E | SandboxError | LayerStoreError,
  ImageStore | ImageView | Instances | LayerStore | Machine | MountNamespace | Sandbox
> {
  const images = yield* ImageStore
  const instances = yield* Instances
  const layers = yield* LayerStore
  const machine = yield* Machine
  const sandboxes = yield* Sandbox
  const chain = yield* images.mountChain(image)
  const env = RunRequest.environment(request, image)
  const cwd = RunRequest.workingDirectory(request, image)

  return yield* Effect.scoped(
    Effect.gen(function* () {
      const folder = yield* layers.newRun(chain[0])
      if (placed.length > 0) yield* placeFiles(chain, folder, placed)
      const writeLimit = WriteLimit.make(folder.upper, request.maxLayerBytes)
      const result = yield* Effect.scoped(
        Effect.gen(function* () {
          const sandbox = yield* sandboxes.start({
            layers: chain,
            directory: folder.directory,
            upper: folder.upper,
            work: folder.work,
            command: RunRequest.argv(request, env),
            env,
            cwd,
            hostname: request.hostname,
            uid: request.uid,
            gid: request.gid,
            stdin: !request.stdinCloses ? "open" : request.stdin.length === 0 ? undefined : request.stdin,
            network: request.networking
          })
          yield* steps.onStart
          const instance = yield* LiveInstance.make({ sandbox, request, image, env, cwd, log })
          const { main } = instance
          const now = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
          yield* log.append([machine.init(sandboxes.launcher, request.hostname, now), main.spawned])
          yield* instance.begin
          yield* instances.show(id, instance)
          let network: ReadonlyArray<EventBody> = []
          const carried = (interfaces: ReadonlyArray<InterfaceCounters> | undefined) => {
            if (interfaces !== undefined) network = [networkEvent(interfaces, sandboxes)]
            return Effect.void
          }
          const exit = sandbox.exit.pipe(
            Effect.map((exit): Ended => ({ ...exit, timedOut: false })),
            Effect.tap(() => Effect.tap(sandbox.network, carried)),
            Effect.timeoutOption(request.timeout),
            Effect.flatMap(
              Option.match({
                onSome: Effect.succeed,
                // With the sandbox its network goes, and with that what it tells.
                onNone: () =>
                  sandbox.network.pipe(
                    Effect.tap(carried),
                    Effect.zipRight(sandbox.kill),
                    Effect.as(killed(request.timeout))
                  )
              })
            )
          )
          const [ended] = yield* Effect.all(
            [exit, ProcessOutput.drain(sandbox.stdout, main.stdout), ProcessOutput.drain(sandbox.stderr, main.stderr)],
            { concurrency: "unbounded" }
          ).pipe(Effect.raceFirst(writeLimit.watch))
          yield* writeLimit.check
          yield* instance.end
          yield* log.append([
            main.ended({ ...ended, pid: sandbox.pid }),
            ...network,
            yield* shutdown(ended.timedOut ? "timeout" : "job_complete")
          ])
          return yield* main.result
        })
      ).pipe(
        // The kernel says of a mount only that something is not there.
        Effect.tapErrorTag("SandboxError", () => layers.verify(chain)),
        Effect.onError((cause) =>
          Effect.flatMap(shutdown(Cause.isInterrupted(cause) ? "signal" : "spawn_failed"), (event) =>
            log.append([event])
          )
        )
      )
      const unchanged = RunRequest.inheritsAll(request, image)
      if (request.disposable || (unchanged && (yield* layers.isEmpty(folder)))) {
        return { result, kept: Option.none() }
      }
      // A layer that no image lists would only be found at the engine's next start.
      const kept = yield* Effect.uninterruptible(
        Effect.flatMap(layers.commit(folder), (layer) => steps.keep([layer, ...chain]))
      )
      return { result, kept: Option.some(kept) }
    })
  )
})
