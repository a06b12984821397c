/** Whether the server lives, and whether it takes work. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import { OperationStore } from "../OperationStore.js"
import { Drain } from "./drain.js"

const answer = (status: 200 | 503, word: string) => HttpServerResponse.unsafeJson({ status: word }, { status })

export const live = Effect.succeed(answer(200, "ok"))

export const ready = Effect.gen(function* () {
  if (yield* Effect.flatMap(Drain, ({ begun }) => begun)) return answer(503, "draining")
  const { counts } = yield* OperationStore
  return yield* Effect.match(counts, {
    onFailure: () => answer(503, "the database does not answer"),
    onSuccess: () => answer(200, "ok")
  })
})
