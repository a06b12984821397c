#!/usr/bin/env node
/**
 * The program `effect-contree`.
 */
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { createRequire } from "node:module"
import { df } from "./df.js"
import { doctor } from "./doctor.js"
import { fsck } from "./fsck.js"
import { gc } from "./gc.js"
import { serve } from "./serve.js"

const { version } = createRequire(import.meta.url)("../../package.json")

const program = Command.make("effect-contree").pipe(
  Command.withDescription("ConTree sandboxes on this machine"),
  Command.withSubcommands([serve, doctor, gc, fsck, df])
)

const main = Command.run(program, { name: "effect-contree", version })

main(process.argv).pipe(
  // The parser has said what is wrong with the arguments; every other failure is one line.
  Effect.tapErrorCause((cause) =>
    Option.match(Cause.failureOption(cause), {
      onNone: () => (Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause))),
      onSome: (error) =>
        ValidationError.isValidationError(error)
          ? Effect.void
          : // The message of a setting's error leaves out the variable.
            Console.error(ConfigError.isConfigError(error) ? String(error) : error.message)
    })
  ),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
