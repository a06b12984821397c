/**
 * The endpoint that runs a command on an image.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Permits } from "./Account.js"
import { failure } from "./Failure.js"
import { FileId } from "./Files.js"
import { Started } from "./Images.js"
import { StdinRepr } from "./StreamRepr.js"
import { WholeSeconds } from "./Timestamp.js"

const optionalNullable = <A, I, R>(schema: Schema.Schema<A, I, R>) =>
  Schema.optionalWith(schema, { nullable: true, exact: true })

const UserId = Schema.Int.pipe(Schema.between(0, 4_294_967_294))

/**
 * The permission bits of a file: octal text such as `"0644"` or `"0o100755"`, or a number, whose type bits are dropped.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FileMode = Schema.transformOrFail(Schema.Union(Schema.String, Schema.Number), Schema.Int, {
  strict: true,
  decode: (mode, _, ast) => {
    const bits =
      typeof mode === "number"
        ? mode
        : /^(?:0o)?[0-7]{1,7}$/.test(mode)
          ? Number.parseInt(mode.replace("0o", ""), 8)
          : -1
    return Number.isInteger(bits) && bits >= 0
      ? ParseResult.succeed(bits & 0o7777)
      : ParseResult.fail(new ParseResult.Type(ast, mode, 'a mode is octal text such as "0644"'))
  },
  encode: (bits) => ParseResult.succeed((bits & 0o7777).toString(8).padStart(4, "0"))
})

/**
 * An uploaded file as it is placed into an instance. Left out: owned by 0:0, mode 0644.
 *
 * @since 0.1.0
 * @category schemas
 */
export const PlacedFile = Schema.Struct({
  id: Schema.propertySignature(FileId).pipe(Schema.fromKey("uuid")),
  uid: optionalNullable(UserId),
  gid: optionalNullable(UserId),
  mode: optionalNullable(FileMode)
})

/**
 * What a process is started with, in a spawn request as in a running instance.
 *
 * @since 0.1.0
 * @category schemas
 */
export const processFields = {
  command: Schema.NonEmptyString,
  args: optionalNullable(Schema.Array(Schema.String)),
  shell: optionalNullable(Schema.Boolean),
  env: optionalNullable(Schema.Record({ key: Schema.String, value: Schema.NullOr(Schema.String) })),
  cwd: optionalNullable(
    Schema.String.pipe(
      Schema.pattern(/^(?:\/[^\0]*)?$/, { message: () => "cwd must be empty or an absolute path such as /work" })
    )
  ),
  uid: optionalNullable(UserId),
  gid: optionalNullable(UserId),
  truncateOutputAt: optionalNullable(Schema.Int.pipe(Schema.between(0, 10_485_760))).pipe(
    Schema.fromKey("truncate_output_at")
  ),
  stdin: optionalNullable(StdinRepr)
}

/**
 * The body of a spawn request. What is left out has the default that the contract gives it.
 *
 * - `command`: shell text with `shell: true`, else the path of an executable.
 * - `image`: a UUID or `tag:<tag>`.
 * - `cwd`: `""` (the image's default) or an absolute path; it is created when it is missing.
 * - `disposable`: keep nothing of what the command writes.
 * - `truncateOutputAt`: bytes kept of stdout and of stderr, at most 10 MiB.
 * - `files`: uploaded files by the path that each gets.
 * - `resourcesLimits.maxLayerBytes`: how much the command may write to its file system.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SpawnRequest = Schema.Struct({
  ...processFields,
  image: Schema.String,
  preserveEnv: optionalNullable(Schema.Boolean).pipe(Schema.fromKey("preserve_env")),
  preserveCwd: optionalNullable(Schema.Boolean).pipe(Schema.fromKey("preserve_cwd")),
  hostname: optionalNullable(Schema.String.pipe(Schema.maxLength(64))),
  disposable: optionalNullable(Schema.Boolean),
  timeout: optionalNullable(WholeSeconds),
  files: optionalNullable(Schema.Record({ key: Schema.String, value: PlacedFile })),
  resourcesLimits: optionalNullable(
    Schema.Struct({
      maxLayerBytes: optionalNullable(Schema.Int.pipe(Schema.positive())).pipe(Schema.fromKey("max_layer_bytes"))
    })
  ).pipe(Schema.fromKey("resources_limits")),
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
    .annotate(Permits, ["spawn", "spawn_disposable"])
    .addSuccess(Started)
    .addError(failure(404, "No such image"))
) {}
