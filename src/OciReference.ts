/**
 * Images in registries: the names that docker, podman and containerd users write.
 *
 * @since 0.1.0
 */
import type { LazyArbitrary } from "effect/Arbitrary"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ImageTag } from "./ImageTag.js"
import * as Tag from "./ImageTag.js"
import { type Fault, fault, invalid } from "./internal/referenceFault.js"
import {
  canonicalRegistry,
  digestFault,
  DOCKER_HUB,
  namesRegistry,
  OFFICIAL,
  ociTagFault,
  parseOci,
  registryFault,
  repositoryFault
} from "./internal/referenceGrammar.js"
import type { InvalidImageRef } from "./InvalidImageRef.js"

const text = (identifier: string, check: (text: string) => Fault | undefined, arbitrary: LazyArbitrary<string>) =>
  Schema.String.pipe(
    Schema.filter(
      (value) => {
        const found = check(value)
        return found && `${found.reason} (${found.part}, at position ${found.position})`
      },
      { identifier, arbitrary: () => arbitrary }
    )
  )

const Registry = text(
  "OciRegistry",
  (registry) =>
    registryFault(registry) ??
    (canonicalRegistry(registry) !== registry
      ? fault("registry", 0, `the canonical form of this registry is ${canonicalRegistry(registry)}`)
      : namesRegistry(registry)
        ? undefined
        : fault("registry", 0, "a registry has a dot, a port or upper case, or is localhost")),
  (fc) =>
    fc.oneof(
      fc.constantFrom(
        DOCKER_HUB,
        "ghcr.io",
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000",
        "[::1]",
        "[2001:db8::7]:443",
        "[::]:1",
        "MYHOST"
      ),
      fc.stringMatching(/^[a-z0-9]{1,6}(?:-[a-z0-9]{1,4})?\.(?:io|dev|example)(?::[1-9][0-9]{0,3})?$/)
    )
)

const Repository = text("OciRepository", repositoryFault, (fc) =>
  fc
    .array(fc.stringMatching(/^[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/), {
      minLength: 1,
      maxLength: 3
    })
    .chain((components) =>
      fc.constantFrom(components, [OFFICIAL.slice(0, -1), ...components], ["x".repeat(200), ...components])
    )
    .map((components) => components.join("/"))
)

const OciTag = text("OciTag", ociTagFault, (fc) =>
  fc.oneof(
    { weight: 9, arbitrary: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,12}$/) },
    { weight: 1, arbitrary: fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{127}$/) }
  )
)

const Digest = text("OciDigest", digestFault, (fc) =>
  fc.oneof(
    fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`),
    fc.stringMatching(/^[0-9a-f]{128}$/).map((hex) => `sha512:${hex}`)
  )
)

const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(schema, { as: "Option" }).pipe(Schema.withConstructorDefault(() => Option.none()))

/**
 * An image in a registry, in its canonical form: two texts that name the same image are equal values.
 *
 * - `registry`: host and optional port, in lower case; `docker.io` for Docker Hub under any of its names. Hosts are
 *   names, IPv4 addresses and IPv6 addresses in brackets. A host with neither dot nor port is told from a repository
 *   only by upper case, and then keeps it (`MYHOST/app`).
 * - `repository`: at most 255 characters, with `library/` where it is an official image of Docker Hub.
 * - `tag`: at most 128 characters. Nothing is filled in: no tag stays `None`, and {@link OciReference.reference} says
 *   what a pull takes then.
 * - `digest`: `sha256:` with 64 or `sha512:` with 128 hexadecimal digits in lower case.
 *
 * Use {@link fromString} for text that somebody wrote; the constructor accepts canonical parts only.
 *
 * @since 0.1.0
 * @category schemas
 */
export class OciReference extends Schema.TaggedClass<OciReference>("effect-contree/OciReference")(
  "OciReference",
  Schema.Struct({
    registry: Registry,
    repository: Repository,
    tag: optional(OciTag),
    digest: optional(Digest)
  }).pipe(
    Schema.filter(
      ({ registry, repository }) =>
        registry !== DOCKER_HUB ||
        repository.includes("/") ||
        `on ${DOCKER_HUB} a name of one component is written ${OFFICIAL}${repository}`
    )
  )
) {
  /**
   * Registry and repository: `docker.io/library/python`.
   *
   * @since 0.1.0
   */
  get name(): string {
    return `${this.registry}/${this.repository}`
  }

  /**
   * What is pulled from the repository: the digest, else the tag, else `latest`.
   *
   * @since 0.1.0
   */
  get reference(): string {
    return Option.getOrElse(this.digest, () => Option.getOrElse(this.tag, () => "latest"))
  }

  /**
   * The canonical URL: `docker://docker.io/library/python:3.12`. {@link fromString} reads it back to an equal value.
   *
   * @since 0.1.0
   */
  get url(): string {
    return `docker://${this.toString()}`
  }

  /**
   * The ConTree tag under which this image is kept once it is imported.
   *
   * It is the short name that docker shows, as with the official SDK: `docker.io/library/python:3.12` is `python:3.12`,
   * `docker.io/owner/app` is `owner/app`, and another registry's name stays as it is (`ghcr.io/owner/app:1`). Where a
   * ConTree tag cannot say the same, the rule goes on so that different images keep different tags:
   *
   * - a digest takes the place of the tag as `name:sha256-<hex>`;
   * - a dot in a tag that nothing or another dot follows becomes `:-`, as in `app:v1:-.2` for `app:v1..2`;
   * - an IPv6 host is written as in host names, `0--1.ipv6-literal.net` for `[::1]`;
   * - a name on Docker Hub that would read as one of another registry keeps its `docker.io/`.
   *
   * It fails where the result has more than 256 characters; such an image needs a tag of one's own.
   *
   * @since 0.1.0
   */
  get localTag(): Either.Either<ImageTag, InvalidImageRef> {
    const suffix = Option.match(this.digest, {
      onSome: (digest) => `:${digest.replace(":", "-")}`,
      onNone: () =>
        Option.match(this.tag, {
          onSome: (tag) => `:${tag.replace(/\.(?=\.|$)/g, ":-")}`,
          onNone: () => ""
        })
    })
    const local = localName(this) + suffix
    return local.length > Tag.maxLength
      ? Either.left(
          invalid(
            local,
            fault(
              "tag",
              Tag.maxLength,
              `the tag that stands for this image has ${local.length} characters and a ConTree tag at most ` +
                `${Tag.maxLength}; give it a tag of your own`
            )
          )
        )
      : Tag.fromString(local)
  }

  /**
   * The canonical text without scheme: `docker.io/library/python:3.12`. {@link fromString} reads it back to an equal
   * value.
   *
   * @since 0.1.0
   */
  override toString(): string {
    const tag = Option.match(this.tag, { onSome: (tag) => `:${tag}`, onNone: () => "" })
    const digest = Option.match(this.digest, { onSome: (digest) => `@${digest}`, onNone: () => "" })
    return this.name + tag + digest
  }
}

const localName = ({ name, registry, repository }: OciReference): string => {
  if (registry !== DOCKER_HUB) return `${localRegistry(registry)}/${repository}`
  const [first = "", ...rest] = repository.split("/")
  if (`${first}/` === OFFICIAL && rest.length === 1) return rest.join("/")
  return namesRegistry(first) ? name : repository
}

const localRegistry = (registry: string): string =>
  registry.replace(
    /^\[(.*)\]/,
    (_, address: string) =>
      `${address.replace(/^::/, "0::").replace(/::$/, "::0").replaceAll(":", "-")}.ipv6-literal.net`
  )

/**
 * Reads a reference as container users write it: `python`, `python:3.12-slim`, `owner/app`, `ghcr.io/owner/app:1`,
 * `localhost:5000/app`, `[::1]:5000/app`, `app@sha256:…`, each also after `docker://`.
 *
 * The text before the first "/" is the registry if it has a dot, a colon or upper case or is `localhost`; otherwise the
 * image is on Docker Hub, under `library/` if its name has one component.
 *
 * @example
 * ```ts
 * import { Either } from "effect"
 * import { OciReference } from "effect-contree"
 *
 * const python = Either.getOrThrow(OciReference.fromString("python:3.12-slim"))
 * console.log(python.url) // docker://docker.io/library/python:3.12-slim
 * console.log(Either.getOrThrow(python.localTag)) // python:3.12-slim
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromString = (input: string): Either.Either<OciReference, InvalidImageRef> =>
  Either.map(
    parseOci(input),
    ({ digest, registry, repository, tag }) =>
      new OciReference(
        {
          registry,
          repository,
          tag: Option.fromNullable(tag),
          digest: Option.fromNullable(digest)
        },
        true
      )
  )

/**
 * The same repository at another tag. A digest is dropped, for it would win over the tag.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withTag: {
  (tag: string): (self: OciReference) => Either.Either<OciReference, InvalidImageRef>
  (self: OciReference, tag: string): Either.Either<OciReference, InvalidImageRef>
} = dual(2, (self: OciReference, tag: string) => {
  const found = ociTagFault(tag)
  return found === undefined
    ? Either.right(new OciReference({ ...self, tag: Option.some(tag), digest: Option.none() }, true))
    : Either.left(invalid(tag, found))
})

/**
 * The same reference pinned to a digest. The tag stays, as a note of where the digest came from.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withDigest: {
  (digest: string): (self: OciReference) => Either.Either<OciReference, InvalidImageRef>
  (self: OciReference, digest: string): Either.Either<OciReference, InvalidImageRef>
} = dual(2, (self: OciReference, digest: string) => {
  const found = digestFault(digest)
  return found === undefined
    ? Either.right(new OciReference({ ...self, digest: Option.some(digest) }, true))
    : Either.left(invalid(digest, found))
})

/**
 * A reference as text: decodes whatever {@link fromString} reads and encodes to the canonical `docker://` URL.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OciReferenceFromString = Schema.transformOrFail(Schema.String, Schema.typeSchema(OciReference), {
  strict: true,
  decode: (input, _, ast) =>
    Either.mapLeft(fromString(input), (error) => new ParseResult.Type(ast, error.input, error.message)),
  encode: (reference) => Either.right(reference.url)
}).annotations({ identifier: "OciReferenceFromString" })
