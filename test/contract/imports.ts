import { assert, describe } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Image from "../../src/Image.js"
import * as ImageRef from "../../src/ImageRef.js"
import * as OciReference from "../../src/OciReference.js"
import { Fixture } from "../fixtures/Contree.js"
import { busybox, failsWith, importCount, importFailure, output, unique } from "./steps.js"
import type { It } from "./suite.js"

const nobody = "00000000-0000-4000-8000-000000000000"

export const imports = (it: It) => {
  describe("an image of a registry", () => {
    it.effect("is imported by oci the first time, and found the second, by whatever name of the verb", () =>
      Effect.gen(function* () {
        const fixture = yield* Fixture
        const name = yield* unique
        yield* fixture.publish(`library/${name}:1`)
        const url = `docker://docker.io/library/${name}:1`
        const before = yield* importCount
        const first = yield* Image.oci(url)
        assert.strictEqual((yield* importCount) - before, 1)
        const again = yield* Effect.all([
          Image.oci(url),
          Image.docker(`${name}:1`),
          Image.podman(`docker.io/${name}:1`),
          Image.pullByOci(yield* OciReference.fromString(url)),
          Image.oci(first.id)
        ])
        assert.strictEqual((yield* importCount) - before, 1)
        for (const image of again) assert.strictEqual(image.id, first.id)
        assert.deepStrictEqual(first.tag, Option.some(`${name}:1`))
      })
    )

    it.effect("is imported by importFrom each time, under the same UUID until it changes", () =>
      Effect.gen(function* () {
        const { publish } = yield* Fixture
        const name = `${yield* unique}:1`
        yield* publish(`library/${name}`)
        const before = yield* importCount
        const first = yield* Image.importFrom(name)
        const same = yield* Image.importFrom(name)
        assert.strictEqual(same.id, first.id)
        assert.strictEqual((yield* importCount) - before, 2)

        yield* publish(`library/${name}`, { news: "changed" })
        assert.strictEqual((yield* Image.oci(name)).id, first.id, "oci is satisfied with what is there")
        const changed = yield* Image.importFrom(name)
        assert.notStrictEqual(changed.id, first.id)
        assert.strictEqual(yield* output(name, "cat /news"), "changed")
        assert.strictEqual(yield* output(first.id, "ls /"), yield* output(yield* busybox, "ls /"))
      })
    )

    it.effect("can be imported under a tag of one's own", () =>
      Effect.gen(function* () {
        const { publish } = yield* Fixture
        const name = yield* unique
        yield* publish(`library/${name}:1`)
        const image = yield* Image.importFrom(`${name}:1`, { tag: `mine/${name}:base` })
        assert.deepStrictEqual(image.tag, Option.some(`mine/${name}:base`))
        assert.strictEqual((yield* Image.use(`mine/${name}:base`, { strict: true })).id, image.id)
        yield* failsWith(Image.use(`${name}:1`, { strict: true }), "NotFound")
        const before = yield* importCount
        assert.strictEqual((yield* Image.oci(`${name}:1`, { tag: `mine/${name}:base` })).id, image.id)
        assert.strictEqual(yield* importCount, before)
      })
    )

    it.effect("can be one of any registry, and is then known by the registry's name too", () =>
      Effect.gen(function* () {
        const { publish, registry } = yield* Fixture
        const name = yield* unique
        yield* publish(`team/${name}:2`, { team: "ours" })
        const image = yield* Image.oci(`docker://${registry}/team/${name}:2`)
        assert.deepStrictEqual(image.tag, Option.some(`${registry}/team/${name}:2`))
        assert.strictEqual(yield* output(`${registry}/team/${name}:2`, "cat /team"), "ours")
      })
    )

    it.effect("that does not exist fails the operation, with a reason that one can read", () =>
      Effect.gen(function* () {
        const { registry } = yield* Fixture
        const name = yield* unique
        const reason = yield* importFailure(Image.oci(`docker://${registry}/team/${name}:1`))
        assert.include(reason, `${registry}/team/${name}:1`)
        assert.match(reason, /does not exist|no such|not found|unknown/i)
        yield* failsWith(Image.use(`${registry}/team/${name}:1`, { strict: true }), "NotFound")
      })
    )

    it.effect("cannot be imported from a UUID", () =>
      Effect.gen(function* () {
        const before = yield* importCount
        assert.include((yield* failsWith(Image.oci(nobody), "NotFound")).message, nobody)
        yield* failsWith(Image.importFrom(nobody), "InvalidImageRef")
        assert.strictEqual(yield* importCount, before)
      })
    )
  })

  describe("use", () => {
    it.effect("by tag and by UUID asks for nothing, or surely finds the image", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        const tag = yield* ImageRef.localTag(yield* ImageRef.fromString((yield* Fixture).busybox))
        const lazy = [yield* Image.use(tag), yield* Image.use(image.id), yield* Image.use((yield* Fixture).busybox)]
        assert.deepStrictEqual(
          lazy.map(({ ref }) => ref._tag),
          ["Tag", "Uuid", "OciUrl"]
        )
        for (const used of lazy) assert.strictEqual(yield* output(used, "echo here"), "here\n")
        const strict = [yield* Image.use(tag, { strict: true }), yield* Image.use(image.id, { strict: true })]
        for (const used of strict) assert.strictEqual(used.id, image.id)
      })
    )

    it.effect("of a tag or UUID that nobody has fails strictly, and lazily when a command runs, naming it", () =>
      Effect.gen(function* () {
        const tag = `${yield* unique}:none`
        for (const [name, what] of [
          [tag, `image tag "${tag}"`],
          [nobody, `image ${nobody}`]
        ] as const) {
          assert.strictEqual((yield* failsWith(Image.use(name, { strict: true }), "NotFound")).what, what)
          const lazy = yield* Image.use(name)
          const error = yield* failsWith(Image.run(lazy, "true", { disposable: true }), "NotFound")
          assert.strictEqual(error.what, what)
          assert.include(error.message, name)
        }
      })
    )
  })
}
