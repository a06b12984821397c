import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either, Equal, FastCheck, Hash, Option, pipe, Schema } from "effect"
import * as ImageTag from "../src/ImageTag.js"
import * as OciReference from "../src/OciReference.js"

const sha256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
const sha512 = `sha512:${"0123456789abcdef".repeat(8)}`

const parse = (text: string) => Either.getOrThrow(OciReference.fromString(text))
const refuse = (text: string) => Either.getOrThrow(Either.flip(OciReference.fromString(text)))

/** The grammar as the OCI distribution specification states it. */
const repositoryPattern = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

describe("OciReference", () => {
  describe("reads what the official SDK and CLI read", () => {
    const rows: ReadonlyArray<readonly [input: string, url: string, localTag: string]> = [
      ["python", "docker://docker.io/library/python", "python"],
      ["ubuntu", "docker://docker.io/library/ubuntu", "ubuntu"],
      ["python:3.12-slim", "docker://docker.io/library/python:3.12-slim", "python:3.12-slim"],
      ["docker:///python:3.12-slim", "docker://docker.io/library/python:3.12-slim", "python:3.12-slim"],
      ["docker://ubuntu:latest", "docker://docker.io/library/ubuntu:latest", "ubuntu:latest"],
      ["docker.io/python:3.12", "docker://docker.io/library/python:3.12", "python:3.12"],
      ["docker.io/library/python:3.12", "docker://docker.io/library/python:3.12", "python:3.12"],
      // The CLI sends this without library/, which Docker Hub does not know.
      ["docker://docker.io/busybox:latest", "docker://docker.io/library/busybox:latest", "busybox:latest"],
      ["vpupkin/myimage:v1.0", "docker://docker.io/vpupkin/myimage:v1.0", "vpupkin/myimage:v1.0"],
      ["docker.io/user/img:tag", "docker://docker.io/user/img:tag", "user/img:tag"],
      ["librarything/img:1", "docker://docker.io/librarything/img:1", "librarything/img:1"],
      ["docker://quay.io/python", "docker://quay.io/python", "quay.io/python"],
      ["gcr.io/project/image", "docker://gcr.io/project/image", "gcr.io/project/image"],
      // The CLI drops the registry from the tag, so that images of two registries take each other's place.
      ["ghcr.io/o/i:t", "docker://ghcr.io/o/i:t", "ghcr.io/o/i:t"],
      [
        "docker://some.io/library/python:3.12-slim",
        "docker://some.io/library/python:3.12-slim",
        "some.io/library/python:3.12-slim"
      ],
      [
        "docker://registry.example.com:5000/team/myapp:v1.2.3",
        "docker://registry.example.com:5000/team/myapp:v1.2.3",
        "registry.example.com:5000/team/myapp:v1.2.3"
      ],
      // The SDK takes localhost, a port and an IPv6 address for names on Docker Hub; docker does not, nor do we.
      ["localhost:5000/img:tag", "docker://localhost:5000/img:tag", "localhost:5000/img:tag"],
      ["localhost/img", "docker://localhost/img", "localhost/img"],
      ["127.0.0.1:5000/img", "docker://127.0.0.1:5000/img", "127.0.0.1:5000/img"],
      ["registry:5000/a/b", "docker://registry:5000/a/b", "registry:5000/a/b"],
      ["[::1]:5000/x:y", "docker://[::1]:5000/x:y", "0--1.ipv6-literal.net:5000/x:y"],
      // The SDK makes the whole text the tag, which the service refuses; a tag has no "@".
      [`app@${sha256}`, `docker://docker.io/library/app@${sha256}`, `app:${sha256.replace(":", "-")}`],
      [`app:1@${sha256}`, `docker://docker.io/library/app:1@${sha256}`, `app:${sha256.replace(":", "-")}`],
      ["DOCKER://python", "docker://docker.io/library/python", "python"],
      ["//ghcr.io/o/i", "docker://ghcr.io/o/i", "ghcr.io/o/i"]
    ]
    for (const [input, url, localTag] of rows) {
      it(`${input} is ${url}`, () => {
        assert.strictEqual(parse(input).url, url)
        assert.strictEqual<string>(Either.getOrThrow(parse(input).localTag), localTag)
      })
    }
  })

  describe("refuses what the official SDK lets through", () => {
    const rows: ReadonlyArray<readonly [input: string, part: string, position: number, reason: RegExp]> = [
      ["", "reference", 0, /there is no name/],
      ["docker://", "reference", 9, /there is no name/],
      ["docker:///", "reference", 10, /there is no name/],
      ["Ubuntu:Latest", "repository", 0, /lower case and "U" is not/],
      ["ubuntu ", "repository", 6, /a blank cannot stand/],
      ["ubuntu:", "tag", 7, /nothing follows ":"/],
      ["a:b:c", "tag", 3, /one tag/],
      ["tag:ubuntu:latest", "tag", 10, /one tag/],
      [":x", "repository", 0, /the name of the repository is empty/],
      ["/x", "registry", 0, /nothing stands before "\/"/],
      ["docker:////x", "registry", 10, /nothing stands before "\/"/],
      ["ubuntu?x=1#f", "query", 6, /no query/],
      ["ubuntu#f", "fragment", 6, /no fragment/],
      ["https://ghcr.io/o/i", "scheme", 0, /the only scheme .* docker:\/\//],
      ["oci://ghcr.io/o/i", "scheme", 0, /the only scheme/],
      ["nodocker://python", "scheme", 0, /the only scheme/],
      ["user:pw@ghcr.io/o/i", "userinfo", 0, /credentials/],
      ["docker://user:pw@ghcr.io/o/i", "userinfo", 9, /credentials/]
    ]
    for (const [input, part, position, reason] of rows) {
      it(JSON.stringify(input), () => {
        const error = refuse(input)
        deepStrictEqual([error.part, error.position], [part, position])
        assert.match(error.reason, reason)
      })
    }
  })

  describe("says what is wrong with", () => {
    const long = (n: number) => "a".repeat(n)
    const rows: ReadonlyArray<readonly [what: string, input: string, part: string, position: number, reason: RegExp]> =
      [
        ["a text longer than any reference", long(1025), "reference", 1024, /at most 1024 .* has 1025/],
        ["a registry without a name", "ghcr.io/", "repository", 8, /name of the repository is empty/],
        ["an empty host", ":5000/app", "registry", 0, /host name is empty/],
        ["an empty label of a host", "a..b/app", "registry", 2, /label .* is empty/],
        ["a dot at the end of a host", "example.com./app", "registry", 12, /label .* is empty/],
        ["a hyphen at the start of a label", "-a.io/app", "registry", 0, /begin with "-"/],
        ["a hyphen at the end of a label", "a-.io/app", "registry", 1, /end with "-"/],
        ["an underscore in a host", "my_host.io/app", "registry", 2, /"_" cannot stand in a host name/],
        ["a label of 64 characters", `${long(64)}.io/app`, "registry", 63, /at most 63/],
        ["a host of 254 characters", `${"a.".repeat(126)}aa/app`, "registry", 253, /at most 253/],
        ["an IPv4 address that is none", "1.2.3.256/app", "registry", 0, /IPv4 address/],
        ["a short IPv4 address", "1.2/app", "registry", 0, /IPv4 address/],
        ["an IPv4 address with leading zeros", "127.0.0.01/app", "registry", 0, /IPv4 address/],
        ["an IPv4 address in hexadecimal", "0x7f.0x1:80/app", "registry", 0, /IPv4 address/],
        ["an empty port", "localhost:/app", "port", 10, /nothing follows ":"/],
        ["a port in letters", "localhost:http/app", "port", 10, /no "h"/],
        ["port 0", "localhost:0/app", "port", 10, /1 to 65535/],
        ["port 65536", "localhost:65536/app", "port", 10, /1 to 65535/],
        ["a port of six digits", "localhost:100000/app", "port", 10, /1 to 65535/],
        ["a port with a leading zero", "localhost:080/app", "port", 10, /leading zeros/],
        ["an IPv6 address without brackets", "fc00::1/app", "registry", 5, /stands in brackets/],
        ["an open bracket", "[::1/app", "registry", 0, /no "\]"/],
        ["a bracket that closes too late", "[::1/app]", "registry", 0, /no "\]"/],
        ["something else than a port after a bracket", "[::1]x/app", "registry", 5, /only a port may follow/],
        ["an empty IPv6 port", "[::1]:/app", "port", 6, /nothing follows/],
        ["a zone", "[fe80::1%eth0]:5000/app", "registry", 8, /"%" cannot stand in an IPv6 address/],
        ["an embedded IPv4 address", "[::ffff:1.2.3.4]/app", "registry", 9, /"\." cannot stand in an IPv6 address/],
        ["nine groups", "[1:2:3:4:5:6:7:8:9]/app", "registry", 1, /no IPv6 address/],
        ["eight groups and ::", "[1:2:3:4::5:6:7:8]/app", "registry", 1, /no IPv6 address/],
        ["two ::", "[1::2::3]/app", "registry", 1, /no IPv6 address/],
        ["three colons", "[1:::2]/app", "registry", 1, /no IPv6 address/],
        ["a group of five digits", "[12345::]/app", "registry", 1, /no IPv6 address/],
        ["seven groups", "[1:2:3:4:5:6:7]/app", "registry", 1, /no IPv6 address/],
        ["an IPv6 address alone", "[::1]", "repository", 0, /"\[" cannot stand/],
        ["upper case in the path", "ghcr.io/Owner/app", "repository", 8, /"O" is not/],
        ["an empty component", "ghcr.io/a//b", "repository", 10, /component .* is empty/],
        ["a slash at the end", "ghcr.io/a/", "repository", 10, /component .* is empty/],
        ["a component that begins with a separator", "ghcr.io/a/.b", "repository", 10, /begins .* not with "\."/],
        ["a component that ends with a separator", "a-/b", "repository", 2, /ends with a letter or digit/],
        ["a name that ends with a separator", "ghcr.io/a_", "repository", 10, /ends with a letter or digit/],
        ["two dots", "ghcr.io/a..b", "repository", 10, /"\." cannot follow "\."/],
        ["three underscores", "ghcr.io/a___b", "repository", 11, /"_" cannot follow "__"/],
        ["a hyphen and an underscore", "ghcr.io/a-_b", "repository", 10, /"_" cannot follow "-"/],
        ["an underscore and a dot", "ghcr.io/a_.b", "repository", 10, /"\." cannot follow "_"/],
        ["a name of 256 characters", `ghcr.io/${long(256)}`, "repository", 263, /at most 255/],
        ["a name too long with its library/", long(248), "repository", 247, /"library\/"/],
        ["an image id of docker", sha256.slice(7), "repository", 0, /id of an image in docker/],
        ["a letter that is not ASCII", "ghcr.io/bücher", "repository", 9, /"ü" cannot stand/],
        ["a character that does not print", "ghcr.io/a\u202eb", "repository", 9, /U\+202E cannot stand/],
        ["half a character", "ghcr.io/a\ud800", "repository", 9, /U\+D800 cannot stand/],
        ["a tag that begins with a dot", "app:.1", "tag", 4, /begins with .* not with "\."/],
        ["a tag that begins with a hyphen", "app:-1", "tag", 4, /begins with .* not with "-"/],
        ["a plus sign in a tag", "app:1+2", "tag", 5, /"\+" cannot stand in a tag/],
        ["a tag of 129 characters", `app:${long(129)}`, "tag", 132, /at most 128/],
        ["an empty digest", "app@", "digest", 4, /a digest is/],
        ["a tag for a digest", "app@latest", "digest", 4, /a digest is/],
        ["an algorithm of docker only", `app@sha384:${long(96)}`, "digest", 4, /a digest is/],
        ["an algorithm in upper case", `app@SHA256:${long(64)}`, "digest", 4, /a digest is/],
        ["an algorithm with nothing after it", "app@sha256", "digest", 4, /a digest is/],
        ["a digest in upper case", `app@sha256:${"A".repeat(64)}`, "digest", 11, /"A" is no hexadecimal digit/],
        ["a digest with a letter after f", `app@sha256:${long(10)}g`, "digest", 21, /"g" is no hexadecimal/],
        ["a digest cut short", `app@sha256:${long(63)}`, "digest", 74, /has 64 .* this one has 63/],
        ["a digest too long", `app@sha256:${long(65)}`, "digest", 75, /has 64 .* this one has 65/],
        ["a short sha512", `app@sha512:${long(64)}`, "digest", 75, /has 128 .* this one has 64/],
        ["a digest alone", `@${sha256}`, "repository", 0, /name of the repository is empty/],
        ["a tag after the digest", `app@${sha256}:1`, "digest", 75, /this one has 66/]
      ]
    for (const [what, input, part, position, reason] of rows) {
      it(what, () => {
        const error = refuse(input)
        deepStrictEqual([error.part, error.position], [part, position], error.message)
        assert.match(error.reason, reason)
        assert.isTrue(Either.isRight(OciReference.fromString(error.example)), error.example)
      })
    }
  })

  it("reads the longest host, name, tag and digest together", () => {
    const host = `${"a.".repeat(126)}a`
    const longest = `docker://${host}:65535/${"a".repeat(255)}:${"a".repeat(128)}@${sha512}`
    assert.strictEqual(parse(longest).url, longest)
    assert.strictEqual(parse("a".repeat(247)).repository.length, 255)
  })

  it("reads repositories and tags exactly as the container tools do", () => {
    for (const name of ["docker---rules/a", "dock__er/a", "d/t", "a/b.c_d-e", "test_com/a", "foo/foo_bar.com"]) {
      assert.strictEqual(parse(name).name, `docker.io/${name}`)
    }
    for (const name of ["192.168.0.1", "test.com", "localhost"]) {
      assert.strictEqual(parse(`${name}:5000`).url, `docker://docker.io/library/${name}:5000`)
    }
    assert.strictEqual(parse(`docker.io/${sha256.slice(7)}`).repository, `library/${sha256.slice(7)}`)
    deepStrictEqual(parse("app:_.-Z").tag, Option.some("_.-Z"))
    assert.strictEqual(parse("docker.io/library/foo/bar").repository, "library/foo/bar")
  })

  it("knows Docker Hub by all its names, and hosts in any case", () => {
    for (const host of ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"]) {
      assert.isTrue(Equal.equals(parse(`${host}/python:3`), parse("python:3")), host)
    }
    assert.isTrue(Equal.equals(parse("GHCR.io/o/i"), parse("ghcr.io/o/i")))
    assert.isTrue(Equal.equals(parse("[FC00::A]/i"), parse("[fc00::a]/i")))
    assert.strictEqual(parse("LOCALHOST/i").registry, "localhost")
  })

  it("leaves upper case to a host that nothing else tells from a repository", () => {
    assert.strictEqual(parse("MYHOST/app").registry, "MYHOST")
    assert.isTrue(Equal.equals(parse(parse("MYHOST/app").url), parse("MYHOST/app")))
    assert.strictEqual(parse("myhost/app").registry, "docker.io")
  })

  it("keeps a missing tag missing and pulls latest", () => {
    deepStrictEqual(parse("python").tag, Option.none())
    assert.strictEqual(parse("python").reference, "latest")
    assert.strictEqual(parse("python:3.12").reference, "3.12")
    assert.strictEqual(parse(`python:3.12@${sha256}`).reference, sha256)
    assert.strictEqual(parse(`python@${sha512}`).reference, sha512)
  })

  it("is equal and has the same hash when it names the same image", () => {
    const a = parse("docker://docker.io/library/python:3.12")
    const b = parse("python:3.12")
    assert.isTrue(Equal.equals(a, b))
    assert.strictEqual(Hash.hash(a), Hash.hash(b))
    assert.isFalse(Equal.equals(a, parse("python")))
    assert.isFalse(Equal.equals(parse("python"), parse("python:latest")))
  })

  it("is built from canonical parts, with tag and digest left out or given", () => {
    const built = new OciReference.OciReference({ registry: "ghcr.io", repository: "o/i" })
    assert.isTrue(Equal.equals(built, parse("ghcr.io/o/i")))
    assert.strictEqual(String(built), "ghcr.io/o/i")
  })

  it("cannot be decoded from parts that are not canonical", () => {
    const decode = Schema.decodeUnknownEither(OciReference.OciReference)
    const parts = { _tag: "OciReference", registry: "ghcr.io", repository: "o/i" }
    assert.isTrue(Either.isRight(decode(parts)))
    const rows: ReadonlyArray<readonly [Record<string, string>, RegExp]> = [
      [{ registry: "docker.io", repository: "python" }, /written library\/python/],
      [{ registry: "index.docker.io" }, /canonical form of this registry is docker.io/],
      [{ registry: "GHCR.io" }, /canonical form of this registry is ghcr.io/],
      [{ registry: "ghcr" }, /a dot, a port or upper case/],
      [{ registry: "ghcr.io:0" }, /1 to 65535/],
      [{ repository: "O/i" }, /lower case/],
      [{ tag: "a:b" }, /one tag/],
      [{ digest: "sha256:0" }, /64 hexadecimal digits/]
    ]
    for (const [change, reason] of rows) {
      const error = Either.getOrThrow(Either.flip(decode({ ...parts, ...change })))
      assert.match(error.message, reason)
    }
  })

  describe("the tag that stands for an image", () => {
    const rows: ReadonlyArray<readonly [input: string, localTag: string]> = [
      ["app:_x", "app:_x"],
      ["app:1.", "app:1:-"],
      ["app:v1..2", "app:v1:-.2"],
      ["app:1...", "app:1:-:-:-"],
      ["a__b/c--d:1", "a__b/c--d:1"],
      ["[2001:db8::]/app", "2001-db8--0.ipv6-literal.net/app"],
      ["[::]:80/app", "0--0.ipv6-literal.net:80/app"],
      ["docker.io/library/a/b", "library/a/b"],
      ["docker.io/foo.bar/app", "docker.io/foo.bar/app"],
      ["docker.io/localhost/app", "docker.io/localhost/app"],
      ["docker.io/foo.bar", "foo.bar"],
      [`ghcr.io/o/i:1@${sha512}`, `ghcr.io/o/i:${sha512.replace(":", "-")}`]
    ]
    for (const [input, localTag] of rows) {
      it(`of ${input} is ${localTag}`, () => {
        assert.strictEqual<string>(Either.getOrThrow(parse(input).localTag), localTag)
      })
    }

    it("is missing where it would be longer than a tag may be", () => {
      const fits = parse(`ghcr.io/${"a".repeat(200)}:${"b".repeat(47)}`)
      assert.strictEqual(Either.getOrThrow(fits.localTag).length, 256)
      const error = Either.getOrThrow(Either.flip(parse(`ghcr.io/${"a".repeat(200)}:${"b".repeat(48)}`).localTag))
      deepStrictEqual([error.part, error.position], ["tag", 256])
      assert.match(error.reason, /257 characters .* give it a tag of your own/)
    })

    it.prop("is a valid tag, or too long", [OciReference.OciReference], ([reference]) => {
      Either.match(reference.localTag, {
        onLeft: (error) => assert.isAbove(error.input.length, ImageTag.maxLength),
        onRight: (tag) => assert.isTrue(ImageTag.isImageTag(tag), tag)
      })
    })

    it.prop(
      "is read back to the image it stands for, unless the rule had to go around a digest, a dot or an IPv6 host",
      [OciReference.OciReference],
      ([reference]) => {
        const plain =
          Option.isNone(reference.digest) &&
          !reference.registry.startsWith("[") &&
          !Option.exists(reference.tag, (tag) => /\.(?:\.|$)/.test(tag))
        if (plain && Either.isRight(reference.localTag)) {
          assert.isTrue(Equal.equals(parse(reference.localTag.right), reference))
        }
      }
    )
  })

  describe("withTag and withDigest", () => {
    it("move to another tag of the repository and forget the digest", () => {
      const moved = OciReference.withTag(parse(`app:1@${sha256}`), "2")
      assert.isTrue(Equal.equals(moved, Either.right(parse("app:2"))))
      assert.isTrue(Equal.equals(pipe(parse("app:1"), OciReference.withTag("2")), moved))
    })

    it("pin to a digest and keep the tag", () => {
      const pinned = OciReference.withDigest(parse("app:1"), sha256)
      assert.isTrue(Equal.equals(pinned, Either.right(parse(`app:1@${sha256}`))))
      assert.isTrue(Equal.equals(pipe(parse("app:1"), OciReference.withDigest(sha256)), pinned))
    })

    it("refuse what is no tag or digest", () => {
      const tag = Either.getOrThrow(Either.flip(OciReference.withTag(parse("app"), "a b")))
      deepStrictEqual([tag.input, tag.part, tag.position], ["a b", "tag", 1])
      const digest = Either.getOrThrow(Either.flip(OciReference.withDigest(parse("app"), "sha256:x")))
      deepStrictEqual([digest.input, digest.part, digest.position], ["sha256:x", "digest", 7])
    })
  })

  it.prop("every reference is read back from its URL and its text", [OciReference.OciReference], ([reference]) => {
    assert.isTrue(Equal.equals(parse(reference.url), reference), reference.url)
    assert.isTrue(Equal.equals(parse(String(reference)), reference))
    assert.strictEqual(Hash.hash(parse(reference.url)), Hash.hash(reference))
  })

  it.prop("every reference goes through its schemas and back", [OciReference.OciReference], ([reference]) => {
    const asText = Schema.encodeSync(OciReference.OciReferenceFromString)(reference)
    assert.isTrue(Equal.equals(Schema.decodeSync(OciReference.OciReferenceFromString)(asText), reference))
    const asParts = JSON.parse(JSON.stringify(Schema.encodeSync(OciReference.OciReference)(reference)))
    assert.isTrue(Equal.equals(Schema.decodeUnknownSync(OciReference.OciReference)(asParts), reference))
  })

  it.prop(
    "a name is accepted if and only if the specification accepts it",
    [FastCheck.array(FastCheck.constantFrom("a", "1", "-", "_", "/", ".", "A", ":"), { maxLength: 10 })],
    ([chars]) => {
      const text = chars.join("")
      const colon = text.indexOf(":")
      const name = colon === -1 ? text : text.slice(0, colon)
      const accepted = repositoryPattern.test(name) && (colon === -1 || tagPattern.test(text.slice(colon + 1)))
      assert.strictEqual(Either.isRight(OciReference.fromString(`docker://ghcr.io/${text}`)), accepted, text)
    },
    { fastCheck: { numRuns: 5000 } }
  )
})
