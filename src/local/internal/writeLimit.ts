/**
 * The limit on what a run writes to its file system, held by looking at its upper folder while it runs.
 *
 * Quotas of projects would be exact, but need a file system that was made for them and root. What a process has
 * written to a file that it has deleted and still holds open is not seen.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RunRequest from "../../internal/runRequest.js"
import type { LayerStoreError } from "../LayerStoreError.js"
import * as SandboxError from "../SandboxError.js"
import * as ImagePath from "./imagePath.js"
import * as Tree from "./overlayFileSystem.js"

const BLOCK_BYTES = 512

/** Whether the files of a tree, which may change meanwhile, take more than `limit` bytes. Holes take none. */
export const exceeds = Effect.fnUntraced(function* (
  root: Tree.BytePath,
  limit: number
): Effect.fn.Return<boolean, LayerStoreError> {
  const linked = new Set<number>()
  const pending = [root]
  let bytes = 0
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const at = directory
    const entries = yield* Effect.catchIf(Tree.list(at), ImagePath.isMissing, () => Effect.succeed([]))
    yield* Effect.forEach(
      entries,
      (entry) => {
        const path = Tree.join(at, entry.name)
        if (entry.isDirectory()) pending.push(path)
        return entry.isFile()
          ? Effect.catchIf(
              Effect.map(Tree.lstat(path), ({ blocks, ino, nlink, size }) => {
                if (!linked.has(ino)) bytes += Math.min(size, blocks * BLOCK_BYTES)
                if (nlink > 1) linked.add(ino)
              }),
              ImagePath.isMissing,
              () => Effect.void
            )
          : Effect.void
      },
      { concurrency: Tree.CONCURRENCY, discard: true }
    )
    if (bytes > limit) return true
  }
  return false
})

/** Looks take at most this part of the time. */
const share = 20

/** How long a run goes on between two looks: a limit of a caller's own is held more closely than the default. */
const pauses = { own: Duration.millis(100), default: Duration.seconds(5) }

/**
 * Waits until a run has written more than it may, and fails then. `check` fails at once or not at all: a fast command
 * is over before the first look.
 */
export const make = (upper: string, limit: number) => {
  const root = Tree.bytePath(upper)
  const tooMuch = Effect.flatMap(exceeds(root, limit), (over) =>
    over
      ? SandboxError.make(
          "DiskLimit",
          `the run wrote more to its file system than its limit of ${limit} bytes (resources_limits.max_layer_bytes)`
        )
      : Effect.void
  )
  const isOwn = limit < RunRequest.defaultMaxLayerBytes
  const watch: Effect.Effect<never, SandboxError.SandboxError | LayerStoreError> = Effect.suspend(() => {
    let pause = isOwn ? pauses.own : pauses.default
    return Effect.forever(
      Effect.gen(function* () {
        yield* Effect.sleep(pause)
        const begun = yield* Clock.currentTimeMillis
        yield* tooMuch
        const took = (yield* Clock.currentTimeMillis) - begun
        pause = Duration.max(isOwn ? pauses.own : pauses.default, Duration.millis(took * share))
      })
    )
  })
  return { watch, check: isOwn ? tooMuch : Effect.void }
}
