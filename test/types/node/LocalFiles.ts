import type { FileSystem, Path } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Stream } from "effect"
import type { ContreeClient } from "../../../src/ContreeClient.js"
import type { RequestError } from "../../../src/ContreeError.js"
import type * as FileUpload from "../../../src/FileUpload.js"
import type * as Image from "../../../src/Image.js"
import type { InvalidImageRef } from "../../../src/InvalidImageRef.js"
import type { ArchiveRefused, LocalFileError } from "../../../src/node/LocalFileError.js"
import * as LocalFiles from "../../../src/node/LocalFiles.js"
import type { Dual } from "../Dual.js"

type Files = FileSystem.FileSystem | Path.Path
type ReadError = InvalidImageRef | RequestError

describe("the types of LocalFiles", () => {
  it("need no service for what only looks at this machine", () => {
    expectTypeOf(LocalFiles.file).toEqualTypeOf<
      (
        path: string,
        placement?: FileUpload.Placement | undefined
      ) => Effect.Effect<FileUpload.Source, LocalFileError, FileSystem.FileSystem>
    >()
    expectTypeOf(LocalFiles.directory).toEqualTypeOf<
      (
        folder: string,
        options?: LocalFiles.DirectoryOptions | undefined
      ) => Effect.Effect<Readonly<Record<string, FileUpload.Source>>, LocalFileError, Files>
    >()
    expectTypeOf(LocalFiles.unpack).toEqualTypeOf<
      <E, R>(
        archive: Stream.Stream<Uint8Array, E, R>,
        folder: string,
        options?: LocalFiles.ExtractOptions
      ) => Effect.Effect<LocalFiles.Unpacked, E | LocalFileError | ArchiveRefused, R | Files>
    >()
  })

  it("bring files of an image here, with the image first or last", () => {
    expectTypeOf(LocalFiles.download).toEqualTypeOf<
      Dual<
        Image.Input,
        [path: string, localPath: string],
        Effect.Effect<string, ReadError | LocalFileError, ContreeClient | Files>
      >
    >()
    expectTypeOf(LocalFiles.extract).toEqualTypeOf<
      Dual<
        Image.Input,
        [path: string, folder: string, options?: LocalFiles.ExtractOptions | undefined],
        Effect.Effect<LocalFiles.Unpacked, ReadError | LocalFileError | ArchiveRefused, ContreeClient | Files>
      >
    >()
  })
})
