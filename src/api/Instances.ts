/**
 * The endpoint that runs a command on an image.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Schema from "effect/Schema"
import { failure } from "./Failure.js"
import { Started } from "./Images.js"
import { StdinRepr } from "./StreamRepr.js"
import { WholeSeconds } from "./Timestamp.js"

const optionalNullable = <A, I, R>(schema: Schema.Schema<A, I, R>) =>
  Schema.optionalWith(schema, { nullable: true, exact: true })

const UserId = Schema.Int.pipe(Schema.between(0, 4_294_967_294))

/**
 * The body of a spawn request. What is left out has the default that the contract gives it.
 *
 * - `command`: shell text with `shell: true`, else the path of an executable.
 * - `image`: a UUID or `tag:<tag>`.
 * - `cwd`: `""` (the image's default) or an absolute path; it is created when it is missing.
 * - `disposable`: keep nothing of what the command writes.
 * - `truncateOutputAt`: bytes kept of stdout and of stderr, at most 10 MiB.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SpawnRequest = Schema.Struct({
  command: Schema.NonEmptyString,
  image: Schema.String,
  args: optionalNullable(Schema.Array(Schema.String)),
  shell: optionalNullable(Schema.Boolean),
  env: optionalNullable(Schema.Record({ key: Schema.String, value: Schema.NullOr(Schema.String) })),
  preserveEnv: optionalNullable(Schema.Boolean).pipe(Schema.fromKey("preserve_env")),
  cwd: optionalNullable(
    Schema.String.pipe(
      Schema.pattern(/^(?:\/[^\0]*)?$/, { message: () => "cwd must be empty or an absolute path such as /work" })
    )
  ),
  preserveCwd: optionalNullable(Schema.Boolean).pipe(Schema.fromKey("preserve_cwd")),
  uid: optionalNullable(UserId),
  gid: optionalNullable(UserId),
  hostname: optionalNullable(Schema.String.pipe(Schema.maxLength(64))),
  disposable: optionalNullable(Schema.Boolean),
  timeout: optionalNullable(WholeSeconds),
  truncateOutputAt: optionalNullable(Schema.Int.pipe(Schema.between(0, 10_485_760))).pipe(
    Schema.fromKey("truncate_output_at")
  ),
  stdin: optionalNullable(StdinRepr),
  files: optionalNullable(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  networking: optionalNullable(Schema.Struct({ enabled: Schema.optional(Schema.Boolean) }))
}).annotations({ identifier: "SpawnRequest" })

/**
 * The body of a spawn request.
 *
 * @since 0.1.0
 * @category models
 */
export type SpawnRequest = typeof SpawnRequest.Type

/**
 * The endpoint that runs a command on an image.
 *
 * @since 0.1.0
 * @category schemas
 */
export class InstancesGroup extends HttpApiGroup.make("instances").add(
  HttpApiEndpoint.post("spawn", "/instances")
    .setPayload(SpawnRequest)
    .addSuccess(Started)
    .addError(failure(404, "No such image"))
) {}
