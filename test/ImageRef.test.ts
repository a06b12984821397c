import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Array, Effect, Either, Equal, FastCheck, Hash, HashMap, Option, pipe, Schema } from "effect"
import * as ImageRef from "../src/ImageRef.js"

const id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
const sha256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const parse = (text: string) => Either.getOrThrow(ImageRef.fromString(text))
const refuse = (text: string) => Either.getOrThrow(Either.flip(ImageRef.fromString(text)))

/** Every kind of reference, as texts that are read by each of the rules. */
const validText = FastCheck.oneof(
  FastCheck.constantFrom("python", "localhost:5000/app:1", `app@${sha256}`, "docker:///python", "[::1]:5000/app", id),
  FastCheck.constantFrom("tag:x", "//ghcr.io/o/i", "DOCKER://ghcr.io/o/i:1", "MYHOST/app:v1..2", id.toUpperCase())
)

const nasty = FastCheck.constantFrom(
  ...":/@?#[]. _-A%\\\0\n\t\u202e\ud800é",
  "::",
  "//",
  "@sha256:",
  "docker://",
  "tag:",
  "🐳"
)

/** A valid reference with characters put in, taken out and doubled. */
const mutated = FastCheck.tuple(
  validText,
  FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.constantFrom(0, 1, 2), nasty), {
    minLength: 1,
    maxLength: 4
  })
).map(([text, edits]) =>
  edits.reduce((text, [where, removed, added]) => {
    const at = where % (text.length + 1)
    return text.slice(0, at) + added + text.slice(at + removed)
  }, text)
)

const anyText = FastCheck.oneof(
  FastCheck.fullUnicodeString(),
  FastCheck.string16bits(),
  FastCheck.array(nasty, { maxLength: 12 }).map((parts) => parts.join("")),
  mutated
)

describe("ImageRef.fromString", () => {
  describe("decides by the first rule that fits", () => {
    const rows: ReadonlyArray<readonly [text: string, kind: ImageRef.ImageRef["_tag"], back: string]> = [
      [id, "Uuid", id],
      [id.toUpperCase(), "Uuid", id],
      [`tag:${id}`, "Tag", `tag:${id}`],
      ["tag:ubuntu:latest", "Tag", "tag:ubuntu:latest"],
      ["tag:tag:x", "Tag", "tag:tag:x"],
      ["TAG:x", "Tag", "tag:TAG:x"],
      ["myapp:ready", "Tag", "tag:myapp:ready"],
      ["python", "Tag", "tag:python"],
      ["Ubuntu:Latest", "Tag", "tag:Ubuntu:Latest"],
      ["a:b:c", "Tag", "tag:a:b:c"],
      ["ghcr.io/o/i:t", "Tag", "tag:ghcr.io/o/i:t"],
      ["localhost:5000/foo:1", "Tag", "tag:localhost:5000/foo:1"],
      // Not ids of ours: Python's UUID parser, and so the official SDK, takes these for UUIDs.
      [id.replaceAll("-", ""), "Tag", `tag:${id.replaceAll("-", "")}`],
      [`urn:uuid:${id}`, "Tag", `tag:urn:uuid:${id}`],
      ["docker://python", "OciUrl", "docker://docker.io/library/python"],
      ["docker://python:3.12-slim", "OciUrl", "docker://docker.io/library/python:3.12-slim"],
      ["DOCKER://ghcr.io/o/i", "OciUrl", "docker://ghcr.io/o/i"],
      ["docker:///python", "OciUrl", "docker://docker.io/library/python"],
      [`docker://app@${sha256}`, "OciUrl", `docker://docker.io/library/app@${sha256}`],
      [`app@${sha256}`, "OciReference", `//docker.io/library/app@${sha256}`],
      ["//ghcr.io/o/i:t", "OciReference", "//ghcr.io/o/i:t"],
      ["///python", "OciReference", "//docker.io/library/python"],
      ["[::1]:5000/app", "OciReference", "//[::1]:5000/app"],
      ["app:v1..2", "OciReference", "//docker.io/library/app:v1..2"],
      [`ghcr.io/${"a".repeat(250)}`, "OciReference", `//ghcr.io/${"a".repeat(250)}`]
    ]
    for (const [text, kind, back] of rows) {
      it(`${text.slice(0, 60)} is a ${kind}`, () => {
        assert.strictEqual(parse(text)._tag, kind)
        assert.strictEqual(ImageRef.toString(parse(text)), back)
        assert.isTrue(Equal.equals(parse(back), parse(text)))
      })
    }
  })

  describe("refuses", () => {
    const rows: ReadonlyArray<readonly [text: string, part: string, position: number, reason: RegExp]> = [
      ["", "reference", 0, /there is no name/],
      ["tag:", "tag", 4, /the tag is empty/],
      ["tag:my app", "tag", 6, /a blank cannot stand/],
      ["tag:-x", "tag", 4, /begins with a letter or digit/],
      [`tag:${"a".repeat(257)}`, "tag", 260, /at most 256/],
      [`tag:app@${sha256}`, "tag", 7, /"@" cannot stand/],
      ["ubuntu ", "repository", 6, /a blank/],
      ["ubuntu:", "tag", 7, /nothing follows ":"/],
      // Read as a tag it goes wrong later than as a name, where the capital is wrong already.
      ["Ubuntu:", "tag", 7, /nothing follows ":"/],
      ["My App", "tag", 2, /a blank cannot stand in a ConTree tag/],
      [`{${id}}`, "repository", 0, /"\{" cannot stand/],
      [":x", "repository", 0, /empty/],
      ["/x", "registry", 0, /nothing stands before/],
      ["//", "reference", 2, /there is no name/],
      ["docker://", "reference", 9, /there is no name/],
      ["docker://ubuntu:", "tag", 16, /nothing follows/],
      ["docker://Ubuntu", "repository", 9, /lower case/],
      ["https://ghcr.io/o/i", "scheme", 0, /only scheme/],
      ["oci://ghcr.io/o/i", "scheme", 0, /only scheme/],
      ["ubuntu?x=1#f", "query", 6, /no query/],
      ["user:pw@ghcr.io/o/i", "userinfo", 0, /credentials/],
      ["docker://localhost:99999/app", "port", 19, /1 to 65535/],
      [`Ubuntu@${sha256}`, "repository", 0, /lower case/],
      ["app@sha256:00", "digest", 13, /64 hexadecimal/]
    ]
    for (const [text, part, position, reason] of rows) {
      it(JSON.stringify(text.slice(0, 60)), () => {
        const error = refuse(text)
        deepStrictEqual([error.part, error.position], [part, position], error.message)
        assert.match(error.reason, reason)
      })
    }
  })

  it.prop(
    "never throws, and either is undone by toString or points at a place in the text",
    [anyText],
    ([text]) => {
      for (const result of [
        ImageRef.fromString(text),
        ImageRef.ociUrl(text),
        ImageRef.tag(text),
        ImageRef.uuid(text)
      ]) {
        Either.match(result, {
          onLeft: (error) => {
            assert.isAtLeast(error.position, 0)
            assert.isAtMost(error.position, error.input.length)
            assert.isAtMost(error.position, text.length)
            assert.isTrue(Either.isRight(ImageRef.fromString(error.example)), error.example)
          },
          onRight: (ref) => assert.isTrue(Equal.equals(parse(ImageRef.toString(ref)), ref), ImageRef.toString(ref))
        })
      }
    },
    { fastCheck: { numRuns: 5000 } }
  )

  it("stays linear on texts made to be slow", () => {
    const n = 1_000_000
    const hostile = [
      "a".repeat(n),
      "a-".repeat(n),
      "-".repeat(n),
      "a/".repeat(n),
      ":".repeat(n),
      "a:".repeat(n),
      "@".repeat(n),
      "a@".repeat(n),
      "?".repeat(n),
      `${"a".repeat(n)}://`,
      `docker://${"a.".repeat(n)}/x`,
      `app@sha256:${"a".repeat(n)}`,
      `${"a".repeat(n)}:${"0".repeat(n)}@${"f".repeat(n)}`,
      `[${":".repeat(n)}]/x`,
      `tag:${"a.".repeat(n)}`,
      "\ud83d".repeat(n)
    ]
    const started = performance.now()
    for (const text of hostile) {
      const error = refuse(text)
      assert.isAtMost(error.input.length, 1025)
      assert.isAtMost(error.message.length, 1000)
    }
    // 20 million characters: a second is a hundred times what one pass takes and nothing to what two nested ones would.
    assert.isBelow(performance.now() - started, 2000)
  })
})

describe("ImageRef", () => {
  it.prop("every reference is read back from its text", [ImageRef.ImageRef], ([ref]) => {
    const again = parse(ImageRef.toString(ref))
    assert.isTrue(Equal.equals(again, ref), ImageRef.toString(ref))
    assert.strictEqual(Hash.hash(again), Hash.hash(ref))
    assert.strictEqual(again._tag, ref._tag)
  })

  it.prop("every reference goes through its schemas and back", [ImageRef.ImageRef], ([ref]) => {
    const asText = Schema.encodeSync(ImageRef.ImageRefFromString)(ref)
    assert.strictEqual(asText, ImageRef.toString(ref))
    assert.isTrue(Equal.equals(Schema.decodeSync(ImageRef.ImageRefFromString)(asText), ref))
    const asJson = JSON.parse(JSON.stringify(Schema.encodeSync(ImageRef.ImageRef)(ref)))
    assert.isTrue(Equal.equals(Schema.decodeUnknownSync(ImageRef.ImageRef)(asJson), ref))
  })

  it.prop("the schema from text generates references", [ImageRef.ImageRefFromString], ([ref]) => {
    assert.isTrue(ImageRef.isImageRef(ref))
  })

  it("is compared by value and is a key of a HashMap", () => {
    const map = HashMap.make([parse("docker://python:3"), 1], [parse("tag:python:3"), 2])
    deepStrictEqual(HashMap.get(map, parse("docker://index.docker.io/library/python:3")), Option.some(1))
    deepStrictEqual(HashMap.get(map, parse("python:3")), Option.some(2))
    assert.isFalse(Equal.equals(parse("docker://python:3"), parse("//python:3")))
  })

  it("is written as its own text", () => {
    assert.strictEqual(`${parse(id)} ${parse("a:b")} ${parse("docker://a/b")}`, `${id} tag:a:b docker://docker.io/a/b`)
  })

  it("reads each kind by its own constructor", () => {
    assert.isTrue(Equal.equals(ImageRef.uuid(id.toUpperCase()), Either.right(parse(id))))
    assert.isTrue(Equal.equals(ImageRef.tag(id), Either.right(parse(`tag:${id}`))))
    assert.isTrue(Equal.equals(ImageRef.ociUrl("ghcr.io/o/i"), Either.right(parse("docker://ghcr.io/o/i"))))
    const failures = [ImageRef.uuid("x"), ImageRef.tag("a b"), ImageRef.ociUrl("A b")]
    deepStrictEqual(
      failures.map(
        (failure) => Either.getOrThrow(Either.flip(failure as Either.Either<unknown, ImageRef.InvalidImageRef>)).part
      ),
      ["uuid", "tag", "repository"]
    )
  })

  it("takes references and texts alike", () => {
    const ref = parse("docker://python")
    deepStrictEqual(ImageRef.fromInput(ref), Either.right(ref))
    assert.isTrue(Equal.equals(ImageRef.fromInput("docker://python"), Either.right(ref)))
    assert.isTrue(Either.isLeft(ImageRef.fromInput("docker://")))
  })

  it("tells its kinds apart", () => {
    const refs = [parse(id), parse("a"), parse("docker://a"), parse("//a")]
    const kinds = [ImageRef.isUuid, ImageRef.isTag, ImageRef.isOciUrl, ImageRef.isOciReference]
    deepStrictEqual(
      refs.map((ref) => kinds.map((is) => is(ref))),
      [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => i === j))
    )
    assert.isTrue(refs.every(ImageRef.isImageRef))
    assert.isFalse(ImageRef.isImageRef({ _tag: "Tag", tag: "a" }))
    const name = ImageRef.match({
      Uuid: ({ id }) => id,
      Tag: ({ tag }) => tag,
      OciUrl: ({ url }) => url,
      OciReference: ({ name }) => name
    })
    assert.deepStrictEqual<ReadonlyArray<string>>(refs.map(name), [
      id,
      "a",
      "docker://docker.io/library/a",
      "docker.io/library/a"
    ])
    assert.strictEqual(
      ImageRef.match(parse("a"), { Uuid: () => 0, Tag: () => 1, OciUrl: () => 2, OciReference: () => 3 }),
      1
    )
  })

  it("is ordered by its text", () => {
    const texts = ["tag:b", "docker://a/b", "tag:a", "//a/b", id]
    deepStrictEqual(pipe(texts.map(parse), Array.sort(ImageRef.Order), Array.map(ImageRef.toString)), [
      "//docker.io/a/b",
      id,
      "docker://docker.io/a/b",
      "tag:a",
      "tag:b"
    ])
  })

  it.effect("can be used as an Effect that fails with the error", () =>
    Effect.gen(function* () {
      const ref = yield* ImageRef.fromString("docker://python")
      assert.strictEqual(ref._tag, "OciUrl")
      const error = yield* Effect.flip(ImageRef.fromString("docker://"))
      assert.strictEqual(error._tag, "InvalidImageRef")
    })
  )

  describe("toOci", () => {
    const oci = (text: string) => Either.map(ImageRef.toOci(parse(text)), String)

    it("reads a tag as docker reads a name", () => {
      deepStrictEqual(oci("python:3"), Either.right("docker.io/library/python:3"))
      deepStrictEqual(oci("ghcr.io/o/i"), Either.right("ghcr.io/o/i"))
      deepStrictEqual(oci("localhost:5000/i:1"), Either.right("localhost:5000/i:1"))
    })

    it("gives the reference that a URL or a reference is", () => {
      deepStrictEqual(oci("docker://python"), Either.right("docker.io/library/python"))
      deepStrictEqual(oci("//ghcr.io/o/i"), Either.right("ghcr.io/o/i"))
    })

    it("fails for a tag that is no name of an image", () => {
      const error = Either.getOrThrow(Either.flip(ImageRef.toOci(parse("MyApp:Ready"))))
      deepStrictEqual([error.input, error.part, error.position], ["MyApp:Ready", "repository", 0])
    })

    it("fails for a UUID", () => {
      const error = Either.getOrThrow(Either.flip(ImageRef.toOci(parse(id))))
      deepStrictEqual([error.input, error.part], [id, "uuid"])
      assert.match(error.reason, /cannot be imported/)
    })
  })

  describe("localTag", () => {
    const local = (text: string) => Either.map(ImageRef.localTag(parse(text)), String)

    it("is a tag itself, or what stands for an image of a registry", () => {
      deepStrictEqual(local("tag:Some:Thing"), Either.right("Some:Thing"))
      deepStrictEqual(local("docker://python:3"), Either.right("python:3"))
      deepStrictEqual(local("//ghcr.io/o/i:t"), Either.right("ghcr.io/o/i:t"))
    })

    it("fails for a UUID, and where the tag would be too long", () => {
      const uuid = Either.getOrThrow(Either.flip(ImageRef.localTag(parse(id))))
      assert.match(uuid.reason, /stands for no tag/)
      const long = Either.getOrThrow(Either.flip(ImageRef.localTag(parse(`docker://ghcr.io/${"a".repeat(255)}`))))
      deepStrictEqual([long.part, long.position], ["tag", 256])
    })
  })
})
