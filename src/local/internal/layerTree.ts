/**
 * The disk side of unpacking: puts the entries of the layers of one image into one folder.
 *
 * The kernel never follows a link of the image here. Each path is resolved in this module, component by component, to
 * a path in which every folder is known to be a real one that this import made; files are created with `O_EXCL`, so
 * that nothing that exists is ever opened. A link on the way is resolved as a process whose root is the image would
 * resolve it, because layers of some builders put files behind links of lower layers (`bin/tool` over `bin -> usr/bin`).
 *
 * `node:fs` is used directly: `@effect/platform` has no `lchown`, `lutimes`, `O_NOFOLLOW` or paths as bytes, and the
 * synchronous calls on small files are several times cheaper than a trip through the thread pool for each.
 *
 * Paths are byte strings (one character a byte), relative to the root, without leading slash; the root is "".
 */
import * as fs from "node:fs"
import { type LayerArchiveError, type LayerArchiveErrorReason, make } from "../LayerArchiveError.js"

/** @internal */
export type EntryKind = "file" | "directory" | "symlink" | "link" | "fifo"

/** @internal */
export interface Entry {
  readonly name: string
  readonly kind: EntryKind
  /** Target of a link, in bytes as in the archive. */
  readonly target: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970, with a fraction. */
  readonly mtime: number
}

interface Attributes {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: number | undefined
}

/** @internal */
export interface LayerTreeOptions {
  /** An empty folder, without a link in its path. */
  readonly root: string
  /** A folder on the same file system that takes what is removed; its owner deletes it. */
  readonly trash: string
  readonly idShift: number
  readonly ownership: "full" | "single"
}

const WHITEOUT = ".wh."
const OPAQUE = ".wh..wh..opq"
/** Names that aufs kept for itself; every other tool passes over them. */
const WHITEOUT_META = ".wh..wh."

/** As many links in one path as Linux follows. */
const MOST_LINKS = 40

const CREATE = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW

const IMPLIED: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: undefined }

/** @internal */
export const display = (bytes: string): string => Buffer.from(bytes, "latin1").toString("utf8")

const parentOf = (path: string): string => {
  const slash = path.lastIndexOf("/")
  return slash === -1 ? "" : path.slice(0, slash)
}

const join = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`)

/** What the system says, without the host's path in it. */
const describe = (cause: unknown): string =>
  cause instanceof Error ? (cause.message.split(", ")[0] ?? cause.message).replace(/ '.*$/s, "") : String(cause)

/** @internal */
export class LayerTree {
  /** Every folder that was made, with what it is to get when all layers are in: until then it must stay writable. */
  private readonly folders = new Map<string, Attributes>([["", IMPLIED]])
  private readonly fifos = new Map<string, Attributes>()
  /** What the layer at hand has put down: its whiteouts hide lower layers only. */
  private readonly placed = new Set<string>()
  private layer = ""
  private layers = 0
  private removed = 0
  private readonly prefix: string

  constructor(private readonly options: LayerTreeOptions) {
    this.prefix = `${Buffer.from(options.root, "utf8").toString("latin1")}/`
  }

  startLayer(name: string): void {
    this.layer = name
    this.layers++
    this.placed.clear()
  }

  error(reason: LayerArchiveErrorReason, entry: string, detail: string): LayerArchiveError {
    return make({ reason, layer: this.layer, entry: display(entry), detail })
  }

  ioError(entry: string, cause: unknown): LayerArchiveError {
    return this.error("Io", entry, describe(cause))
  }

  /** Runs calls of `node:fs`; what they throw is about `entry`. */
  attempt<A>(entry: string, f: () => A): A | LayerArchiveError {
    try {
      return f()
    } catch (cause) {
      return this.ioError(entry, cause)
    }
  }

  /** Makes an entry; for a file it gives the path at which `create` may open it, otherwise nothing. */
  place(entry: Entry): string | undefined | LayerArchiveError {
    const name = this.normalize(entry.name)
    if (typeof name !== "string") return name
    return this.attempt(entry.name, () => this.placeNormalized(entry, name))
  }

  /** Opens a new file at a path that `place` gave. */
  create(path: string): number {
    return fs.openSync(this.at(path), CREATE, 0o600)
  }

  /** Gives an open file its owner, mode and time. */
  finishFile(file: number, entry: Entry): void {
    // A change of owner takes the setuid bit away, so the mode comes after it.
    this.own(entry, (uid, gid) => fs.fchownSync(file, uid, gid))
    fs.fchmodSync(file, entry.mode)
    fs.futimesSync(file, entry.mtime, entry.mtime)
  }

  /** The places that are to become fifos, to be made by a program: Node has no call for it. */
  pendingFifos(): ReadonlyArray<Buffer> {
    return Array.from(this.fifos.keys(), (path) => this.at(path))
  }

  /** Takes the placeholders of the fifos away. */
  clearFifos(): void {
    for (const path of this.fifos.keys()) fs.unlinkSync(this.at(path))
  }

  finishFifos(): void {
    for (const [path, attributes] of this.fifos) this.finishPath(path, attributes)
  }

  /** The folders, deepest first: a folder that is finished may refuse access to what is in it. */
  pendingFolders(): ReadonlyArray<string> {
    return Array.from(this.folders.keys()).sort((a, b) => (a < b ? 1 : -1))
  }

  finishFolder(path: string): void {
    const attributes = this.folders.get(path)
    if (attributes !== undefined) this.finishPath(path, attributes)
  }

  private finishPath(path: string, attributes: Attributes): void {
    const at = this.at(path)
    this.own(attributes, (uid, gid) => fs.lchownSync(at, uid, gid))
    // Neither is ever a link here, and Linux has no way to give a mode to one.
    fs.chmodSync(at, attributes.mode)
    if (attributes.mtime !== undefined) fs.lutimesSync(at, attributes.mtime, attributes.mtime)
  }

  private at(path: string): Buffer {
    return Buffer.from(this.prefix + path, "latin1")
  }

  private lstat(path: string): fs.Stats | undefined {
    return fs.lstatSync(this.at(path), { throwIfNoEntry: false })
  }

  private own(attributes: Attributes, chown: (uid: number, gid: number) => void): void {
    const change = (): void => chown(attributes.uid + this.options.idShift, attributes.gid + this.options.idShift)
    if (this.options.ownership === "full") {
      change()
      return
    }
    try {
      change()
    } catch {
      // Where the user namespace has a single id, the kernel refuses every other one.
    }
  }

  /** A name of the archive as a path, or why it cannot be one. */
  private normalize(name: string): string | LayerArchiveError {
    if (name.includes("\0")) return this.error("Malformed", name, "its name holds a zero byte")
    const parts = name.split("/").filter((part) => part !== "" && part !== ".")
    if (name.startsWith("/") && parts.length > 0) {
      return this.error("UnsafePath", name, "its name is absolute, which could lead out of the image")
    }
    if (parts.includes("..")) {
      return this.error("UnsafePath", name, 'its name holds "..", which leads out of the image')
    }
    return parts.join("/")
  }

  private placeNormalized(entry: Entry, name: string): string | undefined | LayerArchiveError {
    if (name === "") {
      if (entry.kind !== "directory") {
        return this.error("Malformed", entry.name, "it would stand in place of the image's root folder")
      }
      this.folders.set("", entry)
      return undefined
    }
    const folderName = parentOf(name)
    const base = folderName === "" ? name : name.slice(folderName.length + 1)
    if (name.includes(WHITEOUT) && (base.startsWith(WHITEOUT) || `/${folderName}`.includes(`/${WHITEOUT}`))) {
      return this.whiteout(entry, folderName, base)
    }
    const folder = this.folder(folderName, entry.name, true)
    if (typeof folder !== "string") return folder
    const path = join(folder, base)
    const occupied = this.layers > 1 || this.placed.has(path)
    this.placed.add(path)
    if (entry.kind === "link") return this.placeLink(entry, path)
    if (entry.kind === "directory" && this.folders.has(path)) {
      this.folders.set(path, entry)
      return undefined
    }
    if (occupied) this.clear(path)
    switch (entry.kind) {
      case "file":
        return path
      case "directory":
        fs.mkdirSync(this.at(path), 0o700)
        this.folders.set(path, entry)
        return undefined
      case "symlink":
        return this.placeSymlink(entry, path)
      case "fifo":
        // The placeholder keeps later entries, whiteouts and links right until the fifos are made.
        fs.closeSync(this.create(path))
        this.fifos.set(path, entry)
        return undefined
    }
  }

  private placeSymlink(entry: Entry, path: string): undefined | LayerArchiveError {
    if (entry.target === "" || entry.target.includes("\0")) {
      return this.error("Malformed", entry.name, "it is a symbolic link without a valid target")
    }
    fs.symlinkSync(Buffer.from(entry.target, "latin1"), this.at(path))
    this.own(entry, (uid, gid) => fs.lchownSync(this.at(path), uid, gid))
    fs.lutimesSync(this.at(path), entry.mtime, entry.mtime)
    return undefined
  }

  private placeLink(entry: Entry, path: string): undefined | LayerArchiveError {
    const refused = (reason: LayerArchiveErrorReason, detail: string): LayerArchiveError =>
      this.error(reason, entry.name, `it is a hard link to ${JSON.stringify(display(entry.target))}, ${detail}`)
    // Some builders write targets from the image's root, with a slash in front.
    const parts = entry.target.split("/").filter((part) => part !== "" && part !== ".")
    if (parts.includes("..")) return refused("UnsafePath", "which leads out of the image")
    const base = parts.pop()
    if (base === undefined || entry.target.includes("\0")) return refused("Malformed", "which is no name of a file")
    const folder = this.folder(parts.join("/"), entry.name, false)
    if (folder !== undefined && typeof folder !== "string") return folder
    const target = folder === undefined ? undefined : join(folder, base)
    const found = target === undefined ? undefined : this.lstat(target)
    if (target === undefined || found === undefined) {
      return refused(entry.target.startsWith("/") ? "UnsafePath" : "Malformed", "which is not in the image")
    }
    if (found.isDirectory()) return refused("Malformed", "which is a folder")
    if (target === path) return undefined
    this.clear(path)
    // link(2) does not follow a link in the last component.
    fs.linkSync(this.at(target), this.at(path))
    const fifo = this.fifos.get(target)
    if (fifo !== undefined) this.fifos.set(path, fifo)
    return undefined
  }

  private whiteout(entry: Entry, folderName: string, base: string): undefined | LayerArchiveError {
    const parts = folderName.split("/")
    if (base.startsWith(WHITEOUT_META) && base !== OPAQUE) return undefined
    if (parts.some((part) => part.startsWith(WHITEOUT_META))) return undefined
    if (parts.some((part) => part.startsWith(WHITEOUT))) {
      return this.error("Malformed", entry.name, "it lies in a folder with the name of a whiteout")
    }
    const hidden = base.slice(WHITEOUT.length)
    if (base !== OPAQUE && (hidden === "" || hidden === "." || hidden === "..")) {
      return this.error("UnsafePath", entry.name, "it is a whiteout of a folder itself or of the one above it")
    }
    const folder = this.folder(folderName, entry.name, false)
    if (typeof folder !== "string") return folder
    if (base === OPAQUE) this.hideLowerIn(folder)
    else this.hideLower(join(folder, hidden))
    return undefined
  }

  private hideLowerIn(folder: string): void {
    for (const name of fs.readdirSync(this.at(folder), { encoding: "latin1" })) this.hideLower(join(folder, name))
  }

  /** Removes what lower layers put at `path`, and keeps what this layer did. */
  private hideLower(path: string): void {
    if (!this.placed.has(path)) this.clear(path)
    else if (this.folders.has(path)) this.hideLowerIn(path)
  }

  /** Removes what is at `path`, if anything is. A folder is moved away, which costs the same whatever it holds. */
  private clear(path: string): void {
    if (this.folders.has(path)) {
      const below = `${path}/`
      for (const paths of [this.folders, this.fifos]) {
        for (const other of paths.keys()) if (other.startsWith(below)) paths.delete(other)
      }
      this.folders.delete(path)
      fs.renameSync(this.at(path), `${this.options.trash}/${this.removed++}`)
    } else if (this.lstat(path) !== undefined) {
      fs.unlinkSync(this.at(path))
      this.fifos.delete(path)
    }
  }

  /**
   * The real folder that `name` stands for. With `create` missing folders are made and a file in the way gives way,
   * otherwise the answer is then undefined.
   */
  private folder(name: string, entry: string, create: boolean): string | undefined | LayerArchiveError {
    if (this.folders.has(name) && (name === "" || this.placed.has(name))) return name
    const pending = name.split("/").reverse()
    let at = ""
    let links = 0
    let plantedHere = ""
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === "" || part === ".") continue
      if (part === "..") {
        if (at === "" && plantedHere !== "") return this.leadsOut(entry, plantedHere)
        at = parentOf(at)
        continue
      }
      const next = join(at, part)
      if (!this.folders.has(next)) {
        const found = this.lstat(next)
        if (found?.isSymbolicLink() === true) {
          if (++links > MOST_LINKS) return this.error("UnsafePath", entry, "its path goes through too many links")
          const target = fs.readlinkSync(this.at(next), { encoding: "latin1" })
          plantedHere = this.placed.has(next) ? next : ""
          if (target.startsWith("/")) {
            if (plantedHere !== "") return this.leadsOut(entry, plantedHere)
            at = ""
          }
          pending.push(...target.split("/").reverse())
          continue
        }
        if (!create) return undefined
        if (found !== undefined) this.clear(next)
        fs.mkdirSync(this.at(next), 0o700)
        this.folders.set(next, IMPLIED)
      }
      if (create) this.placed.add(next)
      at = next
    }
    return at
  }

  /** No tar of a real tree has entries behind a link that it holds itself: this is an attack or a broken builder. */
  private leadsOut(entry: string, link: string): LayerArchiveError {
    return this.error(
      "UnsafePath",
      entry,
      `its path goes through the link ${JSON.stringify(display(link))} of the same layer, which leads out of the image`
    )
  }
}
