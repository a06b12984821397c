/** A file that is read while it is still being written: a download that runs ahead of who reads it. */
import * as FileSystem from "@effect/platform/FileSystem"
import type { PlatformError } from "@effect/platform/Error"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** @internal */
export interface Spool<E> {
  /** What the source gave so far, then what it gives; to be read once. */
  readonly stream: Stream.Stream<Uint8Array, E | PlatformError>
  /** Stops the source and removes the file. */
  readonly close: Effect.Effect<void>
}

const PIECE = 256 * 1024

/**
 * Starts to write a source into a file at `path`; the scope closes the spool.
 *
 * @internal
 */
export const make = Effect.fnUntraced(function* <E>(path: string, source: Stream.Stream<Uint8Array, E>) {
  const fs = yield* FileSystem.FileSystem
  const scope = yield* Effect.flatMap(Effect.scope, (parent) => Scope.fork(parent, ExecutionStrategy.sequential))
  const files = Effect.gen(function* () {
    yield* Effect.addFinalizer(() => Effect.ignoreLogged(fs.remove(path, { force: true })))
    const writer = yield* fs.open(path, { flag: "wx" })
    return { writer, reader: yield* fs.open(path, { flag: "r" }) }
  })
  const { reader, writer } = yield* Scope.extend(files, scope)

  const wake = yield* Queue.sliding<void>(1)
  let written = 0
  let outcome = Option.none<Exit.Exit<void, E | PlatformError>>()

  yield* Stream.runForEach(source, (piece) =>
    Effect.zipRight(
      writer.writeAll(piece),
      Effect.suspend(() => {
        written += piece.length
        return Queue.offer(wake, undefined)
      })
    )
  ).pipe(
    Effect.onExit((exit) => {
      outcome = Option.some(exit)
      return Queue.offer(wake, undefined)
    }),
    Effect.ignore,
    Effect.forkIn(scope)
  )

  const next = (at: number): Effect.Effect<Option.Option<readonly [Uint8Array, number]>, E | PlatformError> =>
    Effect.suspend(() => {
      if (at < written) {
        return Effect.map(
          reader.readAlloc(Math.min(PIECE, written - at)),
          Option.map((piece) => [piece, at + piece.length] as const)
        )
      }
      return Option.match(outcome, {
        onNone: () => Effect.zipRight(Queue.take(wake), next(at)),
        onSome: Exit.matchEffect({ onFailure: Effect.failCause, onSuccess: () => Effect.succeedNone })
      })
    })

  const spool: Spool<E> = { stream: Stream.unfoldEffect(0, next), close: Scope.close(scope, Exit.void) }
  return spool
})
