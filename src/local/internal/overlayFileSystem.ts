/**
 * File system calls on the trees of layers.
 *
 * They go to `node:fs` and not to `@effect/platform` `FileSystem`, which has no `lstat`, no entry types with a
 * directory listing and no names beyond UTF-8. Names inside an image are bytes: a `BytePath` is a string with one
 * character per byte (latin1), so that a name that is not UTF-8 survives and strings stay usable as keys.
 */
import type { Brand } from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { BigIntStats, Dirent, Stats } from "node:fs"
import * as Fs from "node:fs"
import * as LayerStoreError from "../LayerStoreError.js"

export type BytePath = string & Brand<"BytePath">

export const bytePath = (path: string): BytePath => Buffer.from(path, "utf8").toString("latin1") as BytePath

/** A path or name whose characters stand for bytes already. */
export const latin1 = (path: string): BytePath => path as BytePath

export const join = (directory: BytePath, name: string): BytePath =>
  (name === "" ? directory : `${directory}/${name}`) as BytePath

export const toBuffer = (path: BytePath): Buffer => Buffer.from(path, "latin1")

export const display = (path: BytePath): string => toBuffer(path).toString("utf8")

/** Calls in flight at a time: libuv has four threads, a few more keep them fed. */
export const CONCURRENCY = 16

// Uninterruptible: a call that has begun cannot be taken back, and a clean-up must not overtake it.
const call = <A = void>(
  operation: string,
  path: BytePath,
  start: (path: Buffer, done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, LayerStoreError.LayerStoreError> =>
  Effect.uninterruptible(
    Effect.async<A, LayerStoreError.LayerStoreError>((resume) =>
      start(toBuffer(path), (error, value) =>
        resume(error === null ? Effect.succeed(value) : Effect.fail(failure(operation, path, error)))
      )
    )
  )

const failure = (operation: string, path: BytePath, error: NodeJS.ErrnoException) =>
  LayerStoreError.make({ operation, path: display(path), code: error.code ?? "UNKNOWN", detail: error.message })

/**
 * Small calls in a row, in this thread: handing each of them to another one takes longer than making it. For folders
 * of a run alone, which are empty or new.
 */
export const atOnce = <A>(
  operation: string,
  path: BytePath,
  calls: () => A
): Effect.Effect<A, LayerStoreError.LayerStoreError> =>
  Effect.try({
    try: calls,
    catch: (error) => failure(operation, path, error instanceof Error ? error : new Error(String(error)))
  })

export type Entry = Dirent

export const list = (path: BytePath): Effect.Effect<Array<Entry>, LayerStoreError.LayerStoreError> =>
  call("list", path, (p, done) => Fs.readdir(p, { encoding: "latin1", withFileTypes: true }, done))

export const lstat = (path: BytePath): Effect.Effect<Stats, LayerStoreError.LayerStoreError> =>
  call("inspect", path, (p, done) => Fs.lstat(p, done))

/** As `lstat`, with times to the nanosecond. */
export const lstatExact = (path: BytePath): Effect.Effect<BigIntStats, LayerStoreError.LayerStoreError> =>
  call("inspect", path, (p, done) => Fs.lstat(p, { bigint: true }, done))

export const names = (path: BytePath): Effect.Effect<Array<string>, LayerStoreError.LayerStoreError> =>
  call("list", path, (p, done) => Fs.readdir(p, "latin1", done))

export const readLink = (path: BytePath): Effect.Effect<string, LayerStoreError.LayerStoreError> =>
  call("read", path, (p, done) => Fs.readlink(p, "latin1", done))

const closeDescriptor = (descriptor: number, path: BytePath) =>
  call("close", path, (_, done) => Fs.close(descriptor, (error) => done(error, undefined))).pipe(Effect.ignore)

const READ_ONLY = Fs.constants.O_RDONLY | Fs.constants.O_NOFOLLOW

/** Opens a regular file that nobody changes, never through a link. */
const openFile = (path: BytePath) =>
  Effect.acquireRelease(
    call<number>("open", path, (p, done) => Fs.open(p, READ_ONLY, done)),
    (descriptor) => closeDescriptor(descriptor, path)
  )

const PIECE = 256 * 1024

const readAt = (descriptor: number, path: BytePath, at: number, length: number) =>
  Effect.suspend(() => {
    const buffer = Buffer.allocUnsafeSlow(length)
    return Effect.filterOrFail(
      call<number>("read", path, (_, done) => Fs.read(descriptor, buffer, 0, length, at, done)),
      (count) => count > 0,
      () => LayerStoreError.make({ operation: "read", path: display(path), code: "EIO", detail: "the file is cut" })
    ).pipe(Effect.map((count) => buffer.subarray(0, count)))
  })

/** The first `size` bytes of a regular file, piece by piece; fewer are a failure. */
export const content = (path: BytePath, size: number): Stream.Stream<Uint8Array, LayerStoreError.LayerStoreError> =>
  Stream.unwrapScoped(
    Effect.map(openFile(path), (descriptor) =>
      Stream.unfoldEffect(0, (at) =>
        at >= size
          ? Effect.succeedNone
          : Effect.map(readAt(descriptor, path, at, Math.min(PIECE, size - at)), (piece) =>
              Option.some([piece, at + piece.length] as const)
            )
      )
    )
  )

/** As `content`, for a small file in one piece: three calls of the system in a row, since there are many such files. */
export const contentWhole = (
  path: BytePath,
  size: number
): Effect.Effect<Uint8Array, LayerStoreError.LayerStoreError> =>
  size === 0
    ? Effect.succeed(new Uint8Array(0))
    : call<Uint8Array>("read", path, (p, done) => {
        const buffer = Buffer.allocUnsafe(size)
        Fs.open(p, READ_ONLY, (refused, descriptor) => {
          if (refused !== null) return done(refused, buffer)
          Fs.read(descriptor, buffer, 0, size, 0, (error, count) =>
            Fs.close(descriptor, () =>
              done(
                error ?? (count < size ? Object.assign(new Error("the file is cut"), { code: "EIO" }) : null),
                buffer
              )
            )
          )
        })
      })

export const makeDirectory = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("create", path, (p, done) => Fs.mkdir(p, { mode: 0o700 }, (error) => done(error, undefined)))

/** Creates the directory and those above it, private to this user, unless they are there. */
export const ensureDirectory = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  Effect.asVoid(
    call<string | undefined>("create", path, (p, done) => Fs.mkdir(p, { recursive: true, mode: 0o700 }, done))
  )

export const makePrivate = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("set mode of", path, (p, done) => Fs.chmod(p, 0o700, (error) => done(error, undefined)))

export const link = (from: BytePath, to: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("link", to, (p, done) => Fs.link(toBuffer(from), p, (error) => done(error, undefined)))

/** Copies a regular file; where the file system can, both share their blocks until one of them is written to. */
export const copyFile = (from: BytePath, to: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("copy to", to, (p, done) =>
    Fs.copyFile(toBuffer(from), p, Fs.constants.COPYFILE_EXCL | Fs.constants.COPYFILE_FICLONE, (error) =>
      done(error, undefined)
    )
  )

export const rename = (from: BytePath, to: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("rename", from, (p, done) => Fs.rename(p, toBuffer(to), (error) => done(error, undefined)))

export const unlink = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("remove", path, (p, done) => Fs.unlink(p, (error) => done(error, undefined)))

export const removeDirectory = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("remove", path, (p, done) => Fs.rmdir(p, (error) => done(error, undefined)))

export const readText = (path: BytePath): Effect.Effect<string, LayerStoreError.LayerStoreError> =>
  call("read", path, (p, done) => Fs.readFile(p, "utf8", done))

export const writeText = (path: BytePath, text: string): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  call("write", path, (p, done) =>
    Fs.writeFile(p, text, { mode: 0o600, flush: true }, (error) => done(error, undefined))
  )

/** A new folder with the two that an overlay writes to in it, the upper one with the attributes. */
export const makeOverlayFolders = (
  directory: BytePath,
  upper: BytePath,
  work: BytePath,
  { gid, mode, mtimeMs, uid }: Attributes
): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  atOnce("create", directory, () => {
    for (const path of [work, upper]) Fs.mkdirSync(toBuffer(path), { mode: 0o700 })
    const seconds = secondsOf(mtimeMs)
    Fs.lchownSync(toBuffer(upper), uid, gid)
    Fs.chmodSync(toBuffer(upper), mode)
    Fs.utimesSync(toBuffer(upper), seconds, seconds)
  })

/** Whether a folder has no entry, and its attributes; of a full one the first entry is read and no other. */
export const lookInto = (
  directory: BytePath
): Effect.Effect<{ readonly isEmpty: boolean; readonly attributes: Attributes }, LayerStoreError.LayerStoreError> =>
  atOnce("inspect", directory, () => {
    const folder = Fs.opendirSync(display(directory), { bufferSize: 1 })
    const first = folder.readSync()
    folder.closeSync()
    return { isEmpty: first === null, attributes: attributesOf(Fs.lstatSync(toBuffer(directory))) }
  })

/** Reads a file to its end. */
export const readThrough = (
  path: BytePath,
  use: (piece: Uint8Array) => void
): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  Effect.acquireUseRelease(
    call<number>("open", path, (p, done) => Fs.open(p, "r", done)),
    (descriptor) => {
      const buffer = Buffer.allocUnsafe(PIECE)
      const read: Effect.Effect<void, LayerStoreError.LayerStoreError> = Effect.flatMap(
        call<number>("read", path, (_, done) => Fs.read(descriptor, buffer, 0, PIECE, null, done)),
        (count) => {
          if (count === 0) return Effect.void
          use(buffer.subarray(0, count))
          return read
        }
      )
      return read
    },
    (descriptor) => closeDescriptor(descriptor, path)
  )

/** Makes the names of a directory durable. */
export const syncDirectory = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  Effect.acquireUseRelease(
    call<number>("open", path, (p, done) => Fs.open(p, "r", done)),
    (descriptor) => call("sync", path, (_, done) => Fs.fsync(descriptor, (error) => done(error, undefined))),
    (descriptor) => closeDescriptor(descriptor, path)
  )

export interface Attributes {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeMs: number
}

const PERMISSIONS = 0o7777

export const attributesOf = (stats: Stats): Attributes => ({
  mode: stats.mode & PERMISSIONS,
  uid: stats.uid,
  gid: stats.gid,
  mtimeMs: stats.mtimeMs
})

/** Node cuts off below the microsecond: half of one more, or a time would go back at every copy. */
const secondsOf = (millis: number): number => millis / 1000 + 5e-7

/** Sets owner and mode of a directory or file: the owner first, since a new one may clear bits of the mode. */
export const setOwnerAndMode = (
  path: BytePath,
  { gid, mode, uid }: Omit<Attributes, "mtimeMs">
): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  Effect.zipRight(
    call("set owner of", path, (p, done) => Fs.lchown(p, uid, gid, (error) => done(error, undefined))),
    call("set mode of", path, (p, done) => Fs.chmod(p, mode, (error) => done(error, undefined)))
  )

/** Sets them on a directory. */
export const setAttributes = (
  directory: BytePath,
  attributes: Attributes
): Effect.Effect<void, LayerStoreError.LayerStoreError> => {
  const seconds = secondsOf(attributes.mtimeMs)
  return Effect.zipRight(
    setOwnerAndMode(directory, attributes),
    call("set time of", directory, (p, done) => Fs.utimes(p, seconds, seconds, (error) => done(error, undefined)))
  )
}

const unlessMissing = (effect: Effect.Effect<void, LayerStoreError.LayerStoreError>) =>
  Effect.catchIf(
    effect,
    (error) => error.reason === "Missing",
    () => Effect.void
  )

/** Removes a tree; links are removed, never followed. What is gone already counts as removed. */
export const removeTree = (path: BytePath): Effect.Effect<void, LayerStoreError.LayerStoreError> =>
  Effect.gen(function* () {
    const entries = yield* list(path)
    const directories = entries.filter((entry) => entry.isDirectory())
    const others = entries.filter((entry) => !entry.isDirectory())
    yield* Effect.forEach(others, (entry) => unlessMissing(unlink(join(path, entry.name))), {
      concurrency: CONCURRENCY,
      discard: true
    })
    // One after the other, so that the width of a tree does not multiply the calls in flight.
    yield* Effect.forEach(directories, (entry) => removeTree(join(path, entry.name)), { discard: true })
    yield* removeDirectory(path)
  }).pipe(unlessMissing)

/** The path without symbolic links. */
export const resolve = (path: BytePath): Effect.Effect<BytePath, LayerStoreError.LayerStoreError> =>
  call<string>("resolve", path, (p, done) => Fs.realpath(p, "latin1", done)).pipe(
    Effect.map((resolved) => resolved as BytePath)
  )

/** What this process sees mounted at or below a path without symbolic links; without /proc, nothing. */
export const mountsBelow = (path: BytePath): Effect.Effect<ReadonlyArray<string>> =>
  call<string>("read", bytePath("/proc/self/mountinfo"), (p, done) => Fs.readFile(p, "latin1", done)).pipe(
    Effect.map((table) =>
      table.split("\n").flatMap((line) => {
        // The fifth field, with blanks and backslashes as three octal digits.
        const mountpoint = line
          .split(" ", 5)[4]
          ?.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
        return mountpoint !== undefined && (mountpoint === path || mountpoint.startsWith(`${path}/`))
          ? [display(mountpoint as BytePath)]
          : []
      })
    ),
    Effect.orElseSucceed(() => [])
  )
