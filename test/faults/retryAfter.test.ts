/** How long a service asks to wait: over real sockets, with the time in the test's hands. */
import { HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted, TestClock } from "effect"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as FaultServer from "../fixtures/FaultServer.js"

const paused = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.zipRight(paused(2), until(holds))))

/** Sends a request that is answered once by a status, and tells that it is sent again exactly when it should be. */
const isSentAgain = (
  ask: (image: string) => Effect.Effect<unknown, unknown, ContreeClient>,
  options: { readonly status: number; readonly retryAfter: string; readonly after: Duration.DurationInput }
) =>
  Effect.gen(function* () {
    const { retryAfter, status } = options
    const server = yield* FaultServer.make({
      plan: ({ number }) =>
        number === 0 ? { _tag: "Status", status, retryAfter, done: false, cut: false } : FaultServer.none
    })
    let answers = 0
    const counting = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.tap(() => Effect.sync(() => answers++))
      )
    ).pipe(Layer.provide(NodeHttpClient.layer))
    const fiber = yield* ask(server.images[0]?.id ?? "").pipe(
      server.within("asks"),
      Effect.provide(
        Layer.provide(
          layerWith({ baseUrl: FaultServer.baseUrl, token: Redacted.make("token-of-the-test") }),
          FaultServer.httpClient(counting)
        )
      ),
      Effect.fork
    )
    yield* until(() => answers === 1)
    // The rest of the answer, which came with its head, is read.
    yield* paused(100)
    yield* TestClock.adjust(Duration.subtract(options.after, "1 millis"))
    yield* paused(50)
    assert.strictEqual(server.seen.length, 1)
    yield* TestClock.adjust("1 millis")
    yield* until(() => server.seen.length > 1)
    yield* Fiber.interrupt(fiber)
  })

const whoami = () => Effect.flatMap(ContreeClient, ({ account }) => account.whoami)
const run = (image: string) => Image.run(image, "job 1")
const importing = () => Image.importFrom("docker://registry.test/app:1")

describe("A request that the service puts off", () => {
  for (const [what, ask, statuses] of [
    ["a look-up", whoami, [408, 410, 425, 429, 502, 503, 504]],
    ["a run", run, [425, 429]],
    ["an import", importing, [425, 429]]
  ] as const) {
    for (const status of statuses) {
      it.scoped(`is sent again when as many seconds have passed: ${what} after ${status}`, () =>
        isSentAgain(ask, { status, retryAfter: "77", after: "77 seconds" })
      )
    }
    it.scoped(`is sent again at the date that it names: ${what}`, () =>
      isSentAgain(ask, { status: 429, retryAfter: new Date(90_000).toUTCString(), after: "90 seconds" })
    )
  }
})
