import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck, type ParseResult, Schema } from "effect"
import * as ImageId from "../src/ImageId.js"
import * as ImageRef from "../src/ImageRef.js"
import * as ImageTag from "../src/ImageTag.js"
import { InvalidImageRef, Part } from "../src/InvalidImageRef.js"
import * as OciReference from "../src/OciReference.js"

const refuse = (text: string) => Either.getOrThrow(Either.flip(ImageRef.fromString(text)))

describe("InvalidImageRef", () => {
  it("says in one line what was given, where and why it is wrong, and what would be right", () => {
    assert.strictEqual(
      refuse("ubuntu:").message,
      'Invalid image reference "ubuntu:", tag at position 7: nothing follows ":". A correct example: "python:3.12-slim"'
    )
  })

  it("gives a correct example for every part", () => {
    const failures: { readonly [P in Part]: Either.Either<unknown, InvalidImageRef> } = {
      reference: ImageRef.fromString(""),
      scheme: ImageRef.fromString("oci://a"),
      userinfo: ImageRef.fromString("a:b@c/d"),
      registry: ImageRef.fromString("docker://-a.io/b"),
      port: ImageRef.fromString("docker://a:0/b"),
      repository: ImageRef.fromString("docker://A"),
      tag: ImageRef.fromString("docker://a:"),
      digest: ImageRef.fromString("a@b"),
      uuid: ImageRef.uuid("a"),
      query: ImageRef.fromString("a?b"),
      fragment: ImageRef.fromString("a#b")
    }
    for (const part of Part.literals) {
      const error = Either.getOrThrow(Either.flip(failures[part]))
      assert.strictEqual(error.part, part)
      assert.isTrue(Either.isRight(ImageRef.fromString(error.example)), error.example)
      assert.include(error.message, error.example)
    }
  })

  it("shows what does not print", () => {
    assert.include(refuse("a\u202e\u2028\nb").message, String.raw`"a\u{202e}\u{2028}\nb"`)
  })

  it("quotes only the neighbourhood of the fault in a long text", () => {
    const error = refuse(`docker://ghcr.io/${"a".repeat(100)}!${"b".repeat(100)}`)
    assert.strictEqual(error.position, 117)
    assert.include(error.message, `"…${"a".repeat(80)}!${"b".repeat(79)}…"`)
    assert.strictEqual(error.input.length, 218)
  })

  it("keeps no more than 1,024 characters of a very long text", () => {
    const error = refuse("a".repeat(100_000))
    assert.strictEqual(error.input, `${"a".repeat(1024)}…`)
    assert.strictEqual(error.position, 1024)
  })

  it("goes through its schema and back", () => {
    const error = refuse("ubuntu:")
    const again = Schema.decodeSync(InvalidImageRef)(Schema.encodeSync(InvalidImageRef)(error))
    assert.strictEqual(again.message, error.message)
  })

  describe("hides", () => {
    const digest = `sha256:${"a".repeat(64)}`
    const rows: ReadonlyArray<readonly [text: string, shown: string, part: string, position: number]> = [
      ["user:secret@ghcr.io/o/i", "***@ghcr.io/o/i", "userinfo", 0],
      ["docker://user:secret@ghcr.io/o/i", "docker://***@ghcr.io/o/i", "userinfo", 9],
      ["//user:secret@ghcr.io/o/i", "//***@ghcr.io/o/i", "userinfo", 2],
      ["https://user:secret@ghcr.io/o/i", "https://***@ghcr.io/o/i", "scheme", 0],
      ["tag:user:secret@ghcr.io/o/i", "***@ghcr.io/o/i", "userinfo", 0],
      ["secret@ghcr.io/o/i", "***@ghcr.io/o/i", "userinfo", 0],
      ["user:secret@host", "***@host", "userinfo", 0],
      ["user:secret@host:5000", "***@host:5000", "userinfo", 0],
      ["user:sec/ret@host/x", "***@host/x", "userinfo", 0],
      ["user:sec@ret@host/x", "***@host/x", "userinfo", 0],
      ["user:sec?ret@host/x", "***", "userinfo", 0],
      ["user:sec#ret@host", "***", "userinfo", 0],
      ["user:sec ret@host/x", "***@host/x", "userinfo", 0],
      ["User:secret@host/x", "***@host/x", "userinfo", 0],
      [`user:secret@host/x@${digest}`, `***@host/x@${digest}`, "userinfo", 0],
      ["user:secret@host/x@latest", "***@latest", "userinfo", 0],
      ["user:secret@sha256:@h/x?q=secret@sha256:", "***@h/x?***", "userinfo", 0],
      ["user://secret@ghcr.io", "user://***@ghcr.io", "scheme", 0],
      ["docker://secret@ghcr.io", "docker://***@ghcr.io", "userinfo", 9],
      ["ghcr.io/o/i?token=a@secret", "***", "userinfo", 0],
      ["user:secret@host/x?token=secret", "***@host/x?***", "userinfo", 0],
      ["ghcr.io/o/i?token=secret", "ghcr.io/o/i?***", "query", 11],
      ["ghcr.io/o/i#secret?secret", "ghcr.io/o/i#***", "fragment", 11],
      [`ghcr.io/o/i?secret@${digest}`, "ghcr.io/o/i?***", "query", 11],
      [`docker://u:${"secret".repeat(1000)}@h/x`, "docker://***@h/x", "userinfo", 9]
    ]
    for (const [text, shown, part, position] of rows) {
      it(`what may be secret in ${text.slice(0, 60)}`, () => {
        const error = refuse(text)
        assert.deepStrictEqual([error.input, error.part, error.position], [shown, part, position])
      })
    }

    it("a query before a fault that comes after it", () => {
      const error = Either.getOrThrow(Either.flip(ImageTag.fromString(`app?${"secret".repeat(100)}`)))
      assert.deepStrictEqual([error.input, error.part, error.position], ["app?***", "query", 3])
    })

    it("nothing of a reference without secrets", () => {
      for (const text of [`app:1@${digest}x`, "app@latest", "app:1@md5:00000000000000000000000000000000", "a b?"]) {
        assert.strictEqual(refuse(text).input, text)
      }
    })

    const around = (secret: string, host: string) => [
      `user:${secret}@${host}/x`,
      `docker://user:${secret}@${host}/x:1`,
      `https://user:${secret}@${host}/x`,
      `//user:${secret}@${host}`,
      `tag:user:${secret}@${host}/x@${digest}`,
      `user:${secret}@${host}/x@${digest}?q=${secret}`,
      `${host}/x?token=${secret}`
    ]
    const secretText = FastCheck.array(FastCheck.constantFrom(..."aZ1:/@?#[]!$%&. -_", "sha256:", "://", "tag:"), {
      maxLength: 12
    }).map((parts) => parts.join(""))

    it.prop(
      "the password wherever the error goes, from every parser and schema",
      [secretText, secretText, FastCheck.constantFrom("ghcr.io", "localhost:5000", "[::1]:80", "h")],
      ([before, after, host]) => {
        for (const text of around(`${before}S3CRET${after}`, host)) {
          for (const result of [
            ImageRef.fromString(text),
            ImageRef.ociUrl(text),
            ImageRef.tag(text),
            ImageRef.uuid(text),
            ImageTag.fromString(text),
            ImageId.fromString(text)
          ]) {
            const error = Either.getOrThrow(Either.flip<unknown, InvalidImageRef>(result))
            const seen = [String(error), JSON.stringify(error), error.stack].join("\n")
            assert.notInclude(seen, "S3CRET")
            assert.isAtMost(error.position, error.input.length)
          }
          for (const decode of [
            Schema.decodeUnknownEither(ImageRef.ImageRefFromString),
            Schema.decodeUnknownEither(OciReference.OciReferenceFromString),
            Schema.decodeUnknownEither(ImageId.ImageId),
            Schema.decodeUnknownEither(ImageTag.ImageTag)
          ]) {
            const error = Either.getOrThrow(Either.flip<unknown, ParseResult.ParseError>(decode(text)))
            assert.notInclude(String(error) + JSON.stringify(error), "S3CRET")
          }
        }
      },
      { fastCheck: { numRuns: 200 } }
    )
  })
})
