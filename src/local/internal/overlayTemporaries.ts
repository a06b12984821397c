/**
 * The folder of temporaries: fresh directories in it, and the removal of trees through it. A tree that is discarded
 * is gone by its name at once, by a rename; its space follows in the background.
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as LayerStoreError from "../LayerStoreError.js"
import * as Tool from "./overlayCommand.js"
import * as Tree from "./overlayFileSystem.js"

export interface Temporaries {
  /** A fresh empty directory, private to this user. */
  readonly create: Effect.Effect<Tree.BytePath, LayerStoreError.LayerStoreError>
  readonly discard: (path: Tree.BytePath) => Effect.Effect<void, LayerStoreError.LayerStoreError>
  /** As `discard`, for finalizers: what is gone already is well, and a failure is logged. */
  readonly discardQuietly: (path: Tree.BytePath) => Effect.Effect<void>
}

const logRemaining = (cause: unknown) => Effect.logWarning("a folder of the layer store remains", cause)

/**
 * Takes the folder over: what is in it was left by a killed engine and is removed in the background. On closing the
 * scope waits for all removals.
 */
export const make = (
  folder: Tree.BytePath
): Effect.Effect<Temporaries, LayerStoreError.LayerStoreError, CommandExecutor.CommandExecutor | Scope.Scope> =>
  Effect.gen(function* () {
    const executor = yield* CommandExecutor.CommandExecutor
    // One fiber takes them in turn. A fiber for each, waiting for its turn, costs more with each that waits.
    const removals = yield* Queue.unbounded<Effect.Effect<unknown>>()
    yield* Effect.forkScoped(Effect.forever(Effect.flatten(Queue.take(removals))))
    yield* Effect.addFinalizer(() =>
      Effect.flatMap(Deferred.make<void>(), (done) =>
        Effect.zipRight(Queue.offer(removals, Deferred.succeed(done, undefined)), Deferred.await(done))
      )
    )

    const removed = (path: Tree.BytePath) =>
      Effect.flatMap(Tree.mountsBelow(path), (mounts) =>
        mounts.length > 0
          ? // Whatever is mounted there would be emptied with it. The next start, in a namespace of its own, removes it.
            logRemaining(`${mounts.join(", ")} is mounted`)
          : Effect.catchAll(Tree.removeTree(path), () =>
              // `rm` walks by descriptors, so it also removes a tree whose paths are too long to be named.
              Tool.run(Command.make("rm", "-rf", "--", Tree.display(path)), {
                operation: "remove",
                path: Tree.display(path)
              })
            )
      ).pipe(Effect.provideService(CommandExecutor.CommandExecutor, executor), Effect.catchAll(logRemaining))
    const remove = (path: Tree.BytePath) => Queue.offer(removals, removed(path))

    const orphans = yield* Tree.list(folder)
    // Above the names of the orphans, which stay until the background has removed them.
    let last = Math.max(
      -1,
      ...orphans.flatMap(({ name }) => (/^[0-9a-z]{1,10}$/.test(name) ? [Number.parseInt(name, 36)] : []))
    )
    const fresh = () => Tree.join(folder, (++last).toString(36))
    yield* Effect.forEach(orphans, (entry) => remove(Tree.join(folder, entry.name)), { discard: true })

    // A rename needs no space, so a full disk can be emptied.
    const discard = (path: Tree.BytePath) =>
      Effect.suspend(() => {
        const aside = fresh()
        return Effect.asVoid(Effect.zipRight(Tree.rename(path, aside), remove(aside)))
      }).pipe(Effect.uninterruptible)

    return {
      create: Effect.suspend(() => {
        const path = fresh()
        return Effect.as(Tree.makeDirectory(path), path)
      }),
      discard,
      discardQuietly: (path) =>
        Effect.catchAll(discard(path), (error) => (error.reason === "Missing" ? Effect.void : logRemaining(error)))
    }
  })
