/**
 * A running instance over the client: one log for all its processes, and who ends what.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { InstanceEvent } from "../api/Events.js"
import type { OperationId } from "../api/Images.js"
import { type OperationDetail, ProcessResult } from "../api/Operations.js"
import { type ExecRequest, ProcessNumber } from "../api/Subprocesses.js"
import * as Command from "../Command.js"
import type { ContreeClient } from "../ContreeClient.js"
import type { RequestError, StartError, WaitError } from "../ContreeError.js"
import * as ContreeError from "../ContreeError.js"
import type { ExecError, Instance, Process, ProcessOptions } from "../Instance.js"
import * as Events from "../InstanceEvent.js"
import * as Run from "../Run.js"
import type { Subprocess } from "../Subprocess.js"
import type { WaitPolicy } from "../WaitPolicy.js"
import { Image, resultImage, runOf } from "./image.js"
import { isTerminal } from "./outcome.js"
import * as ProcessInput from "./processInput.js"
import type { SharedLog } from "./sharedLog.js"
import * as SharedLogs from "./sharedLog.js"
import * as Spawn from "./spawn.js"
import { cancelQuietly, isOver, startOrEnd, untilOver, withinLimit } from "./waiting.js"
import * as Bytes from "./bytes.js"

const decodeResult = Schema.decodeSync(ProcessResult)

/** The instance's own command. */
const main = ProcessNumber.make(1)

/** What is asked of a process that is gone is answered by that: it is over. */
const whetherThere = (signal: Effect.Effect<void, RequestError>): Effect.Effect<boolean, RequestError> =>
  Effect.as(signal, true).pipe(
    Effect.catchTags({ NotFound: () => Effect.succeed(false), Conflict: () => Effect.succeed(false) })
  )

/** The events of a process, and its streams out of them. */
const processOf = (
  client: ContreeClient.Service,
  id: OperationId,
  spid: ProcessNumber,
  events: Stream.Stream<InstanceEvent, RequestError>,
  exit: Effect.Effect<Run.Run, WaitError>
): Process => {
  const stdout = Events.output(events, "stdout", spid)
  const stderr = Events.output(events, "stderr", spid)
  const signal = (signal: string | number) => whetherThere(client.subprocesses.signal(id, spid, signal))
  return {
    events,
    stdout,
    stderr,
    stdoutLines: Events.lines(stdout),
    stderrLines: Events.lines(stderr),
    ...ProcessInput.make(client, id, spid),
    signal,
    interrupt: signal("INT"),
    kill: signal("KILL"),
    exit
  }
}

/** What the events tell of a process, where the service has forgotten it. */
const fromEvents = (
  events: Stream.Stream<InstanceEvent, RequestError>
): Effect.Effect<Option.Option<typeof ProcessResult.Type>, RequestError> =>
  Stream.runFold(
    events,
    {
      stdout: new Array<Uint8Array>(),
      stderr: new Array<Uint8Array>(),
      cut: new Set<string>(),
      exit: Option.none<Events.Tagged<"Exit">>()
    },
    (seen, event) => {
      if (event._tag === "Stdout") seen.stdout.push(event.data.bytes)
      else if (event._tag === "Stderr") seen.stderr.push(event.data.bytes)
      else if (event._tag === "Truncated") seen.cut.add(event.data.stream)
      return event._tag === "Exit" ? { ...seen, exit: Option.some(event) } : seen
    }
  ).pipe(
    Effect.map(({ cut, exit, stderr, stdout }) =>
      Option.map(exit, ({ data }) => {
        const bare = decodeResult({})
        return {
          resources: { ...bare.resources, elapsedTime: Duration.toSeconds(data.duration) },
          state: {
            ...bare.state,
            exitCode: data.code,
            signal: data.signal,
            pid: data.pid,
            timedOut: data.timedOut,
            coreDump: data.coreDump
          },
          stdout: { bytes: Bytes.concat(stdout), truncated: cut.has("stdout") },
          stderr: { bytes: Bytes.concat(stderr), truncated: cut.has("stderr") }
        }
      })
    )
  )

const hasEnded = ({ state }: typeof ProcessResult.Type): boolean => state.exitCode >= 0 || state.signal >= 0

const waitTimedOut = (id: OperationId, spid: ProcessNumber, after: Duration.Duration): WaitError =>
  new ContreeError.TimedOut({
    detail: `Process ${spid} of ${id} was not over after ${Duration.format(after)}; it goes on`,
    suggestion: "Raise the deadline of the wait policy, or end it with a signal",
    limit: "wait",
    after,
    operationId: id
  })

/** The result of a process once its exit is told, or where there are no events once it is seen. */
const exitOf = (
  client: ContreeClient.Service,
  id: OperationId,
  spid: ProcessNumber,
  events: Stream.Stream<InstanceEvent, RequestError>,
  policy: WaitPolicy
): Effect.Effect<Run.Run, WaitError> => {
  const look = client.subprocesses.get(id, spid)
  const limit = Duration.decode(policy.deadline)
  const looking = look.pipe(Effect.repeat({ schedule: policy.schedule, until: hasEnded }), Effect.zipRight(look))
  const told = Stream.runDrain(events).pipe(
    Effect.zipRight(look),
    Effect.catchTag("NotFound", (error) =>
      Effect.flatMap(fromEvents(events), Option.match({ onNone: () => Effect.fail(error), onSome: Effect.succeed }))
    )
  )
  return told.pipe(
    Effect.catchTag("RequestRejected", () => looking),
    Effect.timeoutFail({ duration: limit, onTimeout: () => waitTimedOut(id, spid, limit) }),
    Effect.map((result) => Run.fromProcessResult(id, result))
  )
}

const execRequest = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  command: Command.Command,
  options: ProcessOptions
): Effect.fn.Return<ExecRequest, ExecError> {
  const others = Spawn.instanceOptions(command)
  if (others.length > 0) {
    return yield* new ContreeError.RequestRejected({
      detail: `A process in a running instance cannot have its own ${others.join(", ")}`,
      suggestion: "Give it to the instance's command; the process was not started"
    })
  }
  return Spawn.processRequest(command, {
    stdin: yield* Spawn.stdinOf(command, options.stdin !== "open"),
    outputLimitBytes: client.policy.outputLimitBytes
  })
})

/** Starts a process; one that still runs when the scope closes is killed. */
const exec = (client: ContreeClient.Service, id: OperationId, log: SharedLog, policy: WaitPolicy) =>
  Effect.fn("Instance.exec")(function* (
    input: Command.Command | string,
    options: ProcessOptions = {}
  ): Effect.fn.Return<Subprocess, ExecError, Scope.Scope> {
    yield* Effect.annotateCurrentSpan("contree.operation", id)
    const command = Command.isCommand(input) ? input : Command.shell(input)
    const request = yield* execRequest(client, command, options)
    const end = (spid: ProcessNumber) =>
      withinLimit(whetherThere(client.subprocesses.signal(id, spid, "KILL"))).pipe(Effect.ignoreLogged)
    let over = false
    const spid = yield* Effect.uninterruptibleMask((restore) =>
      Effect.tap(startOrEnd(client, client.subprocesses.start(id, request), end, restore), (spid) =>
        Effect.addFinalizer(() => (over ? Effect.void : end(spid)))
      )
    )
    const events = log.events.pipe(
      Stream.filter((event) => event.spid === spid),
      Stream.takeUntil((event) => {
        if (event._tag !== "Exit") return false
        over = true
        return true
      })
    )
    const exit = Effect.tap(exitOf(client, id, spid, events, policy), () => {
      over = true
    })
    return { spid, ...processOf(client, id, spid, events, exit) }
  })

/** The image that an instance leaves behind. */
const imageLeftBy = (operation: OperationDetail): Effect.Effect<Image, RequestError> =>
  Option.match(resultImage(operation), {
    onNone: () =>
      Effect.fail(
        new ContreeError.NotFound({
          request: { method: "GET", path: `/v1/operations/${operation.id}` },
          what: `the image of operation ${operation.id}`,
          detail: `Operation ${operation.id} left no image behind`,
          suggestion: "Start the instance without disposable: true to keep what it writes"
        })
      ),
    onSome: (id) => Effect.succeed(new Image({ id, tag: Option.none(), createdAt: Option.none() }))
  })

/** An instance, and whether it is known to be over. */
interface Made {
  readonly instance: Instance
  readonly isOver: () => boolean
}

/** An instance whose log is read as long as the scope lives; nothing is ended by it. */
export const make = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  id: OperationId,
  policy: WaitPolicy
): Effect.fn.Return<Made, never, Scope.Scope> {
  const log = yield* SharedLogs.make(client, id)
  let over = false
  const limit = Duration.decode(policy.deadline)
  /** Where somebody reads the log, its end is news enough to look. */
  const end = Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis
    if (log.isRead()) yield* Effect.timeoutOption(Effect.ignore(log.ended), limit)
    const passed = Duration.millis((yield* Clock.currentTimeMillis) - started)
    return yield* untilOver(client, id, { ...policy, deadline: Duration.subtract(limit, passed) }, "it goes on")
  }).pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => {
        over = over || isOver(exit)
      })
    )
  )
  const own = Stream.filter(log.events, (event) => event.spid === main)
  const instance: Instance = {
    ...processOf(client, id, main, own, Effect.flatMap(end, runOf)),
    id,
    events: log.events,
    exec: exec(client, id, log, policy),
    image: Effect.flatMap(end, imageLeftBy)
  }
  return { instance, isOver: () => over || log.isOver() }
})

/**
 * Starts an instance that ends with the scope: one that still runs is cancelled, and its end is waited for, but not
 * for long.
 */
export const start = Effect.fnUntraced(function* (
  client: ContreeClient.Service,
  spawn: Effect.Effect<OperationId, StartError>,
  policy: WaitPolicy
): Effect.fn.Return<Instance, StartError, Scope.Scope> {
  yield* client.policy.instanceSlot
  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const id = yield* startOrEnd(client, spawn, (id) => cancelQuietly(client, id), restore)
      yield* Effect.annotateCurrentSpan("contree.operation", id)
      const made = yield* Effect.acquireRelease(make(client, id, policy), ({ isOver }) =>
        isOver() ? Effect.void : endQuietly(client, id, policy)
      )
      return made.instance
    })
  )
})

const endQuietly = (client: ContreeClient.Service, id: OperationId, policy: WaitPolicy): Effect.Effect<void> =>
  withinLimit(
    Effect.flatMap(client.operations.cancel(id), (cancelled) =>
      cancelled
        ? Effect.repeat(client.operations.poll(id), {
            schedule: policy.schedule,
            until: ({ operation }) => isTerminal(operation.status)
          })
        : Effect.void
    )
  ).pipe(Effect.ignoreLogged)
