import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Stream } from "effect"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { RequestError } from "../../src/ContreeError.js"
import type * as Image from "../../src/Image.js"
import * as ImageFiles from "../../src/ImageFiles.js"
import type { InvalidImageRef } from "../../src/InvalidImageRef.js"
import type { Dual } from "./Dual.js"

type Failure = InvalidImageRef | RequestError
type Reading<Args extends ReadonlyArray<unknown>, A, E = Failure> = Dual<
  Image.Input,
  Args,
  Effect.Effect<A, E, ContreeClient>
>
type Streaming<Args extends ReadonlyArray<unknown>, A> = Dual<
  Image.Input,
  Args,
  Stream.Stream<A, Failure, ContreeClient>
>
type Limited = [path: string, options?: ImageFiles.ReadOptions | undefined]

describe("the types of ImageFiles", () => {
  it("say what can fail and what is needed, with the image first or last", () => {
    expectTypeOf<ImageFiles.ReadError>().toEqualTypeOf<Failure>()
    expectTypeOf(ImageFiles.list).toEqualTypeOf<Reading<[path: string], ReadonlyArray<ImageFiles.Entry>>>()
    expectTypeOf(ImageFiles.exists).toEqualTypeOf<Reading<[path: string], boolean>>()
    expectTypeOf(ImageFiles.stat).toEqualTypeOf<Reading<[path: string], ImageFiles.Entry>>()
    expectTypeOf(ImageFiles.grep).toEqualTypeOf<
      Reading<
        [pattern: string | ReadonlyArray<string>, options?: ImageFiles.GrepOptions | undefined],
        ImageFiles.GrepResult
      >
    >()
  })

  it("say that a file may be too large to be held in memory, and not to be streamed", () => {
    expectTypeOf(ImageFiles.readBytes).toEqualTypeOf<Reading<Limited, Uint8Array, Failure | ImageFiles.FileTooLarge>>()
    expectTypeOf(ImageFiles.readText).toEqualTypeOf<Reading<Limited, string, Failure | ImageFiles.FileTooLarge>>()
    expectTypeOf(ImageFiles.stream).toEqualTypeOf<Streaming<[path: string], Uint8Array>>()
    expectTypeOf(ImageFiles.archive).toEqualTypeOf<Streaming<[path: string], Uint8Array>>()
    expectTypeOf(ImageFiles.walk).toEqualTypeOf<
      Streaming<[path: string, options?: ImageFiles.WalkOptions | undefined], ImageFiles.Entry>
    >()
  })
})
