/** The names that an image itself gives to the owners of its files. */
import * as Effect from "effect/Effect"
import type * as LayerStoreError from "../LayerStoreError.js"
import * as ImagePath from "./imagePath.js"
import * as Tree from "./overlayFileSystem.js"

export interface OwnerNames {
  readonly users: ReadonlyMap<number, string>
  readonly groups: ReadonlyMap<number, string>
}

/** A larger file is no list of users. */
const LONGEST = 1024 * 1024

/** The first name of each id, as `getpwuid` would find it. */
export const parse = (text: string): ReadonlyMap<number, string> => {
  const names = new Map<number, string>()
  for (const line of text.split("\n")) {
    const [name = "", , id = ""] = line.split(":")
    if (name !== "" && /^\d{1,10}$/.test(id) && !names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}

const read = (
  root: Tree.BytePath,
  path: string
): Effect.Effect<ReadonlyMap<number, string>, LayerStoreError.LayerStoreError> =>
  ImagePath.lookup(root, path).pipe(
    Effect.flatMap(({ path, stats }) =>
      stats.isFile() && stats.size <= LONGEST
        ? Effect.map(Tree.contentWhole(path, stats.size), (bytes) => parse(Buffer.from(bytes).toString("utf8")))
        : Effect.succeed(new Map<number, string>())
    ),
    Effect.catchTag("ImagePathError", () => Effect.succeed(new Map<number, string>()))
  )

/** The names of `/etc/passwd` and `/etc/group`; none where the image has no such files. */
export const ownerNames = (root: Tree.BytePath): Effect.Effect<OwnerNames, LayerStoreError.LayerStoreError> =>
  Effect.all({ users: read(root, "/etc/passwd"), groups: read(root, "/etc/group") })
