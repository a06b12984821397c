/**
 * The endpoint that tells who the caller is.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
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
 * The endpoint that tells who the caller is.
 *
 * @since 0.1.0
 * @category schemas
 */
export class AccountGroup extends HttpApiGroup.make("account").add(
  HttpApiEndpoint.get("whoami", "/whoami").addSuccess(WhoAmI)
) {}
