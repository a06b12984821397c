import { describe, expectTypeOf, it } from "@effect/vitest"
import type { Stream } from "effect"
import * as InstanceEvent from "../../src/InstanceEvent.js"

type Event = InstanceEvent.InstanceEvent
type Text = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<string, E, R>

describe("the types of InstanceEvent", () => {
  it("narrow events", () => {
    expectTypeOf(InstanceEvent.isOutput).toEqualTypeOf<
      (event: Event) => event is InstanceEvent.Tagged<"Stdout"> | InstanceEvent.Tagged<"Stderr">
    >()
    expectTypeOf(InstanceEvent.isCompletion).toEqualTypeOf<
      (event: Event) => event is InstanceEvent.Tagged<"Completion">
    >()
    expectTypeOf<Event["_tag"]>().toEqualTypeOf<
      | "Init"
      | "Spawn"
      | "Stdin"
      | "Stdout"
      | "Stderr"
      | "Exit"
      | "Truncated"
      | "SizeCap"
      | "Network"
      | "Shutdown"
      | "Completion"
      | "Unknown"
    >()
  })

  it("give streams what their events fail with and need, and no more", () => {
    expectTypeOf(InstanceEvent.output).toEqualTypeOf<{
      (
        stream: "stdout" | "stderr",
        spid?: number | undefined
      ): <E, R>(events: Stream.Stream<Event, E, R>) => Stream.Stream<Uint8Array, E, R>
      <E, R>(
        events: Stream.Stream<Event, E, R>,
        stream: "stdout" | "stderr",
        spid?: number | undefined
      ): Stream.Stream<Uint8Array, E, R>
    }>()
    expectTypeOf(InstanceEvent.lines).toEqualTypeOf<Text>()
    expectTypeOf(InstanceEvent.text).toEqualTypeOf<Text>()
  })
})
