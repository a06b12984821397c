/** What the suites look up about the machine's processes and mounts. */
import { Effect, Schedule } from "effect"
import { readdirSync, readFileSync } from "node:fs"

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // The process has just ended.
    return ""
  }
}

const pids = () => readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)

const parentOf = (pid: string): string => /^PPid:\s*(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? "0"

/** Whether the process is this one or comes from it. */
export const descends = (pid: string, ancestor: number): boolean =>
  Number(pid) === ancestor || (Number(pid) > 1 && descends(parentOf(pid), ancestor))

export interface Process {
  readonly pid: string
  readonly words: ReadonlyArray<string>
}

/** The processes of the machine that have the text on their command line. */
export const processesWith = (wanted: string): Effect.Effect<ReadonlyArray<Process>> =>
  Effect.sync(() =>
    pids().flatMap((pid) => {
      const line = read(`/proc/${pid}/cmdline`)
      return line.includes(wanted) ? [{ pid, words: line.split("\0").slice(0, -1) }] : []
    })
  )

/** The lines of the mount tables of all processes of the machine that contain the text. */
export const mountsWith = (wanted: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => [
    ...new Set(
      pids().flatMap((pid) =>
        read(`/proc/${pid}/mountinfo`)
          .split("\n")
          .filter((line) => line.includes(wanted))
      )
    )
  ])

/** Looks again until it is so, for at most ten seconds. */
export const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>, until: (value: A) => boolean) =>
  effect.pipe(Effect.repeat({ until, schedule: Schedule.spaced("20 millis") }), Effect.timeout("10 seconds"))
