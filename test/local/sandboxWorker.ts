/** A worker with sandboxes in a process of its own, under an identity of choice, over a small busybox image. */
import { Command, FileSystem } from "@effect/platform"
import { Data, Deferred, Effect, Queue, Schedule, Schema, Stream } from "effect"
import * as Esbuild from "esbuild"
import { fileURLToPath } from "node:url"
import type { LauncherName } from "../../src/local/Launcher.js"
import * as Requirements from "../fixtures/Requirements.js"
import { Event, Request, type Settings } from "./sandboxProcess.js"

/**
 * `root` needs the suite to run as root; `user` is then `nobody`, else the one that runs the suite; `subordinate` is
 * `nobody` with subordinate ids, for which root is needed too.
 */
export type Identity = "root" | "user" | "subordinate"

export const isRoot = process.getuid?.() === 0

/** The identities that can be had here. */
export const identities: ReadonlyArray<Identity> = isRoot ? ["root", "user", "subordinate"] : ["user"]

const NOBODY = 65_534
const SUBORDINATES = 400_000

/** The host's id of a file that the image says is of this id. */
export const hostId = (identity: Identity, id: number): number => {
  switch (identity) {
    case "root":
      return 100_000 + id
    case "subordinate":
      return id === 0 ? NOBODY : SUBORDINATES + id - 1
    case "user":
      return isRoot ? NOBODY : (process.getuid?.() ?? 0)
  }
}

export class WorkerError extends Data.TaggedError("WorkerError")<{ readonly detail: string }> {
  override get message() {
    return this.detail
  }
}

const applets =
  "sh ash true false ls cat id ps sleep echo mkdir rm stat env pwd hostname mount ping ifconfig ip nc kill seq dd head " +
  "md5sum touch chmod chown ln readlink grep setsid nohup find printf wc tr uname ulimit tee su test xargs mknod od sort"

/** A small root with the owners that the identity stores. */
const makeImage = (root: string, identity: Identity) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const busybox = yield* Requirements.find("busybox")
    for (const folder of ["bin", "proc", "dev", "tmp", "etc", "data/inner", "var"]) {
      yield* fs.makeDirectory(`${root}/${folder}`, { recursive: true })
    }
    yield* fs.copyFile(busybox, `${root}/bin/busybox`)
    yield* fs.chmod(`${root}/bin/busybox`, 0o755)
    yield* Effect.forEach(applets.split(" "), (name) => fs.symlink("busybox", `${root}/bin/${name}`))
    yield* fs.makeDirectory(`${root}/usr`)
    yield* fs.symlink("../bin", `${root}/usr/bin`)
    yield* fs.symlink("/data", `${root}/link`)
    yield* fs.symlink("../../../../../../etc", `${root}/up`)
    yield* fs.symlink("/loop", `${root}/loop`)
    yield* fs.writeFileString(`${root}/etc/passwd`, "root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    yield* fs.writeFileString(`${root}/etc/kept`, "kept")
    yield* fs.writeFileString(`${root}/data/file`, "file")
    yield* fs.writeFileString(`${root}/data/text`, "text")
    yield* fs.writeFileString(`${root}/bin/broken`, "#!/none\n")
    yield* fs.chmod(`${root}/bin/broken`, 0o755)
    yield* fs.chmod(`${root}/tmp`, 0o1777)
    yield* run("chown", "-hR", `${hostId(identity, 0)}:${hostId(identity, 0)}`, root)
    yield* run("chown", `${hostId(identity, 1000)}:${hostId(identity, 1000)}`, `${root}/var`)
  })

export const run = (program: string, ...args: ReadonlyArray<string>) =>
  Effect.flatMap(Command.exitCode(Command.make(program, ...args).pipe(Command.stderr("inherit"))), (code) =>
    code === 0 ? Effect.void : new WorkerError({ detail: `${program} ${args.join(" ")}: exit code ${code}` })
  )

/** The process's program as one file that every user can read. */
export const bundle = Effect.fn(function* (file: string) {
  yield* Effect.tryPromise({
    try: () =>
      Esbuild.build({
        entryPoints: [fileURLToPath(new URL("sandboxProcess.ts", import.meta.url))],
        outfile: file,
        bundle: true,
        platform: "node",
        format: "cjs",
        target: "node20",
        logLevel: "silent"
      }),
    catch: (error) => new WorkerError({ detail: String(error) })
  })
})

type Exited = Extract<typeof Event.Type, { type: "exit" }>

export interface Outcome {
  readonly code: number
  readonly signal: number | undefined
  readonly elapsed: number
  readonly userTime: number | undefined
  readonly maxRss: number | undefined
  readonly outOfMemory: boolean
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  /** The folder of what the run wrote. */
  readonly upper: string
}

export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

type Spec = Partial<Omit<Extract<typeof Request.Type, { op: "start" }>, "op" | "id">>

export interface Running {
  readonly id: number
  readonly upper: string
  /** When a place was free and the command was started. */
  readonly started: Effect.Effect<void, WorkerError>
  readonly outcome: Effect.Effect<Outcome, WorkerError>
  /** The output so far; waits until it contains the text. */
  readonly saw: (text: string) => Effect.Effect<string>
  /** Milliseconds that the kill took. */
  readonly kill: Effect.Effect<number, WorkerError>
  readonly close: Effect.Effect<void, WorkerError>
  /** Runs one more command in the sandbox to its end; one at a time. */
  readonly enter: (
    command: readonly [string, ...ReadonlyArray<string>]
  ) => Effect.Effect<{ readonly code: number; readonly stdout: string }>
  /** Why it failed; fails itself where the run came to an exit code. */
  readonly failure: Effect.Effect<RunFailed, WorkerError>
}

/** A run that failed: the reason and the detail of the engine's error. */
export class RunFailed extends Data.TaggedError("RunFailed")<{ readonly reason: string; readonly detail: string }> {}

const encodeRequest = Schema.encode(Schema.parseJson(Request))
const decodeEvent = Schema.decode(Schema.parseJson(Event))

const concat = (parts: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(parts))

export interface WorkerOptions {
  readonly identity: Identity
  readonly launcher?: LauncherName | undefined
  readonly maxConcurrency?: number | undefined
  readonly limits?: (typeof Settings.Type)["limits"]
  readonly network?: (typeof Settings.Type)["network"]
  readonly nameServers?: (typeof Settings.Type)["nameServers"]
  /** Shell text that runs in the worker's surroundings before it starts: as root, where the suite is. */
  readonly before?: string | undefined
  /** Where the worker's folder is made; the system's folder for temporaries by default. */
  readonly parent?: string | undefined
  /** Where the worker finds its data folder, if `before` puts it elsewhere. */
  readonly seenAt?: string | undefined
}

/** Starts a worker, and ends it with the scope. */
export const make = Effect.fn(function* (options: WorkerOptions) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.forEach(["unshare", "bwrap"], Requirements.find)
  // Below 0700 for everyone else, as a user's home is: nothing may depend on reaching it by its path.
  const folder = yield* fs.makeTempDirectoryScoped({
    prefix: "sandbox-",
    ...(options.parent === undefined ? {} : { directory: options.parent })
  })
  const owner = options.identity === "root" ? 0 : hostId(options.identity, 0)
  const program = `${folder}/program.cjs`
  const data = `${folder}/data`
  yield* bundle(program)
  yield* fs.makeDirectory(`${data}/l/base`, { recursive: true })
  yield* makeImage(`${data}/l/base`, options.identity)
  yield* run("chown", `${owner}:${owner}`, folder, data, `${data}/l`)

  const settings: typeof Settings.Type = {
    data: options.seenAt ?? data,
    launcher: options.launcher,
    limits: options.limits,
    network: options.network,
    nameServers: options.nameServers,
    maxConcurrency: options.maxConcurrency ?? 2
  }
  const becomes =
    options.identity === "root" || !isRoot
      ? "exec"
      : `exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups --`
  if (options.identity === "subordinate") {
    yield* Requirements.find("newuidmap")
    yield* fs.writeFileString(`${folder}/ids`, `${NOBODY}:${SUBORDINATES}:65536\n`)
    yield* fs.chmod(`${folder}/ids`, 0o644)
  }
  // Node and the tools may lie where another user cannot go: they are bound to where it can.
  const script = [
    options.identity === "subordinate" ? `for f in subuid subgid; do mount --bind "$2/ids" /etc/$f; done` : "",
    becomes === "exec" ? `node=$1` : `node=$2/node; : >"$node"; mount --bind "$1" "$node"`,
    options.before ?? "",
    `${becomes} "$node" "$2/program.cjs" outer "$3"`
  ].join("\n")
  const words = [
    ...(isRoot ? ["unshare", "--mount", "--propagation", "private"] : []),
    "sh",
    "-ec",
    script,
    "sh",
    process.execPath,
    folder,
    JSON.stringify(settings)
  ] as const
  const requests = yield* Queue.unbounded<Uint8Array>()
  const child = yield* Command.start(
    Command.make(words[0] ?? "", ...words.slice(1)).pipe(Command.stdin(Stream.fromQueue(requests, { shutdown: true })))
  )
  interface Entry {
    readonly started: Deferred.Deferred<void, RunFailed | WorkerError>
    readonly ended: Deferred.Deferred<Exited, RunFailed | WorkerError>
    readonly killed: Deferred.Deferred<number, WorkerError>
    readonly closed: Deferred.Deferred<void, WorkerError>
    readonly entered: Queue.Queue<{ readonly code: number; readonly stdout: string }>
    readonly stdout: Array<Uint8Array>
    readonly stderr: Array<Uint8Array>
  }
  const entries = new Map<number, Entry>()
  const ready = yield* Deferred.make<Extract<typeof Event.Type, { type: "ready" }>, WorkerError>()

  const receive = (event: typeof Event.Type): Effect.Effect<unknown> => {
    if (event.type === "ready") return Deferred.succeed(ready, event)
    const entry = entries.get(event.id)
    if (entry === undefined) return Effect.void
    switch (event.type) {
      case "started":
        return Deferred.succeed(entry.started, undefined)
      case "stdout":
      case "stderr":
        return Effect.sync(() => entry[event.type].push(event.bytes))
      case "exit":
        return Deferred.succeed(entry.ended, event)
      case "entered":
        return Queue.offer(entry.entered, { code: event.code, stdout: event.stdout })
      case "killed":
        return Deferred.succeed(entry.killed, event.millis)
      case "failed": {
        const error = new RunFailed({ reason: event.reason, detail: event.detail })
        return Effect.zipRight(Deferred.fail(entry.started, error), Deferred.fail(entry.ended, error))
      }
      case "closed":
        return Deferred.succeed(entry.closed, undefined)
    }
  }
  const events = child.stdout.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.mapEffect(decodeEvent),
    Stream.runForEach(receive)
  )
  const complaints = child.stderr.pipe(Stream.decodeText(), Stream.mkString)
  yield* Effect.all([complaints, events], { concurrency: "unbounded" }).pipe(
    Effect.map(([said]) => `the worker ended: ${said}`),
    Effect.catchAll((error) => Effect.succeed(String(error))),
    Effect.flatMap((detail) => {
      const gone = new WorkerError({ detail })
      return Effect.all([
        Deferred.fail(ready, gone),
        ...[...entries.values()].flatMap((entry) => [
          Deferred.fail(entry.started, gone),
          Deferred.fail(entry.ended, gone),
          Deferred.fail(entry.killed, gone),
          Deferred.fail(entry.closed, gone)
        ])
      ])
    }),
    Effect.forkScoped
  )
  const send = (request: typeof Request.Type) =>
    Effect.flatMap(Effect.orDie(encodeRequest(request)), (line) =>
      Queue.offer(requests, new TextEncoder().encode(`${line}\n`))
    )
  const facts = yield* Deferred.await(ready)

  let last = 0
  const start = Effect.fn(function* (spec: Spec) {
    const id = ++last
    const entry: Entry = {
      started: yield* Deferred.make<void, RunFailed | WorkerError>(),
      ended: yield* Deferred.make<Exited, RunFailed | WorkerError>(),
      killed: yield* Deferred.make<number, WorkerError>(),
      closed: yield* Deferred.make<void, WorkerError>(),
      entered: yield* Queue.unbounded<{ readonly code: number; readonly stdout: string }>(),
      stdout: [],
      stderr: []
    }
    entries.set(id, entry)
    yield* send({
      op: "start",
      id,
      layers: ["base"],
      command: ["/bin/true"],
      env: { PATH: "/bin" },
      cwd: "/",
      hostname: "box",
      uid: 0,
      gid: 0,
      network: true,
      ...spec
    })
    const upper = `${data}/r/${id}/u`
    const asWorker = <A>(effect: Effect.Effect<A, RunFailed | WorkerError>): Effect.Effect<A, WorkerError> =>
      Effect.catchTag(effect, "RunFailed", (error) =>
        Effect.fail(new WorkerError({ detail: `${error.reason}: ${error.detail}` }))
      )
    const running: Running = {
      id,
      upper,
      started: asWorker(Deferred.await(entry.started)),
      outcome: asWorker(
        Effect.map(Deferred.await(entry.ended), ({ code, elapsed, maxRss, outOfMemory, signal, userTime }) => ({
          code,
          maxRss,
          outOfMemory,
          signal,
          elapsed,
          userTime,
          stdout: concat(entry.stdout),
          stderr: concat(entry.stderr),
          upper
        }))
      ),
      failure: Effect.flatMap(Effect.either(Deferred.await(entry.ended)), (result) =>
        result._tag === "Right"
          ? Effect.fail(new WorkerError({ detail: `it ended with ${result.right.code}` }))
          : result.left._tag === "WorkerError"
            ? Effect.fail(result.left)
            : Effect.succeed(result.left)
      ),
      saw: (wanted) =>
        Effect.sync(() => text(concat(entry.stdout))).pipe(
          Effect.repeat({ until: (output) => output.includes(wanted), schedule: Schedule.spaced("10 millis") }),
          Effect.map(() => text(concat(entry.stdout)))
        ),
      enter: (command) => Effect.zipRight(send({ op: "enter", id, command }), Queue.take(entry.entered)),
      kill: Effect.zipRight(send({ op: "kill", id }), Deferred.await(entry.killed)),
      close: Effect.zipRight(send({ op: "close", id }), Deferred.await(entry.closed))
    }
    return running
  })

  /** Runs to the end and gives the place back. */
  const toEnd = (spec: Spec) =>
    Effect.flatMap(start(spec), (running) => Effect.tap(running.outcome, () => running.close))
  return {
    ...facts,
    data,
    folder,
    start,
    run: toEnd,
    shell: (script: string, spec: Spec = {}) => toEnd({ command: ["/bin/sh", "-c", script], ...spec }),
    /** What the run failed with. */
    failure: (spec: Spec) => Effect.flatMap(start(spec), (running) => running.failure)
  }
})

export type Worker = Effect.Effect.Success<ReturnType<typeof make>>
