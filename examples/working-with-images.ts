/**
 * Everything that a program does with images: references, imports, runs, tags and listings.
 *
 * It runs on this machine by default; with `Effect.provide(ContreeClient.layer)` in the last lines the same program
 * runs on the hosted service.
 *
 * npm run example -- examples/working-with-images.ts [reference]
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, DateTime, Effect, Stream } from "effect"
import { Command, Image, ImageRef, OciReference, Operation, Run } from "effect-contree"
import { LocalContree } from "effect-contree/local"

const reference = process.argv[2] ?? "docker://docker.io/library/busybox:latest"

/** How many imports the service has done, as its own record says. */
const imports = Operation.stream({ kind: "image_import" }).pipe(Stream.runCount)

const program = Effect.gen(function* () {
  // Fetch: strict use, and an import only when the service does not have the image.
  const before = yield* imports
  const base = yield* Image.oci(reference)
  const again = yield* Image.docker(reference)
  yield* Image.podman(reference)
  yield* Image.pullByOci(yield* OciReference.fromString(reference))
  yield* Console.log(`four fetches, ${(yield* imports) - before} import(s): ${base.id} is ${again.id}`)

  // Force an import: always an operation; the image stays the same while the registry's does.
  const fresh = yield* Image.importFrom(reference, { tag: "fresh:latest" })
  yield* Console.log(`importFrom: ${(yield* imports) - before} import(s) now, same image: ${fresh.id === base.id}`)

  // Use by tag and by UUID, lazily (no request) and strictly (verified).
  const tag = yield* ImageRef.localTag(yield* ImageRef.fromString(reference))
  const lazyByTag = yield* Image.use(tag)
  const lazyById = yield* Image.use(base.id)
  const strictByTag = yield* Image.use(tag, { strict: true })
  const strictById = yield* Image.use(base.id, { strict: true })
  yield* Console.log(
    `lazy ${lazyByTag.ref._tag} and ${lazyById.ref._tag}, strict ${strictByTag.id} and ${strictById.id}`
  )
  const missing = yield* Effect.flip(Image.use("no-such-tag:latest", { strict: true }))
  yield* Console.log(`a missing tag: ${missing._tag}, ${missing.message}`)

  // Run: the result is a new image, which gets a tag; the base stays as it is.
  const built = yield* lazyByTag.pipe(
    Image.run(Command.shell("mkdir /app && echo 'made by contree' > /app/note"), {
      tag: "example/app:v1",
      disposable: false
    }),
    Effect.flatMap(Run.orFail)
  )
  const read = Command.exec("cat", "/app/note")
  const note = yield* Image.run("example/app:v1", read, { disposable: true })
  const onBase = yield* Image.run(base, read, { disposable: true })
  yield* Console.log(`in the new image: ${note.stdout.text.trim()}; in the base: exit code ${onBase.exitCode}`)

  // Branch: runs of the same image, side by side.
  const branches = yield* Effect.forEach(
    ["left", "right"],
    (side) => Image.run(built.image, Command.sh`echo ${side} >> /app/note`, { tag: `example/branch:${side}` }),
    { concurrency: "unbounded" }
  )
  yield* Console.log(`branches: ${branches.map(({ image }) => image.id).join(", ")}`)

  // Tags: several on one image; moved; removed.
  yield* Image.tagAs(built.image, "example/app:latest")
  yield* Image.tagAs("example/branch:left", "example/app:latest")
  const moved = yield* Image.use("example/app:latest", { strict: true })
  yield* Image.untag(moved, "example/branch:left")
  yield* Console.log(`the tag moved to the branch: ${moved.id === branches[0]?.image.id}`)

  // List: by number, tag, prefix, kind and time.
  const startOfYear = DateTime.startOf(yield* DateTime.now, "year")
  const listings = {
    "the newest two": Image.list({ number: 2 }),
    "with a tag": Image.list({ tagged: true }),
    "by prefix": Image.list({ tagPrefix: "example/" }),
    imported: Image.list({ kind: "imported" }),
    "of the last hour": Image.list({ since: "1 hour" }),
    "since the start of the year": Image.list({ since: startOfYear })
  }
  for (const [name, listing] of Object.entries(listings)) {
    const images = yield* listing
    yield* Console.log(`${name}: ${images.length} image(s)`)
  }
})

program.pipe(Effect.provide(LocalContree.layer), NodeRuntime.runMain)
