/**
 * Fields of answers that may be missing.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * A field that may be absent or null. A writer says null, because strict readers need the key.
 *
 * @since 0.1.0
 * @category schemas
 */
export const nullable = <A, I, R>(schema: Schema.Schema<A, I, R>) =>
  Schema.optionalWith(schema, { as: "Option", nullable: true, onNoneEncoding: () => Option.some(null) })
