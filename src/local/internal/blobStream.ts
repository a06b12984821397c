/** The bytes of a blob: taken up again where the connection broke, and checked against its size and its digest. */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { RegistryError } from "../RegistryError.js"
import type { Descriptor } from "./ociManifest.js"
import type { Policy, Session } from "./registrySession.js"

/** @internal */
export interface BlobOptions {
  readonly descriptor: Descriptor
  readonly policy: Policy
  readonly error: Session["error"]
  readonly open: (
    headers: Readonly<Record<string, string>>
  ) => Effect.Effect<HttpClientResponse, RegistryError, Scope.Scope>
}

/** The body ended, or failed, before it was whole. */
class Broken extends Data.TaggedError("Broken")<{ readonly detail: string }> {}

/** Less than this in one go is no progress. */
const PROGRESS = 1024 * 1024

/** Leaves out what came before, where a registry sends everything again. */
const skip =
  (count: number) =>
  <E, R>(pieces: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    count === 0
      ? pieces
      : Stream.filter(
          Stream.mapAccum(pieces, count, (left, piece) => [Math.max(0, left - piece.length), piece.subarray(left)]),
          (piece) => piece.length > 0
        )

/** @internal */
export const blobStream = ({
  descriptor,
  error,
  open,
  policy
}: BlobOptions): Stream.Stream<Uint8Array, RegistryError> =>
  Stream.suspend(() => {
    const { digest, size } = descriptor
    const [algorithm = "", expected] = digest.split(":")
    const hash = createHash(algorithm)
    let received = 0
    let stalls = 0

    const body = (offset: number) =>
      open({
        accept: "application/octet-stream, */*",
        "accept-encoding": "identity",
        ...(offset === 0 ? {} : { range: `bytes=${offset}-` })
      }).pipe(
        Effect.map((response) =>
          response.stream.pipe(
            Stream.mapError((cause) => new Broken({ detail: cause.message })),
            Stream.timeoutFail(
              () => new Broken({ detail: `nothing came for ${Duration.format(policy.idleTimeout)}` }),
              policy.idleTimeout
            ),
            skip(response.status === 206 ? 0 : offset)
          )
        ),
        Stream.unwrapScoped
      )

    const take = (piece: Uint8Array): Effect.Effect<void, RegistryError> => {
      received += piece.length
      if (received > size) {
        return Effect.fail(
          error("Oversized", `blob ${digest} has more than the ${size} bytes that its manifest gives it`)
        )
      }
      hash.update(piece)
      return Effect.void
    }

    const rest: Stream.Stream<Uint8Array, RegistryError> = Stream.suspend(() => {
      const before = received
      return body(before).pipe(
        Stream.tap(take),
        Stream.concat(
          Stream.suspend(() =>
            received < size ? Stream.fail(new Broken({ detail: "the answer ended early" })) : Stream.empty
          )
        ),
        Stream.catchTag("Broken", ({ detail }) => {
          if (received - before < PROGRESS) stalls++
          if (stalls >= policy.attempts) {
            return Stream.fail(
              error("Truncated", `blob ${digest} broke off after ${received} of ${size} bytes (${detail})`)
            )
          }
          const delay = Duration.min(Duration.times(policy.baseDelay, 2 ** stalls), policy.maxDelay)
          return Stream.concat(Stream.drain(Stream.fromEffect(Effect.sleep(delay))), rest)
        })
      )
    })

    const check: Stream.Stream<never, RegistryError> = Stream.suspend(() => {
      const found = hash.digest("hex")
      return found === expected
        ? Stream.empty
        : Stream.fail(error("DigestMismatch", `blob ${digest} came with content whose digest is ${algorithm}:${found}`))
    })

    return Stream.concat(rest, check)
  })
