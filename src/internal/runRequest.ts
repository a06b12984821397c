/**
 * A spawn request with every default filled in, and what follows from it: the same for the engine and the test double.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equivalence from "effect/Equivalence"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import { ApiFailure } from "../api/Failure.js"
import { PlacedFile, type SpawnRequest } from "../api/Instances.js"
import { encodeBytes } from "../api/StreamRepr.js"
import type { ImageId } from "../ImageId.js"

/** What an image gives to the commands that run on it. */
export interface Inheritance {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

/** The limits of a service on runs, in seconds. */
export interface RunLimits {
  readonly defaultRunTimeoutSeconds: number
  readonly maxRunTimeoutSeconds: number
}

/** A spawn request with every default filled in, as an operation's metadata shows it. */
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
  /** Whether the input ends after `stdin`, or more of it comes while the command runs. */
  readonly stdinCloses: boolean
  readonly files: NonNullable<SpawnRequest["files"]>
  readonly maxLayerBytes: number
  readonly networking: boolean
}

/** The contract's default for a request that names none. */
export const defaultOutputLimitBytes = 1_048_576

/** How much a run may write to its file system, when it does not say. */
export const defaultMaxLayerBytes = 12_884_901_888

const encodeFiles = Schema.encodeSync(Schema.Record({ key: Schema.String, value: PlacedFile }))

/** Fills in the defaults of the contract. */
export const make = (request: SpawnRequest, image: ImageId, config: RunLimits): RunRequest => ({
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
  stdinCloses: request.stdin?.close ?? true,
  files: request.files ?? {},
  maxLayerBytes: request.resourcesLimits?.maxLayerBytes ?? defaultMaxLayerBytes,
  networking: request.networking?.enabled ?? true
})

/** The request on the wire's form, with all fields that strict readers need. */
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
  stdin: { ...encodeBytes(run.stdin), close: run.stdinCloses },
  files: encodeFiles(run.files),
  resources_limits: { max_layer_bytes: run.maxLayerBytes },
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

/** The environment of the command: the image's only for shell commands, the request's on top. */
export const environment = (
  run: Pick<RunRequest, "shell" | "preserveEnv" | "env">,
  image: Inheritance
): Record<string, string> => ({
  PATH: defaultPath,
  ...merge(run.shell || run.preserveEnv ? image.env : {}, run.env)
})

/** What is executed: the executable with its arguments, or the shell that `SHELL` names with the command's text. */
export const argv = (
  run: Pick<RunRequest, "shell" | "command" | "args">,
  env: Readonly<Record<string, string>>
): readonly [string, ...ReadonlyArray<string>] =>
  run.shell ? [env["SHELL"] ?? "/bin/sh", "-c", run.command] : [run.command, ...run.args]

/** The environment and the working directory that the resulting image keeps. */
export const inherited = (run: RunRequest, image: Inheritance): Inheritance => ({
  env: run.preserveEnv ? merge(image.env, run.env, (value) => value === "") : image.env,
  cwd: run.preserveCwd && run.cwd !== "" ? run.cwd : image.cwd
})

const sameNames = Record.getEquivalence(Equivalence.string)

/** Whether the resulting image keeps what the image has already. */
export const inheritsAll = (run: RunRequest, image: Inheritance): boolean => {
  const { cwd, env } = inherited(run, image)
  return cwd === image.cwd && sameNames(env, image.env)
}

/** The directory in which the command starts. */
export const workingDirectory = (run: Pick<RunRequest, "cwd">, image: Inheritance): string =>
  [run.cwd, image.cwd].find((path) => path !== "") ?? "/"

const rejected = (error: string) => new ApiFailure({ status: 400, error })

/** Refuses a time limit above the service's own. */
export const checkTimeout = (
  timeout: Duration.Duration | undefined,
  maxSeconds: number
): Effect.Effect<void, ApiFailure> =>
  timeout !== undefined && Duration.greaterThan(timeout, Duration.seconds(maxSeconds))
    ? rejected(`timeout: at most ${maxSeconds} seconds are allowed, got ${Duration.toSeconds(timeout)}`)
    : Effect.void

/** Refuses paths at which no file can be; a relative one counts from the root. */
export const checkFiles = (files: RunRequest["files"]): Effect.Effect<void, ApiFailure> => {
  const path = Object.keys(files).find((path) => path.includes("\0") || /(^|\/)\.{0,2}$/.test(path))
  return path === undefined
    ? Effect.void
    : rejected(`files: ${JSON.stringify(path)} is not the path of a file, such as /work/data.csv`)
}

const isVariableName = (name: string): boolean => name !== "" && !name.includes("=")

/** Refuses what the system could not be given: texts end at their first NUL, names of variables at an `=`. */
export const checkProcess = (
  request: Pick<SpawnRequest, "command" | "args" | "env">
): Effect.Effect<void, ApiFailure> => {
  const env = Object.entries(request.env ?? {})
  const texts = [request.command, ...(request.args ?? []), ...env.flatMap(([name, value]) => [name, value ?? ""])]
  if (texts.some((text) => text.includes("\0"))) {
    return rejected("command, args and env cannot contain a NUL character")
  }
  const badName = env.find(([name]) => !isVariableName(name))
  return badName === undefined
    ? Effect.void
    : rejected(`env: ${JSON.stringify(badName[0])} is not the name of a variable`)
}
