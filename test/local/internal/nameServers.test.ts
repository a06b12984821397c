import { FileSystem } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as NameServers from "../../../src/local/internal/nameServers.js"

const on = (files: Record<string, string>, named: ReadonlyArray<string> = []) =>
  Effect.provide(
    NameServers.find(named),
    FileSystem.layerNoop({ readFileString: (path) => Effect.succeed(files[path] ?? "") })
  )

const SYSTEMD = "/run/systemd/resolve/resolv.conf"

describe("the name servers of a run", () => {
  it.effect("are the machine's, with its search list, without those that a run does not reach", () =>
    Effect.gen(function* () {
      const text = "# made by hand\nsearch a.example\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fe80::1\n"
      assert.deepStrictEqual(yield* on({ "/etc/resolv.conf": text }), {
        servers: ["192.0.2.1"],
        text: "search a.example\nnameserver 192.0.2.1\n"
      })
    })
  )

  it.effect("are those that the machine's resolver asks, where it is on the loopback", () =>
    Effect.gen(function* () {
      const files = { "/etc/resolv.conf": "nameserver 127.0.0.53\n", [SYSTEMD]: "nameserver 192.0.2.2\n" }
      assert.deepStrictEqual((yield* on(files)).servers, ["192.0.2.2"])
    })
  )

  it.effect("are those that the settings name, before the machine's, and at most three", () =>
    Effect.gen(function* () {
      const named = ["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]
      assert.strictEqual(
        (yield* on({ "/etc/resolv.conf": "nameserver 192.0.2.1\n" }, named)).text,
        "nameserver 192.0.2.3\nnameserver 192.0.2.4\nnameserver 192.0.2.5\n"
      )
    })
  )

  it.effect("are none where all are on the loopback", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* on({ "/etc/resolv.conf": "nameserver ::1\nnameserver 127.0.0.1\n" }), {
        servers: [],
        text: ""
      })
    })
  )
})
