import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Scope } from "effect"
import * as CommandHandler from "../../../src/testing/CommandHandler.js"

type Handler = CommandHandler.CommandHandler

describe("the types of CommandHandler", () => {
  it("give every command an ending", () => {
    expectTypeOf<Handler>().toEqualTypeOf<
      (invocation: CommandHandler.Invocation) => Effect.Effect<number | { readonly signal: number }, never, Scope.Scope>
    >()
    expectTypeOf(CommandHandler.answer).toEqualTypeOf<
      (
        stdout: string,
        options?: { readonly stderr?: string | undefined; readonly exitCode?: number | undefined }
      ) => (invocation: CommandHandler.Invocation) => Effect.Effect<CommandHandler.Ending>
    >()
    expectTypeOf(CommandHandler.notFound).toEqualTypeOf<Handler>()
    expectTypeOf(CommandHandler.match).toEqualTypeOf<
      (cases: ReadonlyArray<readonly [pattern: string | RegExp, handler: Handler]>, otherwise?: Handler) => Handler
    >()
    expectTypeOf(CommandHandler.commandLine).toEqualTypeOf<
      (invocation: Pick<CommandHandler.Invocation, "command" | "args" | "shell">) => string
    >()
  })
})
