/**
 * The main job in a minute, with no account: import an image, run a command on it, branch the result twice side by
 * side, tag, list, and show the tree of images that came of it.
 *
 * npm run quickstart [-- reference]
 */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Clock, Config, Console, Duration, Effect, Layer, Option } from "effect"
import { Command, type ContreeClient, Image, ImageRef, type ImageTag, Run } from "effect-contree"
import { EngineConfig, LocalContree } from "effect-contree/local"
import * as SampleImage from "./SampleImage.js"
import * as SampleRegistry from "./SampleRegistry.js"

const defaultReference = "docker://docker.io/library/busybox:latest"

/** A registry that exists only while the quickstart runs, so its name is one that no real one can have. */
const sample = { registry: "quickstart.invalid", repository: "sample", tag: "latest" }
const sampleReference = `docker://${sample.registry}/${sample.repository}:${sample.tag}`

const say = (text: string) => Console.log(text)

/** Says what is done, does it, and says how long it took. */
const step = <A, E, R>(title: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    yield* say(`\n▸ ${title}`)
    const started = yield* Clock.currentTimeMillis
    const result = yield* effect
    yield* say(`  done in ${Duration.format(Duration.millis((yield* Clock.currentTimeMillis) - started))}`)
    return result
  })

const short = (image: Image.Image) => image.id.slice(0, 8)

const show = (run: Run.Run) =>
  Effect.forEach(run.stdout.text.trimEnd().split("\n"), (line) => say(`  │ ${line}`), { discard: true })

/** What the quickstart does with an image once it is there. */
const mainJob = (base: Image.Image) =>
  Effect.gen(function* () {
    const built = yield* step(
      "run a command; what it writes becomes a new image, tagged quickstart/built:latest",
      Image.run(base, Command.shell("echo 'written in a sandbox' > /note; id; uname -sr; cat /note"), {
        tag: "quickstart/built:latest"
      }).pipe(Effect.flatMap(Run.orFail), Effect.tap(show))
    )

    const branches = yield* step(
      "branch it twice, in parallel: both start from the same files, neither sees the other",
      Effect.forEach(
        ["left", "right"],
        (side) =>
          Image.run(built.image, Command.sh`echo ${`the ${side} branch`} >> /note; cat /note`, {
            tag: `quickstart/branch:${side}`
          }).pipe(Effect.flatMap(Run.orFail)),
        { concurrency: "unbounded" }
      ).pipe(Effect.tap(Effect.forEach(show)))
    )

    const tried = yield* step(
      "try something dangerous in a disposable run; the image stays as it is",
      Image.run(built.image, "rm -rf /bin /etc /note; echo gone", { disposable: true }).pipe(Effect.tap(show))
    )

    const images = yield* step("list the images with a tag", Image.list({ tagged: true }))
    yield* Effect.forEach(images, (image) => say(`  ${short(image)}  ${Option.getOrElse(image.tag, () => "")}`))

    const [left, right] = branches
    yield* say(`\n▸ the tree of images`)
    yield* say(`  ${short(base)}  ${Option.getOrElse(base.tag, () => "the imported image")}`)
    yield* say(`  └─ ${short(built.image)}  quickstart/built:latest`)
    if (left !== undefined && right !== undefined) {
      yield* say(`     ├─ ${short(left.image)}  quickstart/branch:left`)
      yield* say(`     ├─ ${short(right.image)}  quickstart/branch:right`)
      yield* say(`     └─ (disposable run, exit code ${tried.exitCode}: no image)`)
    }
  })

const find = (tag: ImageTag.ImageTag) =>
  Image.use(tag, { strict: true }).pipe(
    Effect.asSome,
    Effect.catchTag("NotFound", () => Effect.succeedNone)
  )

/** The image if it is there already or can be fetched; none when its registry gives it to nobody here. */
const fetched = (reference: string) =>
  Effect.gen(function* () {
    const tag = yield* ImageRef.localTag(yield* ImageRef.fromString(reference))
    const known = yield* find(tag)
    if (Option.isSome(known)) {
      yield* say(`\n▸ ${tag} is there from an earlier run; no import`)
      return known
    }
    const earlier = yield* find(yield* ImageRef.localTag(yield* ImageRef.fromString(sampleReference)))
    if (reference === defaultReference && Option.isSome(earlier)) {
      yield* say(`\n▸ the sample image is there from an earlier run; no import (name a reference to try a registry)`)
      return earlier
    }
    return yield* step(`import ${reference}`, Image.oci(reference)).pipe(
      Effect.asSome,
      Effect.catchTag("OperationFailed", (error) => Effect.as(say(`  no: ${error.detail}`), Option.none<Image.Image>()))
    )
  })

const withEngine =
  (options: LocalContree.Options) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provide(effect, LocalContree.layerWith(options)) satisfies Effect.Effect<
      A,
      unknown,
      Exclude<R, ContreeClient.ContreeClient>
    >

const program = Effect.gen(function* () {
  const reference = process.argv[2] ?? defaultReference
  const dataDirectory = yield* Config.orElse(Config.nonEmptyString("CONTREE_DATA_DIR"), () =>
    Config.map(EngineConfig.defaultDataDirectory, (folder) => `${folder}-quickstart`)
  )
  yield* say(`effect-contree quickstart; images live in ${dataDirectory}`)

  const done = yield* fetched(reference).pipe(
    Effect.tap(Option.match({ onNone: () => Effect.void, onSome: mainJob })),
    Effect.map(Option.isSome),
    withEngine({ dataDirectory })
  )
  if (done) return

  yield* say(`\nNo registry could be reached for it, so a sample image is made here and served from this machine.`)
  const image = yield* step("make a sample image", SampleImage.make)
  yield* say(`  from ${image.origin}`)
  const registry = SampleRegistry.layer({ [`${sample.repository}:${sample.tag}`]: image })
  yield* Effect.gen(function* () {
    const { address } = yield* SampleRegistry.SampleRegistry
    yield* step(`import ${sampleReference}, served by http://${address}`, Image.oci(sampleReference)).pipe(
      Effect.flatMap(mainJob),
      withEngine({ dataDirectory, mirrors: [{ registry: sample.registry, url: `http://${address}` }] })
    )
  }).pipe(Effect.provide(registry))
}).pipe(Effect.scoped, Effect.zipRight(say(`\nNext: examples/, and \`npm run serve\` for other languages' clients.`)))

program.pipe(Effect.provide(Layer.mergeAll(NodeContext.layer)), NodeRuntime.runMain)
