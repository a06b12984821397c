/**
 * A process that was started in a running instance.
 *
 * @example
 * ```ts
 * import { Command, type Instance } from "effect-contree"
 * import { Chunk, Effect, Stream } from "effect"
 *
 * // Sorts lines in the instance: what goes in by its input comes out by its output.
 * export const sorted = (instance: Instance.Instance, lines: ReadonlyArray<string>) =>
 *   Effect.gen(function* () {
 *     const sort = yield* instance.exec(Command.exec("sort"), { stdin: "open" })
 *     yield* Stream.fromIterable(lines).pipe(
 *       Stream.map((line) => `${line}\n`),
 *       Stream.run(sort.stdin)
 *     )
 *     return Chunk.toReadonlyArray(yield* Stream.runCollect(sort.stdoutLines))
 *   }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 */
import type { ProcessNumber } from "./api/Subprocesses.js"
import type { Process } from "./Instance.js"

/**
 * A process that was started in a running instance; `spid` is its number there. It ends with the instance at the
 * latest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Subprocess extends Process {
  readonly spid: ProcessNumber
}
