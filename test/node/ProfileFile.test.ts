import { FileSystem, HttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { ConfigError, ConfigProvider, Effect, Layer, Option, Redacted } from "effect"
import { inspect } from "node:util"
import * as ContreeClient from "../../src/ContreeClient.js"
import { hostedBaseUrl } from "../../src/ContreeConfig.js"
import * as ProfileFile from "../../src/node/ProfileFile.js"
import * as Scripted from "../fixtures/ScriptedService.js"

const token = "very-s3cret-t0ken"

const work = `[profile:work]\ntype = iam\ntoken = ${token}\nproject = p-1\n`
const old = `[profile:old]\ntoken = ${token}\nurl = https://old.test\n`

/** A fresh folder with these files, and an environment that names it. */
const withFiles = (files: Readonly<Record<string, string>>, environment: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-profiles-" })
    for (const [name, content] of Object.entries(files)) yield* fs.writeFileString(`${folder}/${name}`, content)
    const variables = ConfigProvider.fromMap(new Map(Object.entries({ CONTREE_HOME: folder, ...environment })))
    return { folder, variables }
  })

const reading = (
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
  options?: ProfileFile.Options
) =>
  Effect.flatMap(withFiles(files, environment), ({ folder, variables }) =>
    Effect.map(Effect.either(Effect.withConfigProvider(ProfileFile.read(options), variables)), (result) => ({
      folder,
      result
    }))
  ).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const profileOf = (
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
  options?: ProfileFile.Options
) =>
  Effect.flatMap(reading(files, environment, options), ({ folder, result }) =>
    Effect.map(result, ({ files, project, token, ...profile }) => ({
      ...profile,
      token: Redacted.value(token),
      project: Option.getOrUndefined(project),
      files: files.map((file) => file.slice(folder.length + 1))
    }))
  )

describe("ProfileFile.read", () => {
  it.effect("gives the active profile: the one of CONTREE_PROFILE, else of [DEFAULT], else the one named default", () =>
    Effect.gen(function* () {
      const files = { "auth.ini": `[DEFAULT]\nprofile = old\n${work}${old}[profile:default]\ntoken=d\nurl=http://d` }
      assert.strictEqual((yield* profileOf(files)).name, "old")
      assert.strictEqual((yield* profileOf(files, { CONTREE_PROFILE: "work" })).name, "work")
      assert.strictEqual((yield* profileOf(files, { CONTREE_PROFILE: "" })).name, "old")
      assert.strictEqual((yield* profileOf(files, { CONTREE_PROFILE: "old" }, { profile: "work" })).name, "work")
      const nothingActive = { "auth.ini": files["auth.ini"].replace("profile = old", "") }
      assert.strictEqual((yield* profileOf(nothingActive)).name, "default")
    })
  )

  it.effect("knows the rules of the two types", () =>
    Effect.gen(function* () {
      deepStrictEqual(yield* profileOf({ "auth.ini": work }, { CONTREE_PROFILE: "work" }), {
        name: "work",
        auth: "iam",
        baseUrl: hostedBaseUrl,
        token,
        project: "p-1",
        files: ["auth.ini"]
      })
      const own = work.replace("type = iam", "TYPE: IAM\nurl: https://mine.test/sandboxes")
      assert.strictEqual(
        (yield* profileOf({ "auth.ini": own }, { CONTREE_PROFILE: "work" })).baseUrl,
        "https://mine.test/sandboxes"
      )
      for (const type of ["", "type = jwt\n", "type =\n"]) {
        const { auth, project } = yield* profileOf(
          { "auth.ini": `${old}${type}project = unused` },
          { CONTREE_PROFILE: "old" }
        )
        deepStrictEqual([auth, project], ["jwt", undefined])
      }
    })
  )

  it.effect("inherits [DEFAULT], and lets auth.ini win over cli.ini key by key", () =>
    Effect.gen(function* () {
      const files = {
        "cli.ini":
          "[DEFAULT]\nprofile = a\nproject = from-cli\n[profile:a]\ntype = iam\ntoken = cli\n[cli]\nformat=json",
        "auth.ini": `[DEFAULT]\nproject = from-auth\n[profile:a]\ntoken = ${token}\nurl = https://%(project)s.test`
      }
      deepStrictEqual(yield* profileOf(files), {
        name: "a",
        auth: "iam",
        baseUrl: "https://from-auth.test",
        token,
        project: "from-auth",
        files: ["cli.ini", "auth.ini"]
      })
    })
  )

  it.scoped("looks in CONTREE_HOME, then XDG_CONFIG_HOME, then the home folder", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const root = yield* fs.makeTempDirectoryScoped({ prefix: "effect-contree-profiles-" })
      for (const [folder, name] of [
        [`${root}/own`, "own"],
        [`${root}/xdg/contree`, "xdg"],
        [`${root}/home/.config/contree`, "home"]
      ] as const) {
        yield* fs.makeDirectory(folder, { recursive: true })
        yield* fs.writeFileString(`${folder}/auth.ini`, `[profile:default]\ntoken=t\nurl=http://${name}.test`)
      }
      const places = { CONTREE_HOME: `${root}/own`, XDG_CONFIG_HOME: `${root}/xdg`, HOME: `${root}/home` }
      const found = (environment: Readonly<Record<string, string>>, options?: ProfileFile.Options) =>
        ProfileFile.read(options).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment)))),
          Effect.map(({ baseUrl }) => baseUrl)
        )
      const { CONTREE_HOME: _, ...withoutOwn } = places
      assert.strictEqual(yield* found(places), "http://own.test")
      assert.strictEqual(yield* found(withoutOwn), "http://xdg.test")
      assert.strictEqual(yield* found({ HOME: places.HOME }), "http://home.test")
      assert.strictEqual(yield* found({ USERPROFILE: places.HOME }), "http://home.test")
      assert.strictEqual(yield* found(places, { folder: `${root}/xdg/contree` }), "http://xdg.test")
      const error = yield* Effect.flip(found({}))
      for (const name of ["CONTREE_HOME", "XDG_CONFIG_HOME", "HOME"]) assert.include(String(error), name)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  const faults: ReadonlyArray<
    readonly [what: string, files: Readonly<Record<string, string>>, says: ReadonlyArray<string>]
  > = [
    [
      "no file at all",
      {},
      ["[profile:default]", "cli.ini (there is no such file)", "auth.ini (there is no such file)"]
    ],
    ["no such profile", { "auth.ini": work }, ["[profile:default]", "auth.ini", "there are [profile:work]"]],
    [
      "an iam profile without a project",
      { "auth.ini": `[profile:default]\ntype=iam\ntoken=${token}` },
      ["profile:default.project", "[profile:default] and [DEFAULT]", "auth.ini"]
    ],
    [
      "a jwt profile without a url",
      { "auth.ini": `[profile:default]\ntoken=${token}` },
      ["profile:default.url", "names none", "auth.ini"]
    ],
    ["no token", { "auth.ini": "[profile:default]\nurl=http://x" }, ["profile:default.token", "auth.ini"]],
    [
      "a type that is none",
      { "auth.ini": `[profile:default]\ntype=oauth\ntoken=${token}` },
      ["profile:default.type", "iam or jwt", '"oauth"']
    ],
    [
      "a url that is none",
      { "auth.ini": `[profile:default]\nurl=ftp://x\ntoken=${token}` },
      ["profile:default.url", "Expected an address"]
    ],
    [
      "a url with a password",
      { "auth.ini": `[profile:default]\nurl=http://me:${token}@x\ntoken=${token}` },
      ["profile:default.url", "without a name or password"]
    ],
    [
      "a token of two lines",
      { "auth.ini": `[profile:default]\nurl=http://x\ntoken=${token}\n  ${token}` },
      ["profile:default.token", "line ends"]
    ],
    [
      "a reference to nothing",
      { "auth.ini": `[profile:default]\nurl=%(host)s\ntoken=${token}` },
      ["profile:default.url", '"host"']
    ],
    ["a file that is broken", { "cli.ini": `[a]\n${token}`, "auth.ini": work }, ["cli.ini", "line 2"]],
    ["a key twice", { "auth.ini": `[a]\ntoken=${token}\ntoken=${token}` }, ["auth.ini", "line 3"]]
  ]
  it.effect.each(faults)("says what was looked for and where, and never the token: %s", ([_what, files, says]) =>
    Effect.gen(function* () {
      const { folder, result } = yield* reading(files)
      const error = yield* Effect.flip(result)
      assert.isTrue(ConfigError.isConfigError(error))
      assert.include(String(error), folder.slice(0, folder.lastIndexOf("/")))
      for (const text of says) assert.include(String(error), text)
      assert.notInclude(String(error) + JSON.stringify(error) + inspect(error, { depth: 9 }), token)
    })
  )

  it.effect("that may not be read is an error and not a missing file", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { folder, variables } = yield* withFiles({})
      yield* fs.makeDirectory(`${folder}/auth.ini`)
      const error = yield* Effect.flip(Effect.withConfigProvider(ProfileFile.read(), variables))
      assert.include(String(error), "could not be read")
      assert.isFalse(ConfigError.isMissingDataOnly(error))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))
  )

  it.effect("keeps the token out of everything that is printed", () =>
    Effect.gen(function* () {
      const { result } = yield* reading({ "auth.ini": work }, { CONTREE_PROFILE: "work" })
      const profile = yield* result
      assert.notInclude(JSON.stringify(profile) + inspect(profile, { depth: 9, showHidden: true }), token)
    })
  )
})

describe("ProfileFile.config", () => {
  const configOf = (
    environment: Readonly<Record<string, string>>,
    options?: ProfileFile.Options,
    files: Readonly<Record<string, string>> = { "auth.ini": `[DEFAULT]\nprofile=work\n${work}${old}` }
  ) =>
    Effect.flatMap(withFiles(files, environment), ({ variables }) =>
      Effect.withConfigProvider(ProfileFile.config(options), variables)
    ).pipe(
      Effect.map(({ token, ...settings }) => ({
        ...settings,
        token: token === undefined ? "" : Redacted.value(token)
      })),
      Effect.scoped,
      Effect.provide(NodeContext.layer)
    )
  const ofProfile = { auth: "iam", baseUrl: hostedBaseUrl, project: "p-1", token } as const

  it.effect("takes address, token, project and kind from one place together", () =>
    Effect.gen(function* () {
      deepStrictEqual(yield* configOf({}), ofProfile)
      // A token in the environment brings nothing of the profile with it.
      deepStrictEqual(yield* configOf({ CONTREE_TOKEN: "env" }), { baseUrl: hostedBaseUrl, token: "env" })
      deepStrictEqual(yield* configOf({ NEBIUS_API_KEY: "env", NEBIUS_AI_PROJECT: "p" }), {
        baseUrl: hostedBaseUrl,
        token: "env",
        project: "p"
      })
      // Nor does a profile that is asked for by name take anything from the environment.
      const env = { CONTREE_TOKEN: "env", CONTREE_URL: "http://env.test", CONTREE_PROJECT: "env" }
      deepStrictEqual(yield* configOf(env, { profile: "work" }), ofProfile)
      deepStrictEqual(yield* configOf({ NEBIUS_AI_PROJECT: "p" }), ofProfile)
    })
  )

  it.effect("takes the other settings from the environment", () =>
    Effect.gen(function* () {
      deepStrictEqual(yield* configOf({ CONTREE_PAGE_SIZE: "7" }), { ...ofProfile, pageSize: 7 })
    })
  )

  it.effect("does not look at the files when the environment has a token", () =>
    Effect.gen(function* () {
      const { token } = yield* configOf({ CONTREE_TOKEN: "env" }, undefined, { "auth.ini": "broken" })
      assert.strictEqual(token, "env")
    })
  )

  const contradictions: ReadonlyArray<readonly [name: string, value: string]> = [
    ["CONTREE_URL", "http://127.0.0.1:8080"],
    ["CONTREE_BASE_URL", "http://127.0.0.1:8080"],
    ["CONTREE_PROJECT", "other"],
    ["CONTREE_AUTH", "jwt"]
  ]
  it.effect.each(contradictions)(
    "never sends a profile's token elsewhere: %s alone is a contradiction",
    ([name, value]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(configOf({ [name]: value }))
        for (const text of [name, "CONTREE_TOKEN", "NEBIUS_API_KEY", '"work"', "auth.ini"]) {
          assert.include(String(error), text)
        }
        assert.notInclude(String(error), token)
      })
  )

  it.effect("accepts a setting that says the same as the profile", () =>
    Effect.gen(function* () {
      const same = { CONTREE_URL: `${hostedBaseUrl}/`, CONTREE_PROJECT: "p-1", CONTREE_AUTH: "iam" }
      deepStrictEqual(yield* configOf(same), ofProfile)
    })
  )

  it.effect("without a token anywhere names the variables and the files", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(configOf({}, undefined, {}))
      for (const text of ["CONTREE_TOKEN", "NEBIUS_API_KEY", "cli.ini", "auth.ini", "[profile:default]"]) {
        assert.include(String(error), text)
      }
    })
  )
})

describe("the layers", () => {
  it.scoped("send the profile's token and project, and no project for a jwt token", () =>
    Effect.gen(function* () {
      const { variables } = yield* withFiles({ "auth.ini": `${work}${old}` })
      const headersWith = (profile: string, how: "layerWith" | "layerConfigProvider") => {
        const service = Scripted.make({
          "GET /v1/whoami": Scripted.failure(401),
          "GET /sandboxes/v1/whoami": Scripted.failure(401)
        })
        const transport = Layer.succeed(HttpClient.HttpClient, service.httpClient)
        const layer =
          how === "layerWith"
            ? Layer.provide(ProfileFile.layerWith({ profile }), transport)
            : ContreeClient.layerConfig().pipe(
                Layer.provide(transport),
                Layer.provide(ProfileFile.layerConfigProvider({ profile }))
              )
        return Effect.flatMap(ContreeClient.ContreeClient, ({ account }) => Effect.flip(account.whoami)).pipe(
          Effect.provide(layer),
          Effect.withConfigProvider(variables),
          Effect.map(() => service.requests[0]?.headers)
        )
      }
      for (const how of ["layerWith", "layerConfigProvider"] as const) {
        const iam = yield* headersWith("work", how)
        deepStrictEqual([iam?.["authorization"], iam?.["project"]], [`Bearer ${token}`, "p-1"])
        const jwt = yield* headersWith("old", how)
        deepStrictEqual([jwt?.["authorization"], jwt?.["project"]], [`Bearer ${token}`, undefined])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
