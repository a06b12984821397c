/**
 * `npm run check:packed`: the package as a stranger gets it.
 * In one empty folder the client with nothing but `effect`, in another the engine with its optional peers:
 * the install, the import, and a strict type check of a small program under each supported TypeScript.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { inRoot, output, run, say } from "./project.mjs"

const newerCompilers = ["6.0.3", "7.0.2"]
const effect = "effect@^3.22.2"

const manifest = JSON.parse(fs.readFileSync(inRoot("package.json"), "utf8"))
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "effect-contree-packed-"))
process.once("exit", () => fs.rmSync(temporary, { recursive: true, force: true }))

const step = (what, status) => {
  say(`${status === 0 ? "ok    " : "FAILED"} ${what}`)
  if (status !== 0) process.exit(1)
}

/** An empty folder with the given packages and one file each of the given contents. */
const project = (name, packages, files) => {
  const cwd = path.join(temporary, name)
  fs.mkdirSync(cwd)
  const contents = { ...files, "package.json": JSON.stringify({ name, private: true, type: "module" }) }
  for (const [file, content] of Object.entries(contents)) fs.writeFileSync(path.join(cwd, file), content)
  step(
    `npm install ${packages.map((one) => path.basename(one)).join(" ")}`,
    run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", ...packages], { cwd })
  )
  return cwd
}

const tsconfig = (types) =>
  JSON.stringify({
    compilerOptions: {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      target: "ES2022",
      lib: ["ES2022", "DOM", "DOM.Iterable"],
      module: "NodeNext",
      types,
      skipLibCheck: false,
      noEmit: true
    },
    include: ["*.ts"]
  })

const [packed] = JSON.parse(
  output("npm", ["pack", "--json", "--ignore-scripts", "--loglevel=error", "--pack-destination", temporary])
)
const tarball = path.join(temporary, packed.filename)
say(
  `${packed.filename}: ${packed.entryCount} files, ${Math.round(packed.size / 1024)} KB, ${Math.round(packed.unpackedSize / 1024)} KB unpacked`
)
const strays = packed.files
  .map((file) => file.path)
  .filter((file) => /tsbuildinfo|\.built$|^(test|scripts|node_modules)\//.test(file))
step(`no stray files in the tarball ${strays.join(" ")}`, strays.length)

const optionalPeers = Object.keys(manifest.peerDependenciesMeta).map(
  (name) => `${name}@${manifest.peerDependencies[name]}`
)

const clientProgram = fs.readFileSync(inRoot("scripts/consumer/client.ts"), "utf8")
const client = project("client", [tarball, effect], {
  "program.ts": clientProgram,
  "tsconfig.json": tsconfig([]),
  "test.ts": fs.readFileSync(inRoot("scripts/consumer/testing.ts"), "utf8"),
  "main.mjs": 'import * as client from "effect-contree"\nif (Object.keys(client).length === 0) process.exit(1)\n',
  "testing.mjs":
    'import { TestContree } from "effect-contree/testing"\nif (TestContree.layer === undefined) process.exit(1)\n'
})
step("import effect-contree", run(process.execPath, ["main.mjs"], { cwd: client }))
step("import effect-contree/testing", run(process.execPath, ["testing.mjs"], { cwd: client }))

const engine = project(
  "engine",
  [tarball, effect, ...optionalPeers, `@types/node@${manifest.devDependencies["@types/node"]}`],
  {
    "program.ts": fs.readFileSync(inRoot("scripts/consumer/engine.ts"), "utf8"),
    "tsconfig.json": tsconfig(["node"]),
    "main.mjs": 'import * as local from "effect-contree/local"\nif (Object.keys(local).length === 0) process.exit(1)\n',
    "node.mjs":
      'import { ProfileFile } from "effect-contree/node"\nif (ProfileFile.layer === undefined) process.exit(1)\n'
  }
)
step("import effect-contree/local", run(process.execPath, ["main.mjs"], { cwd: engine }))
step("import effect-contree/node", run(process.execPath, ["node.mjs"], { cwd: engine }))
step(
  "effect-contree --version",
  run(path.join(engine, "node_modules/.bin/effect-contree"), ["--version"], { cwd: engine })
)

const compilers = [["5.9", inRoot("node_modules/typescript/bin/tsc")]]
for (const version of newerCompilers) {
  const cwd = project(`typescript-${version}`, [`typescript@${version}`], {})
  compilers.push([version, path.join(cwd, "node_modules/.bin/tsc")])
}
for (const [version, compiler] of compilers) {
  for (const cwd of [client, engine]) {
    step(`types of ${path.basename(cwd)} under TypeScript ${version}`, run(compiler, ["-p", "."], { cwd }))
  }
}
