/**
 * A process of an instance, as its log and its result tell of it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { EventResources } from "../../api/Events.js"
import type { ProcessResources, ProcessResult } from "../../api/Operations.js"
import type { EventBody, OperationLog } from "../EventLog.js"
import * as ProcessOutput from "./processOutput.js"

/** How a process ended. What is not known is undefined. */
export interface ProcessEnd {
  readonly code: number
  readonly signal: number | undefined
  readonly pid: number | undefined
  readonly elapsed: Duration.Duration
  readonly usage: ProcessUsage
  readonly timedOut: boolean
}

/** What a process and its children consumed, as far as it is known. `maxRss` is in KiB. */
export interface ProcessUsage {
  readonly userTime?: Duration.Duration | undefined
  readonly systemTime?: Duration.Duration | undefined
  readonly minorFaults?: number | undefined
  readonly majorFaults?: number | undefined
  readonly maxRss?: number | undefined
}

/** What a process was started with, as its `spawn` event tells. */
export interface ProcessStart {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly shell: boolean
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly uid: number
  readonly gid: number
  readonly truncateOutputAt: number
  readonly timeout?: Duration.Duration | undefined
}

const secret = /(TOKEN|SECRET|PASSWORD|API_KEY|CREDENTIALS|AUTHORIZATION)$/i

/** The contract's rule for what of an environment may stand in a log. */
export const masked = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, secret.test(name) ? "<MASKED>" : value]))

/** The contract's word for what is not known is -1. */
const orUnknown = (value: number | undefined): number => value ?? -1

const seconds = (duration: Duration.Duration | undefined): number =>
  duration === undefined ? -1 : Duration.toSeconds(duration)

const micros = (duration: Duration.Duration | undefined): number =>
  duration === undefined ? -1 : Math.round(Duration.toMillis(duration) * 1000)

const resources = (usage: ProcessUsage, elapsed: number, startedMillis: number): typeof ProcessResources.Type => ({
  blockInput: -1,
  blockOutput: -1,
  cost: 0,
  elapsedTime: elapsed,
  involuntarySwitches: -1,
  maxRss: orUnknown(usage.maxRss),
  monotonicTime: startedMillis / 1000,
  pageFaults: orUnknown(usage.minorFaults),
  pageFaultsIo: orUnknown(usage.majorFaults),
  sharedMemory: -1,
  signals: -1,
  swaps: -1,
  systemCpuTime: seconds(usage.systemTime),
  unsharedMemory: -1,
  userCpuTime: seconds(usage.userTime),
  voluntarySwitches: -1
})

const eventResources = (usage: ProcessUsage): typeof EventResources.Type => ({
  userTimeMicros: micros(usage.userTime),
  systemTimeMicros: micros(usage.systemTime),
  maxRss: orUnknown(usage.maxRss),
  sharedMemory: -1,
  unsharedMemory: -1,
  swaps: -1,
  minorFaults: orUnknown(usage.minorFaults),
  majorFaults: orUnknown(usage.majorFaults),
  voluntarySwitches: -1,
  involuntarySwitches: -1,
  blockInput: -1,
  blockOutput: -1,
  messagesSent: -1,
  messagesReceived: -1,
  signals: -1
})

export interface LiveProcess {
  readonly spid: number
  readonly stdin: ProcessOutput.ProcessStream
  readonly stdout: ProcessOutput.ProcessStream
  readonly stderr: ProcessOutput.ProcessStream
  readonly spawned: EventBody
  /** The event of the end, and from then on the result tells of it. */
  readonly ended: (end: ProcessEnd) => EventBody
  /** The result so far. */
  readonly result: Effect.Effect<typeof ProcessResult.Type>
}

/** A process that is being started. `pid` is its number in the sandbox, if that is known. */
export const make = Effect.fnUntraced(function* (
  spid: number,
  start: ProcessStart,
  pid: number | undefined,
  log: OperationLog
) {
  const startedMillis = yield* Clock.currentTimeMillis
  const stream = (name: "stdin" | "stdout" | "stderr") => ProcessOutput.make(name, spid, start.truncateOutputAt, log)
  const [stdin, stdout, stderr] = [stream("stdin"), stream("stdout"), stream("stderr")]
  let end: ProcessEnd | undefined
  const live: LiveProcess = {
    spid,
    stdin,
    stdout,
    stderr,
    spawned: {
      _tag: "Spawn",
      spid,
      data: {
        pid: orUnknown(pid),
        command: start.command,
        args: start.args,
        shell: start.shell,
        cwd: start.cwd,
        uid: start.uid,
        gid: start.gid,
        timeout: start.timeout === undefined ? 0 : Math.ceil(Duration.toSeconds(start.timeout)),
        truncateAt: start.truncateOutputAt,
        env: masked(start.env)
      }
    },
    ended: (known) => {
      end = known
      return {
        _tag: "Exit",
        spid,
        data: {
          pid: orUnknown(known.pid ?? pid),
          code: known.signal === undefined ? known.code : -1,
          signal: orUnknown(known.signal),
          timedOut: known.timedOut,
          duration: known.elapsed,
          resources: eventResources(known.usage),
          coreDump: false
        }
      }
    },
    result: Effect.map(Clock.currentTimeMillis, (now) => ({
      resources: resources(
        end?.usage ?? {},
        end === undefined ? Math.max(0, now - startedMillis) / 1000 : Duration.toSeconds(end.elapsed),
        startedMillis
      ),
      state: {
        exitCode: end === undefined || end.signal !== undefined ? -1 : end.code,
        signal: orUnknown(end?.signal),
        pid: orUnknown(end?.pid ?? pid),
        timedOut: end?.timedOut ?? false,
        coreDump: false,
        continued: false,
        stopped: false
      },
      stdout: stdout.captured(),
      stderr: stderr.captured()
    }))
  }
  return live
})
