/**
 * ConTree in memory, for tests of programs: no engine, no network, no process. Commands are a function of the test, and
 * time is the `Clock`'s, so that `TestClock` drives it.
 *
 * @example
 * ```ts
 * import { Command, Image, Run } from "effect-contree"
 * import { CommandHandler, TestContree } from "effect-contree/testing"
 * import { Effect } from "effect"
 *
 * // What is to be tested.
 * const build = Effect.gen(function* () {
 *   const base = yield* Image.oci("docker://docker.io/library/node:22")
 *   const built = yield* Image.run(base, Command.sh`npm run build`, { tag: "app:built" })
 *   return yield* Run.orFail(built)
 * })
 *
 * const Test = TestContree.layer({
 *   registry: { "docker://docker.io/library/node:22": { files: { "/etc/os-release": "Debian" } } },
 *   handler: CommandHandler.match([["npm run build", CommandHandler.answer("built\n")]])
 * })
 *
 * export const test = Effect.gen(function* () {
 *   const run = yield* build
 *   const contree = yield* TestContree.TestContree
 *   const spawned = yield* contree.callsOf("instances.spawn")
 *   return [run.stdout.text, spawned.length] // ["built\n", 1]
 * }).pipe(Effect.provide(Test))
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import type { Permission } from "../api/Account.js"
import { ContreeClient } from "../ContreeClient.js"
import type { ContreeConfig } from "../ContreeConfig.js"
import { ImageId } from "../ImageId.js"
import * as ImageRef from "../ImageRef.js"
import * as ImageTag from "../ImageTag.js"
import * as Uuid from "../internal/uuid.js"
import type { InvalidImageRef } from "../InvalidImageRef.js"
import * as OciReference from "../OciReference.js"
import type { CommandHandler, Invocation } from "./CommandHandler.js"

import * as FaultPlan from "./FaultPlan.js"
import * as FileTree from "./FileTree.js"
import * as Library from "./internal/library.js"
import type { Arguments, Method } from "./internal/methods.js"
import * as Service from "./internal/service.js"

/**
 * What an image holds: its files, and what its commands start with. A whole tree, or what is at each path.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImageContent {
  readonly files?: FileTree.FileTree | Readonly<Record<string, FileTree.Content>> | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly workingDirectory?: string | undefined
}

/**
 * An image of a registry. The same value under several names is the same image.
 *
 * - `credentials`: what an import must bring.
 * - `takes`: how long an import takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface RegistryImage extends ImageContent {
  readonly credentials?: { readonly username: string; readonly password: string } | undefined
  readonly takes?: Duration.DurationInput | undefined
}

/**
 * How the double is set up.
 *
 * - `handler`: what commands do. Without it each exits with 0 at once.
 * - `registry`: what can be imported, by reference (`python:3.12`, `docker://ghcr.io/owner/app:1`).
 * - `images`: what is there from the start, by tag.
 * - `faults`: what goes wrong.
 * - `permissions`: what the caller may do, by default everything.
 * - `maxConcurrency`: how many commands run at the same time, default 16; others wait for their turn.
 * - `maxQueued`: how many may wait, by default any number; one more is answered 429.
 * - The others: as in `ContreeConfig`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Pick<
  ContreeConfig,
  | "wait"
  | "retry"
  | "pageSize"
  | "longPolling"
  | "outputLimitBytes"
  | "idleLimit"
  | "instanceConcurrency"
  | "importConcurrency"
> {
  readonly handler?: CommandHandler | undefined
  readonly registry?: Readonly<Record<string, RegistryImage>> | undefined
  readonly images?: Readonly<Record<string, ImageContent>> | undefined
  readonly faults?: FaultPlan.FaultPlan | undefined
  readonly permissions?: Iterable<Permission> | undefined
  readonly maxConcurrency?: number | undefined
  readonly maxQueued?: number | undefined
}

/**
 * A call of a method of the service: its name, what it was called with, and when.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call {
  readonly method: Method
  readonly args: ReadonlyArray<unknown>
  readonly at: DateTime.Utc
}

/**
 * A call of one method.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOf<M extends Method> extends Call {
  readonly method: M
  readonly args: Readonly<Arguments<M>>
}

/**
 * The double as the test sees it, beside the `ContreeClient` that the program sees.
 *
 * @since 0.1.0
 * @category tags
 */
export class TestContree extends Context.Tag("effect-contree/testing/TestContree")<
  TestContree,
  TestContree.Service
>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace TestContree {
  /**
   * What a test does with the double.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** All calls so far, in order. */
    readonly calls: Effect.Effect<ReadonlyArray<Call>>
    /** The calls of a method so far. */
    readonly callsOf: <M extends Method>(method: M) => Effect.Effect<ReadonlyArray<CallOf<M>>>
    /** Plans faults; the numbers of calls count from now. */
    readonly plan: (faults: FaultPlan.FaultPlan) => Effect.Effect<void>
    /** Puts an image into a registry, or replaces it. */
    readonly publish: (reference: string, image: RegistryImage) => Effect.Effect<void, InvalidImageRef>
    /** Makes an image that is there without an import. */
    readonly addImage: (content: ImageContent, tag?: string | undefined) => Effect.Effect<ImageId, InvalidImageRef>
    /** The files of an image, by UUID or tag; none when there is no such image. */
    readonly files: (image: string) => Effect.Effect<Option.Option<FileTree.FileTree>>
    /** The commands that run now. */
    readonly running: Effect.Effect<ReadonlyArray<Invocation>>
  }
}

const filesOf = ({ files = {} }: ImageContent): FileTree.FileTree => (isTree(files) ? files : FileTree.make(files))

const isTree = (files: NonNullable<ImageContent["files"]>): files is FileTree.FileTree =>
  "_tag" in files && files["_tag"] === "Folder"

/** A pull without a tag takes `latest`. */
const registryKey = (reference: OciReference.OciReference): string => `${reference.name} ${reference.reference}`

/**
 * Makes the double and the client that speaks with it. What runs in it ends with the scope.
 *
 * Texts that are no references fail with `InvalidImageRef`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<
  { readonly client: ContreeClient.Service; readonly double: TestContree.Service },
  InvalidImageRef,
  Scope.Scope
> {
  const library = yield* Ref.make(Library.empty)
  const registry = yield* Ref.make(HashMap.empty<string, RegistryImage>())
  const calls = yield* Ref.make<ReadonlyArray<Call>>([])
  const faults = yield* Ref.make({ plan: options.faults ?? FaultPlan.none, since: 0 })
  const running = yield* Ref.make<ReadonlyArray<Invocation>>([])
  const handler: CommandHandler = options.handler ?? (() => Effect.succeed(0))

  const publish = (reference: string, image: RegistryImage) =>
    Effect.flatMap(OciReference.fromString(reference), (reference) =>
      Ref.update(registry, HashMap.set(registryKey(reference), image))
    )
  const addImage = Effect.fnUntraced(function* (content: ImageContent, tag?: string | undefined) {
    const valid = tag === undefined ? undefined : yield* ImageTag.fromString(tag)
    const image: Library.StoredImage = {
      id: ImageId.to.make(yield* Uuid.make),
      kind: "imported",
      files: filesOf(content),
      env: content.env ?? {},
      cwd: content.workingDirectory ?? "",
      operationId: Option.none(),
      createdAt: DateTime.unsafeMake(yield* Clock.currentTimeMillis),
      origin: content
    }
    yield* Ref.update(library, (library) => {
      const added = Library.addImage(library, image)
      return valid === undefined ? added : Library.moveTag(added, image.id, valid)
    })
    return image.id
  })

  for (const [reference, image] of Object.entries(options.registry ?? {})) yield* publish(reference, image)
  for (const [tag, content] of Object.entries(options.images ?? {})) yield* addImage(content, tag)

  const client = yield* Service.make({
    library,
    handler: (invocation) =>
      Effect.acquireUseRelease(
        Ref.update(running, (all) => [...all, invocation]),
        () => handler(invocation),
        () => Ref.update(running, (all) => all.filter((one) => one !== invocation))
      ),
    permissions: options.permissions === undefined ? undefined : new Set(options.permissions),
    maxConcurrency: options.maxConcurrency ?? 16,
    maxQueued: options.maxQueued,
    settings: options,
    inRegistry: (reference) =>
      Effect.map(Ref.get(registry), (registry) =>
        Option.map(HashMap.get(registry, registryKey(reference)), (image) => ({
          origin: image,
          files: filesOf(image),
          env: image.env ?? {},
          cwd: image.workingDirectory ?? "",
          credentials: image.credentials,
          takes: image.takes ?? 0
        }))
      ),
    called: (method, args) =>
      Effect.gen(function* () {
        const at = DateTime.unsafeMake(yield* Clock.currentTimeMillis)
        const before = yield* Ref.getAndUpdate(calls, (calls) => [...calls, { method, args, at }])
        const { plan, since } = yield* Ref.get(faults)
        const number = before.slice(since).filter((call) => call.method === method).length + 1
        return FaultPlan.faultsOf(plan, method, number)
      })
  })

  return {
    client,
    double: {
      calls: Ref.get(calls),
      callsOf: <M extends Method>(method: M) =>
        Effect.map(Ref.get(calls), (calls) => calls.filter((call): call is CallOf<M> => call.method === method)),
      plan: (plan) => Effect.flatMap(Ref.get(calls), ({ length }) => Ref.set(faults, { plan, since: length })),
      publish,
      addImage,
      files: (name) =>
        Effect.gen(function* () {
          const ref = yield* ImageRef.fromString(name)
          const known = yield* Ref.get(library)
          return yield* ref._tag === "Uuid"
            ? Library.imageById(known, ref.id)
            : Effect.flatMap(ImageRef.localTag(ref), (tag) => Library.imageByTag(known, tag))
        }).pipe(
          Effect.map(({ files }) => files),
          Effect.option
        ),
      running: Ref.get(running)
    }
  }
})

/**
 * The double: the client for the program, and {@link TestContree} for the test. A reference or tag in the options that
 * is not one is a defect.
 *
 * @example
 * ```ts
 * import { Image } from "effect-contree"
 * import { FaultPlan, TestContree } from "effect-contree/testing"
 * import { Effect } from "effect"
 *
 * // The service is out of order for one call; the program's own retry is what is tested.
 * export const outage = Image.use("app:1", { strict: true }).pipe(
 *   Effect.retry({ times: 1 }),
 *   Effect.provide(
 *     TestContree.layer({
 *       images: { "app:1": { files: { "/app": "v1" } } },
 *       faults: FaultPlan.answer(FaultPlan.none, "inspect.byTag", 503)
 *     })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<ContreeClient | TestContree> =>
  Layer.scopedContext(
    Effect.map(Effect.orDie(make(options)), ({ client, double }) =>
      Context.make(ContreeClient, client).pipe(Context.add(TestContree, double))
    )
  )
