/**
 * The few tools that are asked for what Node cannot do: `mount`, `umount`, `mknod`, `rm`, `sync`, `tar`, `cp`.
 */
import * as Command from "@effect/platform/Command"
import type { CommandExecutor } from "@effect/platform/CommandExecutor"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as LayerStoreError from "../LayerStoreError.js"

/** Runs the command to its end; a failure carries what it said on standard error. */
export const run = (
  command: Command.Command,
  failure: {
    readonly operation: string
    readonly path: string
    readonly reason?: LayerStoreError.LayerStoreErrorReason | undefined
  }
): Effect.Effect<void, LayerStoreError.LayerStoreError, CommandExecutor> =>
  Effect.scoped(
    Effect.gen(function* () {
      // LC_ALL: messages are matched and shown as the tool's authors wrote them.
      const process = yield* Command.start(Command.env(command, { LC_ALL: "C" }))
      const [said, code] = yield* Effect.all(
        [
          process.stderr.pipe(
            Stream.decodeText(),
            Stream.runFold("", (all, part) => (all + part).slice(0, 2000))
          ),
          process.exitCode,
          Stream.runDrain(process.stdout)
        ],
        { concurrency: "unbounded" }
      )
      return { said: said.trim().replace(/\.$/, ""), code }
    })
  ).pipe(
    Effect.mapError((error) => LayerStoreError.make({ ...failure, code: error._tag, detail: error.message })),
    Effect.flatMap(({ code, said }) =>
      code === 0
        ? Effect.void
        : Effect.fail(
            LayerStoreError.make({
              ...failure,
              reason: said.includes("No space left on device") ? "DiskFull" : failure.reason,
              code: String(code),
              detail: said === "" ? `exit code ${code}` : said
            })
          )
    )
  )
