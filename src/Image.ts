/**
 * Images and what a program does with them: use, import, run, tag, list.
 *
 * @example
 * ```ts
 * import { Command, Image } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const base = yield* Image.oci("docker://docker.io/library/busybox:latest")
 *   const built = yield* Image.run(base, Command.shell("echo hello > /greeting"), { tag: "greeting:latest" })
 *   // Branches are runs of the same image; each starts from the same files.
 *   return yield* Effect.forEach(
 *     ["world", "moon"],
 *     (name) => Image.run(built.image, Command.sh`echo ${name} >> /greeting; cat /greeting`, { disposable: true }),
 *     { concurrency: 2 }
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Array from "effect/Array"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ImageKind, ImageRecord } from "./api/Images.js"
import * as Command from "./Command.js"
import { ContreeClient } from "./ContreeClient.js"
import type { RequestError, StartError, WaitError } from "./ContreeError.js"
import type * as ContreeError from "./ContreeError.js"
import type * as FileUpload from "./FileUpload.js"
import type { ImageId } from "./ImageId.js"
import * as ImageRef from "./ImageRef.js"
import * as ImageTag from "./ImageTag.js"
import type { ExecError, Instance, StartOptions } from "./Instance.js"
import type { InvalidImageRef } from "./InvalidImageRef.js"
import * as Branching from "./internal/branching.js"
import { explainRefusal, locate, type Locator, lookUp } from "./internal/imageLocator.js"
import { Image, imageOf, runOf } from "./internal/image.js"
import * as Instances from "./internal/instance.js"
import type { TimeWindow } from "./internal/listing.js"
import * as Listing from "./internal/listing.js"
import * as Spawn from "./internal/spawn.js"
import * as Operation from "./Operation.js"
import * as Run from "./Run.js"
import type { WaitPolicy } from "./WaitPolicy.js"

export {
  /**
   * An image that the service knows: an immutable snapshot of a file system.
   *
   * `tag` is the tag under which it was found or made; an image may have more.
   *
   * @since 0.1.0
   * @category models
   */
  Image
} from "./internal/image.js"

/**
 * An image that nobody has looked at: a reference that is resolved when a command runs on it.
 *
 * @since 0.1.0
 * @category models
 */
export class LazyImage extends Pipeable.Class(Data.TaggedClass("LazyImage")<{ readonly ref: ImageRef.ImageRef }>) {}

/**
 * Whatever names an image: an image, a reference, or a reference as text.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = Image | LazyImage | ImageRef.Input

/**
 * What a verb that starts work and waits for it can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type WorkError = InvalidImageRef | StartError | WaitError

/**
 * What a run can fail with: as other work, and by what the program supplies for it.
 *
 * @since 0.1.0
 * @category errors
 */
export type RunError = WorkError | ContreeError.InputFailed

const fromRecord = (record: ImageRecord): Image =>
  new Image({ id: record.id, tag: record.tag, createdAt: record.createdAt })

/** The service names one of an image's tags; the program knows it by the one that it used. */
const under = (tag: ImageTag.ImageTag, record: ImageRecord): Image =>
  new Image({ ...fromRecord(record), tag: Option.some(tag) })

const look = (locator: Locator): Effect.Effect<Image, RequestError, ContreeClient> =>
  Effect.map(lookUp(locator), (record) => (locator._tag === "Id" ? fromRecord(record) : under(locator.tag, record)))

/**
 * Uses an image.
 *
 * Without options nothing is asked of the service: the reference is only checked for its form, and resolved when
 * a command runs. With `strict: true` the service must know the image, else the effect fails with `NotFound`.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const lazy = yield* Image.use("ubuntu:latest")
 *   const sure = yield* Image.use("ubuntu:latest", { strict: true })
 *   return [lazy.ref, sure.id]
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export function use(
  ref: ImageRef.ImageRef,
  options?: { readonly strict?: false | undefined } | undefined
): Effect.Effect<LazyImage>
export function use(
  ref: ImageRef.Input,
  options?: { readonly strict?: false | undefined } | undefined
): Effect.Effect<LazyImage, InvalidImageRef>
export function use(
  ref: ImageRef.Input,
  options: { readonly strict: true }
): Effect.Effect<Image, InvalidImageRef | RequestError, ContreeClient>
export function use(
  ref: ImageRef.Input,
  options?: { readonly strict?: boolean | undefined } | undefined
): Effect.Effect<LazyImage | Image, InvalidImageRef | RequestError, ContreeClient> {
  return options?.strict === true
    ? locate(ref).pipe(Effect.flatMap(look), Effect.withSpan("Image.use"))
    : Effect.map(ImageRef.fromInput(ref), (ref) => new LazyImage({ ref }))
}

/**
 * Finds out which image a reference means now: an {@link Image} is given back as it is, and needs no request.
 *
 * A tag may move. A program that reads several files, or branches, resolves its reference once, so that all of it
 * sees the same file system.
 *
 * @example
 * ```ts
 * import { Image, ImageFiles } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const image = yield* Image.resolve("myapp:stable")
 *   return [yield* ImageFiles.readText(image, "/app/version"), yield* ImageFiles.list(image, "/app")]
 * })
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const resolve = Effect.fn("Image.resolve")(function* (
  input: Input
): Effect.fn.Return<Image, InvalidImageRef | RequestError, ContreeClient> {
  return input instanceof Image ? input : yield* Effect.flatMap(locate(input), look)
})

/**
 * How an import is done.
 *
 * - `tag`: the tag that the image gets, instead of the one that the reference stands for.
 * - `credentials`: for the registry; used once and not stored.
 * - `timeout`: how long the server may take, default 300 seconds on the server's side.
 * - `wait`: how the import is waited for, by default the client's policy.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImportOptions {
  readonly tag?: ImageTag.ImageTag | string | undefined
  readonly credentials?: { readonly username: string; readonly password: Redacted.Redacted } | undefined
  readonly timeout?: Duration.DurationInput | undefined
  readonly wait?: WaitPolicy | undefined
}

/**
 * Imports an image from its registry, also when the service has it already: it always starts an operation.
 *
 * An image that is the same in the registry as before keeps its UUID. A UUID fails with `InvalidImageRef`, and a
 * registry that does not give the image with `OperationFailed`.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { Config, Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const password = yield* Config.redacted("GHCR_TOKEN")
 *   return yield* Image.importFrom("docker://ghcr.io/owner/private:1", {
 *     tag: "private:latest",
 *     credentials: { username: "owner", password }
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const importFrom = Effect.fn("Image.importFrom")(function* (
  ref: ImageRef.Input,
  options: ImportOptions = {}
): Effect.fn.Return<Image, WorkError, ContreeClient> {
  const reference = yield* Effect.flatMap(ImageRef.fromInput(ref), ImageRef.toOci)
  const tag = yield* options.tag === undefined ? ImageRef.localTag(reference) : ImageTag.fromString(options.tag)
  yield* Effect.annotateCurrentSpan({ "contree.image": reference.url, "contree.tag": tag })
  const operation = yield* Operation.perform(
    "image_import",
    (client) =>
      client.images.import({
        registry: {
          url: reference.url,
          ...(options.credentials === undefined ? {} : { credentials: options.credentials })
        },
        tag,
        ...(options.timeout === undefined ? {} : { timeout: Duration.decode(options.timeout) })
      }),
    options.wait
  )
  return yield* imageOf(operation)
})

/**
 * Fetches an image: strict use, and an import from its registry when the service does not have it yet.
 *
 * A UUID is only looked up, as there is nothing to import it from.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 *
 * export const base = Image.oci("docker://ghcr.io/owner/image:tag")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const oci = Effect.fn("Image.oci")(function* (
  input: ImageRef.Input,
  options: ImportOptions = {}
): Effect.fn.Return<Image, WorkError, ContreeClient> {
  const ref = yield* ImageRef.fromInput(input)
  if (ref._tag === "Uuid") return yield* look({ _tag: "Id", id: ref.id })
  const tag = yield* options.tag === undefined
    ? Effect.flatMap(ImageRef.toOci(ref), ImageRef.localTag)
    : ImageTag.fromString(options.tag)
  return yield* look({ _tag: "Tag", tag }).pipe(Effect.catchTag("NotFound", () => importFrom(ref, options)))
})

/**
 * The same as {@link oci}, by the name that Docker's users look for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const docker = oci

/**
 * The same as {@link oci}, by the name that Podman's users look for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const podman = oci

/**
 * The same as {@link oci}, by the name that it has in the Python SDK.
 *
 * @since 0.1.0
 * @category constructors
 */
export const pullByOci = oci

/**
 * How a command is run and what becomes of its changes.
 *
 * - `tag`: the tag that the resulting image gets, once the command has exited with code 0.
 * - `disposable`: true keeps nothing of what the command writes. Default false.
 * - `wait`: how the run is waited for, by default the client's policy.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  readonly tag?: ImageTag.ImageTag | string | undefined
  readonly disposable?: false | undefined
  readonly wait?: WaitPolicy | undefined
}

/**
 * How a command is run when nothing of what it writes is kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface DisposableRunOptions {
  readonly disposable: true
  readonly wait?: WaitPolicy | undefined
}

const runEither = Effect.fn("Image.run")(function* (
  image: Input,
  input: Command.Command | string,
  options: RunOptions | DisposableRunOptions = {}
): Effect.fn.Return<Run.Run | Run.Kept, RunError, ContreeClient> {
  const command = Command.isCommand(input) ? input : Command.shell(input)
  const locator = yield* locate(image)
  const disposable = options.disposable === true
  // A tag that cannot be given must be known before the command has run.
  const tag =
    options.disposable === true || options.tag === undefined ? undefined : yield* ImageTag.fromString(options.tag)
  yield* Effect.annotateCurrentSpan("contree.image", locator._tag === "Id" ? locator.id : locator.tag)

  const client = yield* ContreeClient
  const request = yield* Spawn.prepare(locator, command, disposable)
  const operation = yield* Operation.perform(
    "instance",
    ({ instances }) =>
      Effect.catchAll(instances.spawn(request), explainRefusal(locator)).pipe(
        Effect.provideService(ContreeClient, client)
      ),
    options.wait
  )
  const run = yield* runOf(operation)
  yield* Effect.annotateCurrentSpan("contree.exit_code", run.exitCode)
  if (disposable) return run

  const made = new Image({ ...(yield* imageOf(operation)), createdAt: Option.none() })
  const kept: Run.Kept = { ...run, image: made }
  if (tag === undefined || !Run.succeeded(run)) return kept
  return { ...kept, image: under(tag, yield* client.images.tag(made.id, tag)) }
})

/**
 * Runs a command on an image and waits for its end. A string is a shell command.
 *
 * Each kept run makes a new image, `image` of the result; the one that it started from never changes. An
 * interrupted run is cancelled on the server. A non-zero exit code is a value: see `Run.orFail`.
 *
 * @example
 * ```ts
 * import { Command, Image } from "effect-contree"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const write = Command.shell("cat > /app.py").pipe(Command.stdin("print(6 * 7)"))
 *   const built = yield* Image.run("python:3.12-slim", write, { tag: "app:latest" })
 *   const start = Command.exec("python3", "/app.py")
 *   const { stdout } = yield* built.image.pipe(Image.run(start, { disposable: true }))
 *   return stdout.text
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const run: {
  (
    command: Command.Command | string,
    options: DisposableRunOptions
  ): (image: Input) => Effect.Effect<Run.Run, RunError, ContreeClient>
  (
    command: Command.Command | string,
    options?: RunOptions | undefined
  ): (image: Input) => Effect.Effect<Run.Kept, RunError, ContreeClient>
  (
    image: Input,
    command: Command.Command | string,
    options: DisposableRunOptions
  ): Effect.Effect<Run.Run, RunError, ContreeClient>
  (
    image: Input,
    command: Command.Command | string,
    options?: RunOptions | undefined
  ): Effect.Effect<Run.Kept, RunError, ContreeClient>
} = dual((args) => typeof args[1] === "string" || Command.isCommand(args[1]), runEither)

/**
 * Starts a command on an image and does not wait for it: the instance is given while it runs. A string is a shell
 * command. When the scope closes an instance that still runs is cancelled.
 *
 * With `stdin: "open"` it can be given input while it runs.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { Console, Effect, Stream } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const shell = yield* Image.start("busybox:latest", "cat", { stdin: "open", disposable: true })
 *   yield* Stream.make("hello\n", "world\n").pipe(Stream.run(shell.stdin))
 *   yield* Stream.runForEach(shell.stdoutLines, Console.log)
 *   return yield* shell.exit
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const start: {
  (
    command: Command.Command | string,
    options?: StartOptions | undefined
  ): (image: Input) => Effect.Effect<Instance, InvalidImageRef | ExecError, ContreeClient | Scope.Scope>
  (
    image: Input,
    command: Command.Command | string,
    options?: StartOptions | undefined
  ): Effect.Effect<Instance, InvalidImageRef | ExecError, ContreeClient | Scope.Scope>
} = dual(
  (args) => typeof args[1] === "string" || Command.isCommand(args[1]),
  Effect.fn("Image.start")(function* (
    image: Input,
    input: Command.Command | string,
    options: StartOptions = {}
  ): Effect.fn.Return<Instance, InvalidImageRef | ExecError, ContreeClient | Scope.Scope> {
    const command = Command.isCommand(input) ? input : Command.shell(input)
    const locator = yield* locate(image)
    yield* Effect.annotateCurrentSpan("contree.image", locator._tag === "Id" ? locator.id : locator.tag)
    const client = yield* ContreeClient
    const request = yield* Spawn.prepare(locator, command, options.disposable === true, options.stdin === "open")
    const spawn = Effect.catchAll(client.instances.spawn(request), explainRefusal(locator)).pipe(
      Effect.provideService(ContreeClient, client)
    )
    return yield* Instances.start(client, spawn, options.wait ?? client.policy.wait)
  })
)

/**
 * Places files into an image and gives the image that has them: a kept run that does nothing else. An image whose shell
 * does not run gives `CommandFailed`.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 *
 * export const configured = Image.applyFiles("busybox:latest", { "/etc/motd": "hello\n" }, { tag: "greeter:latest" })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const applyFiles: {
  (
    files: Readonly<Record<string, FileUpload.Input>>,
    options?: Omit<RunOptions, "disposable"> | undefined
  ): (image: Input) => Effect.Effect<Image, RunError | Run.CommandFailed, ContreeClient>
  (
    image: Input,
    files: Readonly<Record<string, FileUpload.Input>>,
    options?: Omit<RunOptions, "disposable"> | undefined
  ): Effect.Effect<Image, RunError | Run.CommandFailed, ContreeClient>
} = dual(
  (args) => typeof args[0] === "string" || "_tag" in args[0],
  Effect.fn("Image.applyFiles")(function* (
    image: Input,
    files: Readonly<Record<string, FileUpload.Input>>,
    options: Omit<RunOptions, "disposable"> = {}
  ): Effect.fn.Return<Image, RunError | Run.CommandFailed, ContreeClient> {
    // `:` is the one command that every shell has and that writes nothing.
    const ran = yield* run(image, Command.files(Command.shell(":"), files), { ...options, disposable: false })
    return (yield* Run.orFail(ran)).image
  })
)

/**
 * What a run leaves behind: nothing of a disposable one, an image of another.
 *
 * @since 0.1.0
 * @category models
 */
export type Ran<Disposable extends boolean> = Disposable extends true ? Run.Run : Run.Kept

/**
 * How branches are run, and which of them wins.
 *
 * - `concurrency`: how many run at the same time, default 8.
 * - `disposable`, `wait`: as for a single run.
 * - `mode`: `all` (the default) runs all of them and has no winner; `first` ends with the first for which `when` holds
 *   (default `Run.succeeded`) and cancels the others; `best` runs all, and the highest `score` wins, the earlier one of
 *   equals.
 *
 * @since 0.1.0
 * @category models
 */
export type BranchOptions<Disposable extends boolean = false> = {
  readonly concurrency?: number | "unbounded" | undefined
  readonly disposable?: Disposable | undefined
  readonly wait?: WaitPolicy | undefined
} & (
  | { readonly mode?: "all" | undefined }
  | { readonly mode: "first"; readonly when?: ((run: Ran<Disposable>) => boolean) | undefined }
  | { readonly mode: "best"; readonly score: (run: Ran<Disposable>) => number }
)

/**
 * A branch: its command, and how it ended. One that was cancelled, or never started, was interrupted.
 *
 * @since 0.1.0
 * @category models
 */
export interface Branch<R extends Run.Run> {
  readonly index: number
  readonly command: Command.Command
  readonly exit: Exit.Exit<R, RunError>
}

/**
 * What became of an image's branches, in the order of the commands: `base` is the image that each of them started from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Branches<R extends Run.Run> {
  readonly base: Image
  readonly branches: ReadonlyArray<Branch<R>>
  readonly winner: Option.Option<{ readonly index: number; readonly command: Command.Command; readonly run: R }>
}

const branchEither = Effect.fn("Image.branch")(function* (
  input: Input,
  inputs: ReadonlyArray<Command.Command | string>,
  options: BranchOptions<boolean> = {}
): Effect.fn.Return<Branches<Run.Run | Run.Kept>, InvalidImageRef | RequestError, ContreeClient> {
  const base = yield* resolve(input)
  const commands = inputs.map((input) => (Command.isCommand(input) ? input : Command.shell(input)))
  const { disposable, wait } = options
  const { exits, winner } = yield* Branching.untilWon(
    commands.map((command) => runEither(base, command, disposable === true ? { disposable, wait } : { wait })),
    {
      concurrency: options.concurrency ?? 8,
      wins: (run) => options.mode === "first" && (options.when ?? Run.succeeded)(run)
    }
  )
  const chosen = options.mode === "best" ? Branching.best(exits, options.score) : winner
  return {
    base,
    branches: Array.zipWith(commands, exits, (command, exit) => ({ command, exit })).map((branch, index) => ({
      ...branch,
      index
    })),
    winner: Option.flatMap(chosen, ({ index, value }) =>
      Option.map(Array.get(commands, index), (command) => ({ index, command, run: value }))
    )
  }
})

/**
 * Runs several commands on one image, each from the same files, and gives how each of them ended.
 *
 * The image is looked up once. The failure of a branch is its own `Exit`; the effect itself fails only when the image
 * cannot be found. Losers have ended, on the server too, when the effect ends.
 *
 * @example
 * ```ts
 * import { Command, Image } from "effect-contree"
 *
 * const patches = ["fix-a.patch", "fix-b.patch"]
 *
 * // The first patch with which the tests pass; the others are cancelled.
 * export const fixed = Image.branch(
 *   "myapp:latest",
 *   patches.map((patch) => Command.sh`cd /app && git apply ${patch} && npm test`),
 *   { mode: "first", concurrency: 4 }
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const branch: {
  <const Disposable extends boolean = false>(
    commands: ReadonlyArray<Command.Command | string>,
    options?: BranchOptions<Disposable> | undefined
  ): (base: Input) => Effect.Effect<Branches<Ran<Disposable>>, InvalidImageRef | RequestError, ContreeClient>
  <const Disposable extends boolean = false>(
    base: Input,
    commands: ReadonlyArray<Command.Command | string>,
    options?: BranchOptions<Disposable> | undefined
  ): Effect.Effect<Branches<Ran<Disposable>>, InvalidImageRef | RequestError, ContreeClient>
} = dual((args) => Array.isArray(args[1]), branchEither)

const imageId = (image: Input): Effect.Effect<ImageId, InvalidImageRef | RequestError, ContreeClient> =>
  Effect.flatMap(locate(image), (locator) =>
    locator._tag === "Id" ? Effect.succeed(locator.id) : Effect.map(look(locator), ({ id }) => id)
  )

/**
 * Gives an image a tag. An image that has the tag loses it; other tags of the image stay. Text that is no tag gives
 * `InvalidImageRef`.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 *
 * export const release = Image.tagAs("myapp:candidate", "myapp:stable")
 * export const withdraw = Image.untag("myapp:stable", "myapp:candidate")
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const tagAs: {
  (
    tag: ImageTag.ImageTag | string
  ): (image: Input) => Effect.Effect<Image, InvalidImageRef | RequestError, ContreeClient>
  (image: Input, tag: ImageTag.ImageTag | string): Effect.Effect<Image, InvalidImageRef | RequestError, ContreeClient>
} = dual(
  2,
  Effect.fn("Image.tagAs")(function* (image: Input, input: ImageTag.ImageTag | string) {
    const tag = yield* ImageTag.fromString(input)
    const id = yield* imageId(image)
    const client = yield* ContreeClient
    return under(tag, yield* client.images.tag(id, tag))
  })
)

/**
 * Takes one tag from an image; its other tags stay. It fails with `NotFound` when the image does not have the tag.
 *
 * @since 0.1.0
 * @category combinators
 */
export const untag: {
  (
    tag: ImageTag.ImageTag | string
  ): (image: Input) => Effect.Effect<void, InvalidImageRef | RequestError, ContreeClient>
  (image: Input, tag: ImageTag.ImageTag | string): Effect.Effect<void, InvalidImageRef | RequestError, ContreeClient>
} = dual(
  2,
  Effect.fn("Image.untag")(function* (image: Input, input: ImageTag.ImageTag | string) {
    const tag = yield* ImageTag.fromString(input)
    const id = yield* imageId(image)
    const client = yield* ContreeClient
    yield* client.images.untag(id, tag)
  })
)

/**
 * Takes all tags from an image. It stays reachable by its UUID.
 *
 * @since 0.1.0
 * @category combinators
 */
export const untagAll = Effect.fn("Image.untagAll")(function* (
  image: Input
): Effect.fn.Return<void, InvalidImageRef | RequestError, ContreeClient> {
  const id = yield* imageId(image)
  const client = yield* ContreeClient
  yield* client.images.untag(id)
})

/**
 * Which images a listing gives, newest first.
 *
 * - `number`: how many at most.
 * - `tagged`: only images that have a tag.
 * - `tagPrefix`: only images with a tag that starts so.
 * - `kind`: `"imported"` from a registry, or made by a `"run"`. The hosted service ignores it.
 * - `since`, `until`: when the image was made; an instant, or a duration back from now.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions extends TimeWindow {
  readonly number?: number | undefined
  readonly tagged?: boolean | undefined
  readonly tagPrefix?: string | undefined
  readonly kind?: ImageKind | undefined
}

/**
 * The images of the project, newest first, fetched page by page as they are consumed.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { Stream } from "effect"
 *
 * export const howManyRuns = Image.stream({ kind: "run", since: "7 days" }).pipe(Stream.runCount)
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const stream = (options: ListOptions = {}): Stream.Stream<Image, RequestError, ContreeClient> =>
  Listing.stream({
    name: "Image.stream",
    window: options,
    number: options.number,
    page: (client, page) =>
      client.images.list({
        ...page,
        tagged: options.tagged === true ? true : undefined,
        tagPrefix: options.tagPrefix,
        kind: options.kind
      }),
    id: (record) => record.id
  }).pipe(Stream.map(fromRecord))

/**
 * All images that match, newest first.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 *
 * export const lastFive = Image.list({ number: 5 })
 * export const releases = Image.list({ tagPrefix: "release/" })
 * export const importedToday = Image.list({ kind: "imported", since: "24 hours" })
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const list = (options: ListOptions = {}): Effect.Effect<ReadonlyArray<Image>, RequestError, ContreeClient> =>
  stream(options).pipe(Stream.runCollect, Effect.map(Chunk.toReadonlyArray))
