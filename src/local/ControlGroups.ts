/**
 * The kernel's control groups, where this machine lets the engine make some: they bound the memory and the number of
 * processes of all that runs in a sandbox taken together, which no limit of a single process does.
 *
 * Both versions are used as they are found: the first, with one tree a controller, and the second, with one tree for
 * all. Each slot has a group for as long as it lives, since moving a process between groups takes milliseconds.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as SandboxError from "./SandboxError.js"

/**
 * What one sandbox may use, and all of them together.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface ControlGroupsOptions {
  readonly memoryBytes: number
  readonly processes: number
  readonly allMemoryBytes: number
  readonly allProcesses: number
  /** The host's id of the sandboxes' root, which may lift the limit of processes of its own group between runs. */
  readonly owner: number
}

/**
 * The group of one slot.
 *
 * @since 0.1.0
 * @category models
 */
export interface ControlGroup {
  /** Moves a process into the group: what it starts from then on is in it too. */
  readonly join: (pid: number) => Effect.Effect<void, Cause.UnknownException>
  /** The file that holds the limit of processes. */
  readonly processLimit: string | undefined
  /** The file whose line `oom_kill` counts the processes that were killed for want of memory. */
  readonly killCounter: string | undefined
  /** The file of the most memory that the group has used; a write begins anew, on new kernels for that descriptor. */
  readonly peak: string | undefined
}

/**
 * The groups that can be made here. `memory` and `processes` tell whether these are bounded.
 *
 * @since 0.1.0
 * @category models
 */
export interface ControlGroups {
  readonly memory: boolean
  readonly processes: boolean
  /** A group that lives as long as the scope; nothing may run in it when that closes. */
  readonly make: (name: string) => Effect.Effect<ControlGroup, SandboxError.SandboxError, Scope.Scope>
}

type Controller = "memory" | "pids"

/**
 * Where a tree of groups is, and the group of this process in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tree {
  readonly version: 1 | 2
  readonly controllers: ReadonlyArray<string>
  readonly root: string
  readonly own: string
}

/**
 * The trees that are mounted here, from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const trees = (mountInfo: string, membership: string): ReadonlyArray<Tree> => {
  const groups = membership.split("\n").flatMap((line) => {
    const [, id = "", controllers = "", path = ""] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    return id === "" ? [] : [{ controllers: controllers.split(",").filter((name) => name !== ""), path, id }]
  })
  return mountInfo.split("\n").flatMap((line): ReadonlyArray<Tree> => {
    const [before = "", after = ""] = line.split(" - ")
    const [, , , shown = "/", root = ""] = before.split(" ")
    const [type, , options = ""] = after.split(" ")
    const names = options.split(",")
    const group =
      type === "cgroup2"
        ? groups.find(({ id }) => id === "0")
        : type === "cgroup"
          ? groups.find(
              ({ controllers }) => controllers.length > 0 && controllers.every((name) => names.includes(name))
            )
          : undefined
    if (group === undefined) return []
    // A container may see a part of the tree only, while its membership is told from the tree's root.
    const path = shown !== "/" && group.path.startsWith(shown) ? group.path.slice(shown.length) : group.path
    return [
      {
        version: type === "cgroup2" ? 2 : 1,
        controllers: group.controllers,
        root,
        own: `${root}${path}`.replace(/\/+$/, "")
      }
    ]
  })
}

const PREFIX = "effect-contree."

/** The files of the limits; those that a kernel without swap or with another setting lacks are passed over. */
const settings = (version: 1 | 2, controller: Controller, limit: number): ReadonlyArray<readonly [string, number]> =>
  controller === "pids"
    ? [["pids.max", limit]]
    : version === 2
      ? [
          ["memory.max", limit],
          ["memory.swap.max", 0]
        ]
      : [
          ["memory.limit_in_bytes", limit],
          ["memory.memsw.limit_in_bytes", limit]
        ]

// Synchronous: these files are the kernel's, and a thread would take longer to be asked.
const write = (path: string, value: string | number) =>
  Effect.try(() => Fs.writeFileSync(path, String(value), { flag: "r+" }))

const limitGroup = (version: 1 | 2, group: string, controller: Controller, limit: number) =>
  Effect.forEach(
    settings(version, controller, limit),
    ([file, value], index) => {
      const written = write(`${group}/${file}`, value)
      return index === 0 ? written : Effect.ignore(written)
    },
    { discard: true }
  )

const removeGroup = (group: string) => Effect.try(() => Fs.rmdirSync(group))

/** What was killed in a group may leave it a moment later. */
const leave = (group: string) =>
  Effect.ignoreLogged(
    Effect.retry(removeGroup(group), Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(50)))
  )

/**
 * Removes the groups of engines that are gone from a folder: those with the prefix whose process is no more.
 *
 * Those of an engine that works may be empty for a moment too, and whose process is in another pid namespace nobody here
 * can tell: they have another prefix.
 *
 * @since 0.1.0
 * @category destructors
 */
export const sweep = (base: string, prefix: string): void => {
  const isGone = (name: string) => name.startsWith(prefix) && !Fs.existsSync(`/proc/${name.slice(prefix.length)}`)
  for (const name of Fs.readdirSync(base).filter(isGone)) {
    const folders = Fs.readdirSync(`${base}/${name}`, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    for (const path of [...folders.map((entry) => `${base}/${name}/${entry.name}`), `${base}/${name}`]) {
      try {
        Fs.rmdirSync(path)
      } catch {
        // It is in use.
      }
    }
  }
}

/**
 * Has the controller in the groups below a group of the second version, which must not hold processes itself then:
 * they move to a group beside the slots'.
 */
const delegate = (base: string, controller: Controller) =>
  Effect.gen(function* () {
    const control = `${base}/cgroup.subtree_control`
    const words = (path: string) => Effect.try(() => Fs.readFileSync(path, "utf8").trim().split(/\s+/))
    if ((yield* words(control)).includes(controller)) return
    const engine = `${base}/engine`
    yield* Effect.try(() => Fs.mkdirSync(engine, { recursive: true }))
    for (const pid of yield* words(`${base}/cgroup.procs`)) {
      // One that has ended in the meantime has left as well.
      yield* Effect.ignore(write(`${engine}/cgroup.procs`, pid))
    }
    yield* write(control, `+${controller}`)
  })

/**
 * Looks for trees in which this process may make groups, and makes the one that holds those of the slots. It goes
 * with the scope; what a killed engine left is removed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fn("ControlGroups.make")(function* (
  options: ControlGroupsOptions
): Effect.fn.Return<ControlGroups, never, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const read = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => "")
  const found = trees(yield* read("/proc/self/mountinfo"), yield* read("/proc/self/cgroup"))
  const pidNamespace = yield* Effect.orElseSucceed(fs.readLink("/proc/self/ns/pid"), () => "")
  const prefix = `${PREFIX}${pidNamespace.replace(/\D/g, "")}.`
  const name = `${prefix}${process.pid}`

  /** The group that holds the slots' groups of a controller, where one can be made with that controller's files. */
  const hold = Effect.fnUntraced(function* (controller: Controller, limit: number) {
    const tree =
      found.find(({ controllers, version }) => version === 1 && controllers.includes(controller)) ??
      found.find(({ version }) => version === 2)
    if (tree === undefined) return undefined
    const { own, root, version } = tree
    for (const base of new Set(version === 1 ? [own, root] : [root, own])) {
      const group = `${base}/${name}`
      const made = yield* Effect.option(
        Effect.gen(function* () {
          if (version === 2) yield* delegate(base, controller)
          sweep(base, prefix)
          yield* Effect.try(() => Fs.mkdirSync(group, { recursive: true }))
          yield* limitGroup(version, group, controller, limit)
          if (version === 2) yield* write(`${group}/cgroup.subtree_control`, `+${controller}`)
        })
      )
      if (Option.isSome(made)) {
        yield* Effect.addFinalizer(() => leave(group))
        return { version, group }
      }
      yield* Effect.ignore(removeGroup(group))
    }
    return undefined
  })
  const memory = yield* hold("memory", options.allMemoryBytes)
  const pids = yield* hold("pids", options.allProcesses)

  return {
    memory: memory !== undefined,
    processes: pids !== undefined,
    make: (slot) =>
      Effect.gen(function* () {
        const limits = [
          ...(memory === undefined ? [] : [["memory", memory, options.memoryBytes] as const]),
          ...(pids === undefined ? [] : [["pids", pids, options.processes] as const])
        ]
        const folders = new Set<string>()
        for (const [controller, { group, version }, limit] of limits) {
          const folder = `${group}/${slot}`
          folders.add(folder)
          yield* Effect.try(() => Fs.mkdirSync(folder, { recursive: true }))
          yield* limitGroup(version, folder, controller, limit)
        }
        yield* Effect.addFinalizer(() => Effect.forEach(folders, leave, { discard: true }))
        const processLimit = pids === undefined ? undefined : `${pids.group}/${slot}/pids.max`
        if (processLimit !== undefined)
          yield* Effect.try(() => Fs.chownSync(processLimit, options.owner, options.owner))
        return {
          join: (pid: number) =>
            Effect.forEach(folders, (folder) => write(`${folder}/cgroup.procs`, pid), { discard: true }),
          processLimit,
          killCounter:
            memory === undefined
              ? undefined
              : `${memory.group}/${slot}/${memory.version === 1 ? "memory.oom_control" : "memory.events"}`,
          peak:
            memory === undefined
              ? undefined
              : `${memory.group}/${slot}/${memory.version === 1 ? "memory.max_usage_in_bytes" : "memory.peak"}`
        }
      }).pipe(
        Effect.mapError((error) =>
          SandboxError.make("SetupFailed", `the control group of a slot: ${String(error.cause ?? error)}`)
        )
      )
  }
})
