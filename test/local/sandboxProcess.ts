/**
 * What the sandbox suites run in a process of its own, bundled into one file: `outer` starts `inner` by the words of
 * `MountNamespace.command`, `inner` is a worker that runs what it is sent, `launchers` prints the findings of
 * `Doctor.launchers`. Requests come and events go as one line of JSON each.
 */
import { type CommandExecutor, FileSystem } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Cause, Console, Duration, Effect, Either, Exit, Layer, Schema, Scope, Stream } from "effect"
import { spawn } from "node:child_process"
import * as Doctor from "../../src/local/Doctor.js"
import { LauncherName } from "../../src/local/Launcher.js"
import * as MountNamespace from "../../src/local/MountNamespace.js"
import * as Sandbox from "../../src/local/Sandbox.js"

export const Settings = Schema.Struct({
  data: Schema.String,
  maxConcurrency: Schema.Number,
  launcher: Schema.optional(LauncherName),
  network: Schema.optional(Schema.Literal("outbound", "none")),
  nameServers: Schema.optional(Schema.Array(Schema.String)),
  limits: Schema.optional(
    Schema.Struct({
      memoryBytes: Schema.optional(Schema.Number),
      processes: Schema.optional(Schema.Number),
      openFiles: Schema.optional(Schema.Number),
      fileSizeBytes: Schema.optional(Schema.Number),
      cpuSeconds: Schema.optional(Schema.Number)
    })
  )
})

const Base64 = Schema.Uint8ArrayFromBase64

export const Request = Schema.Union(
  Schema.Struct({
    op: Schema.Literal("start"),
    id: Schema.Number,
    layers: Schema.Array(Schema.String),
    command: Schema.NonEmptyArray(Schema.String),
    env: Schema.Record({ key: Schema.String, value: Schema.String }),
    cwd: Schema.String,
    hostname: Schema.String,
    uid: Schema.Number,
    gid: Schema.Number,
    stdin: Schema.optional(Base64),
    network: Schema.Boolean,
    /** Written and closed as soon as the command is started, instead of being there before. */
    stdinLater: Schema.optional(Base64),
    /** Instead of a folder of its own. */
    directory: Schema.optional(Schema.String)
  }),
  /** One more command in the sandbox of a run. */
  Schema.Struct({ op: Schema.Literal("enter"), id: Schema.Number, command: Schema.NonEmptyArray(Schema.String) }),
  Schema.Struct({ op: Schema.Literal("kill", "close"), id: Schema.Number })
)

export const Event = Schema.Union(
  Schema.Struct({
    type: Schema.Literal("ready"),
    pid: Schema.Number,
    idShift: Schema.Number,
    ownership: Schema.Literal("mapped", "single"),
    directory: Schema.String,
    launcher: LauncherName,
    bounded: Schema.Struct({ memory: Schema.Boolean, processes: Schema.Boolean }),
    rejected: Schema.Array(Schema.String),
    /** The tool that carries the network and the name servers, or why there is none. */
    outbound: Schema.Union(
      Schema.Struct({ tool: Schema.String, nameServers: Schema.Array(Schema.String) }),
      Schema.String
    )
  }),
  Schema.Struct({ type: Schema.Literal("started"), id: Schema.Number }),
  Schema.Struct({ type: Schema.Literal("stdout", "stderr"), id: Schema.Number, bytes: Base64 }),
  Schema.Struct({ type: Schema.Literal("entered"), id: Schema.Number, code: Schema.Number, stdout: Schema.String }),
  Schema.Struct({ type: Schema.Literal("killed"), id: Schema.Number, millis: Schema.Number }),
  Schema.Struct({
    type: Schema.Literal("exit"),
    id: Schema.Number,
    code: Schema.Number,
    signal: Schema.UndefinedOr(Schema.Number),
    elapsed: Schema.Number,
    outOfMemory: Schema.Boolean,
    userTime: Schema.UndefinedOr(Schema.Number),
    maxRss: Schema.UndefinedOr(Schema.Number)
  }),
  Schema.Struct({ type: Schema.Literal("failed"), id: Schema.Number, reason: Schema.String, detail: Schema.String }),
  Schema.Struct({ type: Schema.Literal("closed"), id: Schema.Number })
)

const decodeSettings = Schema.decode(Schema.parseJson(Settings))
const decodeRequest = Schema.decode(Schema.parseJson(Request))
const encodeEvent = Schema.encode(Schema.parseJson(Event))

const emit = (event: typeof Event.Type) => Effect.flatMap(Effect.orDie(encodeEvent(event)), Console.log)

const inner = Effect.gen(function* () {
  const settings = yield* decodeSettings(process.argv[3] ?? "")
  const serve = Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const namespace = yield* MountNamespace.MountNamespace
    const sandbox = yield* Sandbox.Sandbox
    const scopes = new Map<number, Scope.CloseableScope>()
    const running = new Map<number, Sandbox.RunningSandbox>()

    const start = Effect.fn(function* (request: Extract<typeof Request.Type, { op: "start" }>) {
      const { id } = request
      const scope = yield* Scope.make()
      scopes.set(id, scope)
      const directory = request.directory ?? `${settings.data}/r/${id}`
      if (request.directory === undefined) {
        for (const path of [directory, `${directory}/u`, `${directory}/w`]) {
          yield* fs.makeDirectory(path, { mode: 0o700 })
        }
        yield* fs.chown(`${directory}/u`, namespace.idShift, namespace.idShift)
        yield* fs.chmod(`${directory}/u`, 0o755)
      }
      const handle = yield* sandbox
        .start({
          ...request,
          stdin: request.stdinLater === undefined ? request.stdin : "open",
          directory,
          upper: `${directory}/u`,
          work: `${directory}/w`
        })
        .pipe(Scope.extend(scope))
      running.set(id, handle)
      yield* emit({ type: "started", id })
      const { stdin } = handle
      if (stdin !== undefined && request.stdinLater !== undefined) {
        yield* Effect.fork(Effect.zipRight(stdin.write(request.stdinLater), stdin.close))
      }
      const forward = (type: "stdout" | "stderr") =>
        Stream.runForEach(handle[type], (bytes) => emit({ type, id, bytes }))
      const [exit] = yield* Effect.all([handle.exit, forward("stdout"), forward("stderr")], {
        concurrency: "unbounded"
      })
      yield* emit({
        type: "exit",
        id,
        code: exit.code,
        signal: exit.signal,
        elapsed: Duration.toMillis(exit.elapsed),
        outOfMemory: exit.outOfMemory,
        maxRss: exit.usage.maxRss,
        userTime: exit.usage.userTime && Duration.toMillis(exit.usage.userTime)
      })
    })

    const close = Effect.fn(function* (id: number) {
      const scope = scopes.get(id)
      scopes.delete(id)
      if (scope !== undefined) {
        yield* Scope.close(scope, Exit.void)
        yield* emit({ type: "closed", id })
      }
    })

    const handle = (request: typeof Request.Type) => {
      switch (request.op) {
        case "start":
          return Effect.catchAll(start(request), (error) =>
            error._tag === "SandboxError"
              ? Effect.zipRight(
                  emit({ type: "failed", id: request.id, reason: error.reason, detail: error.detail }),
                  close(request.id)
                )
              : Effect.die(error)
          )
        case "enter":
          return Effect.scoped(
            Effect.gen(function* () {
              const sandbox = yield* Effect.fromNullable(running.get(request.id))
              const visit = yield* sandbox.enter({
                command: request.command,
                env: { PATH: "/bin" },
                cwd: "/",
                uid: 0,
                gid: 0,
                stdin: undefined
              })
              const [stdout] = yield* Effect.all(
                [Stream.mkString(Stream.decodeText(visit.stdout)), Stream.runDrain(visit.stderr)],
                { concurrency: "unbounded" }
              )
              yield* emit({ type: "entered", id: request.id, code: (yield* visit.exit).code, stdout })
            })
          ).pipe(Effect.orDie)
        case "kill":
          return Effect.flatMap(Effect.timed(running.get(request.id)?.kill ?? Effect.void), ([took]) =>
            emit({ type: "killed", id: request.id, millis: Duration.toMillis(took) })
          )
        case "close":
          return close(request.id)
      }
    }

    yield* emit({
      type: "ready",
      pid: process.pid,
      idShift: namespace.idShift,
      ownership: namespace.ownership,
      directory: namespace.directory,
      launcher: sandbox.launcher,
      bounded: sandbox.bounded,
      outbound: Either.merge(sandbox.outbound),
      rejected: sandbox.rejected.map(({ error, name }) => `${name}: ${error.message}`)
    })
    yield* NodeStream.stdin.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.mapEffect(decodeRequest),
      Stream.runForEach((request) => Effect.forkScoped(handle(request)))
    )
  })
  yield* serve.pipe(
    Effect.scoped,
    Effect.provide(
      Sandbox.layer(settings).pipe(
        Layer.provideMerge(
          MountNamespace.layer({ directory: settings.data, keep: [process.execPath, process.argv[1] ?? "/"] })
        )
      )
    )
  )
})

const outer = Effect.gen(function* () {
  const words = yield* MountNamespace.command(process.execPath, [process.argv[1] ?? "", "inner", process.argv[3] ?? ""])
  yield* Effect.async<void>((resume) => {
    const child = spawn(words[0], words.slice(1), { stdio: "inherit" })
    child.on("exit", (code) => resume(Effect.sync(() => void (process.exitCode = code ?? 1))))
  })
})

const launchers = Effect.gen(function* () {
  const directory = process.argv[3] ?? ""
  const findings = yield* Effect.provide(
    Doctor.launchers,
    MountNamespace.layer({ directory, keep: [process.execPath, process.argv[1] ?? "/"] })
  )
  yield* Effect.flatMap(Doctor.encodeFindings(findings), Console.log)
})

// Imported for its schemas only, it runs nothing.
const programs: Record<
  string,
  Effect.Effect<void, unknown, CommandExecutor.CommandExecutor | FileSystem.FileSystem>
> = {
  inner,
  outer,
  launchers
}
const program = programs[process.argv[2] ?? ""]
program?.pipe(
  Effect.provide(NodeContext.layer),
  // The runtime would report to standard output, among the events.
  Effect.tapErrorCause((cause) => Console.error(Cause.pretty(cause))),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
