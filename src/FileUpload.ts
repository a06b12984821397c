/**
 * Uploaded files: contents that the service keeps by their digest and places into the file systems of runs.
 *
 * @example
 * ```ts
 * import { Command, FileUpload, Image } from "effect-contree"
 *
 * const script = FileUpload.fromText("#!/bin/sh\necho hello\n").pipe(FileUpload.mode(0o755))
 *
 * export const program = Image.run(
 *   "busybox:latest",
 *   Command.exec("/usr/local/bin/hello").pipe(
 *     Command.files({ "/usr/local/bin/hello": script, "/etc/motd": "made by contree\n" })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { FileId, FileRecord, UploadReceipt } from "./api/Files.js"
import { Sha256 } from "./api/Files.js"
import { ContreeClient } from "./ContreeClient.js"
import type { RequestError } from "./ContreeError.js"
import * as ContreeError from "./ContreeError.js"
import * as Hasher from "./Hasher.js"
import type { TimeWindow } from "./internal/listing.js"
import * as Listing from "./internal/listing.js"
import * as SingleFlight from "./internal/singleFlight.js"

/**
 * What a file holds.
 *
 * - `Text`, `Bytes`: held in memory; text is written as UTF-8.
 * - `Stream`: run once for its digest (unless `sha256` says it) and once more when the service lacks it, so it has to
 *   give the same bytes each time.
 * - `Uploaded`: a file that the service has already.
 *
 * @since 0.1.0
 * @category models
 */
export type Content = Data.TaggedEnum<{
  Text: { readonly text: string }
  Bytes: { readonly bytes: Uint8Array }
  Stream: { readonly stream: Stream.Stream<Uint8Array, unknown>; readonly sha256: Option.Option<Sha256> }
  Uploaded: { readonly id: FileId; readonly sha256: Sha256; readonly size: Option.Option<number> }
}>

/**
 * The constructors of {@link Content}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const Content = Data.taggedEnum<Content>()

/**
 * A file to be: its content, and how it is placed. Sources that say the same are equal; streams are equal to
 * themselves only.
 *
 * Left out, `mode` is `0o644` and the owner 0:0.
 *
 * @since 0.1.0
 * @category models
 */
export class Source extends Pipeable.Class(
  Data.TaggedClass("Source")<{
    readonly content: Content
    readonly mode: Option.Option<number>
    readonly uid: Option.Option<number>
    readonly gid: Option.Option<number>
  }>
) {
  /** @internal */
  [Equal.symbol](that: unknown): boolean {
    return (
      that instanceof Source &&
      Equal.equals(this.mode, that.mode) &&
      Equal.equals(this.uid, that.uid) &&
      Equal.equals(this.gid, that.gid) &&
      sameContent(this.content, that.content)
    )
  }

  /** @internal */
  [Hash.symbol](): number {
    const { content } = this
    return Hash.combine(Hash.hash([this.mode, this.uid, this.gid].map(Option.getOrUndefined).join()))(
      content._tag === "Bytes" ? Hash.array([...content.bytes.subarray(0, 64)]) : Hash.hash(content)
    )
  }
}

const sameContent = (a: Content, b: Content): boolean =>
  a._tag === "Bytes" && b._tag === "Bytes"
    ? a.bytes.length === b.bytes.length && a.bytes.every((byte, index) => byte === b.bytes[index])
    : Equal.equals(a, b)

/**
 * Whatever can become a file: a source, its text, its bytes, or a stream of them.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = Source | string | Uint8Array | Stream.Stream<Uint8Array, unknown>

/**
 * How a file is placed: permission bits such as `0o755`, and the numbers of its owner.
 *
 * @since 0.1.0
 * @category models
 */
export interface Placement {
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
}

const place = (content: Content, { gid, mode, uid }: Placement): Source =>
  new Source({
    content,
    mode: Option.fromNullable(mode),
    uid: Option.fromNullable(uid),
    gid: Option.fromNullable(gid)
  })

/**
 * A file of this text, written as UTF-8.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromText = (text: string, placement: Placement = {}): Source => place(Content.Text({ text }), placement)

/**
 * A file of these bytes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array, placement: Placement = {}): Source =>
  place(Content.Bytes({ bytes }), placement)

/**
 * A file of what a stream gives, which is never held in memory. The stream is run twice, or once when `sha256` is given.
 *
 * Browsers can send streams over HTTP/2 only, and some of them not at all; bytes always work.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStream = (
  stream: Stream.Stream<Uint8Array, unknown>,
  options: Placement & { readonly sha256?: Sha256 | undefined } = {}
): Source => place(Content.Stream({ stream, sha256: Option.fromNullable(options.sha256) }), options)

/**
 * A file that the service has already.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromUploaded = (file: UploadedFile, placement: Placement = {}): Source =>
  place(Content.Uploaded({ id: file.id, sha256: file.sha256, size: file.size }), placement)

/**
 * Makes a source of whatever can become a file.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (input: Input): Source => {
  if (input instanceof Source) return input
  if (typeof input === "string") return fromText(input)
  return input instanceof Uint8Array ? fromBytes(input) : fromStream(input)
}

/**
 * Tells whether a value is a source.
 *
 * @since 0.1.0
 * @category guards
 */
export const isSource = (u: unknown): u is Source => u instanceof Source

/**
 * Sets the permission bits of a file, such as `0o755`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const mode: {
  (bits: number): (self: Input) => Source
  (self: Input, bits: number): Source
} = dual(2, (self: Input, bits: number): Source => new Source({ ...make(self), mode: Option.some(bits) }))

/**
 * Sets the numbers of a file's user and group; what is left out stays as it was.
 *
 * @since 0.1.0
 * @category combinators
 */
export const owner: {
  (ids: { readonly uid?: number | undefined; readonly gid?: number | undefined }): (self: Input) => Source
  (self: Input, ids: { readonly uid?: number | undefined; readonly gid?: number | undefined }): Source
} = dual(2, (self: Input, ids: { readonly uid?: number | undefined; readonly gid?: number | undefined }): Source => {
  const source = make(self)
  return new Source({
    ...source,
    uid: Option.orElse(Option.fromNullable(ids.uid), () => source.uid),
    gid: Option.orElse(Option.fromNullable(ids.gid), () => source.gid)
  })
})

/**
 * A file that the service keeps. `size` is in bytes, none where the service does not know it; the times are known of
 * files that were listed or looked up.
 *
 * @since 0.1.0
 * @category models
 */
export class UploadedFile extends Data.TaggedClass("UploadedFile")<{
  readonly id: FileId
  readonly sha256: Sha256
  readonly size: Option.Option<number>
  readonly createdAt: Option.Option<DateTime.Utc>
  readonly updatedAt: Option.Option<DateTime.Utc>
}> {}

const fromRecord = (record: FileRecord): UploadedFile =>
  new UploadedFile({
    id: record.id,
    sha256: record.sha256,
    size: knownSize(record.size),
    createdAt: record.createdAt,
    updatedAt: record.updatedAt
  })

const fromReceipt = (receipt: UploadReceipt): UploadedFile =>
  new UploadedFile({
    id: receipt.id,
    sha256: receipt.sha256,
    size: knownSize(receipt.size),
    createdAt: Option.none(),
    updatedAt: Option.none()
  })

const knownSize = (size: number): Option.Option<number> => (size < 0 ? Option.none() : Option.some(size))

/**
 * How far an upload is: so many bytes were hashed, or sent. A content that the service has already is not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly phase: "hashing" | "sending"
  readonly bytes: number
}

/**
 * How a content is uploaded.
 *
 * - `onProgress`: told after each piece. An upload that several fibers share reports to the one that started it.
 *
 * @since 0.1.0
 * @category models
 */
export interface UploadOptions {
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * What an upload can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type UploadError = RequestError | ContreeError.InputFailed

const utf8 = new TextEncoder()

const pieceBytes = 262_144

const pieces = (bytes: Uint8Array): Stream.Stream<Uint8Array> =>
  Stream.unfold(0, (from) =>
    from < bytes.length
      ? Option.some([bytes.subarray(from, from + pieceBytes), from + pieceBytes] as const)
      : Option.none()
  )

const unreadable = (cause: unknown) =>
  new ContreeError.InputFailed({
    what: "the content of a file",
    detail: `A stream that was to be uploaded failed: ${Predicate.isError(cause) ? cause.message : String(cause)}`,
    suggestion: "The cause is the stream's own error; nothing was uploaded",
    cause
  })

const reporting =
  (phase: Progress["phase"], { onProgress }: UploadOptions) =>
  <E>(content: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> => {
    if (onProgress === undefined) return content
    return Stream.unwrap(
      Effect.map(Ref.make(0), (total) =>
        Stream.tap(content, (bytes) =>
          Effect.flatMap(
            Ref.updateAndGet(total, (sum) => sum + bytes.length),
            (bytes) => onProgress({ phase, bytes })
          )
        )
      )
    )
  }

/** What is read of a source, as it comes and, where it is held in memory, as a whole. */
type Readable = { readonly stream: Stream.Stream<Uint8Array, unknown>; readonly bytes: Uint8Array | undefined }

const send = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  { bytes, stream }: Readable,
  sha256: Sha256,
  options: UploadOptions
): Effect.fn.Return<UploadedFile, UploadError> {
  const receipt = yield* client.files.upload<ContreeError.InputFailed>(
    bytes ?? stream.pipe(Stream.mapError(unreadable), reporting("sending", options)),
    { repeatable: true }
  )
  if (receipt.sha256 !== sha256) {
    return yield* new ContreeError.InputFailed({
      what: "the content of a file",
      detail: `The content changed while it was uploaded: it had the digest ${sha256}, and then ${receipt.sha256}`,
      suggestion: "Upload what nobody writes to, or a copy of it"
    })
  }
  if (bytes !== undefined && options.onProgress !== undefined) {
    yield* options.onProgress({ phase: "sending", bytes: bytes.length })
  }
  return fromReceipt(receipt)
})

type Uploads = SingleFlight.SingleFlight<Sha256, UploadedFile, UploadError>

/** What a client knows to be uploaded lives as long as the client does. */
const uploadsByClient = new WeakMap<ContreeClient.Service, Uploads>()

const uploadsOf = (client: ContreeClient.Service): Effect.Effect<Uploads> =>
  Effect.sync(() => {
    const known = uploadsByClient.get(client)
    if (known !== undefined) return known
    const uploads: Uploads = SingleFlight.make({ capacity: 4096, timeToLive: "1 hour" })
    uploadsByClient.set(client, uploads)
    return uploads
  })

const uploadOnce = (
  uploads: Uploads,
  sha256: Sha256,
  work: Effect.Effect<UploadedFile, UploadError>
): Effect.Effect<UploadedFile, UploadError> =>
  Effect.flatMap(uploads.run(sha256, work), ({ exit, own }) =>
    // Another fiber's stream broke; this one's may be sound.
    !own && Exit.isFailure(exit) && isInputFailure(exit) ? uploadOnce(uploads, sha256, work) : exit
  )

const isInputFailure = (exit: Exit.Exit<unknown, UploadError>): boolean =>
  Exit.match(exit, {
    onSuccess: () => false,
    onFailure: (cause) => cause._tag === "Fail" && cause.error._tag === "InputFailed"
  })

const uploadEither = Effect.fn("FileUpload.upload")(function* (
  input: Input,
  options: UploadOptions = {}
): Effect.fn.Return<UploadedFile, UploadError, ContreeClient> {
  const { content } = make(input)
  if (content._tag === "Uploaded") {
    return new UploadedFile({ ...content, createdAt: Option.none(), updatedAt: Option.none() })
  }
  const client = yield* ContreeClient
  const bytes =
    content._tag === "Stream" ? undefined : content._tag === "Text" ? utf8.encode(content.text) : content.bytes
  const stream = content._tag === "Stream" ? content.stream : pieces(bytes ?? new Uint8Array(0))
  const sha256 = yield* content._tag === "Stream" && Option.isSome(content.sha256)
    ? Effect.succeed(content.sha256.value)
    : Hasher.sha256(stream.pipe(Stream.mapError(unreadable), reporting("hashing", options)))
  yield* Effect.annotateCurrentSpan("contree.file.sha256", sha256)

  return yield* uploadOnce(
    yield* uploadsOf(client),
    sha256,
    client.files.get(sha256).pipe(
      Effect.map(fromRecord),
      Effect.catchTag("NotFound", () => send(client, { stream, bytes }, sha256, options))
    )
  )
})

/**
 * Uploads a content unless the service has it: its SHA-256 digest is asked for first.
 *
 * Fibers that upload the same content at the same time share one upload, and what was uploaded is remembered for an
 * hour (the last 4096 contents of each client). A failure is not remembered. A stream that fails, or gives other bytes
 * the second time, is `InputFailed`. Constant memory for streams. `Hasher` says how contents are hashed.
 *
 * @example
 * ```ts
 * import { FileUpload } from "effect-contree"
 * import { Console, Stream } from "effect"
 *
 * const megabyte = new Uint8Array(1_048_576)
 *
 * export const upload = FileUpload.fromStream(Stream.repeatValue(megabyte).pipe(Stream.take(1024))).pipe(
 *   FileUpload.upload({ onProgress: ({ bytes, phase }) => Console.log(`${phase}: ${bytes}`) })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const upload: {
  (options?: UploadOptions | undefined): (input: Input) => Effect.Effect<UploadedFile, UploadError, ContreeClient>
  (input: Input, options?: UploadOptions | undefined): Effect.Effect<UploadedFile, UploadError, ContreeClient>
} = dual((args) => isInput(args[0]), uploadEither)

const isInput = (u: unknown): u is Input =>
  isSource(u) || typeof u === "string" || u instanceof Uint8Array || Predicate.hasProperty(u, Stream.StreamTypeId)

/**
 * Which files a listing gives, newest first: how many at most, and when they were uploaded; an instant, or a duration
 * back from now.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions extends TimeWindow {
  readonly number?: number | undefined
}

/**
 * The uploaded files of the project, newest first, fetched page by page as they are consumed.
 *
 * @since 0.1.0
 * @category getters
 */
export const list = (options: ListOptions = {}): Stream.Stream<UploadedFile, RequestError, ContreeClient> =>
  Listing.stream({
    name: "FileUpload.list",
    window: options,
    number: options.number,
    page: (client, page) => client.files.list(page),
    id: (file) => file.sha256
  }).pipe(Stream.map(fromRecord))

const digestOf = (sha256: string): Effect.Effect<Sha256, ContreeError.RequestRejected> =>
  Effect.mapError(
    Schema.decode(Sha256)(sha256),
    () =>
      new ContreeError.RequestRejected({
        detail: `${JSON.stringify(sha256)} is not a SHA-256 digest`,
        suggestion: "Give 64 hexadecimal digits; no request was made"
      })
  )

/**
 * The file with a content of this SHA-256 digest (64 hexadecimal digits in either case), else `NotFound`.
 *
 * @since 0.1.0
 * @category getters
 */
export const get = Effect.fn("FileUpload.get")(function* (
  sha256: string
): Effect.fn.Return<UploadedFile, RequestError, ContreeClient> {
  const digest = yield* digestOf(sha256)
  const client = yield* ContreeClient
  return yield* client.files.get(digest).pipe(
    Effect.mapBoth({
      onSuccess: fromRecord,
      onFailure: (error) =>
        error._tag === "NotFound"
          ? new ContreeError.NotFound({
              request: error.request,
              status: error.status,
              detail: error.detail,
              what: `the file with the digest ${digest}`,
              suggestion: "Upload its content with FileUpload.upload"
            })
          : error
    })
  )
})

/**
 * Tells whether a content of this SHA-256 digest was uploaded.
 *
 * @since 0.1.0
 * @category getters
 */
export const exists = Effect.fn("FileUpload.exists")(function* (
  sha256: string
): Effect.fn.Return<boolean, RequestError, ContreeClient> {
  const digest = yield* digestOf(sha256)
  const client = yield* ContreeClient
  return yield* client.files.exists(digest)
})
