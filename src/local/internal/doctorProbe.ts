/**
 * A program for `Doctor.report`: inside a mount namespace of its own it tries every launcher on the data folder that
 * its argument names, and prints what it found.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Doctor from "../Doctor.js"
import * as MountNamespace from "../MountNamespace.js"
import { packageDirectory } from "./packageDirectory.js"

const [, , directory = ""] = process.argv

Doctor.launchers.pipe(
  Effect.flatMap(Doctor.encodeFindings),
  Effect.flatMap(Console.log),
  Effect.provide(MountNamespace.layer({ directory, keep: [packageDirectory, process.execPath] })),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
