import { NodeContext } from "@effect/platform-node"
import { assert, layer as suite } from "@effect/vitest"
import { Effect, HashSet, Layer, Option, Random } from "effect"
import { OperationId } from "../../src/api/Images.js"
import { ImageId } from "../../src/ImageId.js"
import { ImageTag } from "../../src/ImageTag.js"
import * as Database from "../../src/local/Database.js"
import * as ImageStore from "../../src/local/ImageStore.js"
import * as Uuid from "../../src/internal/uuid.js"
import { LayerName } from "../../src/local/LayerStore.js"
import * as Contree from "../fixtures/Contree.js"

const operationId = OperationId.make("11111111-1111-4111-8111-111111111111")
const tag = (text: string) => ImageTag.make(text)
const everything: ImageStore.ImageFilter = {
  limit: 1000,
  offset: 0,
  tagged: false,
  tagPrefix: undefined,
  id: undefined,
  kind: undefined,
  since: undefined,
  until: undefined
}

const shared = "public"

const stores = Layer.unwrapScoped(
  Effect.gen(function* () {
    const folder = yield* Contree.temporaryFolder
    return Layer.provideMerge(ImageStore.layer({ publicProject: shared }), Database.layer(folder))
  })
).pipe(Layer.provide(NodeContext.layer))

/** Made anew for each test, so that one database serves all. */
const newProject = Effect.map(Random.nextInt, (number) => `project-${number}`)

const insert = Effect.fnUntraced(function* (project: string, fields: Partial<ImageStore.NewImage> = {}) {
  const images = yield* ImageStore.ImageStore
  const id = ImageId.to.make(yield* Uuid.make)
  yield* images.insert({
    id,
    project,
    kind: "run",
    chain: [LayerName.make("1")],
    env: {},
    cwd: "",
    digest: Option.none(),
    operationId,
    ...fields
  })
  return id
})

const listed = (project: string, filter: Partial<ImageStore.ImageFilter> = {}) =>
  Effect.flatMap(ImageStore.ImageStore, (images) => images.list(project, { ...everything, ...filter }))

/** The id and the tag that a project sees by a tag. */
const seen = (project: string, name: string) =>
  Effect.flatMap(ImageStore.ImageStore, (images) =>
    Effect.map(
      images.byTag(project, tag(name)),
      Option.map(({ id }) => id)
    )
  )

suite(stores)("the images of a project", (it) => {
  it.effect("are not seen by another, by UUID, by tag, in a list", () =>
    Effect.gen(function* () {
      const images = yield* ImageStore.ImageStore
      const [mine, other] = [yield* newProject, yield* newProject]
      const id = yield* insert(mine)
      yield* images.tag(mine, id, tag("app:1"))
      assert.deepStrictEqual(
        Option.map(yield* images.byId(mine, id), ({ tag }) => tag),
        Option.some(Option.some("app:1"))
      )
      assert.deepStrictEqual(yield* images.byId(other, id), Option.none())
      assert.deepStrictEqual(yield* seen(other, "app:1"), Option.none())
      for (const filter of [{}, { id }, { tagged: true }, { tagPrefix: "app" }]) {
        assert.deepStrictEqual(
          (yield* listed(mine, filter)).map(({ id }) => id),
          [id]
        )
        assert.deepStrictEqual(yield* listed(other, filter), [])
      }
    })
  )

  it.effect("have tags of their own: the same name is another image elsewhere, and moves alone", () =>
    Effect.gen(function* () {
      const images = yield* ImageStore.ImageStore
      const [mine, other] = [yield* newProject, yield* newProject]
      const [first, second, theirs] = [yield* insert(mine), yield* insert(mine), yield* insert(other)]
      yield* images.tag(mine, first, tag("app"))
      yield* images.tag(other, theirs, tag("app"))
      yield* images.tag(mine, second, tag("app"))
      assert.deepStrictEqual(yield* seen(mine, "app"), Option.some(second))
      assert.deepStrictEqual(yield* seen(other, "app"), Option.some(theirs))
      assert.isTrue(yield* images.untag(mine, second, tag("app")))
      assert.isFalse(yield* images.untag(mine, second, tag("app")))
      assert.isTrue(yield* images.untag(mine, theirs, undefined))
      assert.deepStrictEqual(yield* seen(other, "app"), Option.some(theirs))
    })
  )

  it.effect(
    "are found again by the digest of their manifest; another project gets its own image of the same layers",
    () =>
      Effect.gen(function* () {
        const images = yield* ImageStore.ImageStore
        const [mine, other] = [yield* newProject, yield* newProject]
        const digest = `sha256:${mine}`
        const id = yield* insert(mine, { kind: "imported", digest: Option.some(digest), env: { A: "1" } })
        assert.deepStrictEqual(
          Option.map(yield* images.byDigest(mine, digest), ({ id }) => id),
          Option.some(id)
        )
        assert.deepStrictEqual(yield* images.byDigest(other, digest), Option.none())
        const adopted = { id: ImageId.to.make(yield* Uuid.make), project: other, operationId }
        assert.isFalse(yield* images.adopt(adopted, "sha256:unknown"))
        assert.isTrue(yield* images.adopt(adopted, digest))
        const image = Option.getOrThrow(yield* images.byDigest(other, digest))
        assert.deepStrictEqual(
          [image.id, image.kind, image.chain, image.env, image.operationId],
          [adopted.id, "imported", ["1"], { A: "1" }, Option.some(operationId)]
        )
        assert.deepStrictEqual(yield* images.byId(mine, adopted.id), Option.none())
      })
  )
})

suite(stores)("public images", (it) => {
  it.effect("are those with a tag of the public project; others see them without their operation", () =>
    Effect.gen(function* () {
      const images = yield* ImageStore.ImageStore
      const mine = yield* newProject
      const [tagged, untagged] = [yield* insert(shared), yield* insert(shared)]
      yield* images.tag(shared, tagged, tag("base:1"))
      assert.deepStrictEqual(yield* images.byId(mine, untagged), Option.none())
      const image = Option.getOrThrow(yield* images.byId(mine, tagged))
      assert.deepStrictEqual([image.tag, image.operationId], [Option.some("base:1"), Option.none()])
      assert.deepStrictEqual(yield* images.byTag(mine, tag("base:1")), Option.some(image))
      assert.deepStrictEqual(yield* listed(mine), [image])
      assert.deepStrictEqual(yield* listed(mine, { tagPrefix: "base:" }), [image])
      assert.deepStrictEqual(
        Option.map(yield* images.byId(shared, tagged), ({ operationId }) => operationId),
        Option.some(Option.some(operationId))
      )
      assert.isFalse(yield* images.untag(mine, tagged, tag("base:1")))
      yield* images.untag(shared, tagged, undefined)
      assert.deepStrictEqual(yield* images.byId(mine, tagged), Option.none())
    })
  )

  it.effect("are shadowed by an own tag of the same name, until that is removed", () =>
    Effect.gen(function* () {
      const images = yield* ImageStore.ImageStore
      const mine = yield* newProject
      const [theirs, own] = [yield* insert(shared), yield* insert(mine)]
      yield* images.tag(shared, theirs, tag("python:3"))
      yield* images.tag(mine, own, tag("python:3"))
      assert.deepStrictEqual(yield* seen(mine, "python:3"), Option.some(own))
      assert.deepStrictEqual(
        (yield* listed(mine, { tagPrefix: "python" })).map(({ id }) => id),
        [own]
      )
      // It is still there, by its UUID.
      assert.deepStrictEqual(
        Option.map(yield* images.byId(mine, theirs), ({ tag }) => tag),
        Option.some(Option.none())
      )
      yield* images.untag(mine, own, tag("python:3"))
      assert.deepStrictEqual(yield* seen(mine, "python:3"), Option.some(theirs))
    })
  )

  it.effect("stay as they are for a project that has tagged one itself, when the public tag moves on", () =>
    Effect.gen(function* () {
      const images = yield* ImageStore.ImageStore
      const [mine, other] = [yield* newProject, yield* newProject]
      const [old, next] = [yield* insert(shared), yield* insert(shared)]
      yield* images.tag(shared, old, tag("node:20"))
      yield* images.tag(mine, old, tag("node:20"))
      yield* images.tag(shared, next, tag("node:20"))
      assert.deepStrictEqual(yield* seen(mine, "node:20"), Option.some(old))
      assert.deepStrictEqual(yield* seen(other, "node:20"), Option.some(next))
      assert.deepStrictEqual(yield* images.byId(other, old), Option.none())
      yield* images.untag(mine, old, tag("node:20"))
      assert.deepStrictEqual(yield* seen(mine, "node:20"), Option.some(next))
    })
  )

  it.effect("are none where no project is public", () =>
    Effect.gen(function* () {
      const images = yield* ImageStore.make({})
      const id = yield* insert("public")
      yield* images.tag("public", id, tag("closed:1"))
      assert.deepStrictEqual(yield* images.byId("mine", id), Option.none())
      assert.isTrue(Option.isSome(yield* images.byId("public", id)))
      assert.isTrue(HashSet.has(yield* ImageStore.knownLayers, LayerName.make("1")))
    })
  )
})
