/** The handlers of the processes of a running instance. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { constants } from "node:os"
import { Caller } from "../../api/Account.js"
import { ApiFailure } from "../../api/Failure.js"
import type { OperationId } from "../../api/Images.js"
import { ProcessResult } from "../../api/Operations.js"
import { ProcessNumber } from "../../api/Subprocesses.js"
import { ContreeApi } from "../../ContreeApi.js"
import { Instances } from "../Instances.js"
import { OperationStore, type StoredOperation } from "../OperationStore.js"
import { notFound, orInternal } from "./answers.js"
import { demand } from "./authorization.js"

const refuse = (status: 400 | 409 | 410, error: string) => new ApiFailure({ status, error })

const tooEarly = new ApiFailure({ status: 425, error: "The instance is not ready yet", retryAfterSeconds: 1 })

const names = new Map<string, number>(Object.entries(constants.signals))

/** The number of a signal that is named with or without `SIG`, or by its number. */
const signalNumber = (text: string): Effect.Effect<number, ApiFailure> => {
  const name = text.toUpperCase()
  const number = /^\d+$/.test(text) ? Number(text) : names.get(name.startsWith("SIG") ? name : `SIG${name}`)
  return number === undefined || number < 1 || number > 64
    ? refuse(400, `signal: there is no signal ${JSON.stringify(text)}`)
    : Effect.succeed(number)
}

const isOpen = ({ status }: StoredOperation) => status === "PENDING" || status === "ASSIGNED" || status === "EXECUTING"

const decodeResult = Schema.decodeUnknown(Schema.Struct({ result: Schema.NullOr(ProcessResult) }))

export const subprocessesGroup = HttpApiBuilder.group(ContreeApi, "subprocesses", (handlers) =>
  Effect.gen(function* () {
    const operations = yield* OperationStore
    const instances = yield* Instances

    /** An instance of the caller's, recorded; `over` is what to say when it does not run any more. */
    const recorded = Effect.fnUntraced(function* (id: OperationId) {
      const { project } = yield* Caller
      const operation = yield* Effect.flatMap(
        operations.get(project, id),
        Effect.mapError(() => notFound(`There is no operation ${id}`))
      )
      if (operation.kind !== "instance") return yield* refuse(409, `Operation ${id} is no instance`)
      return operation
    })
    const running = Effect.fnUntraced(function* (id: OperationId, over: ApiFailure) {
      const instance = yield* instances.find(id)
      if (Option.isSome(instance)) return instance.value
      // Only afterwards does the record tell: an instance that ends meanwhile is in it.
      if (yield* instances.isEnding(id)) return yield* over
      return yield* isOpen(yield* recorded(id)) ? tooEarly : over
    })
    const processOf = Effect.fnUntraced(function* (id: OperationId, spid: number, over: ApiFailure) {
      yield* recorded(id)
      const instance = yield* running(id, over)
      return yield* Effect.mapError(instance.process(spid), () =>
        notFound(`There is no process ${spid} in the instance of operation ${id}`)
      )
    })

    return handlers
      .handle("start", ({ path, payload }) =>
        Effect.gen(function* () {
          const operation = yield* recorded(path.id)
          yield* operation.metadata["disposable"] === true ? demand("spawn_disposable") : demand("spawn")
          const instance = yield* running(path.id, refuse(409, `Operation ${path.id} does not run any more`))
          const spid = ProcessNumber.make(yield* instance.start(payload))
          return yield* HttpServerResponse.json(
            { spid },
            { status: 201, headers: { location: `/v1/operations/${path.id}/subprocesses/${spid}` } }
          ).pipe(Effect.orDie)
        }).pipe(orInternal)
      )
      .handle("get", ({ path }) =>
        Effect.gen(function* () {
          const gone = notFound(`Process ${path.spid} of operation ${path.id} is gone`)
          yield* Effect.mapError(recorded(path.id), () => gone)
          const instance = yield* instances.find(path.id)
          if (Option.isSome(instance)) {
            const { result } = yield* Effect.mapError(instance.value.process(path.spid), () => gone)
            return yield* result
          }
          if (yield* instances.isEnding(path.id)) return yield* tooEarly
          const operation = yield* recorded(path.id)
          if (isOpen(operation)) return yield* tooEarly
          if (path.spid !== 1) return yield* gone
          const { result } = yield* Effect.orDie(decodeResult(operation.metadata))
          return result ?? (yield* gone)
        }).pipe(orInternal)
      )
      .handle("signal", ({ path, urlParams }) =>
        Effect.gen(function* () {
          const number = yield* signalNumber(urlParams.signal ?? "KILL")
          const over = refuse(409, `Operation ${path.id} does not run any more`)
          yield* (yield* processOf(path.id, path.spid, over)).signal(number)
        }).pipe(orInternal)
      )
      .handle("writeStdin", ({ path, payload }) =>
        Effect.gen(function* () {
          const over = refuse(410, `Operation ${path.id} does not run any more`)
          yield* (yield* processOf(path.id, path.spid, over)).writeStdin(payload)
        }).pipe(orInternal)
      )
  })
)
