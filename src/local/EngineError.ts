/**
 * The failure of an engine to start.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The engine does not run: the machine lacks something, a setting is wrong, or the data folder cannot be used.
 *
 * @since 0.1.0
 * @category errors
 */
export class EngineError extends Schema.TaggedError<EngineError>("effect-contree/local/EngineError")("EngineError", {
  detail: Schema.String,
  suggestion: Schema.String
}) {
  override get message(): string {
    return `The engine does not run: ${this.detail}. ${this.suggestion}`
  }
}
