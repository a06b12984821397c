/** The handlers of the processes of a running instance. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { ContreeApi } from "../../ContreeApi.js"
import { notYet } from "./answers.js"

export const subprocessesGroup = HttpApiBuilder.group(ContreeApi, "subprocesses", (handlers) =>
  handlers
    .handle("start", () => notYet)
    .handle("get", () => notYet)
    .handle("signal", () => notYet)
    .handle("writeStdin", () => notYet)
)
