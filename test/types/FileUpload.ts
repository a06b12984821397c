import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Stream } from "effect"
import type { Sha256 } from "../../src/api/Files.js"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { InputFailed, RequestError } from "../../src/ContreeError.js"
import * as FileUpload from "../../src/FileUpload.js"
import type { Dual } from "./Dual.js"

type Source = FileUpload.Source
type Asking<A> = Effect.Effect<A, RequestError, ContreeClient>

describe("the types of FileUpload", () => {
  it("make sources without any failure", () => {
    expectTypeOf(FileUpload.fromText).toEqualTypeOf<(text: string, placement?: FileUpload.Placement) => Source>()
    expectTypeOf(FileUpload.fromBytes).toEqualTypeOf<(bytes: Uint8Array, placement?: FileUpload.Placement) => Source>()
    expectTypeOf(FileUpload.fromStream).toEqualTypeOf<
      (
        stream: Stream.Stream<Uint8Array, unknown>,
        options?: FileUpload.Placement & { readonly sha256?: Sha256 | undefined }
      ) => Source
    >()
    expectTypeOf(FileUpload.fromUploaded).toEqualTypeOf<
      (file: FileUpload.UploadedFile, placement?: FileUpload.Placement) => Source
    >()
    expectTypeOf(FileUpload.make).toEqualTypeOf<(input: FileUpload.Input) => Source>()
    expectTypeOf(FileUpload.mode).toEqualTypeOf<Dual<FileUpload.Input, [bits: number], Source>>()
    expectTypeOf(FileUpload.owner).toEqualTypeOf<
      Dual<FileUpload.Input, [ids: { readonly uid?: number | undefined; readonly gid?: number | undefined }], Source>
    >()
    expectTypeOf(FileUpload.isSource).toEqualTypeOf<(u: unknown) => u is Source>()
    expectTypeOf(FileUpload.Content.Text).returns.toEqualTypeOf<
      Extract<FileUpload.Content, { readonly _tag: "Text" }>
    >()
  })

  it("say what can fail of an upload, and what of a question", () => {
    expectTypeOf<FileUpload.UploadError>().toEqualTypeOf<RequestError | InputFailed>()
    expectTypeOf(FileUpload.upload).toEqualTypeOf<
      Dual<
        FileUpload.Input,
        [options?: FileUpload.UploadOptions | undefined],
        Effect.Effect<FileUpload.UploadedFile, RequestError | InputFailed, ContreeClient>
      >
    >()
    expectTypeOf(FileUpload.get).toEqualTypeOf<(sha256: string) => Asking<FileUpload.UploadedFile>>()
    expectTypeOf(FileUpload.exists).toEqualTypeOf<(sha256: string) => Asking<boolean>>()
    expectTypeOf(FileUpload.list).toEqualTypeOf<
      (options?: FileUpload.ListOptions) => Stream.Stream<FileUpload.UploadedFile, RequestError, ContreeClient>
    >()
  })
})
