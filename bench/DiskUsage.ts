/** What folders take on the disk. */
import { Command } from "@effect/platform"
import * as Libsql from "@libsql/client"
import { Data, Effect } from "effect"

export class CheckpointFailed extends Data.TaggedError("CheckpointFailed")<{ readonly cause: unknown }> {}

/** Bytes on disk. */
export const of = Effect.fnUntraced(function* (folder: string, ...options: ReadonlyArray<string>) {
  const du = Command.make("du", "--summarize", "--block-size=1", ...options, folder)
  return Number.parseInt(yield* Command.string(du), 10)
})

/**
 * Bytes of an engine's data folder. The database's log of the last moments, at most 4 MiB whatever there is, is taken
 * into the database first: it would be counted as the cost of the few runs in between. What is being removed does not
 * count.
 */
export const ofEngine = Effect.fnUntraced(function* (dataDirectory: string) {
  yield* Effect.acquireUseRelease(
    Effect.sync(() => Libsql.createClient({ url: `file:${dataDirectory}/contree.db` })),
    (client) =>
      Effect.tryPromise({
        try: () => client.execute("PRAGMA wal_checkpoint(TRUNCATE)"),
        catch: (cause) => new CheckpointFailed({ cause })
      }),
    (client) => Effect.sync(() => client.close())
  )
  return yield* of(dataDirectory, `--exclude=${dataDirectory}/t`)
})
