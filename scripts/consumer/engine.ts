/** A program of someone who runs the engine on their own machine: type-checked when packed. */
import { Command, Image } from "effect-contree"
import { LocalContree } from "effect-contree/local"
import * as Effect from "effect/Effect"

export const program = Image.run("busybox", Command.shell("true"), { disposable: true }).pipe(
  Effect.provide(LocalContree.layer)
)
