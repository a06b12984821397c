/** What a program may rely on, whichever engine it speaks to: each contract test file runs this over its own layer. */
import { layer as suite, type Vitest } from "@effect/vitest"
import type { Layer } from "effect"
import type { ContreeClient } from "../../src/ContreeClient.js"
import type { Fixture } from "../fixtures/Contree.js"
import { commands } from "./commands.js"
import { debian } from "./debian.js"
import { imports } from "./imports.js"
import { interruption } from "./interruption.js"
import { keptRuns } from "./keptRuns.js"
import { listings } from "./listings.js"
import { operations } from "./operations.js"
import { rejections } from "./rejections.js"
import { tags } from "./tags.js"

/** How the tests of the contract are declared: on real time, with a client and what surrounds its engine. */
export type It = Vitest.MethodsNonLive<ContreeClient | Fixture, true>

/** Runs all tests of the contract over one engine. */
export const contract = <E>(name: string, engine: Layer.Layer<ContreeClient | Fixture, E>) => {
  suite(engine, { excludeTestServices: true, timeout: "4 minutes" })(name, (it) => {
    imports(it)
    commands(it)
    keptRuns(it)
    tags(it)
    listings(it)
    operations(it)
    interruption(it)
    rejections(it)
    debian(it)
  })
}
