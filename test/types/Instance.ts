import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Effect, Scope, Sink, Stream } from "effect"
import type { OperationId } from "../../src/api/Images.js"
import type { Command } from "../../src/Command.js"
import type { InputFailed, RequestError, StartError, WaitError } from "../../src/ContreeError.js"
import type { Image } from "../../src/Image.js"
import type * as Instance from "../../src/Instance.js"
import type { InstanceEvent } from "../../src/InstanceEvent.js"
import type { Run } from "../../src/Run.js"
import type { Subprocess } from "../../src/Subprocess.js"

type Reading<A> = Stream.Stream<A, RequestError>
type Signal = Effect.Effect<boolean, RequestError>

/** What a process has, as an instance's main one and as another one in it. */
interface Process {
  readonly events: Reading<InstanceEvent>
  readonly stdout: Reading<Uint8Array>
  readonly stderr: Reading<Uint8Array>
  readonly stdoutLines: Reading<string>
  readonly stderrLines: Reading<string>
  readonly stdin: Sink.Sink<void, string | Uint8Array, never, StartError>
  readonly write: (input: string | Uint8Array) => Effect.Effect<void, StartError>
  readonly endInput: Effect.Effect<void, StartError>
  readonly signal: (signal: string | number) => Signal
  readonly interrupt: Signal
  readonly kill: Signal
  readonly exit: Effect.Effect<Run, WaitError>
}

describe("the types of Instance", () => {
  it("say what each part of a process can fail with", () => {
    expectTypeOf<Instance.Process>().toEqualTypeOf<Process>()
  })

  it("end what is started in an instance with a scope", () => {
    expectTypeOf<Omit<Instance.Instance, keyof Process>>().toEqualTypeOf<{
      readonly id: OperationId
      readonly exec: (
        command: Command | string,
        options?: Instance.ProcessOptions | undefined
      ) => Effect.Effect<Subprocess, StartError | InputFailed, Scope.Scope>
      readonly image: Effect.Effect<Image, WaitError>
    }>()
    expectTypeOf<Instance.ExecError>().toEqualTypeOf<StartError | InputFailed>()
  })
})
