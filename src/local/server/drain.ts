/** The end of a server: no new work is taken, and what runs gets a while. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import { ApiFailure } from "../../api/Failure.js"
import { Engine } from "../Engine.js"

export class Drain extends Context.Tag("effect-contree/local/server/Drain")<
  Drain,
  { readonly begin: Effect.Effect<void>; readonly begun: Effect.Effect<boolean> }
>() {}

export const layer = Layer.effect(
  Drain,
  Effect.map(Ref.make(false), (begun) => Drain.of({ begin: Ref.set(begun, true), begun: Ref.get(begun) }))
)

/** The engine as the handlers see it: it takes no work once the end has begun. */
export const engine = Layer.effect(
  Engine,
  Effect.gen(function* () {
    const drain = yield* Drain
    const engine = yield* Engine
    const closed = new ApiFailure({ status: 503, error: "The server is about to stop; nothing was started" })
    const open = Effect.flatMap(drain.begun, (begun) => (begun ? Effect.fail(closed) : Effect.void))
    return Engine.of({
      ...engine,
      startImport: (...request) => Effect.zipRight(open, engine.startImport(...request)),
      startRun: (...request) => Effect.zipRight(open, engine.startRun(...request))
    })
  })
)
