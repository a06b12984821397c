/**
 * Files: into images, between runs, and out again; reading and searching an image without running anything.
 *
 * It runs on this machine by default; with `Effect.provide(ContreeClient.layer)` in the last lines the same program
 * runs on the hosted service.
 *
 * npm run example -- examples/files-and-reading.ts [reference]
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { Command, FileUpload, Image, ImageFiles, Run } from "effect-contree"
import { LocalContree } from "effect-contree/local"
import { LocalFiles, NodeHasher } from "effect-contree/node"

const reference = process.argv[2] ?? "docker://docker.io/library/busybox:latest"

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const base = yield* Image.oci(reference)

  // A folder of this machine, with a script that may be executed.
  const local = yield* fs.makeTempDirectoryScoped({ prefix: "contree-example-" })
  yield* fs.makeDirectory(`${local}/app/data`, { recursive: true })
  yield* fs.writeFileString(`${local}/app/count.sh`, "#!/bin/sh\nwc -l < data/words.txt > lines.txt\n")
  yield* fs.chmod(`${local}/app/count.sh`, 0o755)
  yield* fs.writeFileString(`${local}/app/data/words.txt`, "one\ntwo\nthree\n")
  yield* fs.writeFileString(`${local}/app/debug.log`, "not for the image\n")

  // Into a run: the folder, a text, and a stream of ten megabytes that is never held in memory.
  const megabyte = new Uint8Array(1_048_576).fill(46)
  const sources = yield* LocalFiles.directory(`${local}/app`, { at: "/app", exclude: ["*.log"] })
  const command = Command.exec("/app/count.sh").pipe(
    Command.workingDirectory("/app"),
    Command.files(sources),
    Command.files({
      "/app/README": "TODO: write more\n",
      "/app/large": FileUpload.fromStream(Stream.repeatValue(megabyte).pipe(Stream.take(10)), { mode: 0o600 })
    })
  )
  const { image } = yield* Image.run(base, command).pipe(Effect.flatMap(Run.orFail))
  yield* Console.log(`placed: ${Object.keys(command.files).sort().join(" ")}`)

  // Uploads go by content: the second one of the same text sends nothing.
  const first = yield* FileUpload.upload("the same text\n")
  const second = yield* FileUpload.upload("the same text\n")
  yield* Console.log(`the same content is the same file: ${first.id === second.id}`)

  // Reading: nothing runs for it.
  const lines = yield* ImageFiles.readText(image, "/app/lines.txt")
  yield* Console.log(`lines: ${lines.trim()}`)
  const entries = yield* ImageFiles.list(image, "/app")
  yield* Console.log(
    `entries: ${entries
      .map(({ kind, name, size }) => `${name} (${kind}, ${size})`)
      .sort()
      .join(", ")}`
  )
  const bytes = yield* ImageFiles.walk(image, "/app").pipe(
    Stream.filter(({ kind }) => kind === "file"),
    Stream.runFold(0, (sum, { size }) => sum + size)
  )
  yield* Console.log(`bytes below /app: ${bytes}`)
  yield* Console.log(`a log file is there: ${yield* ImageFiles.exists(image, "/app/debug.log")}`)
  const refused = yield* Effect.flip(ImageFiles.readText(image, "/app/large", { maxBytes: 1_048_576 }))
  yield* Console.log(`too large: ${refused._tag}`)
  const { matches } = yield* ImageFiles.grep(image, ["TODO", "t[wh]"], { paths: "/app", globs: ["README", "*.txt"] })
  for (const { lineNumber, path, text } of matches) yield* Console.log(`${path}:${lineNumber}: ${text.trimEnd()}`)

  // And out again.
  const report = yield* LocalFiles.download(image, "/app/lines.txt", local)
  const unpacked = yield* LocalFiles.extract(image, "/app", `${local}/copy`)
  yield* Console.log(`downloaded ${(yield* fs.readFileString(report)).trim()}, extracted ${unpacked.files} files`)
}).pipe(Effect.scoped)

program.pipe(
  Effect.provide(Layer.mergeAll(LocalContree.layer, NodeContext.layer, NodeHasher.layer)),
  NodeRuntime.runMain
)
