/** What the double does for a request that starts or steers work. */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import type { ApiFailure } from "../../api/Failure.js"
import type { ImportRequest, OperationId } from "../../api/Images.js"
import type { SpawnRequest } from "../../api/Instances.js"
import type { ExecRequest, ProcessNumber } from "../../api/Subprocesses.js"
import { ImageId } from "../../ImageId.js"
import * as ImportRequests from "../../internal/importRequest.js"
import * as RunRequest from "../../internal/runRequest.js"
import { signalNumber } from "../../internal/signalNames.js"
import * as Uuid from "../../internal/uuid.js"
import * as OciReference from "../../OciReference.js"
import type { CommandHandler } from "../CommandHandler.js"
import * as FileTree from "../FileTree.js"
import type { EventLog } from "./eventLog.js"
import * as Instance from "./instance.js"
import * as Library from "./library.js"
import type { Operation, Operations } from "./operations.js"
import { Failed } from "./operations.js"
import { refuse } from "./refusal.js"

/** The limits of the double, in seconds; those of the engine. */
export const limits = {
  defaultRunTimeoutSeconds: 60,
  maxRunTimeoutSeconds: 3600,
  defaultImportTimeoutSeconds: 300,
  maxImportTimeoutSeconds: 3600
}

/** The contract's limit on what a run may write. */
const defaultMaxBytes = 12_884_901_888

/** So long a follower waits for the first event before it is told to come back. */
const firstEvent = Duration.seconds(10)

/** What is found in a registry. */
export type InRegistry = (reference: OciReference.OciReference) => Effect.Effect<
  Option.Option<
    Pick<Library.StoredImage, "files" | "env" | "cwd" | "origin"> & {
      readonly credentials: { readonly username: string; readonly password: string } | undefined
      readonly takes: Duration.DurationInput
    }
  >
>

export interface Work {
  readonly startImport: (request: typeof ImportRequest.Type) => Effect.Effect<OperationId, ApiFailure>
  readonly startRun: (request: SpawnRequest) => Effect.Effect<OperationId, ApiFailure>
  readonly startProcess: (id: OperationId, request: ExecRequest) => Effect.Effect<ProcessNumber, ApiFailure>
  readonly process: (id: OperationId, spid: ProcessNumber) => Effect.Effect<Instance.Process, ApiFailure>
  readonly signal: (
    id: OperationId,
    spid: ProcessNumber,
    signal: string | number | undefined
  ) => Effect.Effect<void, ApiFailure>
  readonly writeStdin: (
    id: OperationId,
    spid: ProcessNumber,
    input: { readonly bytes: Uint8Array; readonly close: boolean }
  ) => Effect.Effect<void, ApiFailure>
  /** The log of an operation that has begun; who follows it waits a while for that. */
  readonly log: (id: OperationId, follow: boolean) => Effect.Effect<EventLog, ApiFailure>
}

/** Makes what carries out the work. */
export const make = Effect.fnUntraced(function* (parts: {
  readonly library: Ref.Ref<Library.Library>
  readonly operations: Operations
  readonly handler: CommandHandler
  readonly maxConcurrency: number
  readonly maxQueued: number | undefined
  readonly inRegistry: InRegistry
}): Effect.fn.Return<Work> {
  const { handler, inRegistry, library, operations } = parts
  const turns = yield* Effect.makeSemaphore(parts.maxConcurrency)

  const addImage = Effect.fnUntraced(function* (
    operation: Operation,
    image: Pick<Library.StoredImage, "kind" | "files" | "env" | "cwd" | "origin">
  ) {
    const id = ImageId.to.make(yield* Uuid.make)
    const createdAt = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
    yield* Ref.update(library, (library) =>
      Library.addImage(library, { ...image, id, createdAt, operationId: Option.some(operation.id) })
    )
    return id
  })

  const importImage = Effect.fnUntraced(function* (
    operation: Operation,
    reference: OciReference.OciReference,
    request: typeof ImportRequest.Type
  ) {
    yield* Ref.update(operation.state, (state) => ({ ...state, status: "EXECUTING" as const }))
    yield* Deferred.succeed(operation.begun, undefined)
    const found = yield* inRegistry(reference)
    if (Option.isNone(found)) return yield* Effect.fail(new Failed(`${reference.url} does not exist in its registry`))
    const { cwd, credentials, env, files, origin, takes } = found.value
    const given = request.registry.credentials
    if (
      credentials !== undefined &&
      (given?.username !== credentials.username || Redacted.value(given.password) !== credentials.password)
    ) {
      return yield* Effect.fail(new Failed(`The registry does not give ${reference.url} to this caller`))
    }
    if (!Duration.equals(takes, Duration.zero)) yield* Effect.sleep(takes)
    const known = (yield* Ref.get(library)).images.find((image) => image.origin === origin)
    const id = known?.id ?? (yield* addImage(operation, { kind: "imported", files, env, cwd, origin }))
    const { tag } = request
    if (tag !== undefined) yield* Ref.update(library, (library) => Library.moveTag(library, id, tag))
    return { image: Option.some(id), tag: Option.fromNullable(tag), result: Option.none() }
  })

  const prepare = Effect.fnUntraced(function* (
    request: SpawnRequest,
    run: RunRequest.RunRequest,
    cwd: string,
    files: FileTree.FileTree
  ) {
    let tree = files
    const mtime = yield* Clock.currentTimeMillis
    for (const [path, placed] of Object.entries(request.files ?? {})) {
      const file = Library.fileById(yield* Ref.get(library), placed.id)
      if (Option.isNone(file)) continue
      if (Either.getOrUndefined(FileTree.get(tree, path))?._tag === "Folder") {
        return yield* new FileTree.FileError({ code: "EISDIR", path })
      }
      tree = yield* FileTree.set(
        tree,
        path,
        FileTree.file(file.value.bytes, {
          uid: placed.uid ?? 0,
          gid: placed.gid ?? 0,
          mode: placed.mode ?? 0o644,
          mtime
        })
      )
    }
    return yield* Effect.matchEffect(FileTree.get(tree, cwd), {
      onFailure: () => FileTree.set(tree, cwd, FileTree.folder({ uid: run.uid, gid: run.gid, mtime })),
      onSuccess: () => Effect.succeed(tree)
    })
  })

  const run = Effect.fnUntraced(function* (
    operation: Operation,
    image: Library.StoredImage,
    request: SpawnRequest,
    run: RunRequest.RunRequest
  ) {
    const cwd = RunRequest.workingDirectory(run, image)
    const started = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
    const files = yield* Effect.mapError(
      prepare(request, run, cwd, image.files),
      (error) => new Failed(`The sandbox could not be made: ${error.message}`)
    )
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const instance = yield* Instance.make({
          operationId: operation.id,
          image,
          run,
          files,
          maxBytes: request.resourcesLimits?.maxLayerBytes ?? defaultMaxBytes,
          handler,
          log: operation.log
        })
        yield* operation.log.append({
          _tag: "Init",
          spid: 0,
          data: {
            startedAt: Option.some(started),
            runtimePath: "effect-contree/testing",
            verbose: false,
            initPid: 1,
            hostname: run.hostname
          }
        })
        yield* Ref.set(operation.instance, Option.some(instance))
        yield* Deferred.succeed(operation.begun, undefined)
        const [, main] = yield* instance.start({
          ...run,
          cwd,
          env: RunRequest.environment(run, image),
          stdinOpen: request.stdin?.close === false,
          timeout: Option.some(run.timeout)
        })
        yield* Ref.update(operation.state, (state) => ({ ...state, status: "EXECUTING" as const }))
        const result = yield* main.ended
        yield* instance.end
        yield* operation.log.append({
          _tag: "Shutdown",
          spid: 0,
          data: {
            stoppedAt: Option.some(DateTime.unsafeMake(yield* Clock.currentTimeMillis)),
            reason: result.state.timedOut ? "timeout" : "job_complete"
          }
        })
        const left = yield* instance.files
        const inherited = RunRequest.inherited(run, image)
        const same = left === image.files && RunRequest.inheritsAll(run, image)
        const kept = run.disposable
          ? Option.none()
          : Option.some(
              same
                ? image.id
                : yield* addImage(operation, { kind: "run", files: left, ...inherited, origin: undefined })
            )
        return { image: kept, tag: Option.none(), result: Option.some(result) }
      })
    )
  })

  const startImport = Effect.fnUntraced(function* (request: typeof ImportRequest.Type) {
    const reference = yield* Effect.mapError(OciReference.fromString(request.registry.url), (error) =>
      refuse(400, `registry.url: ${error.message}`)
    )
    const timeout = yield* ImportRequests.timeout(request, limits)
    return yield* operations.begin(
      {
        kind: "image_import",
        imageId: Option.none(),
        metadata: ImportRequests.toWire(request, timeout)
      },
      (operation) =>
        Effect.timeoutFail(importImage(operation, reference, request), {
          duration: timeout,
          onTimeout: () => new Failed(ImportRequests.tookTooLong(reference, timeout))
        })
    )
  })

  /** As many as have a place and may wait for one. */
  const admit = Effect.gen(function* () {
    const { maxConcurrency, maxQueued } = parts
    if (maxQueued === undefined) return
    const open = yield* operations.open("instance")
    if (open >= maxConcurrency + maxQueued) {
      return yield* refuse(429, `${maxQueued} operations wait already`, 1)
    }
  })

  const startRun = Effect.fnUntraced(function* (request: SpawnRequest) {
    yield* RunRequest.checkProcess(request)
    const known = yield* Ref.get(library)
    const image = yield* Library.imageByName(known, request.image)
    yield* RunRequest.checkTimeout(request.timeout, limits.maxRunTimeoutSeconds)
    yield* RunRequest.checkFiles(request.files ?? {})
    for (const { id } of Object.values(request.files ?? {})) {
      if (Option.isNone(Library.fileById(known, id))) return yield* refuse(400, `files: there is no file ${id}`)
    }
    const filled = RunRequest.make(request, image.id, limits)
    yield* admit
    return yield* operations.begin(
      { kind: "instance", imageId: Option.some(image.id), metadata: RunRequest.toWire(filled) },
      (operation) => turns.withPermits(1)(run(operation, image, request, filled))
    )
  })

  /** The instance of an operation, which must run. */
  const running = Effect.fnUntraced(function* (id: OperationId) {
    const operation = yield* operations.get(id)
    if (operation.kind !== "instance") return yield* refuse(409, `Operation ${id} is no instance`)
    const { status } = yield* Ref.get(operation.state)
    if (status === "PENDING") return yield* refuse(425, `Operation ${id} is not running yet`)
    const instance = yield* Ref.get(operation.instance)
    return yield* status === "EXECUTING" && Option.isSome(instance)
      ? Effect.succeed(instance.value)
      : refuse(409, `Operation ${id} does not run`)
  })

  /** A process to look at: of an instance that is over the main one alone is kept, with the operation's result. */
  const process = Effect.fnUntraced(function* (id: OperationId, spid: ProcessNumber) {
    const operation = yield* operations.get(id)
    const { status } = yield* Ref.get(operation.state)
    if (operation.kind === "instance" && status === "PENDING") {
      return yield* refuse(425, `Operation ${id} is not running yet`)
    }
    const instance = yield* Ref.get(operation.instance)
    return yield* Option.isSome(instance) && (status === "EXECUTING" || (status === "SUCCESS" && spid === 1))
      ? instance.value.process(spid)
      : refuse(404, `Operation ${id} has no process ${spid}`)
  })

  return {
    startImport,
    startRun,
    startProcess: Effect.fnUntraced(function* (id, request) {
      const instance = yield* running(id)
      yield* RunRequest.checkProcess(request)
      if (request.shell === true && (request.args ?? []).length > 0) {
        return yield* refuse(400, "args: they have no meaning with shell, leave them out")
      }
      const { image, run } = instance
      const filled = RunRequest.make(
        { ...request, image: run.image, hostname: run.hostname, networking: { enabled: run.networking } },
        run.image,
        limits
      )
      const [spid] = yield* instance.start({
        ...filled,
        cwd: RunRequest.workingDirectory(filled, image),
        env: RunRequest.environment(filled, image),
        stdinOpen: request.stdin?.close === false,
        timeout: Option.none()
      })
      return spid
    }),
    process,
    signal: Effect.fnUntraced(function* (id, spid, name) {
      const number = signalNumber(name ?? "KILL")
      if (Option.isNone(number)) return yield* refuse(400, `signal: ${JSON.stringify(name)} is not known`)
      const instance = yield* running(id)
      const process = yield* instance.process(spid)
      if (!(yield* process.running)) return yield* refuse(404, `Process ${spid} of operation ${id} is gone`)
      yield* process.signal(number.value)
    }),
    writeStdin: Effect.fnUntraced(function* (id, spid, input) {
      const operation = yield* operations.get(id)
      if (operation.kind !== "instance") return yield* refuse(409, `Operation ${id} is no instance`)
      const { status } = yield* Ref.get(operation.state)
      if (status === "PENDING") return yield* refuse(425, `Operation ${id} is not running yet`)
      const instance = yield* Ref.get(operation.instance)
      if (status !== "EXECUTING" || Option.isNone(instance))
        return yield* refuse(410, `The instance of operation ${id} has ended`)
      const process = yield* instance.value.process(spid)
      yield* process.write(input)
    }),
    log: Effect.fnUntraced(function* (id, follow) {
      const operation = yield* operations.get(id)
      if (follow) yield* Effect.timeoutOption(Deferred.await(operation.begun), firstEvent)
      if (!(yield* Deferred.isDone(operation.begun))) {
        return yield* refuse(425, `Operation ${id} waits for its turn`)
      }
      return operation.log
    })
  }
})
