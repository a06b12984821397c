/**
 * A slot: one persistent shell in a mount and a pid namespace of its own, which carries out one run at a time, so
 * that Node forks once a slot and not once a run.
 *
 * The slot's shell is PID 1 of its pid namespace: when it is killed the kernel ends all that it has started, whatever
 * that did to get away, before the shell's own parent is seen to exit. That parent gets SIGKILL when the worker dies.
 *
 * With a way out the slot has a network namespace too. What a run leaves in one is not to be told from what the next
 * makes: ports that wait, sockets that another holds. So a slot whose network was used takes no more runs.
 *
 * `node:child_process` and not `@effect/platform` `Command`, which has no descriptors beyond the third. The outputs are
 * named pipes and not Node's, which are sockets and cannot be opened anew as /dev/stdout.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Util from "node:util"
import type { ControlGroup } from "../ControlGroups.js"
import type { LaunchFiles } from "../Launcher.js"
import * as SandboxError from "../SandboxError.js"
import type { ProcessUsage } from "./liveProcess.js"
import * as NamedPipe from "./namedPipe.js"
import * as NetworkCounters from "./networkCounters.js"
import * as OutboundTool from "./outboundTool.js"
import type { StdinSource, VisitOptions } from "./slotVisit.js"

/** What a slot is made of: a prefix that enters the payloads' user namespace, and paths on the worker's tmpfs. */
export interface SlotOptions {
  readonly enter: ReadonlyArray<string>
  readonly directory: string
  readonly name: string
  readonly idShift: number
  readonly layers: string
  readonly mountPoint: string
  readonly searchPath: string
  readonly group: ControlGroup
  readonly processes: number
  readonly openFiles: number
  readonly fileSizeBytes: number | undefined
  /** The way out of the slot's network, and what its runs find in /etc/resolv.conf; none for a slot without one. */
  readonly outbound: { readonly tool: OutboundTool.OutboundTool; readonly resolv: string } | undefined
}

export interface SlotRunFiles extends LaunchFiles {
  readonly stdin: StdinSource
}

export interface SlotExit {
  readonly code: number
  readonly signal: number | undefined
  readonly elapsed: Duration.Duration
  readonly usage: ProcessUsage
  /** Whether a process was killed since the group had used up its memory. */
  readonly outOfMemory: boolean
}

export interface SlotRun {
  readonly stdout: Stream.Stream<Uint8Array, SandboxError.SandboxError>
  readonly stderr: Stream.Stream<Uint8Array, SandboxError.SandboxError>
  readonly stdin: NamedPipe.Input | undefined
  readonly exit: Effect.Effect<SlotExit, SandboxError.SandboxError>
  /** Where more is started in the run's sandbox: all of it has to be over before the slot takes another run. */
  readonly visit: VisitOptions
  /** Ends the run, if it has not ended, with the slot; returns when nothing is left. */
  readonly kill: Effect.Effect<void>
  /** Whether the slot has reported the end of the run and can take another. */
  readonly isOver: Effect.Effect<boolean>
}

export interface Slot {
  readonly start: (files: SlotRunFiles) => Effect.Effect<SlotRun, SandboxError.SandboxError, Scope.Scope>
  readonly isAlive: Effect.Effect<boolean>
  /** What the slot's network has carried, where it has one. */
  readonly network: Effect.Effect<NetworkCounters.NetworkCounters | undefined>
  /** Whether the slot can take a run: it is alive, and its network is as it was at its start. */
  readonly isFresh: Effect.Effect<boolean>
}

/** Written by the worker and by the slot; they exist from the start, with the owner that lets both write them. */
const files = ["launch", "args", "inner", "entry", "stdin", "status", "pid", "death", "log", "byte"]

const SIGKILL = 9

/** A slot that says nothing for so long is not going to. */
const PATIENCE = Duration.seconds(30)

interface Shell {
  readonly child: ChildProcess.ChildProcess
  readonly control: NonNullable<ChildProcess.ChildProcess["stdin"]>
  readonly lines: Queue.Queue<string>
  readonly exited: Deferred.Deferred<void>
  readonly said: () => string
}

const died = (shell: Shell) =>
  Effect.suspend(() =>
    Effect.fail(SandboxError.make("Died", `the sandbox's shell ended unasked ${shell.said()}`.trimEnd()))
  )

const CLOSE_ON_EXEC = 0o2000000

/**
 * The descriptors above the slot's own that a child of this process would get: whoever started the worker left them
 * open, and Node passes them on. A payload could leave its root through one of a folder.
 */
const inherited = (fs: FileSystem.FileSystem) =>
  Effect.gen(function* () {
    const open = (yield* fs.readDirectory("/proc/self/fd")).map(Number).filter((fd) => fd > 3)
    const flags = yield* Effect.forEach(open, (fd) =>
      Effect.map(
        Effect.orElseSucceed(fs.readFileString(`/proc/self/fdinfo/${fd}`), () => "flags: 02000000"),
        (info) => Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? "0", 8)
      )
    )
    return new Set(open.filter((_, index) => ((flags[index] ?? 0) & CLOSE_ON_EXEC) === 0))
  }).pipe(Effect.mapError((error) => SandboxError.make("SetupFailed", `the open descriptors: ${error.message}`)))

/** A child's input, messages and reports; a descriptor cannot be closed, but it can be made one of /dev/null. */
const covered = (cover: ReadonlySet<number>, nothing: number): Array<"pipe" | "ignore" | number> =>
  Array.from({ length: Math.max(3, ...cover) + 1 }, (_, fd) =>
    fd === 0 || fd === 2 || fd === 3 ? "pipe" : cover.has(fd) ? nothing : "ignore"
  )

/** What limits one process, as the slot's programs take it. */
const processLimits = ({ fileSizeBytes, openFiles }: SlotOptions): ReadonlyArray<string> => [
  String(openFiles),
  fileSizeBytes === undefined ? "unlimited" : String(Math.ceil(fileSizeBytes / 512))
]

const spawn = (
  options: SlotOptions,
  folder: string,
  cover: ReadonlySet<number>,
  nothing: number
): Effect.Effect<Shell, SandboxError.SandboxError> =>
  Effect.flatMap(Effect.all([Queue.unbounded<string>(), Deferred.make<void>()]), ([lines, exited]) =>
    Effect.async((resume) => {
      const [program = "", ...args] = [
        options.enter,
        ["setpriv", "--pdeathsig", "KILL", "--"],
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL"],
        [...(options.outbound === undefined ? [] : ["--net"]), "--"],
        ["sh", `${options.directory}/slot`, folder, options.layers, options.mountPoint, ...processLimits(options)],
        [options.group.processLimit ?? "", String(options.processes), options.outbound === undefined ? "" : "outbound"]
      ].flat()
      const child = ChildProcess.spawn(program, args, {
        cwd: "/",
        // A session of its own, so that a payload never has the worker's terminal.
        detached: true,
        // util-linux 2.39 took up a mount API that refuses an option above 255 bytes, and `lowerdir` is one.
        env: { PATH: options.searchPath, LC_ALL: "C", LIBMOUNT_FORCE_MOUNT2: "always" },
        stdio: covered(cover, nothing)
      })
      const { stderr, stdin: control, stdio } = child
      const status = stdio[3]
      if (control === null || stderr === null || !(status instanceof Net.Socket)) {
        return resume(SandboxError.make("SetupFailed", "a slot's shell has no pipes"))
      }
      let said = ""
      let partial = ""
      stderr.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-1000)
      })
      status.setEncoding("utf8").on("data", (text: string) => {
        const parts = (partial + text).split("\n")
        partial = parts.pop() ?? ""
        for (const line of parts) lines.unsafeOffer(line)
      })
      // A shell that ends while it is written to is noticed by its exit.
      for (const stream of [control, stderr, status]) stream.on("error", () => {})
      child.on("error", (error) => resume(SandboxError.make("MissingTool", `${program}: ${error.message}`)))
      child.on("exit", () => Deferred.unsafeDone(exited, Exit.void))
      child.on("spawn", () => resume(Effect.succeed({ child, control, lines, exited, said: () => said.trim() })))
    })
  )

/** How often the kernel has killed a process of the group for want of memory. */
const kills = ({ killCounter }: ControlGroup): number => {
  if (killCounter === undefined) return 0
  try {
    return Number(/^oom_kill (\d+)$/m.exec(Fs.readFileSync(killCounter, "utf8"))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** The most memory that the group uses from now on, in KiB; unknown where the kernel cannot begin anew. */
const watchPeak = ({ peak }: ControlGroup): Effect.Effect<() => number | undefined, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        if (peak === undefined) return undefined
        try {
          const fd = Fs.openSync(peak, "r+")
          try {
            Fs.writeSync(fd, "0")
            return fd
          } catch {
            Fs.closeSync(fd)
            return undefined
          }
        } catch {
          return undefined
        }
      }),
      (fd) => Effect.sync(() => fd !== undefined && Fs.closeSync(fd))
    ),
    (fd) => () => {
      if (fd === undefined) return undefined
      try {
        const bytes = new Uint8Array(32)
        const text = new TextDecoder().decode(bytes.subarray(0, Fs.readSync(fd, bytes, 0, bytes.length, 0)))
        return Math.ceil(Number(text) / 1024)
      } catch {
        return undefined
      }
    }
  )

interface Report {
  readonly said: string
  readonly at: bigint
  /** What the shell's children have used so far, in the order of /proc/PID/stat: faults, and ticks of 10 ms. */
  readonly used: ReadonlyArray<number>
}

/** One report: what it says, then the shell's own line of /proc. */
const nextReport = (shell: Shell): Effect.Effect<Report, SandboxError.SandboxError> =>
  Effect.gen(function* () {
    const said = yield* shell.lines.take
    const at = yield* Clock.currentTimeNanos
    const stat = yield* shell.lines.take
    // Behind the program's name, which may hold anything, the third field comes first.
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number)
    return { said, at, used: [8, 10, 13, 14].map((index) => fields[index] ?? 0) }
  }).pipe(Effect.raceFirst(Effect.zipRight(Deferred.await(shell.exited), died(shell))))

const usageBetween = (earlier: Report, later: Report): ProcessUsage => {
  const [minorFaults = 0, majorFaults = 0, user = 0, system = 0] = later.used.map(
    (value, index) => value - (earlier.used[index] ?? 0)
  )
  return {
    minorFaults,
    majorFaults,
    userTime: Duration.millis(user * 10),
    systemTime: Duration.millis(system * 10)
  }
}

const reasons: ReadonlyArray<SandboxError.SandboxErrorReason> = ["Refused", "UnusableImage", "InvalidSpec"]

/**
 * Starts a slot, and ends it with the scope.
 *
 * Fails with `MissingTool` or `Refused` and what the tools said where the machine does not allow one.
 */
export const make = (
  options: SlotOptions
): Effect.Effect<Slot, SandboxError.SandboxError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = `${options.directory}/s/${options.name}`
    const failed = Effect.mapError((error: { readonly message: string }) =>
      SandboxError.make("SetupFailed", `the files of a slot: ${error.message}`)
    )
    const own = (path: string) => fs.chown(path, options.idShift, options.idShift)

    yield* Effect.acquireRelease(
      failed(
        Effect.gen(function* () {
          yield* fs.makeDirectory(folder, { mode: 0o700 })
          yield* Effect.forEach(
            files,
            (name) =>
              Effect.zipRight(
                fs.writeFileString(`${folder}/${name}`, name === "byte" ? "1\n" : "", {
                  mode: name === "entry" ? 0o755 : 0o644
                }),
                own(`${folder}/${name}`)
              ),
            { concurrency: "unbounded", discard: true }
          )
          yield* own(folder)
          yield* fs.writeFileString(`${folder}/resolv`, options.outbound?.resolv ?? "", { mode: 0o644 })
        })
      ),
      () => Effect.ignoreLogged(fs.remove(folder, { recursive: true }))
    )

    let pid: number | undefined
    const kill = (shell: Shell) =>
      Effect.try(() => {
        if (shell.child.exitCode === null && shell.child.signalCode === null) {
          // Only the shell's own death is waited for by its parent; before its id is known the parent passes it on.
          if (pid === undefined) shell.child.kill("SIGKILL")
          else process.kill(pid, "SIGKILL")
        }
      }).pipe(
        // A shell that is gone already cannot be signalled, and its exit is on the way.
        Effect.ignore,
        Effect.zipRight(Deferred.await(shell.exited)),
        Effect.timeoutFail({ duration: PATIENCE, onTimeout: () => "a killed sandbox does not end" }),
        Effect.ignoreLogged
      )
    const cover = yield* inherited(fs)
    const nothing = yield* failed(fs.open("/dev/null", { flag: "r+" }))
    const shell = yield* Effect.acquireRelease(spawn(options, folder, cover, nothing.fd), kill)

    const ready = yield* shell.lines.take.pipe(
      Effect.raceFirst(
        Effect.flatMap(Deferred.await(shell.exited), () => SandboxError.make("Refused", `a slot: ${shell.said()}`))
      ),
      Effect.timeoutFail({
        duration: PATIENCE,
        onTimeout: () => SandboxError.make("SetupFailed", `a slot does not get ready ${shell.said()}`.trimEnd())
      })
    )
    pid = Number(ready.split(" ")[1])
    yield* Effect.mapError(options.group.join(pid), (error) =>
      SandboxError.make("Refused", `the control group of a slot: ${String(error.cause)}`)
    )

    const slotPid = pid
    if (options.outbound !== undefined) {
      yield* OutboundTool.attach({
        ...options,
        tool: options.outbound.tool,
        pid: slotPid,
        stdio: covered(cover, nothing.fd)
      })
    }
    const network = Effect.sync(() => (options.outbound === undefined ? undefined : NetworkCounters.read(slotPid)))
    const atStart = yield* network

    const fault = (report: string) => {
      const [, word, text = ""] = /^fault (\S+) (.*)$/.exec(report) ?? []
      const reason = reasons.find((name) => name === word) ?? "SetupFailed"
      return text === "log"
        ? Effect.flatMap(
            Effect.orElseSucceed(fs.readFileString(`${folder}/log`), () => ""),
            (log) => SandboxError.make(reason, `the sandbox could not be set up: ${log.trim()}`)
          )
        : Effect.fail(
            SandboxError.make(
              reason,
              text.replace(/errno (\d+)$/, (_, number) => Util.getSystemErrorName(-Number(number)))
            )
          )
    }

    const start = Effect.fnUntraced(function* (run: SlotRunFiles) {
      const stdout = yield* NamedPipe.openReader(`${folder}/out`)
      const stderr = yield* NamedPipe.openReader(`${folder}/err`)
      const stdin = run.stdin === "open" ? yield* NamedPipe.openWriter(`${folder}/in`) : undefined
      if (run.stdin instanceof Uint8Array) {
        yield* failed(fs.writeFile(`${folder}/stdin`, run.stdin))
      }
      const input =
        run.stdin === undefined ? "input=/dev/null" : run.stdin === "open" ? "input=$slot/in" : "input=$slot/stdin"
      // To a tmpfs: handing some kilobytes to a thread takes longer than writing them.
      yield* failed(
        Effect.try({
          try: () => {
            Fs.writeFileSync(`${folder}/launch`, `${input}\n${run.launch}`)
            if (run.inner !== "") Fs.writeFileSync(`${folder}/inner`, run.inner)
            if (run.entry !== undefined) Fs.writeFileSync(`${folder}/entry`, run.entry)
            if (run.args !== "") Fs.writeFileSync(`${folder}/args`, run.args)
          },
          catch: (cause) => ({ message: String(cause) })
        })
      )
      yield* Deferred.await(shell.exited).pipe(
        Effect.zipRight(Effect.zip(NamedPipe.end(`${folder}/out`), NamedPipe.end(`${folder}/err`))),
        Effect.interruptible,
        Effect.forkScoped
      )
      const exit = yield* Deferred.make<SlotExit, SandboxError.SandboxError>()
      const opened = yield* Deferred.make<void>()
      yield* Effect.sync(() => shell.control.write("run\n"))
      let isOver = false
      let isKilled = false
      const killsBefore = kills(options.group)
      const peak = yield* watchPeak(options.group)
      const begun = yield* Clock.currentTimeNanos
      yield* Effect.gen(function* () {
        const started = yield* nextReport(shell)
        yield* Deferred.succeed(opened, undefined)
        const ended = started.said === "start" ? yield* nextReport(shell) : started
        isOver = true
        const [word, status, how] = ended.said.split(" ")
        const code = Number(status)
        return word === "exit"
          ? {
              code,
              signal: how !== "exited" && code > 128 && code <= 128 + 64 ? code - 128 : undefined,
              elapsed: Duration.nanos(ended.at - started.at),
              usage: { ...usageBetween(started, ended), maxRss: peak() },
              outOfMemory: kills(options.group) > killsBefore
            }
          : yield* fault(ended.said)
      }).pipe(
        Effect.catchIf(
          // Where killing a process frees nothing, as for what it wrote into memory, the kernel comes to the shell too.
          () => !isOver && (isKilled || kills(options.group) > killsBefore),
          () =>
            Effect.map(Clock.currentTimeNanos, (now) => ({
              code: 128 + SIGKILL,
              signal: SIGKILL,
              elapsed: Duration.nanos(now - begun),
              usage: {},
              outOfMemory: !isKilled
            }))
        ),
        Effect.ensuring(Deferred.succeed(opened, undefined)),
        Effect.intoDeferred(exit),
        Effect.interruptible,
        Effect.forkScoped
      )
      const killRun = Effect.suspend(() => {
        isKilled = true
        return isOver ? Effect.void : kill(shell)
      })
      return {
        stdout: NamedPipe.read(stdout),
        stderr: NamedPipe.read(stderr),
        // Before the slot has opened it, what is in the pipe would be gone with the worker's end of it.
        stdin: stdin && { ...stdin, close: Effect.zipRight(Deferred.await(opened), stdin.close) },
        visit: {
          ...options,
          folder,
          pid: pid ?? 0,
          limits: processLimits(options),
          join: options.group.join,
          stdio: () => covered(cover, nothing.fd)
        },
        exit: Deferred.await(exit),
        kill: killRun,
        isOver: Effect.sync(() => isOver)
      }
    })

    const isAlive = Effect.negate(Deferred.isDone(shell.exited))
    return {
      start,
      isAlive,
      network,
      isFresh: Effect.zipWith(
        isAlive,
        network,
        (alive, now) =>
          alive &&
          (options.outbound === undefined ||
            (atStart !== undefined && now !== undefined && NetworkCounters.isUntouched(atStart, now)))
      )
    }
  })
