/** The handlers of uploaded files. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { ContreeApi } from "../../ContreeApi.js"
import { notYet } from "./answers.js"

export const filesGroup = HttpApiBuilder.group(ContreeApi, "files", (handlers) =>
  handlers
    .handle("upload", () => notYet)
    .handle("list", () => notYet)
    .handle("get", () => notYet)
    .handle("exists", () => notYet)
)
