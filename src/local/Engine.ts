/**
 * The engine: starts imports and runs as operations, carries them out, and keeps what they made.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ApiFailure } from "../api/Failure.js"
import type { ImportRequest } from "../api/Images.js"
import { OperationId } from "../api/Images.js"
import type { SpawnRequest } from "../api/Instances.js"
import { ProcessResult } from "../api/Operations.js"
import { ImageId } from "../ImageId.js"
import type { ImageTag } from "../ImageTag.js"
import { isImageTag } from "../ImageTag.js"
import * as ImportRequests from "../internal/importRequest.js"
import * as RunRequest from "../internal/runRequest.js"
import * as OciReference from "../OciReference.js"
import type { DatabaseError } from "./Database.js"
import { EventLog, type OperationLog } from "./EventLog.js"
import type { EngineConfig } from "./EngineConfig.js"
import { FileStore } from "./FileStore.js"
import { ImageStore, type StoredImage } from "./ImageStore.js"
import type { ImageView } from "./ImageView.js"
import { Importer } from "./Importer.js"
import * as Uuid from "../internal/uuid.js"
import { Instances } from "./Instances.js"
import { Machine } from "./internal/machine.js"
import type { PlacedFile } from "./internal/placedFiles.js"
import { LayerStore } from "./LayerStore.js"
import { ID_COUNT, type MountNamespace } from "./MountNamespace.js"
import { OperationStore, type Outcome, StoredOperation } from "./OperationStore.js"
import * as Runner from "./Runner.js"
import type { Sandbox } from "./Sandbox.js"
import { type Lane, Scheduler, type Ticket } from "./Scheduler.js"
import { Squasher } from "./Squasher.js"

/**
 * The engine: starts imports and runs as operations, carries them out, and keeps what they made.
 *
 * @since 0.1.0
 * @category tags
 */
export class Engine extends Context.Tag("effect-contree/local/Engine")<Engine, Engine.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Engine {
  /**
   * What the handlers of the API ask of the engine.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    readonly config: EngineConfig
    /** Records and starts an import. It fails only for a request that can never succeed. */
    readonly startImport: (
      project: string,
      request: typeof ImportRequest.Type
    ) => Effect.Effect<StoredOperation, ApiFailure | DatabaseError>
    /** Records and starts a run of a command on an image that the project sees. */
    readonly startRun: (
      project: string,
      request: SpawnRequest
    ) => Effect.Effect<StoredOperation, ApiFailure | DatabaseError>
    /**
     * Waits until an operation of the project is over, and gives what has been recorded of it by then. None at once for
     * one that is not at work, and none for one whose end could not be recorded.
     */
    readonly ended: (project: string, id: OperationId) => Effect.Effect<Option.Option<StoredOperation>>
    /** Cancels an operation of the project and waits until it is over. */
    readonly cancel: (project: string, id: OperationId) => Effect.Effect<void, ApiFailure | DatabaseError>
    /** Waits until no operation is open. */
    readonly idle: Effect.Effect<void>
    /** Ends all that runs, so that whoever waits for it hears that it has failed. */
    readonly stop: Effect.Effect<void>
  }
}

const reject = (status: 400 | 404 | 409, error: string) => new ApiFailure({ status, error })

type Requirements =
  | EventLog
  | FileStore
  | ImageStore
  | ImageView
  | Importer
  | Instances
  | LayerStore
  | Machine
  | MountNamespace
  | OperationStore
  | Sandbox
  | Scheduler
  | Squasher

/** What a piece of work did, before it is known how the operation ends. */
interface Done {
  readonly image: Option.Option<ImageId>
  readonly tag: Option.Option<ImageTag>
  readonly imageSize: Option.Option<number>
  readonly result: Option.Option<typeof ProcessResult.Type>
}

class Cancelled {
  readonly _tag = "Cancelled"
}

/**
 * Makes the engine. Its operations end with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  config: EngineConfig
): Effect.fn.Return<Engine.Service, DatabaseError, Requirements | Scope.Scope> {
  const files = yield* FileStore
  const images = yield* ImageStore
  const importer = yield* Importer
  const layers = yield* LayerStore
  const instances = yield* Instances
  const operations = yield* OperationStore
  const scheduler = yield* Scheduler
  const squasher = yield* Squasher
  const context = yield* Effect.context<
    ImageStore | ImageView | Instances | LayerStore | Machine | MountNamespace | Sandbox
  >()
  const logs = yield* EventLog
  const machine = yield* Machine
  const fibers = yield* FiberMap.make<OperationId, Option.Option<StoredOperation>, never>()
  interface AtWork {
    readonly project: string
    readonly cancelled: Deferred.Deferred<never, Cancelled>
  }
  const atWork = yield* Ref.make(HashMap.empty<OperationId, AtWork>())

  const left = yield* operations.failOpen("The engine stopped before the operation was over; start it again")
  if (left > 0)
    yield* Effect.logWarning(`${left} operations were not over when the engine last stopped; they have failed`)

  const storeImage = Effect.fnUntraced(function* (
    operation: StoredOperation,
    image: Pick<StoredImage, "kind" | "chain" | "env" | "cwd" | "digest">
  ) {
    const id = ImageId.to.make(yield* Uuid.make)
    yield* images.insert({ ...image, id, project: operation.project, operationId: operation.id }).pipe(
      // A layer that no image lists would only be found at the next start.
      Effect.onError(() => Effect.ignoreLogged(layers.remove([image.chain[0]])))
    )
    return id
  })

  const importImage = Effect.fnUntraced(function* (
    operation: StoredOperation,
    reference: OciReference.OciReference,
    request: typeof ImportRequest.Type
  ) {
    const credentials = request.registry.credentials
    const remote = yield* importer.resolve(reference, { credentials })
    yield* images.disown(remote.digest, layers.has)
    const known = yield* images.byDigest(operation.project, remote.digest)
    const id = yield* Option.match(known, {
      onSome: (image) => Effect.succeed(image.id),
      onNone: () =>
        Effect.scoped(
          Effect.gen(function* () {
            const own = ImageId.to.make(yield* Uuid.make)
            const image = { id: own, project: operation.project, operationId: operation.id }
            if (yield* images.adopt(image, remote.digest)) return own
            const folder = yield* layers.newImport
            const pulled = yield* importer.pull(remote, { into: folder.root, credentials })
            return yield* Effect.uninterruptible(
              Effect.flatMap(layers.commitImport(folder), (layer) =>
                storeImage(operation, {
                  kind: "imported",
                  chain: [layer],
                  env: pulled.env,
                  cwd: "",
                  digest: Option.some(pulled.digest)
                })
              )
            )
          })
        )
    })
    const tag = Option.fromNullable(request.tag)
    if (Option.isSome(tag)) yield* images.tag(operation.project, id, tag.value)
    return { image: Option.some(id), tag, imageSize: Option.none(), result: Option.none() } satisfies Done
  })

  const runCommand = Effect.fnUntraced(function* (
    operation: StoredOperation,
    image: StoredImage,
    request: RunRequest.RunRequest,
    placed: ReadonlyArray<PlacedFile>,
    log: OperationLog
  ) {
    const { kept, result } = yield* Runner.run(operation.id, image, request, placed, log, {
      onStart: operations.started(operation.id),
      keep: (chain) =>
        storeImage(operation, {
          kind: "run",
          chain: [chain[0], ...chain.slice(1)],
          ...RunRequest.inherited(request, image),
          digest: Option.none()
        }).pipe(Effect.zipLeft(squasher.consider(chain)))
    })
    return {
      image: request.disposable ? Option.none() : Option.some(Option.getOrElse(kept, () => image.id)),
      tag: Option.none(),
      imageSize: Option.none(),
      result: Option.some(result)
    } satisfies Done
  })

  /** Records the end of an operation, whatever it is. */
  const finish = Effect.fnUntraced(function* <E extends { readonly _tag: string; readonly message?: string }>(
    operation: StoredOperation,
    exit: Exit.Exit<Done, E | Cancelled>
  ) {
    const now = yield* Clock.currentTimeMillis
    const duration = Option.some(Duration.millis(Math.max(0, now - DateTime.toEpochMillis(operation.createdAt))))
    const over = { duration, resultImageId: Option.none(), resultTag: Option.none(), imageSize: Option.none() }
    const outcome: Outcome = yield* Exit.match(exit, {
      onSuccess: (done) =>
        Effect.map(
          Option.match(done.result, {
            onNone: () => Effect.succeed(operation.metadata),
            onSome: (result) => Effect.map(encodeResult(result), (result) => ({ ...operation.metadata, result }))
          }),
          (metadata): Outcome => ({
            status: "SUCCESS",
            error: Option.none(),
            duration,
            resultImageId: done.image,
            resultTag: done.tag,
            imageSize: done.imageSize,
            metadata
          })
        ),
      onFailure: (cause) =>
        Effect.succeed<Outcome>(
          Option.match(Cause.failureOption(cause), {
            onSome: (error): Outcome =>
              error._tag === "Cancelled"
                ? { ...over, status: "CANCELLED", error: Option.none(), metadata: operation.metadata }
                : {
                    ...over,
                    status: "FAILED",
                    error: Option.some("message" in error && error.message !== undefined ? error.message : error._tag),
                    metadata: operation.metadata
                  },
            onNone: (): Outcome => ({
              ...over,
              status: "FAILED",
              error: Option.some(
                Cause.isInterruptedOnly(cause)
                  ? "The engine was stopped before the operation was over"
                  : `A fault of the engine: ${Cause.pretty(cause)}`
              ),
              metadata: operation.metadata
            })
          })
        )
    })
    if (outcome.status === "FAILED") {
      yield* Effect.logInfo(`operation ${operation.id} failed: ${Option.getOrElse(outcome.error, () => "")}`)
    }
    const record = operations.finish(operation.id, outcome)
    // On a full disk it waits for room; an engine that is stopped meanwhile has failed the operation by its next start.
    yield* Effect.catchIf(
      record,
      ({ transient }) => transient,
      (error) =>
        Effect.logWarning(`the end of operation ${operation.id} waits to be recorded`, error).pipe(
          Effect.zipRight(
            Effect.retry(record, { schedule: Schedule.spaced("1 second"), while: ({ transient }) => transient })
          ),
          Effect.interruptible
        )
    )
    return new StoredOperation({ ...operation, ...outcome })
  })

  const carryOut = Effect.fnUntraced(function* <E extends { readonly _tag: string; readonly message?: string }>(
    operation: StoredOperation,
    ticket: Ticket,
    work: (log: OperationLog) => Effect.Effect<Done, E>
  ) {
    yield* operations.insert(operation)
    const log = yield* logs.create(operation.id)
    const cancelled = yield* Deferred.make<never, Cancelled>()
    yield* Ref.update(atWork, HashMap.set(operation.id, { project: operation.project, cancelled }))
    const carriedOut = Effect.uninterruptibleMask((restore) =>
      restore(Effect.raceFirst(Effect.zipRight(ticket.turn, work(log)), Deferred.await(cancelled))).pipe(
        Effect.ensuring(ticket.leave),
        Effect.exit,
        Effect.flatMap((exit) => finish(operation, exit)),
        Effect.tapErrorCause((cause) => Effect.logError(`operation ${operation.id} could not be recorded`, cause)),
        Effect.onExit((exit) =>
          log.close(Exit.match(exit, { onFailure: () => Option.none(), onSuccess: Option.some }))
        ),
        Effect.ensuring(
          Effect.zipRight(instances.forget(operation.id), Ref.update(atWork, HashMap.remove(operation.id)))
        )
      )
    ).pipe(Effect.annotateLogs("operation", operation.id))
    // Its log has told of what could not be recorded.
    yield* FiberMap.run(fibers, operation.id, Effect.option(carriedOut))
    return operation
  })

  /** Records the operation and carries it out when its turn comes. */
  const begin = <E extends { readonly _tag: string; readonly message?: string }>(
    operation: StoredOperation,
    lane: Lane,
    work: (log: OperationLog) => Effect.Effect<Done, E>
  ) =>
    Effect.uninterruptibleMask((restore) =>
      scheduler.enqueue(lane, operation.project).pipe(
        Effect.mapError(
          ({ message, retryAfterSeconds }) => new ApiFailure({ status: 429, error: message, retryAfterSeconds })
        ),
        Effect.flatMap((ticket) => restore(carryOut(operation, ticket, work)).pipe(Effect.onError(() => ticket.leave)))
      )
    )

  const newOperation = Effect.fnUntraced(function* (
    fields: Pick<StoredOperation, "project" | "kind" | "imageId" | "metadata">
  ) {
    return new StoredOperation({
      ...fields,
      id: OperationId.make(yield* Uuid.make),
      status: "PENDING",
      error: Option.none(),
      createdAt: DateTime.unsafeMake(yield* Clock.currentTimeMillis),
      duration: Option.none(),
      resultImageId: Option.none(),
      resultTag: Option.none(),
      imageSize: Option.none()
    })
  })

  const startImport = Effect.fn("Engine.startImport")(function* (project: string, request: typeof ImportRequest.Type) {
    const reference = yield* Effect.mapError(OciReference.fromString(request.registry.url), (error) =>
      reject(400, `registry.url: ${error.message}`)
    )
    const timeout = yield* ImportRequests.timeout(request, config)
    const operation = yield* newOperation({
      project,
      kind: "image_import",
      imageId: Option.none(),
      metadata: ImportRequests.toWire(request, timeout)
    })
    const work = (log: OperationLog) =>
      operations.started(operation.id).pipe(
        Effect.zipRight(Effect.flatMap(DateTime.now, (now) => log.append([machine.init("import", undefined, now)]))),
        Effect.zipRight(importImage(operation, reference, request)),
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => ({
            _tag: "ImportTimedOut" as const,
            message: ImportRequests.tookTooLong(reference, timeout)
          })
        })
      )
    return yield* begin(operation, "import", work)
  })

  const startRun = Effect.fn("Engine.startRun")(function* (project: string, request: SpawnRequest) {
    yield* RunRequest.checkProcess(request)
    const image = yield* findImage(project, request.image)
    yield* RunRequest.checkTimeout(request.timeout, config.maxRunTimeoutSeconds)
    const run = RunRequest.make(request, image.id, config)
    const placed = yield* findFiles(project, run.files)
    const operation = yield* newOperation({
      project,
      kind: "instance",
      imageId: Option.some(image.id),
      metadata: { ...RunRequest.toWire(run), result: null }
    })
    return yield* begin(operation, "run", (log) =>
      Effect.provide(
        Effect.zipRight(squasher.ensureMountable(image), runCommand(operation, image, run, placed, log)),
        context
      )
    )
  })

  const findImage = Effect.fnUntraced(function* (project: string, name: string) {
    const tag = name.startsWith("tag:") ? name.slice(4) : undefined
    if (tag !== undefined) {
      if (!isImageTag(tag)) return yield* reject(400, `image: ${JSON.stringify(tag)} is not a valid tag`)
      const image = yield* images.byTag(project, tag)
      return yield* Effect.mapError(image, () => reject(404, `There is no image with the tag ${JSON.stringify(tag)}`))
    }
    const id = yield* Effect.mapError(decodeImageId(name), () =>
      reject(400, `image: ${JSON.stringify(name)} is neither a UUID nor tag:<tag>`)
    )
    return yield* Effect.mapError(yield* images.byId(project, id), () => reject(404, `There is no image ${id}`))
  })

  /** Where the contents of a request's files are. */
  const findFiles = Effect.fnUntraced(function* (project: string, wanted: RunRequest.RunRequest["files"]) {
    yield* RunRequest.checkFiles(wanted)
    return yield* Effect.forEach(Object.entries(wanted), ([path, { gid = 0, id, mode = 0o644, uid = 0 }]) =>
      Effect.gen(function* () {
        const file = yield* files.byId(project, id)
        if (Option.isNone(file)) return yield* reject(400, `files: there is no uploaded file ${id}`)
        const unfit = [uid, gid].find((owner) => owner >= ID_COUNT)
        if (unfit !== undefined) {
          return yield* reject(400, `files: ${unfit} is no id of an image, use one from 0 to ${ID_COUNT - 1}`)
        }
        return { path, content: files.path(file.value), uid, gid, mode } satisfies PlacedFile
      })
    )
  })

  const over = (id: OperationId) =>
    FiberMap.get(fibers, id).pipe(
      Effect.flatMap((fiber) => fiber.await),
      Effect.map(Exit.getOrElse(Option.none<StoredOperation>)),
      Effect.orElseSucceed(Option.none<StoredOperation>)
    )

  const ended = Effect.fnUntraced(function* (project: string, id: OperationId) {
    const mine = HashMap.get(yield* Ref.get(atWork), id)
    return Option.exists(mine, (work) => work.project === project) ? yield* over(id) : Option.none()
  })

  const cancel = Effect.fn("Engine.cancel")(function* (project: string, id: OperationId) {
    const known = yield* operations.get(project, id)
    if (Option.isNone(known)) return yield* reject(404, `There is no operation ${id}`)
    const work = HashMap.get(yield* Ref.get(atWork), id)
    if (Option.isNone(work)) return yield* reject(409, `Operation ${id} is over`)
    yield* Deferred.fail(work.value.cancelled, new Cancelled())
    yield* over(id)
  })

  const stop = Effect.suspend(() => Fiber.interruptAll(Array.from(fibers, ([, fiber]) => fiber)))

  return { config, startImport, startRun, ended, cancel, idle: FiberMap.awaitEmpty(fibers), stop }
})

const decodeImageId = Schema.decode(ImageId)
const encodeResult = Schema.encode(ProcessResult)

/**
 * The engine over its stores.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (config: EngineConfig): Layer.Layer<Engine, DatabaseError, Requirements> =>
  Layer.scoped(Engine, make(config))
