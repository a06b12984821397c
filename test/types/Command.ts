import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Duration } from "effect"
import * as Command from "../../src/Command.js"
import type * as FileUpload from "../../src/FileUpload.js"
import type { Dual } from "./Dual.js"

type Setting<A> = Dual<Command.Command, [value: A], Command.Command>
type Switch = (self: Command.Command) => Command.Command

describe("the types of Command", () => {
  it("make commands without any failure", () => {
    expectTypeOf(Command.shell).toEqualTypeOf<(script: string) => Command.Command>()
    expectTypeOf(Command.exec).toEqualTypeOf<(file: string, ...args: ReadonlyArray<string>) => Command.Command>()
    expectTypeOf(Command.sh).toEqualTypeOf<
      (
        strings: TemplateStringsArray,
        ...values: ReadonlyArray<string | number | ReadonlyArray<string | number>>
      ) => Command.Command
    >()
    expectTypeOf(Command.quote).toEqualTypeOf<(text: string) => string>()
  })

  it("set one thing of a command, which comes first or last", () => {
    expectTypeOf(Command.env).toEqualTypeOf<Setting<Readonly<Record<string, string | null>>>>()
    expectTypeOf(Command.workingDirectory).toEqualTypeOf<Setting<string>>()
    expectTypeOf(Command.user).toEqualTypeOf<Setting<number>>()
    expectTypeOf(Command.group).toEqualTypeOf<Setting<number>>()
    expectTypeOf(Command.hostname).toEqualTypeOf<Setting<string>>()
    expectTypeOf(Command.files).toEqualTypeOf<Setting<Readonly<Record<string, FileUpload.Input>>>>()
    expectTypeOf(Command.maxLayerBytes).toEqualTypeOf<Setting<number>>()
    expectTypeOf(Command.stdin).toEqualTypeOf<Setting<string | Command.Stdin>>()
    expectTypeOf(Command.timeout).toEqualTypeOf<Setting<Duration.DurationInput>>()
    expectTypeOf(Command.outputLimitBytes).toEqualTypeOf<Setting<number>>()
    expectTypeOf(Command.preserveEnv).toEqualTypeOf<Switch>()
    expectTypeOf(Command.preserveWorkingDirectory).toEqualTypeOf<Switch>()
    expectTypeOf(Command.withoutNetwork).toEqualTypeOf<Switch>()
  })

  it("tell a command from anything else", () => {
    expectTypeOf(Command.isCommand).toEqualTypeOf<(u: unknown) => u is Command.Command>()
  })
})
