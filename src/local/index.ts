/**
 * The engine: ConTree on this machine, behind the same service as the hosted one.
 *
 * @since 0.1.0
 */
export * as Doctor from "./Doctor.js"
export * as EngineConfig from "./EngineConfig.js"
export * as EngineError from "./EngineError.js"
export * as LocalContree from "./LocalContree.js"
