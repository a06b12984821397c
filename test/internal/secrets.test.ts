import { FetchHttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Effect,
  Exit,
  Fiber,
  HashMap,
  Layer,
  Logger,
  LogLevel,
  Redacted,
  Schedule,
  Stream,
  TestClock,
  Tracer
} from "effect"
import { inspect } from "node:util"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import type { ContreeConfig } from "../../src/ContreeConfig.js"
import { withoutUserInfo } from "../../src/internal/secrets.js"
import * as Scripted from "../fixtures/ScriptedService.js"
import { image, operationId } from "../fixtures/ScriptedService.js"

const token = 't0ken-"very\\secret'
const password = 'pa55-"word\\secret'
const secrets = [token, password].flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)])

/** Everything that a program can print of a value. */
const printed = (value: unknown): string =>
  [inspect(value, { depth: 30, showHidden: true, getters: true }), String(value), JSON.stringify(value)].join("\n")

/** Runs an effect and gives all that it told by spans and logs, and its exit. */
const watched = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const told: Array<string> = []
    const tracer = Tracer.make({
      context: (f) => f(),
      span: (name, parent, context, links, startTime, kind) => {
        told.push(name)
        return {
          _tag: "Span",
          spanId: "s",
          traceId: "t",
          name,
          parent,
          context,
          links: [...links],
          kind,
          sampled: true,
          status: { _tag: "Started", startTime },
          attributes: new Map(),
          // What exporters write of a span's end: the pretty errors of its cause.
          end: (_at, exit) => {
            if (Exit.isFailure(exit)) {
              told.push(Cause.pretty(exit.cause, { renderErrorCause: true }), printed(Cause.prettyErrors(exit.cause)))
            }
          },
          attribute: (key, value) => void told.push(`${key}=${printed(value)}`),
          event: (name, _at, attributes) => void told.push(name, printed(attributes)),
          addLinks: () => {}
        }
      }
    })
    const logger = Logger.make(({ annotations, cause, message }) => {
      told.push(printed(message), Cause.pretty(cause), printed(HashMap.toEntries(annotations)))
    })
    const fiber = yield* Effect.exit(effect).pipe(
      Effect.tap((exit) =>
        Exit.isFailure(exit) ? Effect.logError("it failed", exit.cause) : Effect.log("it went", exit.value)
      ),
      Effect.withTracer(tracer),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.All),
      Effect.fork
    )
    yield* TestClock.adjust("5 minutes")
    const exit = yield* Fiber.join(fiber)
    const causes = Exit.isFailure(exit)
      ? [Cause.pretty(exit.cause, { renderErrorCause: true }), printed(exit.cause)]
      : []
    return [...told, ...causes, printed(exit)].join("\n")
  })

const calls = Effect.gen(function* () {
  const client = yield* ContreeClient
  const tries: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
    client.account.whoami,
    client.inspect.byId(image.id),
    client.operations.cancel(operationId),
    client.instances.spawn({ command: "true", image: image.id }),
    client.images.import({
      registry: {
        url: "docker://busybox",
        credentials: { username: "me", password: Redacted.make(password) }
      }
    }),
    client.files.upload(new TextEncoder().encode("{}")),
    Stream.runDrain(client.inspect.download(image.id, "/f")),
    Stream.runDrain(client.operations.events(operationId))
  ]
  for (const one of tries) {
    const exit = yield* Effect.exit(one)
    if (Exit.isFailure(exit)) yield* Effect.logError("a call failed", exit.cause)
  }
  yield* Effect.logInfo(client, printed(client))
  return yield* Effect.all(tries, { mode: "validate" })
})

/** A transport that does the same with each request. */
const transport = (reply: Scripted.Script) => {
  const anything = new Proxy<Record<string, Scripted.Script>>({}, { get: () => reply, has: () => true })
  return Scripted.make(anything)
}

describe("a token or a password", () => {
  /** A server can only echo what it was sent, and the password goes out with an import alone. */
  const echoing =
    (reply: (echo: string) => Scripted.Reply) =>
    ({ path }: Scripted.Request) => {
      const sent = path.endsWith("/import") ? { token, password } : { token }
      return reply(`you sent ${Object.values(sent).join(" and ")} and ${JSON.stringify(sent)}`)
    }
  const rows: ReadonlyArray<readonly [what: string, script: Scripted.Script]> = [
    ...[400, 401, 403, 404, 409, 429, 500, 503].map(
      (status) => [`an error ${status} that echoes it`, echoing((echo) => Scripted.failure(status, echo))] as const
    ),
    ["a page that echoes it", echoing((echo) => Scripted.text(echo, 502))],
    ["an answer of another shape that echoes it", echoing((echo) => Scripted.json({ echo, uuid: echo }))],
    ["an answer that is no JSON and echoes it", echoing((echo) => Scripted.text(echo, 200))],
    ["a redirect", Scripted.empty(302, { location: "http://elsewhere.test/" })],
    ["a connection that broke", Scripted.broken("ECONNRESET")],
    ["a connection that was refused", Scripted.broken("ECONNREFUSED")],
    ["a silent server", Scripted.silence],
    ["a defect of the transport", Effect.dieMessage("the transport is broken")]
  ]
  it.effect.each(rows)("is in no log, span, error or printed value after %s", ([_what, reply]) =>
    Effect.gen(function* () {
      const told = yield* watched(
        calls.pipe(
          Effect.provide(
            transport(reply).layer({
              token: Redacted.make(token.replaceAll(/[^\x21-\x7e]/g, "")),
              requestTimeout: "2 seconds",
              retry: { schedule: Schedule.recurs(1) }
            })
          )
        )
      )
      assert.include(told, "ContreeClient.account.whoami")
      for (const secret of secrets) assert.notInclude(told, secret)
    })
  )

  const bad: ReadonlyArray<readonly [what: string, Partial<ContreeConfig>]> = [
    ["a token with a line end", { token: Redacted.make(`${token}\n`) }],
    ["a base URL with a password", { baseUrl: `http://me:${encodeURIComponent(password)}@127.0.0.1:9` }],
    ["a base URL that is none, with a password", { baseUrl: `ftp://me:${password}@x` }]
  ]
  it.effect.each(bad)("is not shown by what the HTTP client says of %s, and no request is made", ([_what, config]) =>
    Effect.gen(function* () {
      let requests = 0
      const fetch: typeof globalThis.fetch = (input, init) => {
        requests++
        return globalThis.fetch(input, init)
      }
      const told = yield* watched(
        Effect.flatMap(ContreeClient, ({ account }) => account.whoami).pipe(
          Effect.provide(
            layerWith({ baseUrl: "http://127.0.0.1:9", token: Redacted.make("t"), ...config }).pipe(
              Layer.provide(FetchHttpClient.layer),
              Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch))
            )
          )
        )
      )
      assert.include(told, "no request was made")
      for (const secret of [...secrets, encodeURIComponent(password)]) assert.notInclude(told, secret)
      assert.strictEqual(requests, 0)
    })
  )

  it.effect("stays out of the settings when they are printed", () =>
    Effect.sync(() => {
      const config: ContreeConfig = { token: Redacted.make(token) }
      for (const secret of secrets) assert.notInclude(printed(config), secret)
    })
  )

  it("before a host is left out of what is told of an import, and a digest is kept", () => {
    const kept = [
      "docker://busybox:1@sha256:abc",
      "docker://docker.io/library/busybox@sha256:abc",
      "docker://h:5000/x:1"
    ]
    for (const address of kept) assert.strictEqual(withoutUserInfo(address), address)
    assert.strictEqual(withoutUserInfo("docker://me:secret@h/x:1@sha256:abc"), "docker://<redacted>@h/x:1@sha256:abc")
  })
})
