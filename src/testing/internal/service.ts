/** The service in memory: each method of the client over the double's images, files and operations. */
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Permission, WhoAmI } from "../../api/Account.js"
import type { ApiFailure } from "../../api/Failure.js"
import { FileId, UploadReceipt } from "../../api/Files.js"
import type { ImageId } from "../../ImageId.js"
import type { OperationId } from "../../api/Images.js"
import { OperationSummary } from "../../api/Operations.js"
import type { ContreeClient } from "../../ContreeClient.js"
import * as ContreeConfig from "../../ContreeConfig.js"
import type { RequestError, StartError } from "../../ContreeError.js"
import * as ContreeError from "../../ContreeError.js"
import * as Hasher from "../../Hasher.js"
import * as Admission from "../../internal/admission.js"
import * as Call from "../../internal/call.js"
import { window } from "../../internal/listingWindow.js"
import type { EventFrame } from "../../internal/eventStream.js"
import { withoutUserInfo } from "../../internal/secrets.js"
import * as Transport from "../../internal/transport.js"
import * as Uuid from "../../internal/uuid.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as WaitPolicy from "../../WaitPolicy.js"
import type { CommandHandler } from "../CommandHandler.js"
import type { Fault } from "../FaultPlan.js"
import * as Inspection from "./inspection.js"
import * as Library from "./library.js"
import type { Arguments, Method } from "./methods.js"
import * as Operations from "./operations.js"
import { fromAnswer, lost, permitsOf, refuse, requestOf } from "./refusal.js"
import * as Search from "./search.js"
import type { InRegistry } from "./work.js"
import * as Work from "./work.js"
import * as Bytes from "../../internal/bytes.js"

/** What the service is made over. */
export interface Parts {
  readonly library: Ref.Ref<Library.Library>
  readonly handler: CommandHandler
  /** What the caller may do; undefined for everything. */
  readonly permissions: ReadonlySet<Permission> | undefined
  readonly maxConcurrency: number
  readonly maxQueued: number | undefined
  readonly settings: ContreeConfig.ContreeConfig
  readonly inRegistry: InRegistry
  /** Records a call and gives what is planned for it. */
  readonly called: <M extends Method>(method: M, args: Readonly<Arguments<M>>) => Effect.Effect<ReadonlyArray<Fault>>
}

const isRequestError = Schema.is(ContreeError.RequestError)

/** As long as a client asks a server to keep its answer back. */
const longestWait = Duration.seconds(20)

/** Streams of the service come in pieces of this many bytes. */
const pieceSize = 65_536

const piecewise = (bytes: Uint8Array): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / pieceSize) }, (_, index) =>
      bytes.slice(index * pieceSize, (index + 1) * pieceSize)
    )
  )

type Requests = Effect.Effect.Success<typeof Call.requests>

/** A call of a method. */
interface Exchange<M extends Method, A> {
  readonly method: M
  readonly args: Readonly<Arguments<M>>
  readonly path?: Readonly<Record<string, string | number>> | undefined
  /** The request that the client would send; it is not made when an option is out of its bounds. */
  readonly request: Effect.Effect<unknown, Effect.Effect.Error<ReturnType<Requests["subprocesses"]["writeStdin"]>>>
  /** Which permissions it asks for, where that is not what its endpoint says; one of them is enough. */
  readonly permits?: ReadonlyArray<Permission> | undefined
  readonly work: Effect.Effect<A, ApiFailure>
}

/** Makes the service. */
export const make = Effect.fnUntraced(function* (
  parts: Parts
): Effect.fn.Return<ContreeClient.Service, never, Scope.Scope> {
  const { library, settings } = parts
  const retry = settings.retry ?? RetryPolicy.defaultPolicy
  const operations = yield* Operations.make
  const work = yield* Work.make({ ...parts, operations })

  const may = (wanted: ReadonlyArray<Permission>): Effect.Effect<void, ApiFailure> =>
    wanted.length === 0 || parts.permissions === undefined || wanted.some((one) => parts.permissions?.has(one))
      ? Effect.void
      : refuse(403, `The token lacks the permission ${wanted.join(" or ")}`)

  /** The faults of a call, which is recorded, checked as the client does it, and as late as planned. */
  const prepared = <M extends Method, A>({ args, method, path, request }: Exchange<M, A>) =>
    Effect.gen(function* () {
      const faults = yield* parts.called(method, args)
      yield* Call.requestOf(request).pipe(Call.toRequestErrors({}, requestOf(method, path)))
      for (const fault of faults) if (fault._tag === "Delay") yield* Effect.sleep(fault.duration)
      return [...faults].reverse().find(({ _tag }) => _tag !== "Delay")
    })

  /** The answer to a request, or what is planned in its place. */
  const answered = <M extends Method, A>(
    { method, path, permits, work }: Exchange<M, A>,
    fault: Fault | undefined
  ): Effect.Effect<A, RequestError> =>
    Effect.gen(function* () {
      const where = requestOf(method, path)
      if (fault?._tag === "Answer") return yield* Effect.fail(fromAnswer(where, fault))
      const answer = yield* Effect.zipRight(may(permits ?? permitsOf(method)), work).pipe(
        Effect.mapError(({ error, retryAfterSeconds, status }) =>
          fromAnswer(where, {
            status,
            detail: error,
            retryAfter: retryAfterSeconds === undefined ? undefined : Duration.seconds(retryAfterSeconds)
          })
        )
      )
      return yield* fault?._tag === "Lose" ? Effect.fail(lost(where)) : Effect.succeed(answer)
    })

  const plain = <M extends Method, A>(options: Exchange<M, A>) =>
    Effect.gen(function* () {
      const fault = yield* prepared(options)
      if (fault?._tag !== "Fail") return [yield* answered(options, fault), fault] as const
      return yield* isRequestError(fault.error)
        ? Effect.fail(fault.error)
        : Effect.dieMessage(`The plan lets ${options.method} fail with ${fault.error._tag}, which it cannot fail with`)
    }).pipe(Effect.withSpan(`ContreeClient.${options.method}`))

  const call = <M extends Method, A>(options: Exchange<M, A>): Effect.Effect<A, RequestError> =>
    Effect.map(plain(options), ([answer]) => answer)

  const start = <M extends Method, A>(
    options: Exchange<M, A> & { readonly unknown: Parameters<typeof Call.orOutcomeUnknown>[0] }
  ): Effect.Effect<A, StartError> =>
    Effect.gen(function* () {
      const fault = yield* prepared(options)
      return yield* fault?._tag === "Fail"
        ? Effect.fail(fault.error)
        : answered(options, fault).pipe(Call.orOutcomeUnknown(options.unknown))
    }).pipe(Effect.withSpan(`ContreeClient.${options.method}`))

  const stream = <M extends Method, A>(options: Exchange<M, Stream.Stream<A>>): Stream.Stream<A, RequestError> =>
    Stream.unwrap(
      Effect.map(plain(options), ([answer, fault]) =>
        fault?._tag === "BreakOff"
          ? Stream.concat(Stream.take(answer, fault.after), Stream.fail(lost(requestOf(options.method, options.path))))
          : answer
      )
    )

  const known = <A>(read: (library: Library.Library) => Either.Either<A, ApiFailure>): Effect.Effect<A, ApiFailure> =>
    Effect.flatMap(Ref.get(library), read)
  const change = (change: (library: Library.Library) => Either.Either<Library.Library, ApiFailure>) =>
    Effect.flatMap(Ref.get(library), (before) => Effect.flatMap(change(before), (after) => Ref.set(library, after)))
  const inImage = <A>(id: ImageId, read: (image: Library.StoredImage) => Either.Either<A, ApiFailure>) =>
    Effect.flatMap(
      known((library) => Library.imageById(library, id)),
      read
    )
  const wholeOf = <E>(content: Uint8Array | Stream.Stream<Uint8Array, E>): Effect.Effect<Uint8Array, E> =>
    content instanceof Uint8Array
      ? Effect.succeed(content)
      : Effect.map(Stream.runCollect(content), (pieces) => Bytes.concat(Chunk.toReadonlyArray(pieces)))

  const requests = yield* Call.requests

  const shown = (id: OperationId, inflight: boolean) =>
    Effect.flatMap(operations.get(id), (operation) => operations.show(operation, inflight))

  const whoami = call({
    method: "account.whoami",
    args: [],
    request: requests.account.whoami({}),
    work: Effect.succeed(
      new WhoAmI({
        tokenId: "00000000-0000-4000-8000-00000000000a",
        tokenExpiration: Option.none(),
        permissions: Object.fromEntries(
          Permission.literals.map((name) => [name, parts.permissions?.has(name) ?? true])
        ),
        operationsStat: {},
        limits: {
          instance_max_timeout: Work.limits.maxRunTimeoutSeconds,
          images_import_max_timeout: Work.limits.maxImportTimeoutSeconds,
          instance_max_concurrency: parts.maxConcurrency
        }
      })
    )
  })
  const limitOf = (name: string) => Effect.map(whoami, ({ limits }) => limits[name])

  return {
    account: {
      whoami
    },
    images: {
      list: (query) =>
        call({
          method: "images.list",
          args: [query],
          request: requests.images.list({ urlParams: query }),
          work: Effect.zipWith(window(query), Ref.get(library), (window, library) =>
            Library.listImages(library, { ...query, ...window })
          )
        }),
      import: (request) =>
        start({
          method: "images.import",
          args: [request],
          request: requests.images.import({ payload: request }),
          work: work.startImport(request),
          unknown: {
            kind: "image_import",
            of: withoutUserInfo(request.registry.url),
            what: `the import of ${withoutUserInfo(request.registry.url)}`
          }
        }),
      tag: (id, tag) =>
        call({
          method: "images.tag",
          args: [id, tag],
          path: { id },
          request: requests.images.tag({ path: { id }, payload: { tag } }),
          work: Effect.gen(function* () {
            const image = yield* known((library) => Library.imageById(library, id))
            const moved = yield* Ref.updateAndGet(library, (library) => Library.moveTag(library, id, tag))
            return Library.recordOf(moved, image, Option.some(tag))
          })
        }),
      untag: (id, tag) =>
        call({
          method: "images.untag",
          args: [id, tag],
          path: { id },
          request: requests.images.untag({ path: { id }, urlParams: { tag } }),
          work: Effect.zipRight(
            known((library) => Library.imageById(library, id)),
            change((library) => Library.untag(library, id, tag))
          )
        })
    },
    files: {
      list: (query) =>
        call({
          method: "files.list",
          args: [query],
          request: requests.files.list({ urlParams: query }),
          work: Effect.zipWith(window(query), Ref.get(library), (window, library) =>
            Library.page(library.files, window, () => true).map(Library.fileRecordOf)
          )
        }),
      get: (sha256) =>
        call({
          method: "files.get",
          args: [sha256],
          path: { sha256 },
          request: requests.files.get({ path: { sha256 } }),
          work: Effect.map(
            known((library) => Library.fileByDigest(library, sha256)),
            Library.fileRecordOf
          )
        }),
      exists: (sha256) =>
        call({
          method: "files.exists",
          args: [sha256],
          path: { sha256 },
          request: requests.files.exists({ path: { sha256 } }),
          work: Effect.as(
            known((library) => Library.fileByDigest(library, sha256)),
            true
          )
        }).pipe(Effect.catchTag("NotFound", () => Effect.succeed(false))),
      upload: <E>(content: Uint8Array | Stream.Stream<Uint8Array, E>) =>
        Effect.flatMap(wholeOf(content), (bytes) =>
          call({
            method: "files.upload",
            args: [bytes],
            request: requests.files.upload({ payload: new Uint8Array(0) }),
            work: Effect.gen(function* () {
              const now = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
              const file: Library.StoredFile = {
                id: FileId.make(yield* Uuid.make),
                sha256: yield* Hasher.sha256(Stream.make(bytes)),
                bytes,
                createdAt: now,
                updatedAt: now
              }
              const { id, sha256 } = yield* Ref.modify(library, (library) => Library.addFile(library, file))
              return new UploadReceipt({ id, sha256, size: bytes.length })
            })
          })
        )
    },
    inspect: {
      byTag: (tag) =>
        call({
          method: "inspect.byTag",
          args: [tag],
          request: requests.inspect.byTag({ urlParams: { tag } }),
          work: known((library) =>
            Either.map(Library.imageByTag(library, tag), (image) => Library.recordOf(library, image))
          )
        }),
      byId: (id) =>
        call({
          method: "inspect.byId",
          args: [id],
          path: { id },
          request: requests.inspect.byId({ path: { id } }),
          work: known((library) =>
            Either.map(Library.imageById(library, id), (image) => Library.recordOf(library, image))
          )
        }),
      list: (id, path) =>
        call({
          method: "inspect.list",
          args: [id, path],
          path: { id },
          request: requests.inspect.list({ path: { id }, urlParams: { path } }),
          work: inImage(id, ({ files }) => Inspection.list(files, path))
        }),
      download: (id, path) =>
        stream({
          method: "inspect.download",
          args: [id, path],
          path: { id },
          request: requests.inspect.download({ path: { id }, urlParams: { path } }),
          work: Effect.map(
            inImage(id, ({ files }) => Inspection.download(files, path)),
            piecewise
          )
        }),
      hasDownload: (id, path) =>
        call({
          method: "inspect.hasDownload",
          args: [id, path],
          path: { id },
          request: requests.inspect.hasDownload({ path: { id }, urlParams: { path } }),
          work: Effect.asVoid(inImage(id, ({ files }) => Inspection.download(files, path)))
        }),
      archive: (id, path) =>
        stream({
          method: "inspect.archive",
          args: [id, path],
          path: { id },
          request: requests.inspect.archive({ path: { id }, urlParams: { path } }),
          work: Effect.map(
            inImage(id, ({ files }) => Inspection.archive(files, path)),
            Stream.fromIterable
          )
        }),
      hasArchive: (id, path) =>
        call({
          method: "inspect.hasArchive",
          args: [id, path],
          path: { id },
          request: requests.inspect.hasArchive({ path: { id }, urlParams: { path } }),
          work: Effect.asVoid(inImage(id, ({ files }) => Inspection.archive(files, path)))
        }),
      grep: (id, query) =>
        call({
          method: "inspect.grep",
          args: [id, query],
          path: { id },
          request: requests.inspect.grep({ path: { id }, urlParams: query }),
          work: inImage(id, ({ files }) => Search.grep(files, query))
        })
    },
    instances: {
      spawn: (request) =>
        start({
          method: "instances.spawn",
          args: [request],
          request: requests.instances.spawn({ payload: request }),
          permits: [request.disposable === true ? "spawn_disposable" : "spawn"],
          work: work.startRun(request),
          unknown: { kind: "instance", of: request.image, what: `the command on ${request.image}` }
        })
    },
    operations: {
      list: (query) =>
        call({
          method: "operations.list",
          args: [query],
          request: requests.operations.list({ urlParams: query }),
          work: Effect.gen(function* () {
            const part = yield* window(query)
            const all = yield* Effect.forEach(yield* operations.all, (operation) =>
              Effect.map(operations.show(operation, false), (shown) => ({ createdAt: operation.createdAt, shown }))
            )
            return Library.page(
              all,
              part,
              ({ shown }) =>
                (query.status === undefined || shown.status === query.status) &&
                (query.kind === undefined || shown.kind === query.kind)
            ).map(({ shown }) => new OperationSummary(shown))
          })
        }),
      get: (id, options) =>
        call({
          method: "operations.get",
          args: [id, options],
          path: { id },
          request: requests.operations.get({ path: { id }, urlParams: {}, headers: {} }),
          work: shown(id, options?.inflight === true)
        }),
      poll: (id) =>
        call({
          method: "operations.poll",
          args: [id],
          path: { id },
          request: requests.operations.get({ path: { id }, urlParams: {}, headers: {} }),
          work: Effect.gen(function* () {
            const { over } = yield* operations.get(id)
            if (settings.longPolling !== false) yield* Effect.timeoutOption(Deferred.await(over), longestWait)
            return { operation: yield* shown(id, false), retryAfter: Option.none() }
          })
        }),
      cancel: (id) =>
        call({
          method: "operations.cancel",
          args: [id],
          path: { id },
          request: requests.operations.cancel({ path: { id } }),
          work: Effect.as(operations.cancel(id), true)
        }).pipe(Effect.catchTag("Conflict", () => Effect.succeed(false))),
      events: (id, options = {}) =>
        stream({
          method: "operations.events",
          args: [id, options],
          path: { id },
          request: requests.operations.events({ path: { id }, urlParams: options, headers: {} }),
          work: Effect.zipRight(
            options.follow === true ? may(["spawn", "spawn_disposable"]) : Effect.void,
            Effect.map(work.log(id, options.follow === true), (log) =>
              Stream.map(log.events(options), (event): EventFrame => ({ _tag: "Event", event }))
            )
          )
        })
    },
    subprocesses: {
      start: (id, request) =>
        start({
          method: "subprocesses.start",
          args: [id, request],
          path: { id },
          request: requests.subprocesses.start({ path: { id }, payload: request }),
          work: work.startProcess(id, request),
          unknown: { kind: "subprocess", of: id, what: `the process in ${id}` }
        }),
      get: (id, spid) =>
        call({
          method: "subprocesses.get",
          args: [id, spid],
          path: { id, spid },
          request: requests.subprocesses.get({ path: { id, spid } }),
          work: Effect.flatMap(work.process(id, spid), (process) => process.state)
        }),
      signal: (id, spid, signal) =>
        call({
          method: "subprocesses.signal",
          args: [id, spid, signal],
          path: { id, spid },
          request: requests.subprocesses.signal({
            path: { id, spid },
            urlParams: { signal: signal === undefined ? undefined : String(signal) }
          }),
          work: work.signal(id, spid, signal)
        }),
      writeStdin: (id, spid, input) =>
        start({
          method: "subprocesses.writeStdin",
          args: [id, spid, input],
          path: { id, spid },
          request: requests.subprocesses.writeStdin({ path: { id, spid }, payload: input }),
          work: work.writeStdin(id, spid, input),
          unknown: { kind: "stdin", of: id, what: `the input for process ${spid} of ${id}`, done: "been written" }
        })
    },
    policy: {
      wait: settings.wait ?? WaitPolicy.defaultPolicy,
      retry,
      retryBudget: yield* RetryPolicy.makeBudget(retry.budget),
      pageSize: settings.pageSize ?? 100,
      outputLimitBytes: settings.outputLimitBytes ?? ContreeConfig.defaultOutputLimitBytes,
      idleLimit: Transport.idleLimit(settings),
      instanceSlot: yield* Admission.slot(settings.instanceConcurrency, limitOf("instance_max_concurrency")),
      importSlot: yield* Admission.slot(settings.importConcurrency, limitOf("images_import_max_concurrency"))
    }
  }
})
