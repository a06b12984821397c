/** The TypeScript blocks of README.md, AGENTS.md and docs/*.md, type-checked as the modules that a reader copies. */
import * as fs from "node:fs"
import * as path from "node:path"
import { filesOf, inRoot, run, say } from "./project.mjs"

const folder = path.join(".cache", "docs-examples")
const documents = ["README.md", "AGENTS.md", ...filesOf("docs")].filter((file) => /^(docs\/)?[^/]+\.md$/.test(file))

/** The blocks of a document, each under the line on which it begins, so that an error leads back to it. */
const blocksOf = (document) => {
  const text = fs.readFileSync(inRoot(document), "utf8")
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(({ 1: code, index }) => ({
    name: `${path.basename(document, ".md")}-line-${text.slice(0, index).split("\n").length + 1}.ts`,
    code: `${code}export {}\n`
  }))
}

/** Checks every block; gives the compiler's exit code. */
export const checkExamples = () => {
  fs.rmSync(inRoot(folder), { recursive: true, force: true })
  fs.mkdirSync(inRoot(folder), { recursive: true })
  const blocks = documents.flatMap(blocksOf)
  for (const { code, name } of blocks) fs.writeFileSync(inRoot(folder, name), code)
  fs.writeFileSync(
    inRoot(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.json",
      compilerOptions: { incremental: false, noUnusedLocals: false, tsBuildInfoFile: null },
      include: ["*.ts"]
    })
  )
  say(`${blocks.length} examples of ${documents.join(", ")}`)
  return run(process.execPath, [inRoot("node_modules/typescript/bin/tsc"), "-p", folder])
}
