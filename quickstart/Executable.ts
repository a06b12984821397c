/** Where a program is, and what its file needs beside itself in order to start. */
import { FileSystem } from "@effect/platform"
import { Array, Config, Effect, Option } from "effect"

/** The folders that every Linux has programs in, as a search path. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** The path of a program on `PATH`, or else in the system's own folders, which a plain user's `PATH` may lack. */
export const find = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Config.string("PATH").pipe(Config.withDefault(""), Effect.orDie)
  return yield* Effect.findFirst(
    `${path}:${systemPath}`
      .split(":")
      .filter((folder) => folder.startsWith("/"))
      .map((folder) => `${folder}/${name}`),
    (candidate) =>
      Effect.map(fs.stat(candidate), (info) => info.type === "File" && (info.mode & 0o111) !== 0).pipe(
        Effect.orElseSucceed(() => false)
      )
  )
})

/** A statically linked program, one that names a dynamic loader, a script, or something else. */
export type Executable =
  | { readonly _tag: "Static" }
  | { readonly _tag: "Dynamic"; readonly loader: string }
  | { readonly _tag: "Script"; readonly interpreter: string }
  | { readonly _tag: "Other" }

const elfMagic = 0x7f454c46
const programHeaderInterpreter = 3

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const elf = (bytes: Uint8Array): Executable => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const wide = bytes[4] === 2
  const little = bytes[5] === 1
  const word = (offset: number) => (wide ? Number(view.getBigUint64(offset, little)) : view.getUint32(offset, little))
  const headers = word(wide ? 32 : 28)
  const headerSize = view.getUint16(wide ? 54 : 42, little)
  const count = view.getUint16(wide ? 56 : 44, little)
  for (let index = 0; index < count; index++) {
    const header = headers + index * headerSize
    if (view.getUint32(header, little) === programHeaderInterpreter) {
      const start = word(header + (wide ? 8 : 4))
      const length = word(header + (wide ? 32 : 16))
      return { _tag: "Dynamic", loader: text(bytes.subarray(start, start + length)).replace(/\0+$/, "") }
    }
  }
  return { _tag: "Static" }
}

/** Reads it from the file's bytes; a file that breaks off in its own headers is `Other`. */
export const inspect = (bytes: Uint8Array): Executable => {
  if (bytes.length >= 64 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) === elfMagic) {
    return Option.getOrElse(Option.liftThrowable(elf)(bytes), (): Executable => ({ _tag: "Other" }))
  }
  const shebang = /^#!\s*(\/\S+)/.exec(text(bytes.subarray(0, 256)))
  return shebang?.[1] === undefined ? { _tag: "Other" } : { _tag: "Script", interpreter: shebang[1] }
}

/** The absolute paths in what a dynamic loader prints for `--list` (glibc and musl). */
export const libraries = (listing: string): ReadonlyArray<string> =>
  Array.dedupe(
    Array.filterMap(listing.split("\n"), (line) => Option.fromNullable(/(?:^|\s)(\/\S+) \(0x/.exec(line)?.[1]))
  )
