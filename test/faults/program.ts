/**
 * A random program over the whole client, and what must hold of it however the service fails.
 */
import { NodeHttpClient } from "@effect/platform-node"
import { FetchHttpClient, type HttpClient } from "@effect/platform"
import {
  Array as Arr,
  Cause,
  Clock,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Redacted,
  Schedule,
  Stream
} from "effect"
import * as Command from "../../src/Command.js"
import { ContreeClient, layerWith } from "../../src/ContreeClient.js"
import { type ContreeError, isContreeError } from "../../src/ContreeError.js"
import * as FileUpload from "../../src/FileUpload.js"
import * as Image from "../../src/Image.js"
import * as ImageFiles from "../../src/ImageFiles.js"
import * as InstanceEvent from "../../src/InstanceEvent.js"
import * as Operation from "../../src/Operation.js"
import { type Dice, dice } from "../fixtures/Dice.js"
import * as FaultServer from "../fixtures/FaultServer.js"
import { plan } from "./plan.js"
import { describe, mannerOf, purpose, repetitions, verdict, wrongRepetition } from "./verdict.js"

/** Pauses pass twenty times as fast; limits of ten seconds and more, which nothing should reach, stay what they are. */
const hurried: Clock.Clock = (() => {
  const live = Clock.make()
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => live.unsafeCurrentTimeMillis(),
    unsafeCurrentTimeNanos: () => live.unsafeCurrentTimeNanos(),
    currentTimeMillis: live.currentTimeMillis,
    currentTimeNanos: live.currentTimeNanos,
    sleep: (duration) => live.sleep(Duration.toSeconds(duration) < 10 ? Duration.times(duration, 0.05) : duration)
  }
})()

const pauses = Schedule.spaced("5 millis")

const settings = {
  baseUrl: FaultServer.baseUrl,
  token: Redacted.make("token-of-the-test"),
  retry: {
    schedule: Schedule.intersect(pauses, Schedule.recurs(repetitions.failures)),
    pushback: Schedule.intersect(pauses, Schedule.recurs(repetitions.putOffs)),
    budget: { burst: 1_000_000, perSecond: 1 }
  },
  wait: { schedule: Schedule.spaced("20 millis"), deadline: Duration.minutes(5) },
  pageSize: 7
}

/** The HTTP clients that a program may bring: Node's own, undici, and the platform's `fetch`. */
const transports = {
  node: Layer.provide(NodeHttpClient.layerWithoutAgent, NodeHttpClient.makeAgentLayer({ keepAlive: true })),
  undici: NodeHttpClient.layerUndici,
  fetch: FetchHttpClient.layer
} as const

type Transport = keyof typeof transports

/** One client over each of them: making one takes longer than a whole program. */
export const clients = Effect.gen(function* () {
  const over = (transport: Layer.Layer<HttpClient.HttpClient>) =>
    Effect.map(
      Layer.build(Layer.provide(layerWith(settings), FaultServer.httpClient(transport))),
      Context.get(ContreeClient)
    )
  return {
    node: yield* over(transports.node),
    undici: yield* over(transports.undici),
    fetch: yield* over(transports.fetch)
  }
})

type Clients = Effect.Effect.Success<typeof clients>

interface Step {
  readonly name: string
  /** Whether requests for the same thing come one after the other. */
  readonly sequential: boolean
  readonly run: Effect.Effect<void, unknown, ContreeClient>
}

type Check = (holds: boolean, what: string) => void

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0

const collected = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
  Stream.runFold(bytes, new Array<Uint8Array>(), (all, piece) => [...all, piece]).pipe(
    Effect.map((pieces) => new Uint8Array(Buffer.concat(pieces)))
  )

const isOf = (entry: FaultServer.LogEntry | undefined, event: InstanceEvent.InstanceEvent): boolean =>
  entry !== undefined &&
  entry.id === event.id &&
  entry.spid === event.spid &&
  entry.type === event._tag.toLowerCase() &&
  (event._tag === "Stdout" || event._tag === "Stderr"
    ? same(event.data.bytes, entry.bytes ?? new Uint8Array(0))
    : entry.bytes === undefined)

interface Context {
  readonly server: FaultServer.FaultServer
  readonly job: number
  readonly roll: Dice
  readonly check: Check
}

/**
 * Reads events and holds them against those of the server's log that are meant, event for event: a reading that fails or
 * is interrupted has had its beginning, and one that ends all of it.
 */
const read = <E, R>(
  { check, server }: Context,
  id: string,
  events: Stream.Stream<InstanceEvent.InstanceEvent, E, R>,
  isMeant: (entry: FaultServer.LogEntry) => boolean = () => true
): Effect.Effect<void, E, R> => {
  const given: Array<InstanceEvent.InstanceEvent> = []
  const log = () => (server.operations.get(id)?.log ?? []).filter(isMeant)
  const numbers = (events: ReadonlyArray<{ readonly id: number }>) => events.map(({ id }) => id).join()
  return Stream.runForEach(events, (event) => Effect.sync(() => given.push(event))).pipe(
    Effect.tap(() => check(given.length === log().length, `${numbers(given)} are all events, ${numbers(log())}`)),
    Effect.ensuring(
      Effect.sync(() => {
        const entries = log()
        const holds = given.every((event, index) => isOf(entries[index], event))
        check(holds, `${numbers(given)} are the log's events, ${numbers(entries)}, each once, in order and whole`)
      })
    )
  )
}

const kinds: ReadonlyArray<(context: Context) => Step> = [
  ({ check, job, roll, server }) => ({
    name: "run",
    sequential: true,
    run: Effect.gen(function* () {
      const disposable = roll.chance(0.5)
      const image = server.images[0]?.id ?? ""
      const command = Command.shell(`job ${job}`)
      const run = yield* disposable ? Image.run(image, command, { disposable: true }) : Image.run(image, command)
      const expected = FaultServer.jobOutput(job)
      check(run.exitCode === expected.exitCode, "the exit code is the command's")
      check(same(run.stdout.bytes, expected.stdout), "stdout is whole")
      check(same(run.stderr.bytes, expected.stderr), "stderr is whole")
    })
  }),
  ({ job, server }) => ({
    name: "run for ever",
    sequential: true,
    run: Effect.asVoid(Image.run(server.images[0]?.id ?? "", Command.shell(`forever ${job}`)))
  }),
  ({ check, job, server }) => ({
    name: "import",
    sequential: true,
    run: Effect.gen(function* () {
      const { id } = yield* Image.importFrom(`docker://registry.test/app:${job}`)
      check(
        server.images.some((image) => image.id === id),
        "the image is there"
      )
    })
  }),
  ({ job }) => ({
    name: "import for ever",
    sequential: true,
    run: Effect.asVoid(Image.importFrom(`docker://registry.test/forever:${job}`))
  }),
  (context) => ({
    name: "instance",
    sequential: false,
    run: Effect.gen(function* () {
      const { check, job, server } = context
      const instance = yield* Image.start(server.images[0]?.id ?? "", Command.shell(`job ${job}`))
      const expected = FaultServer.jobOutput(job)
      const [stdout, stderr, run] = yield* Effect.all(
        [
          collected(instance.stdout),
          collected(instance.stderr),
          instance.exit,
          read(context, instance.id, instance.events)
        ],
        { concurrency: "unbounded" }
      )
      check(same(stdout, expected.stdout), "stdout of the events is whole")
      check(same(stderr, expected.stderr), "stderr of the events is whole")
      check(run.exitCode === expected.exitCode, "the exit code is the command's")
    }).pipe(Effect.scoped)
  }),
  (context) => ({
    name: "exec",
    sequential: false,
    run: Effect.gen(function* () {
      const { check, job, server } = context
      const instance = yield* Image.start(server.images[0]?.id ?? "", Command.shell(`forever ${job}`))
      const process = yield* instance.exec(Command.shell(`job ${job}`))
      const expected = FaultServer.jobOutput(job)
      const [stdout, run] = yield* Effect.all(
        [
          collected(process.stdout),
          process.exit,
          read(context, instance.id, process.events, ({ spid }) => spid === process.spid)
        ],
        { concurrency: "unbounded" }
      )
      check(same(stdout, expected.stdout), "stdout of the process is whole")
      check(run.exitCode === expected.exitCode, "the exit code is the process's")
    }).pipe(Effect.scoped)
  }),
  (context) => ({
    name: "input",
    sequential: false,
    run: Effect.gen(function* () {
      const { check, job, roll, server } = context
      const instance = yield* Image.start(server.images[0]?.id ?? "", Command.shell(`cat ${job}`), { stdin: "open" })
      const pieces = Array.from({ length: 3 }, (_, index) => `${index}: ${roll.pick(["é", "日本", "x".repeat(500)])}\n`)
      const writing = Effect.zipRight(
        Effect.forEach(pieces, (piece) => instance.write(piece)),
        instance.endInput
      )
      const [stdout] = yield* Effect.all(
        [collected(instance.stdout), writing, read(context, instance.id, instance.events)],
        { concurrency: "unbounded" }
      )
      check(same(stdout, Buffer.from(pieces.join(""))), "what was written came back once")
    }).pipe(Effect.scoped)
  }),
  ({ check, job, roll, server }) => ({
    name: "upload",
    sequential: true,
    run: Effect.gen(function* () {
      const bytes = new Uint8Array(Buffer.from(`${job} `.repeat(1 + roll.below(30_000))))
      const cut = roll.below(bytes.length)
      const content = roll.chance(0.5) ? bytes : Stream.make(bytes.subarray(0, cut), bytes.subarray(cut))
      const file = yield* FileUpload.upload(FileUpload.make(content))
      check(same(server.files.get(file.sha256)?.bytes ?? new Uint8Array(0), bytes), "the content is there")
    })
  }),
  ({ check, server }) => ({
    name: "list",
    sequential: true,
    run: Effect.gen(function* () {
      const before = server.images.map(({ id }) => id)
      const listed = [...(yield* Stream.runCollect(Image.stream()))].map(({ id }) => id)
      check(
        before.every((id) => listed.includes(id as (typeof listed)[number])),
        "each image is listed"
      )
      check(new Set(listed).size === listed.length, "no image is listed twice")
    })
  }),
  ({ check, roll, server }) => ({
    name: "download",
    sequential: true,
    run: Effect.gen(function* () {
      const read = roll.pick([ImageFiles.stream, ImageFiles.archive])
      const bytes = yield* collected(read(server.images[0]?.id ?? "", "/data"))
      check(same(bytes, FaultServer.fileContent), "the file is whole")
    })
  }),
  ({ check, job, server }) => ({
    name: "tag",
    sequential: true,
    run: Effect.gen(function* () {
      const image = server.images[1]
      const tag = `tag-${job}`
      yield* Image.tagAs(image?.id ?? "", tag)
      check(image?.tags.has(tag) === true, "the image has the tag")
      const found = yield* Image.use(tag, { strict: true })
      check(found.id === image?.id, "the tag leads to the image")
      yield* Image.untag(found, tag)
      check(image?.tags.has(tag) === false, "the image has lost the tag")
    })
  }),
  (context) => ({
    name: "events",
    sequential: false,
    run: Effect.gen(function* () {
      const { check, job, roll, server } = context
      const { id } = yield* Image.start(server.images[0]?.id ?? "", Command.shell(`job ${job}`))
      const attached = yield* Operation.attach(id)
      const since = roll.below(8)
      const [stdout, operation] = yield* Effect.all(
        [
          collected(attached.stdout),
          Operation.wait(id),
          read(context, id, Operation.events(id, { follow: true })),
          read(context, id, Operation.events(id, { follow: true, since }), (entry) => entry.id > since)
        ],
        { concurrency: "unbounded" }
      )
      check(same(stdout, FaultServer.jobOutput(job).stdout), "stdout of the attached instance is whole")
      check(operation.status === "SUCCESS", "the operation is over")
      const replay = Operation.events(id, { follow: roll.chance(0.5) })
      yield* read(context, id, replay)
      const replayed = yield* Stream.runCollect(InstanceEvent.lines(InstanceEvent.output(replay, "stdout")))
      const lines = [...replayed].join("\n")
      const text = new TextDecoder().decode(FaultServer.jobOutput(job).stdout).replaceAll("\r\n", "\n")
      check(lines === text.replace(/\n$/, ""), "the lines of the log are whole")
    }).pipe(Effect.scoped)
  })
]

/** When a part of the program is interrupted. */
type Interruption =
  | { readonly _tag: "AtRequest"; readonly number: number; readonly when: "arrived" | "answered" }
  | { readonly _tag: "After"; readonly millis: number }

const interruption = (roll: Dice, name: string): Interruption | undefined => {
  const endless = name.endsWith("for ever")
  if (!endless && !roll.chance(0.25)) return undefined
  return !endless && roll.chance(0.3)
    ? { _tag: "After", millis: roll.below(12) }
    : { _tag: "AtRequest", number: roll.below(endless ? 4 : 6), when: roll.pick(["arrived", "answered"] as const) }
}

const isError = (u: unknown): u is ContreeError => isContreeError(u)

/** What is wrong with how one part of the program has ended. */
const judge = (
  step: Step,
  id: string,
  exit: Exit.Exit<void, unknown>,
  server: FaultServer.FaultServer
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const requests = server.seen.filter((seen) => seen.step === id)
  const groups = Arr.groupBy(requests, purpose)
  const interrupted = Exit.isFailure(exit) && Cause.isInterrupted(exit.cause)

  for (const group of Object.values(groups)) {
    const [first] = group
    if (first === undefined || mannerOf(first) === "events") continue
    // A start is never sent again unless it is certain that nothing was started, whoever asks.
    if (step.sequential || mannerOf(first) === "start") {
      if (first.path.endsWith("/stdin")) continue
      // An interruption, or a page that nobody wants any more, leaves the last request as it is.
      const problem = wrongRepetition(group, !interrupted)
      if (problem !== undefined) wrong.push(`${problem} ${String(exit).slice(0, 700)} ${group.map(describe).join()}`)
    }
  }
  if (Exit.isSuccess(exit)) return wrong
  for (const defect of Cause.defects(exit.cause)) wrong.push(`a defect: ${String(defect)}`)
  for (const error of Cause.failures(exit.cause)) {
    if (!isError(error)) {
      wrong.push(`an error of another kind: ${String(error)}`)
      continue
    }
    const { request } = error
    const fitting = requests.filter(
      (seen) => request !== undefined && purpose(seen) === purpose(request) && !verdict(seen).ok
    )
    const explains = fitting.some((seen) => {
      const judged = verdict(seen)
      return !judged.ok && judged.tag === error._tag && judged.statuses.includes(error.status)
    })
    if (!explains) {
      wrong.push(`${error._tag} ${error.status}: ${error.message}, though: ${requests.map(describe).join("; ")}`)
    }
  }
  return wrong
}

/** What is wrong with what the server was left with. */
const leftBehind = (server: FaultServer.FaultServer): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  for (const operation of server.operations.values()) {
    if (server.isOver(operation)) continue
    const start = server.seen.find(({ started }) => started === operation.id)
    const cancellations = server.seen.filter(
      ({ method, path }) => method === "DELETE" && path === `/v1/operations/${operation.id}`
    )
    const last = cancellations.at(-1)
    // Nobody can end what nobody knows of, nor against a service that refuses it to the end.
    const unknown = start !== undefined && !verdict(start).ok
    const refused = last !== undefined && !verdict(last).ok
    if (!unknown && !refused) {
      const asked = server.seen.filter(({ step }) => step === start?.step)
      wrong.push(`${operation.what} still runs: ${asked.map(describe).join("; ")}`)
    }
  }
  const started = Arr.groupBy(server.operations.values(), ({ what }) => what)
  for (const [what, operations] of Object.entries(started)) {
    if (operations.length > 1) wrong.push(`${what} was started twice`)
  }
  return wrong
}

export interface Outcome {
  readonly wrong: ReadonlyArray<string>
  readonly requests: number
  readonly faults: number
  readonly failures: number
  readonly interrupted: number
}

const once = Effect.fnUntraced(function* (clients: Clients, seed: number) {
  const roll = dice(seed).fork("program")
  const transport = roll.pick<Transport>(["node", "node", "undici", "fetch"])
  const server = yield* FaultServer.make({
    seed,
    plan: plan(seed, roll.pick([0, 0.1, 0.3, 0.5])),
    images: 2 + roll.below(20),
    holds: roll.chance(0.3)
  })
  const wrong: Array<string> = []
  let failures = 0
  let interrupted = 0

  const one = Effect.fnUntraced(function* (index: number) {
    const id = String(index)
    const dice = roll.fork(`step ${index}`)
    const check: Check = (holds, what) => {
      if (!holds) wrong.push(`[${id} ${step.name}] it is not so that ${what}`)
    }
    const step = dice.pick(kinds)({ server, job: seed * 100 + index, roll: dice, check })
    const when = interruption(dice, step.name)
    const trigger = yield* Deferred.make<void>()
    let count = 0
    const watcher = (seen: FaultServer.Seen, point: "arrived" | "answered") => {
      if (seen.step !== id || when?._tag !== "AtRequest" || point !== when.when) return
      if (count++ === when.number) Deferred.unsafeDone(trigger, Exit.void)
    }
    server.watchers.add(watcher)
    const fiber = yield* Effect.fork(server.within(id)(step.run))
    const interrupter = yield* Effect.fork(
      Effect.zipRight(
        when?._tag === "After"
          ? Effect.sleep(Duration.millis(when.millis * 20))
          : // What never ends by itself is ended when its requests do not come so far.
            Effect.raceFirst(
              Deferred.await(trigger),
              step.name.endsWith("for ever") ? Effect.sleep("5 seconds") : Effect.never
            ),
        when === undefined ? Effect.void : Fiber.interrupt(fiber)
      )
    )
    const exit = yield* Fiber.await(fiber)
    yield* Fiber.interrupt(interrupter)
    server.watchers.delete(watcher)
    if (Exit.isFailure(exit)) {
      if (Cause.isInterrupted(exit.cause)) interrupted++
      else failures++
    }
    for (const problem of judge(step, id, exit, server)) wrong.push(`[${id} ${step.name}] ${problem}`)
  })

  const steps = Array.from({ length: 3 + roll.below(4) }, (_, index) => index)
  yield* Effect.forEach(steps, one, { concurrency: 1 + roll.below(3), discard: true }).pipe(
    Effect.provideService(ContreeClient, clients[transport]),
    Effect.withClock(hurried),
    // The client warns of frames that are no events, of which there are many.
    Logger.withMinimumLogLevel(LogLevel.Error),
    Effect.timeoutFail({ duration: "60 seconds", onTimeout: () => "the program hangs" }),
    Effect.catchAll((hangs) => Effect.sync(() => wrong.push(hangs, ...server.seen.slice(-8).map(describe))))
  )
  wrong.push(...leftBehind(server))
  // A connection that nobody reads is closed.
  yield* Effect.repeat(Effect.sync(server.open), {
    until: ({ streams }) => streams === 0,
    schedule: Schedule.intersect(Schedule.spaced("10 millis"), Schedule.recurs(200))
  })
  if (server.open().streams > 0) wrong.push(`${server.open().streams} event streams are still open`)
  return {
    wrong: wrong.map((problem) => `seed ${seed} (${transport}): ${problem}`),
    requests: server.seen.length,
    faults: server.seen.filter(({ fault }) => fault._tag !== "None").length,
    failures,
    interrupted
  } satisfies Outcome
})

/** Runs the program of a seed, and says what did not hold. */
export const schedule =
  (clients: Clients) =>
  (seed: number): Effect.Effect<Outcome, Error> =>
    Effect.scoped(once(clients, seed))
