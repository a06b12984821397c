/** What a run sees of its root, and what can be read of the image that it leaves: both as lines to be compared. */
import { Effect, Layer, Option, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import type { FileItem } from "../../src/api/Inspect.js"
import * as ImageArchive from "../../src/local/ImageArchive.js"
import type { OpenImage } from "../../src/local/ImageView.js"
import { MountNamespace } from "../../src/local/MountNamespace.js"
import { dump } from "./randomTree.js"
import { nowhere } from "../fixtures/LauncherPlace.js"

/** The part of the worker's namespace that a view asks for: ids are stored as they are. */
export const namespace = Layer.succeed(
  MountNamespace,
  MountNamespace.of({
    idShift: 0,
    ownership: "mapped",
    directory: "",
    layers: "",
    inside: Option.none,
    probes: "",
    enter: [],
    place: nowhere
  })
)

const digest = (content: Uint8Array) => createHash("sha256").update(content).digest("hex").slice(0, 16)

const line = (path: string, item: Omit<FileItem, "name" | "nlink" | "owner" | "group">, content: string) =>
  [
    JSON.stringify(path),
    item.mode.toString(8),
    item.uid,
    item.gid,
    item.isDirectory ? "" : item.size,
    item.mtime,
    [item.isDirectory, item.isRegular, item.isSymlink, item.isSocket, item.isFifo].map(Number).join(""),
    JSON.stringify(item.target),
    content
  ].join(" ")

const bytes = (path: string) => Buffer.from(path, "latin1")
const display = (path: string) => bytes(path).toString("utf8")

/** By the calls of a program in the run. */
export const seen = (root: string): Array<string> => {
  const walk = (at: string): Array<string> =>
    Fs.readdirSync(bytes(root + at), "latin1").flatMap((name) => {
      const path = `${at}/${name}`
      const stats = Fs.lstatSync(bytes(root + path))
      const item = {
        size: stats.size,
        uid: stats.uid,
        gid: stats.gid,
        mode: stats.mode,
        mtime: Math.floor(stats.mtimeMs / 1000),
        isDirectory: stats.isDirectory(),
        isRegular: stats.isFile(),
        isSymlink: stats.isSymbolicLink(),
        isSocket: stats.isSocket(),
        isFifo: stats.isFIFO(),
        target: stats.isSymbolicLink() ? display(Fs.readlinkSync(bytes(root + path), "latin1")) : ""
      }
      const content = stats.isFile() ? digest(Fs.readFileSync(bytes(root + path))) : ""
      return [line(display(path), item, content), ...(stats.isDirectory() ? walk(path) : [])]
    })
  return walk("").sort()
}

/** By the engine's own listings and downloads. */
export const read = (image: OpenImage) => {
  const walk = (at: string): Effect.Effect<Array<string>, { readonly message: string }> =>
    Effect.flatMap(
      image.list(at === "" ? "/" : at),
      Effect.forEach((item) => {
        const path = `${at}/${item.name}`
        if (item.isDirectory) return Effect.map(walk(path), (lines) => [line(path, item, ""), ...lines])
        const content = item.isRegular
          ? image.file(path).pipe(
              Effect.flatMap(({ content }) => Stream.runCollect(content)),
              Effect.map((pieces) => digest(Buffer.concat(Array.from(pieces))))
            )
          : Effect.succeed("")
        return Effect.map(content, (content) => [line(path, item, content)])
      })
    ).pipe(Effect.map((lines) => lines.flat()))
  return Effect.map(walk(""), (lines) => lines.sort())
}

/** What GNU tar makes of the whole image's archive. */
export const unpacked = (image: OpenImage, data: string) =>
  Effect.gen(function* () {
    const { content } = yield* ImageArchive.make(image, "/")
    const archive = Buffer.concat(Array.from(yield* Stream.runCollect(content)))
    const folder = `${data}/unpacked`
    Fs.rmSync(folder, { recursive: true, force: true })
    Fs.mkdirSync(folder)
    execFileSync("tar", ["-C", folder, "--numeric-owner", "--same-owner", "-xpf", "-"], {
      input: archive,
      env: { ...process.env, LC_ALL: "C" },
      stdio: ["pipe", "pipe", "pipe"]
    })
    return dump(folder)
  })
