/**
 * A spawn request with every default filled in.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { SpawnRequest } from "../api/Instances.js"
import { encodeBytes } from "../api/StreamRepr.js"
import type { ImageId } from "../ImageId.js"
import type { EngineConfig } from "./EngineConfig.js"
import type { StoredImage } from "./ImageStore.js"

/**
 * A spawn request with every default filled in, as an operation's metadata shows it.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunRequest {
  readonly command: string
  readonly image: ImageId
  readonly args: ReadonlyArray<string>
  readonly shell: boolean
  readonly env: Readonly<Record<string, string | null>>
  readonly preserveEnv: boolean
  readonly cwd: string
  readonly preserveCwd: boolean
  readonly uid: number
  readonly gid: number
  readonly hostname: string
  readonly disposable: boolean
  readonly timeout: Duration.Duration
  readonly truncateOutputAt: number
  readonly stdin: Uint8Array
  readonly networking: boolean
}

/** The contract's default for a request that names none. */
const defaultOutputLimitBytes = 1_048_576

/**
 * Fills in the defaults of the contract.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (request: SpawnRequest, image: ImageId, config: EngineConfig): RunRequest => ({
  command: request.command,
  image,
  args: request.args ?? [],
  shell: request.shell ?? false,
  env: request.env ?? {},
  preserveEnv: request.preserveEnv ?? false,
  cwd: request.cwd ?? "",
  preserveCwd: request.preserveCwd ?? false,
  uid: request.uid ?? 0,
  gid: request.gid ?? 0,
  hostname: request.hostname ?? "linuxkit",
  disposable: request.disposable ?? false,
  timeout: request.timeout ?? Duration.seconds(config.defaultRunTimeoutSeconds),
  truncateOutputAt: request.truncateOutputAt ?? defaultOutputLimitBytes,
  stdin: request.stdin?.bytes ?? new Uint8Array(0),
  networking: request.networking?.enabled ?? true
})

/**
 * The request on the wire's form, with all fields that strict readers need.
 *
 * @since 0.1.0
 * @category getters
 */
export const toWire = (run: RunRequest): Readonly<Record<string, unknown>> => ({
  command: run.command,
  image: run.image,
  args: run.args,
  shell: run.shell,
  env: run.env,
  preserve_env: run.preserveEnv,
  cwd: run.cwd,
  preserve_cwd: run.preserveCwd,
  uid: run.uid,
  gid: run.gid,
  hostname: run.hostname,
  disposable: run.disposable,
  timeout: Math.ceil(Duration.toSeconds(run.timeout)),
  truncate_output_at: run.truncateOutputAt,
  stdin: { ...encodeBytes(run.stdin), close: true },
  files: {},
  networking: { enabled: run.networking }
})

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const merge = (
  base: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string | null>>,
  removes: (value: string) => boolean = () => false
): Record<string, string> => {
  const merged = { ...base }
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || removes(value)) delete merged[name]
    else merged[name] = value
  }
  return merged
}

/**
 * The environment of the command: the image's only for shell commands, the request's on top.
 *
 * @since 0.1.0
 * @category getters
 */
export const environment = (run: RunRequest, image: StoredImage): Record<string, string> => ({
  PATH: defaultPath,
  ...merge(run.shell || run.preserveEnv ? image.env : {}, run.env)
})

/**
 * What is executed: the executable with its arguments, or the shell that `SHELL` names with the command's text.
 *
 * @since 0.1.0
 * @category getters
 */
export const argv = (
  run: RunRequest,
  env: Readonly<Record<string, string>>
): readonly [string, ...ReadonlyArray<string>] =>
  run.shell ? [env["SHELL"] ?? "/bin/sh", "-c", run.command] : [run.command, ...run.args]

/**
 * The environment and the working directory that the resulting image keeps.
 *
 * @since 0.1.0
 * @category getters
 */
export const inherited = (run: RunRequest, image: StoredImage): Pick<StoredImage, "env" | "cwd"> => ({
  env: run.preserveEnv ? merge(image.env, run.env, (value) => value === "") : image.env,
  cwd: run.preserveCwd && run.cwd !== "" ? run.cwd : image.cwd
})
