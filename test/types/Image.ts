import { describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, type Scope, type Stream } from "effect"
import * as Command from "../../src/Command.js"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { InputFailed, RequestError, StartError, WaitError } from "../../src/ContreeError.js"
import type * as FileUpload from "../../src/FileUpload.js"
import * as Image from "../../src/Image.js"
import * as ImageFiles from "../../src/ImageFiles.js"
import type * as ImageRef from "../../src/ImageRef.js"
import type { ImageTag } from "../../src/ImageTag.js"
import type { Instance, StartOptions } from "../../src/Instance.js"
import type { InvalidImageRef } from "../../src/InvalidImageRef.js"
import type * as Run from "../../src/Run.js"
import type { Dual } from "./Dual.js"

type Verb<A, E> = Effect.Effect<A, E, ContreeClient>
type Asking = InvalidImageRef | RequestError
type Import = (
  ref: ImageRef.Input,
  options?: Image.ImportOptions | undefined
) => Verb<Image.Image, InvalidImageRef | StartError | WaitError>
type Tagging<A> = Dual<Image.Input, [tag: ImageTag | string], Verb<A, Asking>>

describe("the types of Image", () => {
  it("ask for nothing when an image is used, but where it must be there", () => {
    const use = (ref: ImageRef.ImageRef) => Image.use(ref)
    expectTypeOf<ReturnType<typeof use>>().toEqualTypeOf<Effect.Effect<Image.LazyImage>>()
    expectTypeOf(Image.use("a")).toEqualTypeOf<Effect.Effect<Image.LazyImage, InvalidImageRef>>()
    expectTypeOf(Image.use("a", { strict: true })).toEqualTypeOf<Verb<Image.Image, Asking>>()
    expectTypeOf(Image.resolve).toEqualTypeOf<(input: Image.Input) => Verb<Image.Image, Asking>>()
  })

  it("import images with all that a start and a wait can have", () => {
    expectTypeOf<Image.WorkError>().toEqualTypeOf<InvalidImageRef | StartError | WaitError>()
    expectTypeOf(Image.importFrom).toEqualTypeOf<Import>()
    expectTypeOf(Image.oci).toEqualTypeOf<Import>()
    expectTypeOf(Image.docker).toEqualTypeOf<Import>()
    expectTypeOf(Image.podman).toEqualTypeOf<Import>()
    expectTypeOf(Image.pullByOci).toEqualTypeOf<Import>()
  })

  it("give a kept run an image and a disposable one none", () => {
    type Kept = Verb<Run.Kept, Image.RunError>
    type Disposable = Verb<Run.Run, Image.RunError>
    expectTypeOf<Image.RunError>().toEqualTypeOf<InvalidImageRef | StartError | WaitError | InputFailed>()
    expectTypeOf(Image.run("a", "true")).toEqualTypeOf<Kept>()
    expectTypeOf(Image.run("a", "true", { tag: "b" })).toEqualTypeOf<Kept>()
    expectTypeOf(Image.run("a", Command.exec("true"), { disposable: false })).toEqualTypeOf<Kept>()
    expectTypeOf(Image.run("a", "true", { disposable: true })).toEqualTypeOf<Disposable>()
    expectTypeOf(Image.run(Command.exec("true"), { disposable: true })("a")).toEqualTypeOf<Disposable>()
    expectTypeOf(Image.run(Command.exec("true"))("a")).toEqualTypeOf<Kept>()
    expectTypeOf<Run.Run>().not.toHaveProperty("image")
    expectTypeOf<Run.Kept>().toHaveProperty("image").toEqualTypeOf<Image.Image>()
    // @ts-expect-error what a disposable run leaves behind has no tag
    const _disposableWithTag: Image.DisposableRunOptions = { disposable: true, tag: "b" }
    const disposable = Image.run("a", "true", { disposable: true })
    // @ts-expect-error a disposable run has no image to read
    const _nothing = Effect.flatMap(disposable, (run) => ImageFiles.list(run.image, "/"))
  })

  it("end an instance with a scope", () => {
    expectTypeOf(Image.start).toEqualTypeOf<
      Dual<
        Image.Input,
        [command: Command.Command | string, options?: StartOptions | undefined],
        Effect.Effect<Instance, InvalidImageRef | StartError | InputFailed, ContreeClient | Scope.Scope>
      >
    >()
  })

  it("say that files may not be placed", () => {
    expectTypeOf(Image.applyFiles).toEqualTypeOf<
      Dual<
        Image.Input,
        [files: Readonly<Record<string, FileUpload.Input>>, options?: Omit<Image.RunOptions, "disposable"> | undefined],
        Verb<Image.Image, Image.RunError | Run.CommandFailed>
      >
    >()
  })

  it("say what a branch leaves behind", () => {
    expectTypeOf(Image.branch("a", ["x"])).toEqualTypeOf<Verb<Image.Branches<Run.Kept>, Asking>>()
    expectTypeOf(Image.branch("a", ["x"], { disposable: true })).toEqualTypeOf<Verb<Image.Branches<Run.Run>, Asking>>()
    expectTypeOf(Image.branch(["x"], { mode: "best", score: (run) => run.image.id.length })("a")).toEqualTypeOf<
      Verb<Image.Branches<Run.Kept>, Asking>
    >()
    // @ts-expect-error the best needs a score
    void Image.branch("a", ["x"], { mode: "best" })
    // @ts-expect-error a disposable branch has no image
    void Image.branch("a", ["x"], { mode: "first", disposable: true, when: (run) => run.image.id === "" })
  })

  it("change tags by requests alone", () => {
    expectTypeOf(Image.tagAs).toEqualTypeOf<Tagging<Image.Image>>()
    expectTypeOf(Image.untag).toEqualTypeOf<Tagging<void>>()
    expectTypeOf(Image.untagAll).toEqualTypeOf<(image: Image.Input) => Verb<void, Asking>>()
  })

  it("list images page by page or at once", () => {
    expectTypeOf(Image.stream).toEqualTypeOf<
      (options?: Image.ListOptions) => Stream.Stream<Image.Image, RequestError, ContreeClient>
    >()
    expectTypeOf(Image.list).toEqualTypeOf<
      (options?: Image.ListOptions) => Verb<ReadonlyArray<Image.Image>, RequestError>
    >()
  })
})
