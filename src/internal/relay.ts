/**
 * Pieces on their way from a fiber that reads them to one that takes them, a few ahead. It does what a `Mailbox` does
 * at a third of its cost, which is most of what a piece costs.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** What there is, or nothing more. */
type Take<A, E> = Effect.Effect<Option.Option<readonly [Chunk.Chunk<A>, void]>, E>

/** One reader and one taker. */
export class Relay<A, E> {
  private pieces: Array<A> = []
  private end: Exit.Exit<void, E> | undefined
  private taker: ((take: Take<A, E>) => void) | undefined
  private reader: ((go: Effect.Effect<void>) => void) | undefined

  /** How many pieces are read ahead of the taker. */
  constructor(private readonly ahead: number) {}

  /** Adds pieces; false says that the reader should wait for {@link room}. */
  offer(pieces: Iterable<A>): boolean {
    for (const piece of pieces) this.pieces.push(piece)
    this.wakeTaker()
    return this.pieces.length < this.ahead
  }

  /** Waits until the taker has taken what there is. */
  readonly room: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.pieces.length < this.ahead) resume(Effect.void)
    else this.reader = resume
  })

  /** Says how it ended; what was added before is still taken. Only the first end counts. */
  finish(end: Exit.Exit<void, E>): void {
    this.end ??= end
    this.wakeTaker()
  }

  private wakeTaker(): void {
    const { taker } = this
    this.taker = undefined
    taker?.(this.take)
  }

  private readonly take: Take<A, E> = Effect.suspend(() => {
    if (this.pieces.length > 0) {
      const { pieces, reader } = this
      this.pieces = []
      this.reader = undefined
      reader?.(Effect.void)
      return Effect.succeed(Option.some([Chunk.unsafeFromArray(pieces), undefined] as const))
    }
    return this.end === undefined ? this.wait : Effect.as(this.end, Option.none())
  })

  private readonly wait: Take<A, E> = Effect.async((resume) => {
    if (this.pieces.length > 0 || this.end !== undefined) resume(this.take)
    else this.taker = resume
  })

  readonly stream: Stream.Stream<A, E> = Stream.unfoldChunkEffect(undefined, () => this.take)
}
