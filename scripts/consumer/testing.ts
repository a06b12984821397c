/** A test of someone who depends on `effect-contree` alone: type-checked when packed. */
import { Command, Image } from "effect-contree"
import { CommandHandler, FaultPlan, TestContree } from "effect-contree/testing"
import * as Effect from "effect/Effect"

const Test = TestContree.layer({
  images: { "app:1": { files: { "/app": "v1" } } },
  handler: CommandHandler.match([["make", CommandHandler.answer("done")]]),
  faults: FaultPlan.answer(FaultPlan.none, "instances.spawn", 429)
})

export const test = Effect.gen(function* () {
  yield* Image.run("app:1", Command.shell("make"))
  const contree = yield* TestContree.TestContree
  return (yield* contree.callsOf("instances.spawn")).map(({ args: [request] }) => request.command)
}).pipe(Effect.provide(Test))
