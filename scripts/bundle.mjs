/**
 * `npm run check:bundle`: what the client costs in a browser, and that a worker at the edge can bundle it too.
 * Fails when it needs a module of Node (esbuild cannot resolve it), holds a part of the engine, or is too large.
 */
import { gzipSync } from "node:zlib"
import { build } from "esbuild"
import { inRoot, say } from "./project.mjs"

const ceilingKb = 152
const kb = (bytes) => Math.round(bytes / 102.4) / 10

const programs = [
  { name: "a program (scripts/consumer/client.ts)", entryPoints: [inRoot("scripts/consumer/client.ts")] },
  {
    name: "everything (export * from effect-contree)",
    stdin: { contents: 'export * from "effect-contree"', resolveDir: inRoot() }
  },
  {
    name: "the same program for workerd",
    entryPoints: [inRoot("scripts/consumer/client.ts")],
    conditions: ["workerd", "worker"],
    mainFields: ["module", "main"],
    platform: "neutral"
  }
]

for (const { name, ...entry } of programs) {
  const { metafile, outputFiles } = await build({
    platform: "browser",
    ...entry,
    alias: { "effect-contree": inRoot("dist/index.js") },
    bundle: true,
    format: "esm",
    logLevel: "error",
    metafile: true,
    minify: true,
    target: "es2022",
    write: false
  }).catch(() => process.exit(1)) // esbuild has said why
  const [{ contents }] = outputFiles
  const gzipped = kb(gzipSync(contents, { level: 9 }).length)
  say(`${name}: ${kb(contents.length)} KB minified, ${gzipped} KB gzip (at most ${ceilingKb})`)
  const engine = Object.keys(metafile.inputs).filter((file) => /(^|\/)dist\/(local|cli)\//.test(file))
  if (engine.length > 0) say(`The client's bundle holds parts of the engine: ${engine.join(", ")}`)
  if (engine.length > 0 || gzipped > ceilingKb) process.exitCode = 1
}
