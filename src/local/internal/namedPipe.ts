/**
 * The worker's ends of named pipes. `node:net`, because a named pipe is read and written without a thread of its own
 * only through a socket.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as SandboxError from "../SandboxError.js"

/** Opens a named pipe for reading until the scope closes; a pipe that nobody writes to yet has no end yet. */
export const openReader = (path: string): Effect.Effect<Net.Socket, SandboxError.SandboxError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const fd = Fs.openSync(path, Fs.constants.O_RDONLY | Fs.constants.O_NONBLOCK)
        // Nobody may be reading: an error without a listener would end the worker.
        return new Net.Socket({ fd, readable: true, writable: false }).on("error", () => {})
      },
      catch: (error) => SandboxError.make("SetupFailed", `the pipe of an output: ${String(error)}`)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** Ends a pipe that its writer was killed too early to open: a reader waits for the first writer before there is an end. */
export const end = (path: string): Effect.Effect<void> =>
  Effect.async((resume) =>
    Fs.open(path, Fs.constants.O_WRONLY | Fs.constants.O_NONBLOCK, (error, fd) =>
      // Without a reader the opening fails, and there is nobody to be told of the end.
      error === null ? Fs.close(fd, () => resume(Effect.void)) : resume(Effect.void)
    )
  )

export const read = (socket: Net.Socket): Stream.Stream<Uint8Array, SandboxError.SandboxError> =>
  NodeStream.fromReadable<SandboxError.SandboxError, Uint8Array>(
    () => socket,
    (error) => SandboxError.make("Died", `an output of the sandbox: ${String(error)}`)
  )

/** The standard input of a process. */
export interface Input {
  /** Returns when the bytes are in the pipe, which holds 64 KiB: in the order of the calls. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void>
  /** Ends the input after all that was written. */
  readonly close: Effect.Effect<void>
}

/** Opens a named pipe for writing until the scope closes, at once, though nobody reads it yet. */
export const openWriter = (path: string): Effect.Effect<Input, SandboxError.SandboxError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        // To open it for writing alone would wait for the reader.
        const fd = Fs.openSync(path, Fs.constants.O_RDWR | Fs.constants.O_NONBLOCK)
        return new Net.Socket({ fd, readable: false, writable: true }).on("error", () => {})
      },
      catch: (error) => SandboxError.make("SetupFailed", `the pipe of an input: ${String(error)}`)
    }),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(
    Effect.map((socket) => ({
      write: (bytes) =>
        bytes.length === 0
          ? Effect.void
          : Effect.async<void>((resume) => void socket.write(bytes, () => resume(Effect.void))),
      close: Effect.async<void>((resume) => {
        socket.end(() => {
          socket.destroy()
          resume(Effect.void)
        })
      })
    }))
  )
