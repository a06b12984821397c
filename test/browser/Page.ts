/** A page of an origin of its own with the client bundled into it, open in Chromium. */
import { FileSystem } from "@effect/platform"
import { Data, Effect } from "effect"
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"
import { listening } from "../fixtures/HttpListener.js"
import * as Requirements from "../fixtures/Requirements.js"

class BrowserError extends Data.TaggedError("BrowserError")<{ readonly message: string }> {}

export declare namespace Page {
  interface Result {
    readonly sameImage: boolean
    readonly uploaded: ReadonlyArray<number | undefined>
    readonly read: string
    readonly stdout: string
    readonly stderr: string
    readonly missing: string
    readonly lines: ReadonlyArray<string>
    readonly exitCode: number
    readonly tags: ReadonlyArray<string>
  }
  type Program = (service: { readonly url: string; readonly token: string }) => Promise<Result>
}

const attempt = <A>(evaluate: () => Promise<A>) =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new BrowserError({ message: String(cause) }) })

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))

/** The program of the page as one file, and the modules that it is made of. */
export const bundle = attempt(() =>
  build({
    entryPoints: [here("program.ts")],
    alias: { "effect-contree": here("../../src/index.ts") },
    bundle: true,
    format: "esm",
    metafile: true,
    minify: true,
    platform: "browser",
    target: "es2022",
    write: false
  })
).pipe(
  Effect.map(({ metafile, outputFiles }) => ({
    code: outputFiles[0]?.text ?? "",
    modules: Object.keys(metafile.inputs),
    /** What the bundle would still import where it runs. */
    imports: Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
  }))
)

/** Serves the page on a free port of loopback; other ports are other origins. */
export const served = (code: string) =>
  listening((request, response) => {
    const isScript = request.url === "/program.js"
    response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html; charset=utf-8" })
    response.end(
      isScript ? code : '<!doctype html><title>page</title><script type="module" src="/program.js"></script>'
    )
  })

/** Runs the page's program in headless Chromium, which ends with the scope. */
export const run = Effect.fnUntraced(function* (
  page: string,
  service: { readonly url: string; readonly token: string }
) {
  const executablePath = yield* Requirements.find("chromium")
  const fs = yield* FileSystem.FileSystem
  const home = yield* fs.makeTempDirectoryScoped({ prefix: "contree-chromium-" })
  const browser = yield* Effect.acquireRelease(
    attempt(() =>
      chromium.launch({
        executablePath,
        args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        env: { PATH: "/usr/bin:/bin", HOME: home, TMPDIR: home }
      })
    ),
    (browser) => Effect.promise(() => browser.close())
  )
  const opened = yield* attempt(() => browser.newPage())
  const complaints: Array<string> = []
  opened.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())))
  opened.on("pageerror", (error) => void complaints.push(error.message))
  yield* attempt(() => opened.goto(page, { waitUntil: "load" }))
  const result = yield* attempt(() =>
    opened.evaluate(
      (service) => (globalThis as unknown as { readonly program: Page.Program }).program(service),
      service
    )
  ).pipe(Effect.mapError(({ message }) => new BrowserError({ message: [message, ...complaints].join("\n") })))
  return result
})
