/**
 * The endpoint that tells who the caller is.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { nullable } from "./Nullable.js"

const counts = Schema.Record({ key: Schema.String, value: Schema.Number })

/**
 * The caller's token, what it may do, and its limits.
 *
 * Known permissions: `import`, `spawn`, `spawn_disposable`, `list`, `cancel`, `set_image_tag`. Known limits:
 * `instance_max_timeout` and `images_import_max_timeout` (seconds), `instance_max_concurrency`,
 * `images_import_max_concurrency`.
 *
 * @since 0.1.0
 * @category schemas
 */
export class WhoAmI extends Schema.Class<WhoAmI>("WhoAmI")({
  tokenId: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("token_uuid")),
  tokenExpiration: nullable(Schema.Number).pipe(Schema.fromKey("token_expiration")),
  permissions: Schema.Record({ key: Schema.String, value: Schema.Boolean }),
  operationsStat: Schema.optionalWith(counts, { default: () => ({}), nullable: true }).pipe(
    Schema.fromKey("operations_stat")
  ),
  limits: Schema.optionalWith(counts, { default: () => ({}), nullable: true })
}) {}

/**
 * The names of what a token may be allowed to do. Reading needs `list`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Permission = Schema.Literal("import", "spawn", "spawn_disposable", "list", "cancel", "set_image_tag")

/**
 * What a token may be allowed to do.
 *
 * @since 0.1.0
 * @category models
 */
export type Permission = typeof Permission.Type

/**
 * Which permissions an endpoint asks for: one of them is enough, an empty list asks for none. An endpoint that only
 * reads asks for `list` unless it says otherwise; each other one says it.
 *
 * @since 0.1.0
 * @category tags
 */
export class Permits extends Context.Tag("effect-contree/Permits")<Permits, ReadonlyArray<Permission>>() {}

/**
 * Who a server has found a request to come from: the token, the project whose things it sees, and what it may do.
 *
 * @since 0.1.0
 * @category tags
 */
export class Caller extends Context.Tag("effect-contree/Caller")<
  Caller,
  {
    readonly tokenId: string
    readonly project: string
    readonly permissions: ReadonlySet<Permission>
    readonly expires: Option.Option<DateTime.Utc>
  }
>() {}

/**
 * The endpoint that tells who the caller is.
 *
 * @since 0.1.0
 * @category schemas
 */
export class AccountGroup extends HttpApiGroup.make("account").add(
  HttpApiEndpoint.get("whoami", "/whoami").addSuccess(WhoAmI).annotate(Permits, [])
) {}
