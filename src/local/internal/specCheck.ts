/**
 * What the kernel and the launchers take, checked before anything is done for a run.
 */
import * as Effect from "effect/Effect"
import type { LaunchedCommand } from "../Launcher.js"
import * as SandboxError from "../SandboxError.js"

type Spec = Omit<LaunchedCommand, "network">

interface Checked extends Spec {
  readonly layers: ReadonlyArray<string>
}

/** The kernel's `MAX_ARG_STRLEN`, with the final zero. */
const MAX_WORD_BYTES = 131_072

/** One page of mount options, with the final zero. */
const MAX_OPTIONS_BYTES = 4096

/** The kernel's `__NEW_UTS_LEN`. */
const MAX_HOSTNAME_BYTES = 64

const bytes = (text: string): number => new TextEncoder().encode(text).length

/** What is wrong with a command. Values of the environment are not repeated. */
const complaint = (spec: Spec): string | undefined => {
  const texts = [
    ...spec.command.map((text, index) => [index === 0 ? "the command" : `argument ${index}`, text] as const),
    ...Object.entries(spec.env).map(
      ([name, value]) => [`the variable ${JSON.stringify(name)}`, `${name}=${value}`] as const
    ),
    ["the working directory", spec.cwd] as const
  ]
  const unfit = texts.find(([, text]) => text.includes("\0"))
  if (unfit !== undefined) {
    return `${unfit[0]} contains a NUL character, which no process can be given: remove it`
  }
  const long = texts.find(([, text]) => bytes(text) >= MAX_WORD_BYTES)
  if (long !== undefined) {
    return `${long[0]} is of ${bytes(long[1])} bytes, the kernel takes ${MAX_WORD_BYTES - 1}: give it on standard input or in a file`
  }
  const unnamed = Object.keys(spec.env).find((name) => name === "" || name.includes("="))
  if (unnamed !== undefined) {
    return `${JSON.stringify(unnamed)} is no name of a variable: use one that is not empty and holds no "="`
  }
  if (spec.command[0] === "") {
    return "the command is empty: give the path or the name of a program"
  }
  if (!spec.cwd.startsWith("/")) {
    return `the working directory ${JSON.stringify(spec.cwd)} is not absolute: begin it with "/"`
  }
  if (bytes(spec.hostname) > MAX_HOSTNAME_BYTES || !/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(spec.hostname)) {
    return `${JSON.stringify(spec.hostname)} is no host name: use letters, digits, "-" and ".", at most ${MAX_HOSTNAME_BYTES}`
  }
  for (const [kind, id] of [
    ["user", spec.uid],
    ["group", spec.gid]
  ] as const) {
    if (!Number.isInteger(id) || id < 0 || id > 65_535) {
      return `${id} is no ${kind} id of an image: use one from 0 to 65535`
    }
  }
  return undefined
}

const layersComplaint = ({ layers }: Checked): string | undefined => {
  const layer = layers.find((name) => !/^[A-Za-z0-9]+$/.test(name))
  return layers.length === 0
    ? "there is no layer to run over"
    : layer === undefined
      ? undefined
      : `${JSON.stringify(layer)} is no name of a layer`
}

/** The options of the mount, for paths as the slot sees them and layers relative to its working directory. */
export const overlayOptions = (layers: ReadonlyArray<string>, upper: string, work: string) => {
  // `volatile`: the end of a run would else wait for all of the file system's dirty data, whoever wrote it.
  // `index=off`: a layer may become a lower one while the overlay that wrote it is still being unmounted.
  const options = `lowerdir=${layers.join(":")},upperdir=${upper},workdir=${work},userxattr,volatile,index=off`
  return options.length < MAX_OPTIONS_BYTES
    ? Effect.succeed(options)
    : Effect.fail(
        SandboxError.make(
          "InvalidSpec",
          `${layers.length} layers need ${options.length} bytes of mount options, the kernel takes ${MAX_OPTIONS_BYTES - 1}: flatten the chain`
        )
      )
}

/** Whether a path has nothing in it that a mount option gives a meaning to, and no step up. */
export const isPlainPath = (path: string): boolean => !/[,:\\\n]|(^|\/)\.\.?(\/|$)/.test(path)

const orFail = (wrong: string | undefined): Effect.Effect<void, SandboxError.SandboxError> =>
  wrong === undefined ? Effect.void : Effect.fail(SandboxError.make("InvalidSpec", wrong))

/** Fails with `InvalidSpec` and what to change where no sandbox can carry the command out. */
export const checkCommand = (spec: Spec) => orFail(complaint(spec))

/** Fails with `InvalidSpec` and what to change where no sandbox can carry the run out. */
export const check = (spec: Checked) => orFail(complaint(spec) ?? layersComplaint(spec))
