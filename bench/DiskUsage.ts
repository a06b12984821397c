/** What folders take on the disk. */
import { Command } from "@effect/platform"
import { Effect } from "effect"

/** Bytes on disk. */
export const of = Effect.fnUntraced(function* (folder: string) {
  return Number.parseInt(yield* Command.string(Command.make("du", "--summarize", "--block-size=1", folder)), 10)
})
