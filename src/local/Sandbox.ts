/**
 * Commands in sandboxes over mounted layers: a bounded number at a time, streamed, and gone when their scope closes.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as ControlGroups from "./ControlGroups.js"
import type { ProcessUsage } from "./internal/liveProcess.js"
import * as Probe from "./internal/probe.js"
import * as Slot from "./internal/slot.js"
import * as NameServers from "./internal/nameServers.js"
import type { Input } from "./internal/namedPipe.js"
import type { InterfaceCounters } from "./internal/networkCounters.js"
import * as OutboundTool from "./internal/outboundTool.js"
import * as SlotVisit from "./internal/slotVisit.js"
import type { StdinSource, Visit } from "./internal/slotVisit.js"
import * as SpecCheck from "./internal/specCheck.js"
import * as SystemTool from "./internal/systemTool.js"
import * as Turns from "./internal/turns.js"
import * as Launcher from "./Launcher.js"
import { MountNamespace } from "./MountNamespace.js"
import * as SandboxError from "./SandboxError.js"

/**
 * A command over the layers of an image.
 *
 * `layers` are names in the folder of the layers, topmost first. `directory` is the run's own folder below the data
 * folder's `r`, with two empty folders in it: `upper`, which takes what the command writes, and `work`, overlayfs's
 * own. `directory` and `work` are given to the sandboxes' root; `upper` has the owner and mode that the root of the
 * image is to have. `cwd` is absolute inside the image and is created where it is missing. The environment is
 * exactly `env`, with `PWD` added. A command without a slash is looked for in the `PATH` of `env`. `stdin` absent is
 * empty, `open` is what is written to the running sandbox. Without `network`, and where there is no way out, the network
 * is a loopback alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface SandboxSpec extends Omit<Launcher.LaunchedCommand, "network"> {
  readonly layers: ReadonlyArray<string>
  readonly directory: string
  readonly upper: string
  readonly work: string
  readonly stdin: StdinSource
  readonly network: boolean
}

/**
 * One more command in a sandbox that runs. Its fields mean what they mean in a `SandboxSpec`.
 *
 * @since 0.1.0
 * @category models
 */
export interface VisitorSpec extends Omit<Launcher.LaunchedCommand, "hostname" | "network"> {
  readonly stdin: StdinSource
}

/**
 * How a command ended.
 *
 * `code` is its exit code as a shell gives it: 127 for a command that was not found, 126 for one that cannot be
 * executed (with the launcher's message on standard error), and 128 + n for death by signal n. `signal` is that n; under
 * bubblewrap a program that itself exits with 128 + n is not told apart. `elapsed` spans the launcher and the command; the
 * processor times are those of all that ran, in steps of 10 ms, and include some milliseconds of the launcher's. After
 * `kill` the code is 137 and the processor times are unknown.
 *
 * @since 0.1.0
 * @category models
 */
export interface SandboxExit {
  readonly code: number
  readonly signal: number | undefined
  readonly elapsed: Duration.Duration
  readonly usage: ProcessUsage
  /** Whether a process of the sandbox was killed for want of memory. Standard error says so where it was the command. */
  readonly outOfMemory: boolean
}

/**
 * A command that runs.
 *
 * The outputs are pipes: each is read once, and a command waits when 64 KiB of one are unread, so read both or drop
 * them with `Stream.runDrain`. They end when everything that the command left behind is dead too, and so does `exit`.
 * `kill` ends it all at once and returns when nothing is left; `exit` then gives 137.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunningSandbox {
  /** The command's number in the sandbox, where that is known before it ends. */
  readonly pid: number | undefined
  readonly stdout: Stream.Stream<Uint8Array, SandboxError.SandboxError>
  readonly stderr: Stream.Stream<Uint8Array, SandboxError.SandboxError>
  readonly exit: Effect.Effect<SandboxExit, SandboxError.SandboxError>
  readonly kill: Effect.Effect<void>
  /** The command's input, where it was to stay open. */
  readonly stdin: Input | undefined
  /** What its network has carried so far, where it has a way out. */
  readonly network: Effect.Effect<ReadonlyArray<InterfaceCounters> | undefined>
  /** Signals the command's process group. Fails with `NotReady` or `Gone`. */
  readonly signal: (signal: number) => Effect.Effect<void, SandboxError.SandboxError>
  /**
   * Starts one more command in the sandbox, which ends with it: in the same namespaces, over the same files, with the
   * same privileges. Fails with `NotReady` while the sandbox is being made, with `Gone` when it has ended.
   */
  readonly enter: (spec: VisitorSpec) => Effect.Effect<Visit, SandboxError.SandboxError, Scope.Scope>
}

const SIGKILL = 9
const SIGXCPU = 24

/**
 * Service of sandboxes, for the worker process.
 *
 * @since 0.1.0
 * @category tags
 */
export class Sandbox extends Context.Tag("effect-contree/local/Sandbox")<Sandbox, Sandbox.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace Sandbox {
  /**
   * Starts commands, as many at a time as there are places.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /** The launcher in use. */
    readonly launcher: Launcher.LauncherName
    /** Whether control groups bound the memory and the processes of a sandbox as a whole. */
    readonly bounded: { readonly memory: boolean; readonly processes: boolean }
    /** Whether a command can reach the outside: by what, and which name servers it asks, or why not. */
    readonly outbound: Either.Either<{ readonly tool: string; readonly nameServers: ReadonlyArray<string> }, string>
    /** Why each stronger launcher is not in use. */
    readonly rejected: ReadonlyArray<{
      readonly name: Launcher.LauncherName
      readonly error: SandboxError.SandboxError
    }>
    /**
     * Starts a command as soon as one of the `maxConcurrency` places is free, in the order of the calls; to wait can be
     * interrupted. Closing the scope before the command's end kills it and waits until nothing of it is left.
     */
    readonly start: (spec: SandboxSpec) => Effect.Effect<RunningSandbox, SandboxError.SandboxError, Scope.Scope>
  }
}

/**
 * Settings of the service.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface SandboxOptions {
  /** How many commands run at a time, at least 1. */
  readonly maxConcurrency: number
  /** Only this launcher. Default: the strongest one that passes a real run. */
  readonly launcher?: Launcher.LauncherName | undefined
  readonly limits?: SandboxLimits | undefined
  /** `none` keeps commands from the outside, whatever they ask for. Default: `outbound`, where there is a tool for it. */
  readonly network?: "outbound" | "none" | undefined
  /** What commands ask for names. Default: the name servers of the machine that are not on its loopback. */
  readonly nameServers?: ReadonlyArray<string> | undefined
}

/**
 * What a sandbox may use. Control groups bound its memory and its processes where the machine lets them be made; else
 * each process is bounded alone, and the number of processes is that of all sandboxes together.
 *
 * - `memoryBytes`: default half of the machine's memory; all sandboxes together get three quarters of that.
 * - `processes`: processes and threads, default 4096; all sandboxes together get four times as many.
 * - `openFiles`: of one process, default 65536, or less where this process may not have so many.
 * - `fileSizeBytes`: of one file that is written; no bound by default.
 * - `cpuSeconds`: processor time of one process; no bound by default. It gets SIGXCPU then, and SIGKILL a second later.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface SandboxLimits {
  readonly memoryBytes?: number | undefined
  readonly processes?: number | undefined
  readonly openFiles?: number | undefined
  readonly fileSizeBytes?: number | undefined
  readonly cpuSeconds?: number | undefined
}

/**
 * Makes the service: finds a launcher that works by a real run in a sandbox over a root of one program, and ends every
 * sandbox with the scope.
 *
 * Fails with `MissingTool` or with the failure of the last launcher tried where none works.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("Sandbox.make")(function* (
  options: SandboxOptions
): Effect.fn.Return<Sandbox.Service, SandboxError.SandboxError, MountNamespace | FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const namespace = yield* MountNamespace
  const scope = yield* Effect.scope
  const turns = Turns.make(Math.max(1, Math.floor(options.maxConcurrency)))
  const searchPath = (yield* SystemTool.folders).join(":")
  const machineMemory = yield* Effect.sync(() => Os.totalmem())
  const limits = {
    memoryBytes: options.limits?.memoryBytes ?? Math.floor(machineMemory / 2),
    processes: options.limits?.processes ?? 4096,
    openFiles: options.limits?.openFiles ?? 65_536,
    fileSizeBytes: options.limits?.fileSizeBytes
  }
  const groups = yield* ControlGroups.make({
    memoryBytes: limits.memoryBytes,
    processes: limits.processes,
    allMemoryBytes: Math.floor((machineMemory * 3) / 4),
    allProcesses: limits.processes * 4,
    owner: namespace.idShift
  })
  const cpuSeconds = options.limits?.cpuSeconds
  const words = [
    ...(groups.memory ? [] : [`--data=${limits.memoryBytes}`]),
    ...(groups.processes ? [] : [`--nproc=${limits.processes}`]),
    // Not on the slot itself, whose own time is that of all its runs.
    ...(cpuSeconds === undefined ? [] : [`--cpu=${cpuSeconds}:${cpuSeconds + 1}`])
  ]
  const place: Launcher.LauncherPlace = {
    ...namespace.place,
    limits: words.length === 0 ? "" : `prlimit ${words.join(" ")} -- `
  }

  interface Launched extends Launcher.LaunchedCommand {
    readonly stdin: StdinSource
  }
  interface Held {
    readonly slot: Slot.Slot
    readonly scope: Scope.CloseableScope
  }
  // The last one used comes first: it is warm, and what it still unmounts is its own.
  const idle: Array<Held> = []
  let started = 0

  let outbound: Either.Either<OutboundTool.OutboundTool, string> =
    options.network === "none" ? Either.left("the engine's settings say so") : yield* OutboundTool.find

  const startSlot = Effect.gen(function* () {
    const slotScope = yield* Scope.fork(scope, { _tag: "Sequential" })
    const names = yield* NameServers.find(options.nameServers ?? [])
    const name = String(started++)
    const slot = yield* Effect.flatMap(groups.make(name), (group) =>
      Slot.make({
        group,
        outbound: Either.isRight(outbound) ? { tool: outbound.right, resolv: names.text } : undefined,
        ...limits,
        enter: namespace.enter,
        directory: namespace.directory,
        name,
        idShift: namespace.idShift,
        layers: namespace.layers,
        mountPoint: namespace.place.mountPoint,
        searchPath
      })
    ).pipe(
      Scope.extend(slotScope),
      Effect.onError((cause) => Scope.close(slotScope, Exit.failCause(cause)))
    )
    return { slot, scope: slotScope }
  }).pipe(Effect.provideService(FileSystem.FileSystem, fs))

  /** Those that are started in the place of others, so that the next command need not wait for one. */
  const coming: Array<Fiber.Fiber<Held, SandboxError.SandboxError>> = []

  const replace = (held: Held) =>
    Effect.map(
      Effect.forkIn(Effect.zipLeft(Effect.interruptible(startSlot), Scope.close(held.scope, Exit.void)), scope),
      (fiber) => coming.push(fiber)
    )

  const takeSlot: Effect.Effect<Held, SandboxError.SandboxError> = Effect.suspend(() => {
    const held = idle.pop()
    const fiber = held === undefined ? coming.shift() : undefined
    if (held === undefined && fiber === undefined) return startSlot
    const found =
      fiber === undefined
        ? Effect.succeed(held)
        : Effect.orElseSucceed(
            // Not joined: that would bring along the scope of the run in whose end it was started.
            Effect.flatten(Effect.onInterrupt(fiber.await, () => Effect.sync(() => coming.unshift(fiber)))),
            () => undefined
          )
    return Effect.flatMap(found, (held) =>
      held === undefined
        ? takeSlot
        : Effect.flatMap(held.slot.isAlive, (alive) =>
            alive ? Effect.succeed(held) : Effect.zipRight(Scope.close(held.scope, Exit.void), takeSlot)
          )
    )
  })

  /**
   * A slot for as long as the scope is open. One whose run is not over then is ended with it, and one whose network was
   * used gives way to another.
   */
  const useSlot = (isOver: () => Effect.Effect<boolean>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        yield* restore(turns.take)
        yield* Effect.addFinalizer(() => turns.giveBack)
        const held = yield* restore(takeSlot)
        yield* Effect.addFinalizer(() =>
          Effect.flatMap(isOver(), (over) =>
            !over
              ? Scope.close(held.scope, Exit.void)
              : Effect.flatMap(held.slot.isFresh, (fresh) =>
                  fresh ? Effect.sync(() => idle.push(held)) : replace(held)
                )
          )
        )
        return held
      })
    )

  const limitOf = ({ outOfMemory, signal }: Slot.SlotExit): string | undefined =>
    signal === SIGXCPU && cpuSeconds !== undefined
      ? `processor time limit of ${cpuSeconds} seconds`
      : outOfMemory && signal === SIGKILL
        ? `memory limit of ${limits.memoryBytes} bytes`
        : undefined

  /** What a command that was killed at a limit could not say itself. */
  const lastWords = (ended: Either.Either<Slot.SlotExit, SandboxError.SandboxError>): Stream.Stream<Uint8Array> => {
    const limit = Either.isRight(ended) ? limitOf(ended.right) : undefined
    return limit === undefined
      ? Stream.empty
      : Stream.make(new TextEncoder().encode(`killed: the ${limit} has been reached\n`))
  }

  const launch = (launcher: Launcher.Launcher, tools: ReadonlyMap<string, string>, overlay: string, run: Launched) =>
    Effect.gen(function* () {
      let isOver = Effect.succeed(false)
      const held = yield* useSlot(() => isOver)
      const running = yield* held.slot.start({ ...launcher.files(run, place, tools, overlay), stdin: run.stdin })
      isOver = running.isOver
      let visitors = 0
      return {
        pid: launcher.pid,
        stdout: running.stdout,
        stderr: Stream.concat(running.stderr, Stream.unwrap(Effect.map(Effect.either(running.exit), lastWords))),
        exit: running.exit,
        stdin: running.stdin,
        network:
          run.network === "slot"
            ? Effect.map(held.slot.network, (counters) => counters?.interfaces)
            : Effect.succeed(undefined),
        signal: (number: number) => SlotVisit.signal(running.visit, launcher.name, "", number),
        enter: Effect.fnUntraced(function* (visitor: VisitorSpec) {
          yield* SpecCheck.checkCommand({ ...visitor, hostname: run.hostname })
          if (namespace.place.ownership === "single" && (visitor.uid !== 0 || visitor.gid !== 0)) {
            return yield* SandboxError.make(
              "InvalidSpec",
              "the engine's user has no subordinate ids, so that more commands of an instance can only be root: leave uid and gid out"
            )
          }
          return yield* SlotVisit.enter(
            running.visit,
            launcher.name,
            String(++visitors),
            (input) => Launcher.enter({ ...visitor, network: run.network }, place, launcher.name, tools, input),
            visitor.stdin
          )
        }),
        kill: running.kill
      }
    })

  /** The folders, in this order, which the sandboxes' root owns. */
  const ownFolders = (paths: ReadonlyArray<string>) =>
    Effect.forEach(
      paths,
      (path) =>
        Effect.zipRight(
          Effect.unlessEffect(fs.makeDirectory(path), fs.exists(path)),
          fs.chown(path, namespace.idShift, namespace.idShift)
        ),
      { discard: true }
    )
  const giveFile = (path: string, content: Uint8Array, mode: number) =>
    Effect.gen(function* () {
      yield* fs.writeFile(path, content)
      yield* fs.chown(path, namespace.idShift, namespace.idShift)
      yield* fs.chmod(path, mode)
    })
  const cannotMake = Effect.mapError((error: { readonly message: string }) =>
    SandboxError.make("SetupFailed", `a folder for the sandboxes: ${error.message}`)
  )

  /** Below an image that has no /etc/resolv.conf: what it lacks is there to be mounted on, and is no change of a run. */
  const bottom = `${namespace.directory}/bottom`
  yield* cannotMake(
    Effect.zipRight(
      ownFolders([bottom, `${bottom}/etc`]),
      giveFile(`${bottom}/etc/resolv.conf`, new Uint8Array(0), 0o644)
    )
  )

  const hasResolver = (layers: ReadonlyArray<string>) =>
    layers.some(
      (layer) => Fs.lstatSync(`${namespace.layers}/${layer}/etc/resolv.conf`, { throwIfNoEntry: false }) !== undefined
    )

  /** Runs the probe's program, and fails unless it ended as it does. */
  const tryOut = Effect.fnUntraced(function* (launcher: Launcher.Launcher) {
    const tools = yield* SystemTool.findAll([...launcher.tools, ...launcher.optional])
    const missing = launcher.tools.filter((name) => !tools.has(name))
    if (missing.length > 0) {
      return yield* SandboxError.make(
        "MissingTool",
        `${launcher.name} needs ${missing.join(" and ")}, not installed here`
      )
    }
    const program = Probe.program(namespace.place.architecture)
    const inside = yield* cannotMake(
      Effect.gen(function* () {
        const folder = yield* fs.makeTempDirectoryScoped({ directory: namespace.probes, prefix: "" })
        yield* ownFolders([folder, ...["root", "u", "w"].map((name) => `${folder}/${name}`)])
        yield* giveFile(`${folder}/root${Probe.PROBE_PROGRAM}`, program, 0o755)
        return Option.getOrElse(namespace.inside(folder), () => folder)
      })
    )
    const overlay = yield* SpecCheck.overlayOptions([`${inside}/root`], `${inside}/u`, `${inside}/w`)
    const sandbox = yield* launch(launcher, tools, overlay, {
      command: [Probe.PROBE_PROGRAM],
      env: {},
      cwd: "/",
      hostname: "probe",
      uid: 0,
      gid: 0,
      network: "private",
      stdin: undefined
    })
    const [said, exit] = yield* Effect.all(
      [
        sandbox.stderr.pipe(Stream.decodeText(), Stream.mkString),
        Effect.either(sandbox.exit),
        Stream.runDrain(sandbox.stdout)
      ],
      { concurrency: "unbounded" }
    )
    if (exit._tag === "Left") {
      return yield* SandboxError.make(
        exit.left.reason,
        `${launcher.name}: ${exit.left.detail} ${said.trim()}`.trimEnd()
      )
    }
    return exit.right.code === Probe.PROBE_EXIT
      ? tools
      : yield* SandboxError.make(
          "SetupFailed",
          `${launcher.name} did not run a program to its end: ${said.trim() || `exit code ${exit.right.code}`}`
        )
  }, Effect.scoped)

  if (Either.isRight(outbound)) {
    const first = yield* Effect.either(startSlot)
    if (Either.isRight(first)) idle.push(first.right)
    else outbound = Either.left(first.left.detail)
  }
  const describeOutbound = Effect.map(NameServers.find(options.nameServers ?? []), ({ servers }) =>
    Either.map(outbound, ({ name }) => ({ tool: name, nameServers: servers }))
  )

  const rejected: Array<{ readonly name: Launcher.LauncherName; readonly error: SandboxError.SandboxError }> = []
  for (const launcher of Launcher.all) {
    if (options.launcher !== undefined && options.launcher !== launcher.name) {
      continue
    }
    const outcome = yield* Effect.either(tryOut(launcher))
    if (outcome._tag === "Left") {
      rejected.push({ name: launcher.name, error: outcome.left })
      continue
    }
    const tools = outcome.right
    return {
      launcher: launcher.name,
      bounded: { memory: groups.memory, processes: groups.processes },
      outbound: yield* describeOutbound,
      rejected,
      start: Effect.fn("Sandbox.start")(function* (spec: SandboxSpec) {
        yield* SpecCheck.check(spec)
        const [upper, work] = [namespace.inside(spec.upper), namespace.inside(spec.work)]
        if (
          Option.isNone(upper) ||
          Option.isNone(work) ||
          !SpecCheck.isPlainPath(upper.value) ||
          !SpecCheck.isPlainPath(work.value)
        ) {
          return yield* SandboxError.make(
            "InvalidSpec",
            `${spec.upper} and ${spec.work} are no folders of a run in the data folder`
          )
        }
        const network = spec.network && Either.isRight(outbound) ? ("slot" as const) : ("private" as const)
        const overlayOver = (layers: ReadonlyArray<string>) => SpecCheck.overlayOptions(layers, upper.value, work.value)
        // A chain that only just fits goes without.
        const overlay = yield* network === "slot" && !hasResolver(spec.layers)
          ? Effect.orElse(overlayOver([...spec.layers, bottom]), () => overlayOver(spec.layers))
          : overlayOver(spec.layers)
        if (namespace.idShift !== 0) {
          // Two calls on new folders take less time than handing them to threads.
          yield* Effect.try({
            try: () => {
              for (const path of [spec.directory, spec.work]) Fs.chownSync(path, namespace.idShift, namespace.idShift)
            },
            catch: (error) => SandboxError.make("SetupFailed", `the folder of a run: ${String(error)}`)
          })
        }
        return yield* launch(launcher, tools, overlay, { ...spec, network })
      })
    }
  }
  return yield* rejected[rejected.length - 1]?.error ?? SandboxError.make("MissingTool", "there is no launcher")
})

/**
 * `make` as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: SandboxOptions
): Layer.Layer<Sandbox, SandboxError.SandboxError, MountNamespace | FileSystem.FileSystem> =>
  Layer.scoped(Sandbox, make(options))
