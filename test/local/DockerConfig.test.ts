import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Logger, Option, Redacted } from "effect"
import * as fs from "node:fs"
import * as Image from "../../src/Image.js"
import * as DockerConfig from "../../src/local/DockerConfig.js"
import * as EngineConfig from "../../src/local/EngineConfig.js"
import * as LocalContree from "../../src/local/LocalContree.js"
import * as Contree from "../fixtures/Contree.js"
import { Images } from "../fixtures/Images.js"
import { Registry } from "../fixtures/Registry.js"

const base64 = (text: string): string => Buffer.from(text).toString("base64")

/** What a file of this text has for a registry, as `user:password`. */
const found = Effect.fnUntraced(function* (text: string, registry: string) {
  const path = `${yield* Contree.temporaryFolder}/config.json`
  fs.writeFileSync(path, text)
  const credentials = yield* DockerConfig.credentials(path, registry)
  return Option.getOrUndefined(
    Option.map(credentials, ({ password, username }) => `${username}:${Redacted.value(password)}`)
  )
})

const auths = (entries: Readonly<Record<string, unknown>>): string => JSON.stringify({ auths: entries })
const ada = { auth: base64("ada:correct:horse") }

describe("DockerConfig", () => {
  const cases: ReadonlyArray<readonly [what: string, text: string, registry: string, expected: string | undefined]> = [
    ["a registry by its name", auths({ "ghcr.io": ada }), "ghcr.io", "ada:correct:horse"],
    ["a registry with a port", auths({ "127.0.0.1:5000": ada }), "127.0.0.1:5000", "ada:correct:horse"],
    [
      "Docker Hub by the address of its first version",
      auths({ "https://index.docker.io/v1/": ada }),
      "docker.io",
      "ada:correct:horse"
    ],
    [
      "a name and a password apart",
      auths({ "ghcr.io": { username: "ada", password: "horse" } }),
      "ghcr.io",
      "ada:horse"
    ],
    ["no other registry", auths({ "ghcr.io": ada }), "quay.io", undefined],
    [
      "nothing for a helper program",
      JSON.stringify({ auths: { "ghcr.io": {} }, credsStore: "desktop" }),
      "ghcr.io",
      undefined
    ],
    ["nothing for what is no name and password", auths({ "ghcr.io": { auth: base64("ada") } }), "ghcr.io", undefined],
    ["nothing for what is not base64", auths({ "ghcr.io": { auth: "%" } }), "ghcr.io", undefined],
    ["nothing in a file without credentials", "{}", "ghcr.io", undefined]
  ]
  for (const [what, text, registry, expected] of cases) {
    it.scopedLive(`knows ${what}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* found(text, registry), expected)
      }).pipe(Effect.provide(NodeContext.layer))
    )
  }

  it.scopedLive("passes over what it cannot read, and says so without its content; a missing file is nothing", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => void lines.push(String(message)))
      )
      const broken = yield* Effect.provide(found("secret", "ghcr.io"), logger)
      assert.isUndefined(broken)
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /config\.json is passed over/)
      assert.notInclude(lines[0], "secret")
      const none = yield* Effect.provide(DockerConfig.credentials("/none/config.json", "ghcr.io"), logger)
      assert.isTrue(Option.isNone(none))
      assert.lengthOf(lines, 1)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.effect("is the user's own where nothing else is said", () =>
    Effect.gen(function* () {
      const where = (environment: ReadonlyArray<readonly [string, string]>) =>
        ConfigProvider.fromMap(new Map(environment)).load(EngineConfig.defaultDockerConfig)
      assert.strictEqual(yield* where([["HOME", "/home/ada"]]), "/home/ada/.docker/config.json")
      const both = yield* where([
        ["HOME", "/home/ada"],
        ["DOCKER_CONFIG", "/etc/docker-of-ada"]
      ])
      assert.strictEqual(both, "/etc/docker-of-ada/config.json")
    })
  )

  it.scopedLive(
    "lets an import in that brings no credentials, from the login on, and gives way to one that brings its own",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        yield* registry.push(yield* (yield* Images).busyboxIndex, "team/busybox:1")
        const folder = yield* Contree.temporaryFolder
        const dockerConfig = `${folder}/config.json`
        const engine = LocalContree.layerWith({
          dataDirectory: `${folder}/data`,
          insecureRegistries: [registry.address],
          dockerConfig
        })
        const reference = `docker://${registry.address}/team/busybox:1`
        yield* Effect.gen(function* () {
          const before = yield* Effect.flip(Image.importFrom(reference))
          assert.match(before.message, /without credentials/)
          fs.writeFileSync(dockerConfig, auths({ [registry.address]: { auth: base64("ada:correct horse") } }))
          yield* Image.importFrom(reference)
          const own = { username: "ada", password: Redacted.make("wrong") }
          const refused = yield* Effect.flip(Image.importFrom(reference, { credentials: own }))
          assert.match(refused.message, /with the credentials given/)
        }).pipe(Effect.provide(engine))
      }).pipe(
        Effect.provide([
          Registry.layerBasicAuth({ username: "ada", password: "correct horse" }),
          Images.layer,
          NodeContext.layer
        ])
      ),
    90_000
  )
})
