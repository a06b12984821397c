/**
 * Endpoints for the processes of a running instance. Process 1 is the instance's own command.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { Permits } from "./Account.js"
import { failure } from "./Failure.js"
import { OperationId } from "./Images.js"
import { processFields } from "./Instances.js"
import { ProcessResult } from "./Operations.js"
import { StdinRepr } from "./StreamRepr.js"

/**
 * The number of a process in its instance: 1 for the instance's own command, 2 and up for those started in it. Events
 * use 0 for the instance itself.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ProcessNumber = Schema.Int.pipe(Schema.positive(), Schema.brand("ProcessNumber")).annotations({
  identifier: "ProcessNumber"
})

/**
 * The number of a process in its instance.
 *
 * @since 0.1.0
 * @category models
 */
export type ProcessNumber = typeof ProcessNumber.Type

const ProcessNumberParam = Schema.compose(Schema.NumberFromString, ProcessNumber)

/**
 * What is started in a running instance. The fields mean what they mean in a spawn request.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ExecRequest = Schema.Struct(processFields).annotations({ identifier: "ExecRequest" })

/**
 * What is started in a running instance.
 *
 * @since 0.1.0
 * @category models
 */
export type ExecRequest = typeof ExecRequest.Type

/**
 * A signal by number or by name, with or without `SIG`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SignalParam = Schema.String.pipe(
  Schema.pattern(/^(?:\d{1,3}|[A-Za-z][A-Za-z0-9+-]*)$/, {
    message: () => "a signal is a number or a name such as INT"
  })
)

const instance = Schema.Struct({ id: OperationId })
const process = Schema.Struct({ id: OperationId, spid: ProcessNumberParam })

const missing = failure(404, "No such operation or process, or the process is gone")
const conflict = failure(409, "The operation is no instance, or does not run")
const tooEarly = failure(425, "The instance is not ready yet")

/**
 * Endpoints for the processes of a running instance.
 *
 * @since 0.1.0
 * @category schemas
 */
export class SubprocessesGroup extends HttpApiGroup.make("subprocesses")
  .add(
    HttpApiEndpoint.post("start", "/operations/:id/subprocesses")
      .annotate(Permits, ["spawn", "spawn_disposable"])
      .setPath(instance)
      .setPayload(ExecRequest)
      .addSuccess(Schema.Struct({ spid: ProcessNumber }).annotations(HttpApiSchema.annotations({ status: 201 })))
      .addError(missing)
      .addError(conflict)
      .addError(tooEarly)
      .addError(failure(504, "No answer from the instance; the process may have started"))
  )
  .add(
    HttpApiEndpoint.get("get", "/operations/:id/subprocesses/:spid")
      .setPath(process)
      .addSuccess(ProcessResult)
      .addError(missing)
      .addError(tooEarly)
  )
  .add(
    HttpApiEndpoint.del("signal", "/operations/:id/subprocesses/:spid")
      .annotate(Permits, ["spawn", "spawn_disposable"])
      .setPath(process)
      .setUrlParams(Schema.Struct({ signal: Schema.optional(SignalParam) }))
      .addSuccess(HttpApiSchema.NoContent)
      .addError(missing)
      .addError(conflict)
      .addError(tooEarly)
  )
  .add(
    HttpApiEndpoint.post("writeStdin", "/operations/:id/subprocesses/:spid/stdin")
      .annotate(Permits, ["spawn", "spawn_disposable"])
      .setPath(process)
      .setPayload(StdinRepr)
      .addSuccess(HttpApiSchema.NoContent)
      .addError(missing)
      .addError(failure(409, "The standard input is closed"))
      .addError(failure(410, "The instance has ended"))
      .addError(tooEarly)
      .addError(failure(501, "The instance cannot take input while it runs"))
      .addError(failure(504, "No answer from the instance; the input may have been written"))
  ) {}
