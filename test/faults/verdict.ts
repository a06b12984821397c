/**
 * What a client must make of a fault, written down apart from the client: which error, and whether to ask again.
 */
import type { Seen } from "../fixtures/FaultServer.js"

/** What kind of thing a request asks for, which decides what may be done after a fault. */
export type Manner =
  /** Reads, or sets the same state again: may be repeated. */
  | "safe"
  /** As `safe`, with a body that is given on as it comes: once the head is there nothing is repeated. */
  | "streamed"
  /** Starts work: is repeated only when nothing was started. */
  | "start"
  /** One connection to an event stream, which is never repeated below the follower. */
  | "events"

export const mannerOf = ({ method, path }: { readonly method: string; readonly path: string }): Manner => {
  if (method === "POST") return path === "/v1/files" ? "safe" : "start"
  if (path.endsWith("/events")) return "events"
  return method === "GET" && (path.endsWith("/download") || path.endsWith("/archive")) ? "streamed" : "safe"
}

export type Verdict =
  | { readonly ok: true }
  | {
      readonly ok: false
      readonly tag: string
      /** The status that the error may name. */
      readonly statuses: ReadonlyArray<number | undefined>
      readonly again: "never" | "perhaps" | "failure" | "putOff"
    }

const passing = [408, 410, 502, 503, 504]
/** After these nobody knows whether the work was started: a time that ran out somewhere, or a gateway's word. */
const unclear = [408, 410, 502, 504]

const tagOf = (status: number): string => {
  if (status === 429) return "RateLimited"
  if (status === 404) return "NotFound"
  if (status === 409) return "Conflict"
  return status >= 500 || [408, 410, 425].includes(status) ? "Unavailable" : "RequestRejected"
}

/** Longer than any policy of the tests is patient. */
export const tooLong = "9999"

export const verdict = (seen: Pick<Seen, "fault" | "method" | "path" | "status">): Verdict => {
  const { fault, method, path, status } = seen
  const manner = mannerOf(seen)
  const broken = (statuses: ReadonlyArray<number | undefined>, again: "never" | "perhaps" | "failure"): Verdict =>
    manner === "start"
      ? { ok: false, tag: "OutcomeUnknown", statuses, again: "never" }
      : { ok: false, tag: "Unavailable", statuses, again }
  switch (fault._tag) {
    case "None":
    case "Delay":
    case "Stream":
      return status !== undefined && status >= 400
        ? { ok: false, tag: tagOf(status), statuses: [status], again: "never" }
        : { ok: true }
    case "Refused":
      return { ok: false, tag: "Unavailable", statuses: [undefined], again: "failure" }
    case "Reset":
      if (fault.at === "asked") return broken([undefined], "failure")
      // Of a failure the status says enough, if it comes.
      if (status !== undefined && status >= 400) {
        return { ok: false, tag: tagOf(status), statuses: [status], again: "perhaps" }
      }
      // A reset may overtake the head of the answer.
      return broken([undefined, status], manner === "streamed" ? "perhaps" : "failure")
    case "Garbage":
      if (manner === "start") return { ok: false, tag: "OutcomeUnknown", statuses: [undefined, status], again: "never" }
      // Nothing is read of these answers.
      return method === "HEAD" || method === "DELETE" || manner === "streamed"
        ? { ok: true }
        : { ok: false, tag: "UnexpectedResponse", statuses: [undefined, status], again: "never" }
    case "Silent":
      return manner === "start"
        ? { ok: false, tag: "OutcomeUnknown", statuses: [undefined], again: "never" }
        : { ok: false, tag: "TimedOut", statuses: [undefined], again: "failure" }
    case "Status": {
      const patient = fault.retryAfter !== tooLong
      if (fault.status === 425 || fault.status === 429) {
        return {
          ok: false,
          tag: tagOf(fault.status),
          statuses: [fault.status],
          again: patient ? "putOff" : "never"
        }
      }
      if (manner === "start") {
        // To a writer 410 says that nobody will read it.
        if (fault.status === 410 && path.endsWith("/stdin")) {
          return { ok: false, tag: "Conflict", statuses: [410], again: "never" }
        }
        return {
          ok: false,
          tag: unclear.includes(fault.status) ? "OutcomeUnknown" : tagOf(fault.status),
          statuses: [fault.status],
          again: "never"
        }
      }
      return {
        ok: false,
        tag: tagOf(fault.status),
        statuses: [fault.status],
        again: passing.includes(fault.status) && patient ? "failure" : "never"
      }
    }
  }
}

/** The policies of the tests: how often a request is sent again. */
export const repetitions = { failures: 3, putOffs: 5 } as const

/** What is wrong with how a request was repeated: `over` says that the requests were not ended by an interruption. */
export const wrongRepetition = (requests: ReadonlyArray<Seen>, over: boolean): string | undefined => {
  let failures = 0
  let putOffs = 0
  for (const [index, request] of requests.entries()) {
    const judged = verdict(request)
    const isLast = index === requests.length - 1
    if (judged.ok) {
      // What a redirect leads to is part of the same call.
      if (request.status === 302) continue
      failures = 0
      putOffs = 0
      continue
    }
    const { again } = judged
    const mayRepeat =
      again === "putOff" ? putOffs < repetitions.putOffs : again === "never" ? false : failures < repetitions.failures
    if (!isLast && !mayRepeat) {
      // An answer in order, such as 404, ends a call; the next one begins anew.
      if (request.status !== undefined && request.status >= 400) {
        failures = 0
        putOffs = 0
        continue
      }
      return `${describe(request)} was sent again after ${request.fault._tag}`
    }
    if (isLast && over && mayRepeat && again !== "perhaps") return `${describe(request)} was given up too early`
    if (again === "putOff") putOffs++
    else {
      failures++
      putOffs = 0
    }
  }
  return undefined
}

/** What a request is for: that of a redirect is for what was first asked. */
export const purpose = ({ method, path }: { readonly method: string; readonly path: string }): string =>
  `${method} ${path.replace(/^\/v1\/inspect\/[0-9a-f-]{36}\/$/, "/v1/inspect/")}`

export const describe = ({ fault, method, number, path, step }: Seen): string =>
  `#${number} [${step}] ${method} ${path} (${JSON.stringify(fault)})`
