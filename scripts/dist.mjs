/** dist: src by plain tsc, nothing left of modules that are gone, the command line executable. */
import * as fs from "node:fs"
import * as path from "node:path"
import { filesOf, fingerprint, inRoot, readIfThere, run } from "./project.mjs"

const stamp = path.join("dist", ".built")
const inputs = () => fingerprint("src", "tsconfig.json", "tsconfig.build.json", "package-lock.json")

/** Whether dist was built from what src holds now. */
export const isBuilt = () => readIfThere(stamp) === inputs()

/** Builds; gives tsc's exit code. */
export const build = () => {
  const built = inputs()
  fs.rmSync(inRoot(stamp), { force: true })
  for (const file of filesOf("dist")) {
    const module = /^dist\/(.*?)(\.d\.ts|\.js)(\.map)?$/.exec(file)
    if (module !== null && !fs.existsSync(inRoot("src", `${module[1]}.ts`))) fs.rmSync(inRoot(file))
  }
  const status = run(process.execPath, [inRoot("node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"])
  const bin = inRoot("dist/cli/main.js")
  if (fs.existsSync(bin)) fs.chmodSync(bin, 0o755)
  if (status === 0) fs.writeFileSync(inRoot(stamp), built)
  return status
}
