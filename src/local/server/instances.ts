/** The handler that starts a command on an image. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as Effect from "effect/Effect"
import { Caller } from "../../api/Account.js"
import { ContreeApi } from "../../ContreeApi.js"
import { Engine } from "../Engine.js"
import { orInternal, started } from "./answers.js"
import { demand } from "./authorization.js"

export const instancesGroup = HttpApiBuilder.group(ContreeApi, "instances", (handlers) =>
  Effect.map(Engine, (engine) =>
    handlers.handle("spawn", ({ payload }) =>
      demand(payload.disposable === true ? "spawn_disposable" : "spawn").pipe(
        Effect.zipRight(Caller),
        Effect.flatMap(({ project }) => engine.startRun(project, payload)),
        Effect.map(started),
        orInternal
      )
    )
  )
)
