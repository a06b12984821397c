/**
 * From the place where a grammar failed to the public error, with secrets left out.
 */
import { InvalidImageRef, type Part } from "../InvalidImageRef.js"

/** @internal */
export interface Fault {
  readonly part: Part
  readonly position: number
  readonly reason: string
}

/** @internal */
export const fault = (part: Part, position: number, reason: string): Fault => ({
  part,
  position,
  reason
})

/**
 * No legal reference is longer than about 800 characters, so a longer text is refused before it is looked at.
 *
 * @internal
 */
export const MAX_REFERENCE_LENGTH = 1024

/** `scheme://` or `//` at the beginning. */
const schemePattern = /^(?:[A-Za-z][A-Za-z0-9+.-]*:)?\/\//

/** @internal */
export const schemeOf = (input: string): string => schemePattern.exec(input)?.[0] ?? ""

const image = "ghcr.io/owner/image:1.0"

const examples: { readonly [P in Part]: string } = {
  reference: image,
  scheme: `docker://${image}`,
  userinfo: image,
  registry: "registry.example.com:5000/team/app:1.0",
  port: "localhost:5000/app:1.0",
  repository: image,
  tag: "python:3.12-slim",
  digest: "busybox@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  uuid: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  query: image,
  fragment: image
}

/** What may stand after "@" without making the text before it a user name and password. */
const digestShape = /^(?:sha(?:256|512)(?::[^/]*)?|[a-z0-9+._-]+:[0-9a-f]{32,})$/i

/**
 * The "@" that ends a user name and password, or -1. Wherever the text can be read both ways (`a:b@c` is a tag and a
 * misspelt digest, or a password and a host) it is read as a password: to hide too much costs a little clarity, to hide
 * too little costs the password.
 */
const userInfoEnd = (input: string, start: number): number => {
  const last = input.lastIndexOf("@")
  const at = digestShape.test(input.slice(last + 1)) ? input.lastIndexOf("@", last - 1) : last
  const isUserInfo = start > 0 || input.includes("/", at) || /[:?#]/.test(input.slice(start, at))
  return at >= start && isUserInfo ? at : -1
}

const userInfo = (position: number): Fault =>
  fault(
    "userinfo",
    position,
    'what stands before "@" reads as a user name and password, which belong in the registry credentials ' +
      'and not in a reference; only a digest may follow "@"'
  )

/** @internal */
export const outside = (input: string, position: number): Fault =>
  input[position] === "?"
    ? fault("query", position, "a reference has no query")
    : fault("fragment", position, "a reference has no fragment")

const hideQuery = (input: string): string => input.replace(/([?#]).+$/s, "$1***")

const error = (input: string, { part, position, reason }: Fault): InvalidImageRef =>
  new InvalidImageRef(
    {
      input: input.length > MAX_REFERENCE_LENGTH ? `${input.slice(0, MAX_REFERENCE_LENGTH)}…` : input,
      part,
      position,
      reason,
      example: examples[part]
    },
    true
  )

/**
 * The error for a fault. A fault inside or after a hidden stretch is reported as the fault that the hidden stretch
 * itself is, so that a position always counts in the text that is shown.
 *
 * @internal
 */
export const invalid = (input: string, found: Fault): InvalidImageRef => {
  const start = schemeOf(input).length
  const at = userInfoEnd(input, start)
  if (at !== -1) {
    // With a mark before it the "@" may as well belong to a query, and then what follows is no host.
    const rest = /[?#]/.test(input.slice(start, at)) ? "" : hideQuery(input.slice(at))
    const shown = `${input.slice(0, start)}***${rest}`
    return error(shown, found.position < start ? found : userInfo(start))
  }
  const mark = input.search(/[?#]/)
  return error(hideQuery(input), mark === -1 || found.position <= mark ? found : outside(input, mark))
}
