import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Either, Option } from "effect"
import * as FileTree from "../../../src/testing/FileTree.js"
import type { Dual } from "../Dual.js"

type Tree = FileTree.FileTree
type Given = Partial<FileTree.Attributes>
type Look<A> = (tree: Tree, path: string) => Either.Either<A, FileTree.FileError>
type Change<Args extends ReadonlyArray<unknown>> = Dual<Tree, Args, Either.Either<Tree, FileTree.FileError>>

describe("the types of FileTree", () => {
  it("make entries and trees without any failure", () => {
    expectTypeOf(FileTree.file).toEqualTypeOf<(content: string | Uint8Array, given?: Given) => FileTree.File>()
    expectTypeOf(FileTree.link).toEqualTypeOf<(target: string, given?: Given) => FileTree.Link>()
    expectTypeOf(FileTree.folder).toEqualTypeOf<(given?: Given) => FileTree.Folder>()
    expectTypeOf(FileTree.empty).toEqualTypeOf<Tree>()
    expectTypeOf(FileTree.make).toEqualTypeOf<
      (contents: Readonly<Record<string, FileTree.Content>>, base?: Tree) => Tree
    >()
    expectTypeOf(FileTree.normalize).toEqualTypeOf<(path: string, from?: string) => string>()
    expectTypeOf(FileTree.bytesAdded).toEqualTypeOf<
      (entry: FileTree.Entry, before: Option.Option<FileTree.Entry>) => number
    >()
    expectTypeOf(FileTree.walkFrom).toEqualTypeOf<
      (entry: FileTree.Entry, path?: string) => ReadonlyArray<readonly [path: string, entry: FileTree.Entry]>
    >()
  })

  it("say of each path why it cannot be read or changed", () => {
    expectTypeOf<FileTree.FileError["code"]>().toEqualTypeOf<"ENOENT" | "ENOTDIR" | "EISDIR" | "ELOOP" | "ENOSPC">()
    expectTypeOf(FileTree.get).toEqualTypeOf<Look<FileTree.Entry>>()
    expectTypeOf(FileTree.getLink).toEqualTypeOf<Look<FileTree.Entry>>()
    expectTypeOf(FileTree.realPath).toEqualTypeOf<Look<string>>()
    expectTypeOf(FileTree.read).toEqualTypeOf<Look<Uint8Array>>()
    expectTypeOf(FileTree.readText).toEqualTypeOf<Look<string>>()
    expectTypeOf(FileTree.list).toEqualTypeOf<Look<ReadonlyArray<readonly [name: string, entry: FileTree.Entry]>>>()
    expectTypeOf(FileTree.set).toEqualTypeOf<Change<[path: string, entry: FileTree.Entry]>>()
    expectTypeOf(FileTree.remove).toEqualTypeOf<Change<[path: string]>>()
  })
})
