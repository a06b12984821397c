/** What a program may rely on, whichever engine it speaks to: each contract test file runs this over its own layer. */
import { layer as suite, type Vitest } from "@effect/vitest"
import type { Layer } from "effect"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { Callers, Engine, Fixture } from "../fixtures/Contree.js"
import { access } from "./access.js"
import { commands } from "./commands.js"
import { debian } from "./debian.js"
import { events } from "./events.js"
import { imports } from "./imports.js"
import { instances } from "./instances.js"
import { interruption } from "./interruption.js"
import { keptRuns } from "./keptRuns.js"
import { listings } from "./listings.js"
import { machine } from "./machine.js"
import { missing } from "./missing.js"
import { operations } from "./operations.js"
import { placedFiles } from "./placedFiles.js"
import { queue } from "./queue.js"
import { reading } from "./reading.js"
import { rejections } from "./rejections.js"
import { spawning } from "./spawning.js"
import { subprocesses } from "./subprocesses.js"
import { tags } from "./tags.js"
import { uploads } from "./uploads.js"

/** How the tests of the contract are declared: on real time, with a client and what surrounds it. */
export type It = Vitest.MethodsNonLive<ContreeClient | Fixture, true>

/** How tests are declared that look at the engine's machine too. */
export type EngineIt = Vitest.MethodsNonLive<ContreeClient | Fixture | Engine, true>

/** How tests are declared that speak for other callers. */
export type CallersIt = Vitest.MethodsNonLive<ContreeClient | Fixture | Callers, true>

const behaviour = (it: It) => {
  imports(it)
  commands(it)
  keptRuns(it)
  tags(it)
  listings(it)
  operations(it)
  interruption(it)
  spawning(it)
  rejections(it)
  uploads(it)
  placedFiles(it)
  reading(it)
  events(it)
  instances(it)
  subprocesses(it)
  queue(it)
  missing(it)
}

/** Runs all tests of the contract over one engine, and those of what it does on its machine. */
export const contract = <E>(name: string, engine: Layer.Layer<ContreeClient | Fixture | Engine, E>) => {
  suite(engine, { excludeTestServices: true, timeout: "4 minutes" })(name, (it) => {
    behaviour(it)
    machine(it)
    debian(it)
  })
}

/** The same over an engine that has several callers. */
export const contractOfCallers = <E>(
  name: string,
  engine: Layer.Layer<ContreeClient | Fixture | Engine | Callers, E>
) => {
  suite(engine, { excludeTestServices: true, timeout: "4 minutes" })(name, (it) => {
    behaviour(it)
    access(it)
    machine(it)
    debian(it)
  })
}

/** Runs all tests of the contract where there is no engine. */
export const contractWithoutEngine = <E>(name: string, double: Layer.Layer<ContreeClient | Fixture | Callers, E>) => {
  suite(double, { excludeTestServices: true })(name, (it) => {
    behaviour(it)
    access(it)
  })
}
