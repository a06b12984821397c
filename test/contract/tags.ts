import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Image from "../../src/Image.js"
import { busybox, failsWith, keep, output, unique } from "./steps.js"
import type { It } from "./suite.js"

const idOf = (tag: string) => Effect.map(Image.use(tag, { strict: true }), ({ id }) => id)

export const tags = (it: It) => {
  describe("a tag", () => {
    it.effect("is given to an image however the image is named, and is one of several", () =>
      Effect.gen(function* () {
        const name = yield* unique
        const image = yield* keep(yield* busybox, `echo ${name} > /name`)
        const tagged = yield* Image.tagAs(image, `${name}:one`)
        assert.deepStrictEqual([tagged.id, tagged.tag], [image.id, Option.some(`${name}:one`)])
        yield* Image.tagAs(image.id, `${name}:two`)
        yield* Image.tagAs(`${name}:one`, `team/${name}/deep:three`)
        yield* Image.tagAs(yield* Image.use(`${name}:two`), `${name}:two`)
        for (const tag of [`${name}:one`, `${name}:two`, `team/${name}/deep:three`]) {
          assert.strictEqual(yield* idOf(tag), image.id)
        }
        assert.strictEqual(yield* output(`${name}:two`, "cat /name"), `${name}\n`)
      })
    )

    it.effect("moves to the image that gets it next", () =>
      Effect.gen(function* () {
        const tag = `${yield* unique}:latest`
        const [left, right] = yield* Effect.forEach(["left", "right"] as const, (side) =>
          Effect.flatMap(busybox, (base) => keep(base, `echo ${side} > /side`))
        )
        assert.isDefined(left)
        assert.isDefined(right)
        yield* Image.tagAs(left, tag)
        assert.strictEqual(yield* idOf(tag), left.id)
        yield* Image.tagAs(right, tag)
        assert.strictEqual(yield* idOf(tag), right.id)
        assert.deepStrictEqual((yield* Image.use(left.id, { strict: true })).tag, Option.none())
        yield* failsWith(Image.untag(left, tag), "NotFound")
        assert.strictEqual(yield* idOf(tag), right.id)
      })
    )

    it.effect("is taken from an image, which stays; untagAll takes all of them", () =>
      Effect.gen(function* () {
        const name = yield* unique
        const image = yield* keep(yield* busybox, `echo ${name} > /name`)
        const names = ["a", "b", "c"].map((version) => `${name}:${version}`)
        for (const tag of names) yield* Image.tagAs(image, tag)
        yield* Image.untag(image, `${name}:b`)
        yield* failsWith(Image.use(`${name}:b`, { strict: true }), "NotFound")
        yield* failsWith(Image.untag(image, `${name}:b`), "NotFound")
        assert.strictEqual(yield* idOf(`${name}:c`), image.id)
        yield* Image.untagAll(`${name}:a`)
        for (const tag of names) yield* failsWith(Image.use(tag, { strict: true }), "NotFound")
        yield* Image.untagAll(image)
        assert.strictEqual(yield* output(image.id, "cat /name"), `${name}\n`)
      })
    )

    it.effect("cannot be given to an image that is not there, nor be malformed", () =>
      Effect.gen(function* () {
        const nobody = "00000000-0000-4000-8000-000000000001"
        yield* failsWith(Image.tagAs(nobody, "some:tag"), "NotFound")
        yield* failsWith(Image.untag(nobody, "some:tag"), "NotFound")
        yield* failsWith(Image.tagAs(`${yield* unique}:none`, "some:tag"), "NotFound")
        const error = yield* failsWith(Image.tagAs(yield* busybox, "no spaces please"), "InvalidImageRef")
        assert.include(error.message, "no spaces please")
      })
    )
  })
}
