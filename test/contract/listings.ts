import { assert, describe } from "@effect/vitest"
import { Chunk, DateTime, Effect, Option, Stream } from "effect"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import { busybox, failsWith, keep, unique } from "./steps.js"
import type { It } from "./suite.js"

const ids = (images: Iterable<Image.Image>) => Array.from(images, ({ id }) => id)

/** Five images, the oldest first, and the name that is the prefix of the tags of all but the third. */
const family = Effect.gen(function* () {
  const name = yield* unique
  const base = yield* busybox
  const images = yield* Effect.forEach([0, 1, 2, 3, 4], (index) =>
    Effect.gen(function* () {
      // Apart by more than the clock's resolution.
      yield* Effect.sleep("3 millis")
      const image = yield* keep(base, `echo ${index} > /index`)
      return index === 2 ? image : yield* Image.tagAs(image, `${name}/${index % 2 === 0 ? "even" : "odd"}:${index}`)
    })
  )
  return { name, images, newestFirst: ids(images).reverse() }
})

const createdAt = (id: Image.Input) =>
  Effect.map(Image.use(typeof id === "string" ? id : "", { strict: true }), (image) =>
    Option.getOrThrow(image.createdAt)
  )

/** The same client, for which a page has so many rows. */
const withPages = (pageSize: number) =>
  Effect.updateService(ContreeClient, (client) => ({ ...client, policy: { ...client.policy, pageSize } }))

export const listings = (it: It) => {
  describe("a listing of images", () => {
    it.effect("gives the newest first, as many as are wanted", () =>
      Effect.gen(function* () {
        const { newestFirst } = yield* family
        assert.deepStrictEqual(ids(yield* Image.list({ number: 5 })), newestFirst)
        assert.deepStrictEqual(ids(yield* Image.list({ number: 2 })), newestFirst.slice(0, 2))
        const all = ids(yield* Image.list())
        assert.deepStrictEqual(all.slice(0, 5), newestFirst)
        assert.strictEqual(new Set(all).size, all.length)
        yield* failsWith(Image.list({ number: 0 }), "RequestRejected")
      })
    )

    it.effect("gives those with a tag, or with one of a prefix, each once and under that tag", () =>
      Effect.gen(function* () {
        const { images, name, newestFirst } = yield* family
        const [zero, one, two, three, four] = [...newestFirst].reverse()
        const tagged = ids(yield* Image.list({ tagged: true }))
        assert.deepStrictEqual(tagged.slice(0, 4), [four, three, one, zero])
        assert.notInclude(tagged, two)
        assert.deepStrictEqual(ids(yield* Image.list({ tagPrefix: `${name}/` })), [four, three, one, zero])
        assert.deepStrictEqual(ids(yield* Image.list({ tagPrefix: `${name}/even:` })), [four, zero])
        assert.deepStrictEqual(yield* Image.list({ tagPrefix: `${name}/neither` }), [])
        assert.deepStrictEqual(yield* Image.list({ tagPrefix: `${name}%` }), [])

        const first = images[0]
        assert.isDefined(first)
        yield* Image.tagAs(first, `${name}/also:0`)
        const found = yield* Image.list({ tagPrefix: `${name}/even` })
        assert.deepStrictEqual(
          found.map(({ id, tag }) => [id, Option.getOrUndefined(tag)]),
          [
            [four, `${name}/even:4`],
            [zero, `${name}/even:0`]
          ]
        )
      })
    )

    it.effect("gives those that were imported, or those that a run made", () =>
      Effect.gen(function* () {
        const base = yield* busybox
        const { newestFirst } = yield* family
        const imported = ids(yield* Image.list({ kind: "imported" }))
        const made = ids(yield* Image.list({ kind: "run" }))
        assert.include(imported, base.id)
        assert.deepStrictEqual(made.slice(0, 5), newestFirst)
        assert.deepStrictEqual([...imported, ...made].sort(), ids(yield* Image.list()).sort())
      })
    )

    it.effect("gives those of a window of time, by instants or by durations back from now", () =>
      Effect.gen(function* () {
        const { newestFirst } = yield* family
        const [four, three, two, one] = newestFirst
        assert.isDefined(three)
        assert.isDefined(one)
        const since = yield* createdAt(one)
        const until = yield* createdAt(three)
        assert.deepStrictEqual(ids(yield* Image.list({ since, until })), [three, two, one])
        assert.deepStrictEqual(ids(yield* Image.list({ since: until })), [four, three])
        const now = yield* DateTime.now
        assert.deepStrictEqual(yield* Image.list({ since: DateTime.add(now, { minutes: 1 }) }), [])
        assert.deepStrictEqual(ids(yield* Image.list({ since: "10 minutes" })).slice(0, 5), newestFirst)
        assert.deepStrictEqual(yield* Image.list({ until: "10 minutes" }), [])
        assert.deepStrictEqual(yield* Image.list({ until: DateTime.subtract(now, { minutes: 10 }) }), [])
      })
    )

    it.effect("is the same whatever the size of the pages that it comes in", () =>
      Effect.gen(function* () {
        const { name, newestFirst } = yield* family
        const all = ids(yield* Image.list())
        for (const size of [1, 2, 5]) {
          assert.deepStrictEqual(ids(yield* withPages(size)(Image.list())), all)
          assert.deepStrictEqual(ids(yield* withPages(size)(Image.list({ number: 3 }))), newestFirst.slice(0, 3))
          assert.lengthOf(yield* withPages(size)(Image.list({ tagPrefix: name, since: "1 hour" })), 4)
          const some = yield* withPages(size)(Image.stream().pipe(Stream.take(4), Stream.runCollect))
          assert.deepStrictEqual(ids(Chunk.toReadonlyArray(some)), newestFirst.slice(0, 4))
        }
      })
    )
  })
}
