/**
 * Scoped resources by key, shared by whoever asks for the same key at the same time, and kept a while after: of those
 * that nobody uses, the ones used least recently go when there are more than the capacity.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Scope from "effect/Scope"

export interface LeastRecentlyUsed<K, A, E> {
  /** The resource of the key, in use until the scope closes. */
  readonly get: (key: K) => Effect.Effect<A, E, Scope.Scope>
}

interface Entry<K, A, E> {
  readonly key: K
  readonly value: Deferred.Deferred<A, E>
  readonly scope: Scope.CloseableScope
  users: number
}

/** The cache; all its resources are released with the scope. A resource that could not be had is asked for again. */
export const make = <K, A, E, R>(options: {
  readonly capacity: number
  /** The same for equal keys. */
  readonly hash: (key: K) => string
  readonly lookup: (key: K) => Effect.Effect<A, E, R>
}): Effect.Effect<LeastRecentlyUsed<K, A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    const context = yield* Effect.context<Exclude<R, Scope.Scope>>()
    // In the order of last use.
    const entries = new Map<string, Entry<K, A, E>>()
    const releases = yield* FiberSet.make<void, never>()
    yield* Effect.addFinalizer(() => FiberSet.awaitEmpty(releases))
    const work = yield* FiberSet.make<void, never>()
    // Between the look for a resource and its entry nobody else may look.
    const taking = yield* Effect.makeSemaphore(1)

    const release = (entry: Entry<K, A, E>) => FiberSet.run(releases, Scope.close(entry.scope, Exit.void))

    const drop = (entry: Entry<K, A, E>) =>
      Effect.suspend(() => {
        const hash = options.hash(entry.key)
        if (entries.get(hash) === entry) entries.delete(hash)
        return release(entry)
      })

    const shrink = Effect.suspend(() => {
      const idle = [...entries.values()].filter((entry) => entry.users === 0)
      return Effect.forEach(idle.slice(0, Math.max(0, entries.size - options.capacity)), drop, { discard: true })
    })

    const start = (key: K) =>
      Effect.gen(function* () {
        const entry: Entry<K, A, E> = {
          key,
          value: yield* Deferred.make<A, E>(),
          scope: yield* Scope.fork(parent, ExecutionStrategy.sequential),
          users: 0
        }
        entries.set(options.hash(key), entry)
        yield* options.lookup(key).pipe(
          Effect.provideService(Scope.Scope, entry.scope),
          Effect.provide(context),
          Effect.tapErrorCause(() => drop(entry)),
          Effect.intoDeferred(entry.value),
          FiberSet.run(work)
        )
        return entry
      })

    const take = (key: K) =>
      Effect.suspend(() => {
        const known = entries.get(options.hash(key))
        return Effect.map(known === undefined ? start(key) : Effect.succeed(known), (entry) => {
          entry.users++
          return entry
        })
      }).pipe(taking.withPermits(1))

    const giveBack = (entry: Entry<K, A, E>) =>
      Effect.suspend(() => {
        entry.users--
        const hash = options.hash(entry.key)
        if (entries.get(hash) === entry) {
          entries.delete(hash)
          entries.set(hash, entry)
        }
        return shrink
      })

    return {
      get: (key) => Effect.flatMap(Effect.acquireRelease(take(key), giveBack), ({ value }) => Deferred.await(value))
    }
  })
