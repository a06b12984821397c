/**
 * The folder of this package, which the engine's processes go on reading while mounts change around them.
 */
import { fileURLToPath } from "node:url"

export const packageDirectory = fileURLToPath(new URL("../../..", import.meta.url))
