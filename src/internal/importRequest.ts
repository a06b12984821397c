/**
 * An import request with its time limit filled in, and what its operation shows of it: the same for the engine and the
 * test double.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ApiFailure } from "../api/Failure.js"
import type { ImportRequest } from "../api/Images.js"
import type { OciReference } from "../OciReference.js"
import * as RunRequest from "./runRequest.js"

/** The limits of a service on imports, in seconds. */
export interface ImportLimits {
  readonly defaultImportTimeoutSeconds: number
  readonly maxImportTimeoutSeconds: number
}

/** How long an import may take. */
export const timeout = (
  request: typeof ImportRequest.Type,
  limits: ImportLimits
): Effect.Effect<Duration.Duration, ApiFailure> =>
  Effect.as(
    RunRequest.checkTimeout(request.timeout, limits.maxImportTimeoutSeconds),
    request.timeout ?? Duration.seconds(limits.defaultImportTimeoutSeconds)
  )

/** The metadata of the operation. Who can read it must not learn the password. */
export const toWire = ({ registry, tag }: typeof ImportRequest.Type, timeout: Duration.Duration) => ({
  registry: {
    url: registry.url,
    ...(registry.credentials === undefined
      ? {}
      : { credentials: { username: registry.credentials.username, password: "<MASKED>" } })
  },
  tag: tag ?? null,
  timeout: Math.ceil(Duration.toSeconds(timeout))
})

/** What is said of an import that takes longer. */
export const tookTooLong = (reference: OciReference, timeout: Duration.Duration): string =>
  `The import of ${reference.url} took longer than ${Duration.format(timeout)}. Raise its timeout`
