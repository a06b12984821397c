/** The client in a real browser, against an engine of another origin. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { builtinModules } from "node:module"
import * as Contree from "../fixtures/Contree.js"
import { Registry } from "../fixtures/Registry.js"
import * as Page from "./Page.js"

/** The page, and an engine with these options for its origin. */
const place = Effect.fnUntraced(function* (options: (origin: string) => ReadonlyArray<string>) {
  const { address } = yield* Registry
  const folder = yield* Contree.temporaryFolder
  const { code } = yield* Page.bundle
  const page = yield* Page.served(code)
  const service = yield* Contree.serve({
    args: [...Contree.serveArgs(address, `${folder}/data`), "--token", Contree.token, ...options(page.url)]
  })
  return { page, service }
})

layer(Contree.busyboxRegistry, { excludeTestServices: true, timeout: "4 minutes" })("the client in a browser", (it) => {
  it.effect("has no module of Node and none of the engine in its bundle", () =>
    Effect.gen(function* () {
      const { code, imports, modules } = yield* Page.bundle
      assert.deepStrictEqual(imports, [])
      assert.deepStrictEqual(
        modules.filter((file) => /\bsrc\/(?:local|cli|node|testing)\//.test(file)),
        []
      )
      assert.deepStrictEqual(
        builtinModules.filter((name) => code.includes(`from"node:${name}"`) || code.includes(`require("${name}")`)),
        []
      )
      assert.notInclude(code, "Buffer.from(")
    })
  )

  it.scoped(
    "imports, uploads, runs with files, reads, and streams live output and input from a page of another origin",
    () =>
      Effect.gen(function* () {
        const { page, service } = yield* place((origin) => ["--cors-origin", origin])
        const result = yield* Page.run(page.url, { url: service.url, token: Contree.token })
        assert.deepStrictEqual(
          { ...result, tags: result.tags.filter((tag) => tag !== "Stdin" && tag !== "Network") },
          {
            sameImage: true,
            uploaded: [300_000, 20],
            read: "placed by a page\n",
            stdout: "hello\n",
            stderr: "ä\n",
            missing: "NotFound",
            lines: ["ready", "got one", "got two"],
            exitCode: 0,
            tags: ["Init", "Spawn", "Stdout", "Stdout", "Stdout", "Exit", "Shutdown", "Completion"]
          }
        )
      })
  )

  it.scoped("is refused by an engine that does not allow the page's origin", () =>
    Effect.gen(function* () {
      const { page, service } = yield* place(() => [])
      const error = yield* Effect.flip(Page.run(page.url, { url: service.url, token: Contree.token }))
      assert.include(error.message, "Unavailable")
      assert.include(error.message, "blocked by CORS policy")
    })
  )
})
