/**
 * Why a command could not be run in a sandbox.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What a program would tell apart: a tool that the machine lacks, a kernel or a configuration that refuses
 * namespaces or overlays, a run that no sandbox can carry out as it was asked, an image that no sandbox can be made
 * of, a sandbox that could not be set up, one that something outside has ended, a run that wrote more than it may, and of a running one that it is not
 * made yet or that what is asked for in it has ended.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SandboxErrorReason = Schema.Literal(
  "MissingTool",
  "Refused",
  "InvalidSpec",
  "UnusableImage",
  "SetupFailed",
  "Died",
  "DiskLimit",
  "NotReady",
  "Gone"
)

/**
 * Why a sandbox could not be made.
 *
 * @since 0.1.0
 * @category models
 */
export type SandboxErrorReason = typeof SandboxErrorReason.Type

const suggestions: Record<SandboxErrorReason, string> = {
  MissingTool: "`effect-contree doctor` names the command that installs it.",
  Refused: "`effect-contree doctor` names the setting that forbids it and the command that changes it.",
  InvalidSpec: "Change the run as the detail says.",
  UnusableImage: "Import another image, or repair this one's root folder.",
  SetupFailed: "Run it again; if it persists, `effect-contree doctor` tries out every part of a sandbox.",
  Died: "Look whether the machine ran out of memory (`dmesg`), then run it again.",
  DiskLimit: "Write less, or raise the limit of the run.",
  NotReady: "Try again in a moment.",
  Gone: "Look at its result."
}

/**
 * A run that did not come to the point of an exit code.
 *
 * `detail` names the input or the part of the machine at fault, with what the kernel or the tool said, and
 * `suggestion` what to do about it. Neither holds a value of the environment.
 *
 * @since 0.1.0
 * @category errors
 */
export class SandboxError extends Schema.TaggedError<SandboxError>("effect-contree/local/SandboxError")(
  "SandboxError",
  {
    reason: SandboxErrorReason,
    detail: Schema.String,
    suggestion: Schema.String
  }
) {
  override get message(): string {
    return `${this.detail}. ${this.suggestion}`
  }
}

/**
 * Builds a `SandboxError`; its suggestion follows from the reason unless it is given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  reason: SandboxErrorReason,
  detail: string,
  suggestion: string = suggestions[reason]
): SandboxError => new SandboxError({ reason, detail, suggestion })
