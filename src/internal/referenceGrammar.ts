/**
 * The grammars of references. Each check reads `input` from `start` to `end` once, from left to right, and gives the
 * first fault with its offset into the whole input.
 *
 * Sources: the ConTree API (UUID, tag), the OCI distribution and image specifications (repository, tag, digest) and
 * the `reference` grammar of the distribution project, which docker, podman and containerd share (registry).
 */
import * as Either from "effect/Either"
import type { InvalidImageRef } from "../InvalidImageRef.js"
import { type Fault, fault, invalid, MAX_REFERENCE_LENGTH, outside, schemeOf } from "./referenceFault.js"

const isDigit = (char: string): boolean => char >= "0" && char <= "9"
const isLower = (char: string): boolean => char >= "a" && char <= "z"
const isUpper = (char: string): boolean => char >= "A" && char <= "Z"
const isLowerAlphanumeric = (char: string): boolean => isLower(char) || isDigit(char)
const isAlphanumeric = (char: string): boolean => isLowerAlphanumeric(char) || isUpper(char)
const isHex = (char: string): boolean => isDigit(char) || (char >= "a" && char <= "f") || (char >= "A" && char <= "F")

/** The character at an offset as a message names it: blanks and what does not print are spelt out. */
const quoted = (input: string, position: number): string => {
  const codePoint = input.codePointAt(position)
  if (codePoint === undefined) return "the end"
  const char = String.fromCodePoint(codePoint)
  if (char === " ") return "a blank"
  return /[\s\p{C}]/u.test(char) ? `U+${codePoint.toString(16).toUpperCase().padStart(4, "0")}` : `"${char}"`
}

// ---------------------------------------------------------------------------------------------------------------------
// ConTree: UUIDs and tags
// ---------------------------------------------------------------------------------------------------------------------

/** @internal */
export const uuidFault = (input: string): Fault | undefined => {
  for (let i = 0; i < Math.min(input.length, 36); i++) {
    const char = input.charAt(i)
    const hyphen = i === 8 || i === 13 || i === 18 || i === 23
    if (hyphen ? char !== "-" : !isHex(char)) {
      return fault(
        "uuid",
        i,
        `${hyphen ? '"-"' : "a hexadecimal digit"} is expected here and not ${quoted(input, i)}; ` +
          'a UUID is five groups of 8, 4, 4, 4 and 12 hexadecimal digits with "-" between them'
      )
    }
  }
  return input.length === 36
    ? undefined
    : fault("uuid", Math.min(input.length, 36), `a UUID has 36 characters and this text has ${input.length}`)
}

/** @internal */
export const MAX_IMAGE_TAG_LENGTH = 256

/** @internal */
export const imageTagFault = (input: string, start = 0): Fault | undefined => {
  if (start === input.length) return fault("tag", start, "the tag is empty")
  if (input.length - start > MAX_IMAGE_TAG_LENGTH) {
    return fault(
      "tag",
      start + MAX_IMAGE_TAG_LENGTH,
      `a ConTree tag has at most ${MAX_IMAGE_TAG_LENGTH} characters and this one has ${input.length - start}`
    )
  }
  let segmentStart = start
  for (let i = start; i < input.length; i++) {
    const char = input.charAt(i)
    if (char === ":" || char === "/" || char === ".") {
      if (i === segmentStart) {
        return fault(
          "tag",
          i,
          i === start
            ? "a ConTree tag begins with a letter or digit"
            : `"${char}" follows another of ":", "/" and "." directly`
        )
      }
      segmentStart = i + 1
    } else if (!isAlphanumeric(char) && ((char !== "_" && char !== "-") || i === start)) {
      return fault(
        "tag",
        i,
        i === start
          ? `a ConTree tag begins with a letter or digit and not with ${quoted(input, i)}`
          : `${quoted(input, i)} cannot stand in a ConTree tag: it has letters, digits, "_", "-" and the ` +
              'separators ":", "/" and "."'
      )
    }
  }
  return segmentStart === input.length
    ? fault("tag", segmentStart, `nothing follows "${input.charAt(segmentStart - 1)}"`)
    : undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// OCI: registry, repository, tag, digest
// ---------------------------------------------------------------------------------------------------------------------

const portFault = (input: string, start: number, end: number): Fault | undefined => {
  const reason = "a port is a number from 1 to 65535, without leading zeros"
  if (start === end) return fault("port", start, `nothing follows ":"; ${reason}`)
  for (let i = start; i < end; i++) {
    if (!isDigit(input.charAt(i))) return fault("port", i, `${reason}, and has no ${quoted(input, i)}`)
  }
  return input.charAt(start) === "0" || Number(input.slice(start, end)) > 65535
    ? fault("port", start, reason)
    : undefined
}

const ipv6Fault = (input: string, start: number, end: number): Fault | undefined => {
  for (let i = start; i < end; i++) {
    const char = input.charAt(i)
    if (!isHex(char) && char !== ":") {
      return fault(
        "registry",
        i,
        `${quoted(input, i)} cannot stand in an IPv6 address; zones and embedded IPv4 addresses are not allowed either`
      )
    }
  }
  const halves = input.slice(start, end).split("::")
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")))
  const complete = halves.length === 1 ? groups.length === 8 : halves.length === 2 && groups.length < 8
  return complete && groups.every((group) => group !== "" && group.length <= 4)
    ? undefined
    : fault(
        "registry",
        start,
        'this is no IPv6 address: it has eight groups of up to four hexadecimal digits, with "::" once for zeros left out'
      )
}

const MAX_HOST_LENGTH = 253
const MAX_LABEL_LENGTH = 63

const hostNameFault = (input: string, start: number, end: number): Fault | undefined => {
  if (start === end) return fault("registry", start, "the host name is empty")
  if (end - start > MAX_HOST_LENGTH) {
    return fault("registry", start + MAX_HOST_LENGTH, `a host name has at most ${MAX_HOST_LENGTH} characters`)
  }
  let labelStart = start
  for (let i = start; i <= end; i++) {
    const char = i === end ? "." : input.charAt(i)
    if (char === ".") {
      if (i === labelStart) {
        return fault("registry", i, "a label of the host name is empty")
      }
      if (i - labelStart > MAX_LABEL_LENGTH) {
        return fault(
          "registry",
          labelStart + MAX_LABEL_LENGTH,
          `a label of a host name has at most ${MAX_LABEL_LENGTH} characters`
        )
      }
      if (input.charAt(i - 1) === "-") {
        return fault("registry", i - 1, 'a label of a host name does not end with "-"')
      }
      labelStart = i + 1
    } else if (char === "-" && i === labelStart) {
      return fault("registry", i, 'a label of a host name does not begin with "-"')
    } else if (!isAlphanumeric(char) && char !== "-") {
      return fault("registry", i, `${quoted(input, i)} cannot stand in a host name`)
    }
  }
  // URL parsers read every host that ends in a number as an IPv4 address (`http://1.2` is 1.0.0.2), so anything but the
  // plain form would contact another machine than the one written down.
  const host = input.slice(start, end)
  return /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/i.test(host) && !isIpv4(host)
    ? fault(
        "registry",
        start,
        "a host that ends in a number is an IPv4 address: four numbers from 0 to 255, without leading zeros"
      )
    : undefined
}

const isIpv4 = (host: string): boolean => {
  const numbers = host.split(".")
  return numbers.length === 4 && numbers.every((n) => /^(?:0|[1-9][0-9]{0,2})$/.test(n) && Number(n) <= 255)
}

/** @internal */
export const registryFault = (input: string, start = 0, end = input.length): Fault | undefined => {
  if (input.charAt(start) === "[") {
    const close = input.indexOf("]", start)
    if (close === -1 || close >= end) {
      return fault("registry", start, 'the "[" of an IPv6 address has no "]"')
    }
    const wrong = ipv6Fault(input, start + 1, close)
    if (wrong !== undefined || close + 1 === end) return wrong
    return input.charAt(close + 1) === ":"
      ? portFault(input, close + 2, end)
      : fault("registry", close + 1, 'only a port may follow the "]" of an IPv6 address')
  }
  const colon = input.indexOf(":", start)
  if (colon === -1 || colon >= end) return hostNameFault(input, start, end)
  const second = input.indexOf(":", colon + 1)
  return second !== -1 && second < end
    ? fault("registry", second, 'a registry has one ":", before the port; an IPv6 address stands in brackets')
    : (hostNameFault(input, start, colon) ?? portFault(input, colon + 1, end))
}

/** @internal */
export const DOCKER_HUB = "docker.io"

/** @internal */
export const OFFICIAL = "library/"

const MAX_REPOSITORY_LENGTH = 255

/** @internal */
export const repositoryFault = (input: string, start = 0, end = input.length, prefix = ""): Fault | undefined => {
  const limit = MAX_REPOSITORY_LENGTH - prefix.length
  if (start === end) return fault("repository", start, "the name of the repository is empty")
  if (end - start > limit) {
    return fault(
      "repository",
      start + limit,
      `a repository name has at most ${MAX_REPOSITORY_LENGTH} characters` +
        (prefix === "" ? "" : `, with the "${prefix}" that stands before it on ${DOCKER_HUB}`)
    )
  }
  // The separator that is open: "", ".", "_", "__" or a run of "-"; undefined at the start of a component.
  let separator: string | undefined
  for (let i = start; i < end; i++) {
    const char = input.charAt(i)
    if (isLowerAlphanumeric(char)) {
      separator = ""
    } else if (isUpper(char)) {
      return fault("repository", i, `repository names are lower case and "${char}" is not`)
    } else if (char === "/") {
      if (separator === undefined) return fault("repository", i, "a component of the name is empty")
      if (separator !== "") return fault("repository", i, componentEnds)
      separator = undefined
    } else if (char === "." || char === "_" || char === "-") {
      if (separator === undefined) {
        return fault("repository", i, `a component of the name begins with a letter or digit and not with "${char}"`)
      }
      if (separator !== "" && (char === "." || separator !== char)) {
        return fault(
          "repository",
          i,
          `"${char}" cannot follow "${separator}"; letters and digits are separated by ".", "_", "__" or any number of "-"`
        )
      }
      // A run of "-" may have any length, "_" only two: doubling one and not the other tells them apart.
      separator = char === "_" ? separator + char : char
    } else {
      return fault("repository", i, `${quoted(input, i)} cannot stand in a repository name`)
    }
  }
  if (separator === undefined) return fault("repository", end, "a component of the name is empty")
  return separator === "" ? undefined : fault("repository", end, componentEnds)
}

const componentEnds = "a component of the name ends with a letter or digit"

const MAX_OCI_TAG_LENGTH = 128

/** @internal */
export const ociTagFault = (input: string, start = 0, end = input.length): Fault | undefined => {
  if (start === end) return fault("tag", start, 'nothing follows ":"')
  for (let i = start; i < Math.min(end, start + MAX_OCI_TAG_LENGTH); i++) {
    const char = input.charAt(i)
    if (isAlphanumeric(char) || char === "_") continue
    if (i > start && (char === "." || char === "-")) continue
    if (char === ":") return fault("tag", i, 'a tag has no ":", and a name has one tag')
    return fault(
      "tag",
      i,
      i === start
        ? `a tag begins with a letter, digit or "_" and not with ${quoted(input, i)}`
        : `${quoted(input, i)} cannot stand in a tag: it has letters, digits, "_", "." and "-"`
    )
  }
  return end - start > MAX_OCI_TAG_LENGTH
    ? fault("tag", start + MAX_OCI_TAG_LENGTH, `a tag has at most ${MAX_OCI_TAG_LENGTH} characters`)
    : undefined
}

const digestLengths = new Map([
  ["sha256", 64],
  ["sha512", 128]
])

/** @internal */
export const digestFault = (input: string, start = 0, end = input.length): Fault | undefined => {
  const colon = input.indexOf(":", start)
  const length = colon === -1 ? undefined : digestLengths.get(input.slice(start, colon))
  if (length === undefined) {
    return fault(
      "digest",
      start,
      'a digest is "sha256:" with 64 or "sha512:" with 128 hexadecimal digits, all in lower case'
    )
  }
  const hex = colon + 1
  for (let i = hex; i < Math.min(end, hex + length); i++) {
    const char = input.charAt(i)
    if (!isHex(char) || isUpper(char)) {
      return fault("digest", i, `${quoted(input, i)} is no hexadecimal digit in lower case`)
    }
  }
  return end - hex === length
    ? undefined
    : fault(
        "digest",
        Math.min(end, hex + length),
        `a ${input.slice(start, colon)} digest has ${length} hexadecimal digits and this one has ${end - hex}`
      )
}

/**
 * Whether the text before the first "/" names a registry. Repository names have neither ":" nor upper case, which makes
 * those two certain; the dot and `localhost` are a convention.
 *
 * @internal
 */
export const namesRegistry = (component: string): boolean => component === "localhost" || /[.:A-Z]/.test(component)

const hubAliases: ReadonlySet<string> = new Set([DOCKER_HUB, "index.docker.io", "registry-1.docker.io"])

/**
 * One spelling for one registry: lower case, unless upper case is what tells it from a repository.
 *
 * @internal
 */
export const canonicalRegistry = (registry: string): string => {
  const lower = registry.toLowerCase()
  return hubAliases.has(lower) ? DOCKER_HUB : namesRegistry(lower) ? lower : registry
}

/** @internal */
export interface OciParts {
  readonly registry: string
  readonly repository: string
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** @internal */
export const parseOci = (input: string): Either.Either<OciParts, InvalidImageRef> => {
  const fail = (found: Fault) => Either.left(invalid(input, found))

  const scheme = schemeOf(input)
  if (scheme.length > 2 && scheme.toLowerCase() !== "docker://") {
    return fail(fault("scheme", 0, "the only scheme of an image reference is docker://"))
  }
  if (input.length > MAX_REFERENCE_LENGTH) {
    return fail(
      fault(
        "reference",
        MAX_REFERENCE_LENGTH,
        `a reference has at most ${MAX_REFERENCE_LENGTH} characters and this text has ${input.length}`
      )
    )
  }
  const mark = input.search(/[?#]/)
  if (mark !== -1) return fail(outside(input, mark))

  const start = scheme !== "" && input.charAt(scheme.length) === "/" ? scheme.length + 1 : scheme.length
  if (start === input.length) return fail(fault("reference", start, "there is no name"))

  const at = input.indexOf("@", start)
  const nameEnd = at === -1 ? input.length : at
  const beforeDigest = input.slice(0, nameEnd)
  const slash = beforeDigest.indexOf("/", start)
  if (slash === start) return fail(fault("registry", start, 'nothing stands before "/"'))
  const named = slash !== -1 && namesRegistry(input.slice(start, slash))
  const registry = named ? canonicalRegistry(input.slice(start, slash)) : DOCKER_HUB
  const repositoryStart = named ? slash + 1 : start
  const colon = beforeDigest.indexOf(":", repositoryStart)
  const repositoryEnd = colon === -1 ? nameEnd : colon
  const name = input.slice(repositoryStart, repositoryEnd)
  const prefix = registry === DOCKER_HUB && !name.includes("/") ? OFFICIAL : ""

  if (/^[0-9a-f]{64}$/.test(input.slice(start))) {
    return fail(fault("repository", start, "64 hexadecimal digits are the id of an image in docker and not a name"))
  }
  const found =
    (named ? registryFault(input, start, slash) : undefined) ??
    repositoryFault(input, repositoryStart, repositoryEnd, prefix) ??
    (repositoryEnd < nameEnd ? ociTagFault(input, repositoryEnd + 1, nameEnd) : undefined) ??
    (at === -1 ? undefined : digestFault(input, at + 1))
  return found === undefined
    ? Either.right({
        registry,
        repository: prefix + name,
        tag: repositoryEnd < nameEnd ? input.slice(repositoryEnd + 1, nameEnd) : undefined,
        digest: at === -1 ? undefined : input.slice(at + 1)
      })
    : fail(found)
}
