/** What an interrupted program leaves running: nothing, unless the service itself refuses to end it. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schedule, type Scope } from "effect"
import { type ContreeClient, layerWith } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as FaultServer from "../fixtures/FaultServer.js"

const client = layerWith({
  baseUrl: FaultServer.baseUrl,
  token: Redacted.make("token-of-the-test"),
  retry: { schedule: Schedule.recurs(3), pushback: Schedule.recurs(5), budget: { burst: 10_000, perSecond: 1 } }
}).pipe(Layer.provide(FaultServer.httpClient(NodeHttpClient.layer)))

type Verb = (image: string) => Effect.Effect<unknown, unknown, ContreeClient | Scope.Scope>

const verbs: Readonly<Record<string, Verb>> = {
  "a run": (image) => Image.run(image, "forever"),
  "an import": () => Image.importFrom("docker://registry.test/forever:1"),
  "an instance": (image) => Effect.zipRight(Image.start(image, "forever"), Effect.never)
}

/** Interrupts a verb when a request of its own has come, or its answer is out, and gives what then is. */
const interrupted = (
  verb: Verb,
  options: {
    readonly at: (seen: FaultServer.Seen) => boolean
    readonly when: "arrived" | "answered"
    readonly plan?: ((asked: FaultServer.Asked) => FaultServer.Fault) | undefined
  }
) =>
  Effect.gen(function* () {
    const server = yield* FaultServer.make({ plan: options.plan })
    const reached = yield* Deferred.make<void>()
    server.watchers.add((seen, when) => {
      if (when === options.when && options.at(seen)) Deferred.unsafeDone(reached, Exit.void)
    })
    const fiber = yield* Effect.scoped(verb(server.images[0]?.id ?? "")).pipe(server.within("verb"), Effect.fork)
    yield* Deferred.await(reached)
    const exit = yield* Fiber.interrupt(fiber)
    return {
      exit,
      states: [...server.operations.values()].map(({ status }) => status),
      cancellations: server.seen.filter(({ method }) => method === "DELETE").length
    }
  }).pipe(Effect.scoped)

const isStart = ({ method }: { readonly method: string }) => method === "POST"
const isLook = ({ method }: { readonly method: string }) => method === "GET"

layer(client, { excludeTestServices: true })("An interrupted program", (it) => {
  for (const [name, verb] of Object.entries(verbs)) {
    it.effect(`cancels ${name} that started while its request was on the way`, () =>
      Effect.gen(function* () {
        const late = yield* interrupted(verb, {
          at: isStart,
          when: "arrived",
          plan: (asked) => (isStart(asked) ? { _tag: "Delay", millis: 40 } : FaultServer.none)
        })
        assert.deepStrictEqual([late.states, late.cancellations], [["CANCELLED"], 1])
        const early = yield* interrupted(verb, { at: isStart, when: "answered" })
        assert.deepStrictEqual([early.states, early.cancellations], [["CANCELLED"], 1])
      })
    )

    it.effect(`sends the cancellation of ${name} again as long as that may help`, () =>
      Effect.gen(function* () {
        let asked = 0
        const passing = yield* interrupted(verb, {
          at: isStart,
          when: "answered",
          plan: ({ method }) =>
            method !== "DELETE" || ++asked > 3
              ? FaultServer.none
              : { _tag: "Reset", at: "asked", how: "rst", framing: "length", done: false }
        })
        assert.deepStrictEqual([passing.states, passing.cancellations], [["CANCELLED"], 4])
      })
    )

    it.effect(`ends all the same where the service refuses to cancel ${name}`, () =>
      Effect.forEach(
        [
          [503, 4],
          [500, 1],
          [429, 6]
        ] as const,
        ([status, cancellations]) =>
          Effect.map(
            interrupted(verb, {
              at: isStart,
              when: "answered",
              plan: ({ method }) =>
                method === "DELETE" ? { _tag: "Status", status, done: false, cut: false } : FaultServer.none
            }),
            (refused) => {
              assert.ok(Exit.isFailure(refused.exit) && Cause.isInterrupted(refused.exit.cause))
              assert.deepStrictEqual([refused.states, refused.cancellations], [["EXECUTING"], cancellations])
            }
          ),
        { discard: true }
      )
    )
  }

  it.effect("cancels a run that it waits for", () =>
    Effect.map(
      interrupted((image) => Image.run(image, "forever"), { at: isLook, when: "arrived" }),
      ({ cancellations, states }) => {
        assert.deepStrictEqual([states, cancellations], [["CANCELLED"], 1])
      }
    )
  )
})
