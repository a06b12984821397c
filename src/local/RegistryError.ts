/**
 * Why a registry did not give an image.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"

/**
 * What a program would tell apart:
 *
 * - `Unauthorized`: credentials are missing, wrong, or do not suffice.
 * - `NotFound`: no such repository, tag, digest or blob.
 * - `RateLimited`: too many pulls; `resetAt` says until when, if the registry does.
 * - `Unavailable`: no answer, or an answer of a server in trouble, after several attempts.
 * - `Protocol`: an answer that no OCI registry gives.
 * - `DigestMismatch`, `Truncated`, `Oversized`: content that is not what the manifest promised.
 * - `Unsupported`: content of a kind that cannot be unpacked here.
 * - `PlatformNotFound`: the image exists, but not for this operating system and processor.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RegistryErrorReason = Schema.Literal(
  "Unauthorized",
  "NotFound",
  "RateLimited",
  "Unavailable",
  "Protocol",
  "DigestMismatch",
  "Truncated",
  "Oversized",
  "Unsupported",
  "PlatformNotFound"
)

/**
 * Why a registry did not give an image.
 *
 * @since 0.1.0
 * @category models
 */
export type RegistryErrorReason = typeof RegistryErrorReason.Type

const suggestions: Record<RegistryErrorReason, string> = {
  Unauthorized:
    "check the user name, the password and the image's name (registries say the same of images that do not exist)",
  NotFound: "check the registry, the repository and the tag or digest",
  RateLimited: "wait, pull with credentials, or configure a mirror",
  Unavailable:
    "check the network and the registry's address (one that speaks plain http must be among the insecure registries)",
  Protocol: "check that the address belongs to an OCI registry and that no proxy answers in its place",
  DigestMismatch: "pull again; if it stays, the registry or a proxy before it damages its content",
  Truncated: "pull again; if it stays, the registry or a proxy before it has lost a part of its content",
  Oversized: "pull again; if it stays, the registry or a proxy before it changes its content",
  Unsupported: "have the image built as an ordinary OCI or Docker (schema 2) image",
  PlatformNotFound: "use an image that is built for this platform too"
}

/**
 * A pull that a registry, or what stands before it, brought to an end.
 *
 * `registry` is the host that was asked (a mirror's, where that failed last), `image` the reference as a whole,
 * `status` the HTTP status where there was an answer. No field holds a password or a token.
 *
 * @since 0.1.0
 * @category errors
 */
export class RegistryError extends Schema.TaggedError<RegistryError>("effect-contree/local/RegistryError")(
  "RegistryError",
  {
    reason: RegistryErrorReason,
    registry: Schema.String,
    image: Schema.String,
    status: Schema.optionalWith(Schema.Int, { as: "Option" }),
    resetAt: Schema.optionalWith(Schema.DateTimeUtc, { as: "Option" }),
    detail: Schema.String,
    suggestion: Schema.String
  }
) {
  override get message(): string {
    const reset = this.resetAt._tag === "Some" ? ` until ${DateTime.formatIso(this.resetAt.value)}` : ""
    return `${this.image} could not be pulled from ${this.registry}: ${this.detail}${reset}; ${this.suggestion}.`
  }
}

/**
 * Builds a `RegistryError` with the suggestion that belongs to its reason.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (fields: Omit<ConstructorParameters<typeof RegistryError>[0], "suggestion">): RegistryError =>
  new RegistryError({ ...fields, suggestion: suggestions[fields.reason] })
