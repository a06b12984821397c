/**
 * What the layer suites run in a process of its own: in a private mount namespace, whose mounts end with it however it
 * ends, or to be killed. The mode and its settings come as JSON in the first argument; the report goes to standard
 * output as JSON.
 */
import type { CommandExecutor } from "@effect/platform/CommandExecutor"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Exit, Fiber, HashSet, Layer, Logger, Schedule, Schema, Scope } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as ImageView from "../../src/local/ImageView.js"
import * as LayerSquash from "../../src/local/LayerSquash.js"
import * as LayerStore from "../../src/local/LayerStore.js"
import * as OverlayMount from "../../src/local/OverlayMount.js"
import * as ImageReads from "./imageReads.js"
import { change, difference, drift, dump, generator, timesOf } from "./randomTree.js"

const Task = Schema.Union(
  Schema.Struct({
    mode: Schema.Literal("generations"),
    data: Schema.String,
    seed: Schema.Number,
    generations: Schema.Number,
    ids: Schema.Array(Schema.Number),
    /** Whether there is a `tar`; without one, times are compared to the microsecond and apart. */
    tar: Schema.Boolean
  }),
  Schema.Struct({
    mode: Schema.Literal("reads"),
    data: Schema.String,
    seed: Schema.Number,
    generations: Schema.Number,
    ids: Schema.Array(Schema.Number)
  }),
  Schema.Struct({ mode: Schema.Literal("attributes"), data: Schema.String }),
  Schema.Struct({ mode: Schema.Literal("interrupt"), data: Schema.String, files: Schema.Number }),
  Schema.Struct({ mode: Schema.Literal("full"), data: Schema.String }),
  Schema.Struct({ mode: Schema.Literal("links"), data: Schema.String }),
  Schema.Struct({ mode: Schema.Literal("views"), data: Schema.String }),
  Schema.Struct({ mode: Schema.Literal("commits"), data: Schema.String })
)

const mountpoint = (data: string) => {
  const path = `${data}/mnt`
  Fs.mkdirSync(path, { recursive: true })
  return path
}

/** Does `work` in a writable overlay over the chain, as a sandbox would, and commits what it wrote. */
const generation = (data: string, chain: LayerStore.Chain, work: (root: string) => void) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* LayerStore.LayerStore
      const run = yield* store.newRun(chain[0])
      const root = mountpoint(data)
      const options = `userxattr,volatile,lowerdir=${chain.join(":")},upperdir=../r/${run.name}/u,workdir=../r/${run.name}/w`
      execFileSync("mount", ["-n", "-t", "overlay", "-o", options, "overlay", root], {
        cwd: store.directory,
        env: { ...process.env, LIBMOUNT_FORCE_MOUNT2: "always" }
      })
      try {
        work(root)
      } finally {
        execFileSync("umount", ["-n", root])
      }
      if (yield* store.isEmpty(run)) {
        return chain
      }
      const next: LayerStore.Chain = [yield* store.commit(run), ...chain]
      return next
    })
  )

const importRoot = (fill: (root: string) => void) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* LayerStore.LayerStore
      const imported = yield* store.newImport
      Fs.chmodSync(imported.root, 0o755)
      fill(imported.root)
      const chain: LayerStore.Chain = [yield* store.commitImport(imported)]
      return chain
    })
  )

const seenIn = <A>(chain: LayerStore.Chain, look: (root: string) => A) =>
  Effect.scoped(Effect.map(OverlayMount.view(chain), look))

const dumpOf = (chain: LayerStore.Chain, times = true) => seenIn(chain, (root) => dump(root, times))

const mountsBelow = (data: string) =>
  Fs.readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(`${data}/`)).length

/** The first temporary is the squash's folder of whiteouts; what else is there after a while was left. */
const temporaries = (data: string) => {
  const others = Effect.sync(() => Fs.readdirSync(`${data}/t`).filter((name) => name !== "0"))
  return others.pipe(
    Effect.repeat({ until: (names) => names.length === 0, schedule: Schedule.spaced(20), times: 100 }),
    Effect.zipRight(others)
  )
}

const storeLayer = (data: string, known: ReadonlyArray<string> = []) =>
  LayerStore.layer({
    directory: data,
    known: Effect.succeed(HashSet.fromIterable(known.map((name) => LayerStore.LayerName.make(name))))
  })

const layers = (data: string) => LayerSquash.layer.pipe(Layer.provideMerge(storeLayer(data)))

/** Random generations with a flatten every few of them; the view is compared before and after each. */
const generations = (task: {
  data: string
  seed: number
  generations: number
  ids: ReadonlyArray<number>
  tar: boolean
}) =>
  Effect.gen(function* () {
    if (!task.tar) {
      Fs.mkdirSync(`${task.data}/bin`)
      Fs.writeFileSync(`${task.data}/bin/tar`, "#!/bin/sh\nexit 1\n", { mode: 0o755 })
      process.env.PATH = `${task.data}/bin:${process.env.PATH}`
    }
    const squash = yield* LayerSquash.LayerSquash
    const random = generator(task.seed)
    const seen: Record<string, number> = {}
    const changes = (count: number) => (root: string) => {
      for (let i = 0; i < count; i++) {
        const done = change(root, random, task.ids)
        seen[done] = (seen[done] ?? 0) + 1
      }
    }
    let chain = yield* importRoot(changes(150))
    const mismatches: Array<string> = []
    let flattened = 0
    let moved = 0
    let deepest = 1
    for (let n = 0; n < task.generations && mismatches.length === 0; n++) {
      chain = yield* generation(task.data, chain, changes(1 + Math.floor(random() * 6)))
      deepest = Math.max(deepest, chain.length)
      if (random() < 0.25) {
        const before = yield* dumpOf(chain, task.tar)
        const timesBefore = yield* seenIn(chain, timesOf)
        const keep = random() < 0.7 ? 1 : 2
        const shorter = yield* squash.flatten(chain, { keep })
        flattened += shorter === chain ? 0 : 1
        mismatches.push(
          ...difference(before, yield* dumpOf(shorter, task.tar)).map((line) => `generation ${n}: ${line}`)
        )
        moved = Math.max(moved, drift(timesBefore, yield* seenIn(shorter, timesOf)))
        chain = shorter
      }
    }
    return {
      flattened,
      moved,
      deepest,
      paths: (yield* dumpOf(chain)).length,
      seen,
      mismatches: mismatches.slice(0, 20),
      mounts: mountsBelow(task.data)
    }
  }).pipe(Effect.provide(layers(task.data)))

/** Random generations, each read through the engine's view and compared with what the run saw in its own mount. */
const reads = (task: { data: string; seed: number; generations: number; ids: ReadonlyArray<number> }) =>
  Effect.gen(function* () {
    const squash = yield* LayerSquash.LayerSquash
    const { open } = yield* ImageView.ImageView
    const random = generator(task.seed)
    const mismatches: Array<string> = []
    let seen: Array<string> = []
    let chain = yield* importRoot((root) => {
      for (let i = 0; i < 150; i++) change(root, random, task.ids)
      seen = ImageReads.seen(root)
    })
    for (let n = 0; n < task.generations && mismatches.length === 0; n++) {
      chain = yield* generation(task.data, chain, (root) => {
        for (let i = 0; i < 1 + Math.floor(random() * 8); i++) change(root, random, task.ids)
        seen = ImageReads.seen(root)
      })
      if (random() < 0.2) chain = yield* squash.flatten(chain)
      const [read, unpacked] = yield* Effect.scoped(
        Effect.gen(function* () {
          const image = yield* open(chain)
          const unpacked = yield* ImageReads.unpacked(image, task.data)
          return [yield* ImageReads.read(image), difference(dump(image.root), unpacked)] as const
        })
      )
      mismatches.push(...difference(seen, read).map((line) => `generation ${n}: ${line}`))
      mismatches.push(...unpacked.map((line) => `generation ${n}, archive: ${line}`))
    }
    return { paths: seen.length, mismatches: mismatches.slice(0, 20) }
  }).pipe(
    Effect.scoped,
    Effect.provide(ImageView.layer.pipe(Layer.provide(ImageReads.namespace), Layer.provideMerge(layers(task.data)))),
    Effect.map((report) => ({ ...report, mounts: mountsBelow(task.data) }))
  )

/** An extended attribute of a directory before and after a flatten; `tar` gives it and reads it back. */
const attributes = (task: { data: string }) =>
  Effect.gen(function* () {
    const squash = yield* LayerSquash.LayerSquash
    const archive = `${task.data}/attributes.tar`
    Fs.mkdirSync(`${task.data}/source/noted`, { recursive: true })
    execFileSync("tar", [
      "-C",
      `${task.data}/source`,
      "--format=posix",
      "--pax-option=SCHILY.xattr.user.note:=kept",
      "-cf",
      archive,
      "noted"
    ])
    let chain = yield* importRoot((root) => Fs.mkdirSync(`${root}/noted`))
    chain = yield* generation(task.data, chain, (root) => {
      execFileSync("tar", ["-C", root, "--xattrs", "--xattrs-include=user.*", "-xpf", archive])
    })
    chain = yield* generation(task.data, chain, (root) => Fs.writeFileSync(`${root}/noted/file`, ""))
    const shorter = yield* squash.flatten(chain)
    const noted = (root: string) =>
      execFileSync("tar", ["-C", root, "--format=posix", "--xattrs", "--xattrs-include=user.*", "-cf", "-", "noted"])
        .toString("latin1")
        .includes("SCHILY.xattr.user.note=kept")
    return { layers: shorter.length, before: yield* seenIn(chain, noted), after: yield* seenIn(shorter, noted) }
  }).pipe(Effect.provide(layers(task.data)))

/** Flattens that are interrupted at many moments, then one that is not. */
const interrupt = (task: { data: string; files: number }) =>
  Effect.gen(function* () {
    const squash = yield* LayerSquash.LayerSquash
    let chain = yield* importRoot((root) => Fs.writeFileSync(`${root}/base`, "base"))
    for (const part of ["one", "two", "three"]) {
      chain = yield* generation(task.data, chain, (root) => {
        for (let i = 0; i < task.files; i++) {
          Fs.mkdirSync(`${root}/${part}/${i % 50}`, { recursive: true })
          Fs.writeFileSync(`${root}/${part}/${i % 50}/${i}`, part)
        }
      })
    }
    const before = yield* dumpOf(chain)
    const names = Fs.readdirSync(`${task.data}/l`).sort()
    const left: Array<string> = []
    let interrupted = 0
    for (const delay of [0, 1, 3, 6, 10, 15, 20, 30, 45, 60]) {
      const fiber = yield* Effect.fork(squash.flatten(chain))
      yield* Effect.sleep(delay)
      const exit = yield* Fiber.interrupt(fiber)
      if (Exit.isSuccess(exit)) {
        const store = yield* LayerStore.LayerStore
        yield* store.remove([exit.value[0]])
      } else {
        interrupted += 1
      }
      // What was under way when the fiber ended would show a moment later.
      yield* Effect.sleep(50)
      const now = Fs.readdirSync(`${task.data}/l`).sort()
      left.push(...now.filter((name) => !names.includes(name)).map((name) => `layer ${name} after ${delay} ms`))
      if (mountsBelow(task.data) > 0) {
        left.push(`mount after ${delay} ms`)
      }
    }
    left.push(...(yield* temporaries(task.data)).map((name) => `temporary ${name}`))
    const shorter = yield* squash.flatten(chain)
    return { interrupted, left, mismatches: difference(before, yield* dumpOf(shorter)).slice(0, 20) }
  }).pipe(Effect.provide(layers(task.data)))

/** A store on a file system that runs full, first of bytes and then of inodes. */
const full = (task: { data: string }) =>
  Effect.gen(function* () {
    execFileSync("mount", ["-n", "-t", "tmpfs", "-o", "size=4m,nr_inodes=400", "tmpfs", task.data])
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(layers(task.data), scope)
    const report = yield* Effect.gen(function* () {
      const store = yield* LayerStore.LayerStore
      const squash = yield* LayerSquash.LayerSquash
      const spare = yield* importRoot((root) => {
        for (let i = 0; i < 220; i++) {
          Fs.writeFileSync(`${root}/${i}`, "")
        }
      })
      let chain = yield* importRoot((root) => Fs.writeFileSync(`${root}/base`, "base"))
      for (const part of ["x", "y"]) {
        chain = yield* generation(task.data, chain, (root) => {
          for (let i = 0; i < 50; i++) {
            Fs.writeFileSync(`${root}/${part}${i}`, part)
          }
        })
      }
      const before = yield* dumpOf(chain)
      const names = Fs.readdirSync(`${task.data}/l`).sort()
      // 400 inodes less 220, 100 and some folders: the squash runs out of them half-way.
      const squashed = yield* Effect.flip(squash.flatten(chain))
      yield* temporaries(task.data)
      const runError = yield* Effect.scoped(
        Effect.gen(function* () {
          const hog = yield* store.newImport
          let count = 0
          while (yield* Effect.try(() => Fs.writeFileSync(`${hog.root}/${count++}`, "")).pipe(Effect.isSuccess)) {
            // until there is no inode
          }
          return yield* Effect.flip(Effect.scoped(store.newRun(chain[0])))
        })
      )
      const sound = {
        names: Fs.readdirSync(`${task.data}/l`).sort().join() === names.join(),
        runs: Fs.readdirSync(`${task.data}/r`),
        temporaries: yield* temporaries(task.data),
        mounts: mountsBelow(`${task.data}/t`),
        difference: difference(before, yield* dumpOf(chain))
      }
      yield* store.remove([spare[0]])
      yield* temporaries(task.data)
      const after = yield* squash.flatten(chain)
      return {
        squash: { ...squashed, message: squashed.message },
        run: { ...runError, message: runError.message },
        sound,
        afterwards: difference(before, yield* dumpOf(after))
      }
    }).pipe(Effect.provide(context))
    yield* Scope.close(scope, Exit.void)
    return report
  })

/** Inodes at the file system's limit of hard links: the whiteout's, and a file's that the squash shares. */
const links = (task: { data: string }) =>
  Effect.gen(function* () {
    const squash = yield* LayerSquash.LayerSquash
    const store = yield* LayerStore.LayerStore
    const saturate = (path: string) => {
      const folder = `${task.data}/links-${Fs.readdirSync(task.data).length}`
      Fs.mkdirSync(folder)
      let count = 0
      try {
        while (count < 70_000) {
          Fs.linkSync(path, `${folder}/${count}`)
          count += 1
        }
      } catch {
        return count
      }
      return count
    }
    let chain = yield* importRoot((root) => {
      for (let i = 0; i < 20; i++) {
        Fs.mkdirSync(`${root}/old/${i}`, { recursive: true })
      }
    })
    chain = yield* generation(task.data, chain, (root) => {
      Fs.writeFileSync(`${root}/shared`, "shared")
      Fs.rmSync(`${root}/old/0`, { recursive: true })
    })
    chain = yield* generation(task.data, chain, (root) => Fs.writeFileSync(`${root}/more`, "more"))
    // The first flatten makes the whiteout.
    const first = yield* squash.flatten(chain)
    const whiteout = `${store.path(first[0])}/old/0`
    const counts = [saturate(whiteout), saturate(`${store.path(first[0])}/shared`)]
    let second = yield* generation(task.data, first, (root) => Fs.rmSync(`${root}/old`, { recursive: true }))
    second = yield* generation(task.data, second, (root) => {
      Fs.mkdirSync(`${root}/old`)
      Fs.mkdirSync(`${root}/old/5`)
    })
    const before = yield* dumpOf(second)
    const shorter = yield* squash.flatten(second)
    return {
      counts,
      mismatches: difference(before, yield* dumpOf(shorter)),
      whiteouts: Fs.readdirSync(`${store.path(shorter[0])}/old`).length,
      ownFile:
        Fs.lstatSync(`${store.path(shorter[0])}/shared`).ino !== Fs.lstatSync(`${store.path(first[0])}/shared`).ino
    }
  }).pipe(Effect.provide(layers(task.data)))

/** Views: of one layer, of several, while in use, and of what cannot be mounted. */
const views = (task: { data: string }) =>
  Effect.gen(function* () {
    const store = yield* LayerStore.LayerStore
    const base = yield* importRoot((root) => Fs.writeFileSync(`${root}/base`, "base"))
    const chain = yield* generation(task.data, base, (root) => Fs.writeFileSync(`${root}/top`, "top"))
    const untouched = yield* generation(task.data, chain, () => {})
    const touchedRoot = yield* generation(task.data, chain, (root) => Fs.chmodSync(root, 0o1777))
    const single = yield* Effect.scoped(
      Effect.map(OverlayMount.view(base), (root) => ({
        own: root === store.path(base[0]),
        names: Fs.readdirSync(root)
      }))
    )
    const several = yield* Effect.scoped(
      Effect.map(OverlayMount.view(chain), (root) => {
        let writable = true
        try {
          Fs.writeFileSync(`${root}/new`, "")
        } catch {
          writable = false
        }
        return { names: Fs.readdirSync(root).sort(), writable, mounts: mountsBelow(task.data) }
      })
    )
    // A run that ends with something still mounted in it: what is mounted must not be emptied with it.
    Fs.mkdirSync(`${task.data}/precious`)
    Fs.writeFileSync(`${task.data}/precious/file`, "kept")
    yield* Effect.scoped(
      Effect.gen(function* () {
        const run = yield* store.newRun(base[0])
        Fs.mkdirSync(`${run.upper}/a b`)
        execFileSync("mount", ["-n", "--bind", `${task.data}/precious`, `${run.upper}/a b`])
      })
    )
    yield* Effect.sleep(100)
    const precious = Fs.existsSync(`${task.data}/precious/file`)
    for (const name of Fs.readdirSync(`${task.data}/t`).filter((name) => Fs.existsSync(`${task.data}/t/${name}/u`))) {
      execFileSync("umount", ["-n", `${task.data}/t/${name}/u/a b`])
      Fs.rmSync(`${task.data}/t/${name}`, { recursive: true })
    }
    // An open file keeps the view busy: its scope must end all the same, and the reader keeps its file.
    const descriptor = yield* Effect.scoped(
      Effect.map(OverlayMount.view(chain), (root) => Fs.openSync(`${root}/top`, "r"))
    )
    const read = Fs.readFileSync(descriptor, "utf8")
    Fs.closeSync(descriptor)
    const missing = yield* Effect.flip(Effect.scoped(OverlayMount.view([LayerStore.LayerName.make("zzzz"), ...base])))
    // The kernel refuses a layer that is no directory.
    const file = yield* importRoot(() => {})
    Fs.rmdirSync(store.path(file[0]))
    Fs.writeFileSync(store.path(file[0]), "")
    const refused = yield* Effect.flip(Effect.scoped(OverlayMount.view([file[0], ...base])))
    const squash = yield* LayerSquash.LayerSquash
    const foreign = yield* Effect.scoped(
      Effect.gen(function* () {
        const into = yield* store.newImport
        const other = yield* importRoot((root) => Fs.mkdirSync(`${root}/base`))
        return yield* Effect.flip(
          squash.squash({
            view: store.path(base[0]),
            base: store.path(base[0]),
            deltas: [store.path(other[0])],
            into: into.root
          })
        )
      })
    )
    // Above 255 bytes of options, which the newer mount API refuses.
    let deep = chain
    for (let i = 0; i < 120; i++) {
      deep = yield* generation(task.data, deep, (root) => Fs.appendFileSync(`${root}/top`, "."))
    }
    const depth = yield* Effect.scoped(Effect.map(OverlayMount.view(deep), (root) => Fs.statSync(`${root}/top`).size))
    return {
      untouched: untouched === chain,
      touchedRoot: touchedRoot.length === 3,
      single,
      several,
      read,
      precious,
      missing: { ...missing },
      refused: { ...refused },
      foreign: { ...foreign },
      deep: { layers: deep.length, size: depth },
      temporaries: yield* temporaries(task.data),
      mounts: mountsBelow(task.data)
    }
  }).pipe(Effect.provide(layers(task.data)))

/** Commits until it is killed; a name is printed once its layer is committed. */
const commits = (task: { data: string }) =>
  Effect.gen(function* () {
    const store = yield* LayerStore.LayerStore
    const base = yield* importRoot(() => {})
    yield* Console.log(base[0])
    return yield* Effect.forever(
      Effect.scoped(
        Effect.gen(function* () {
          const run = yield* store.newRun(base[0])
          for (let i = 0; i < 20; i++) {
            Fs.writeFileSync(`${run.upper}/${i}`, "whole")
          }
          yield* Console.log(yield* store.commit(run))
        })
      )
    )
  }).pipe(Effect.provide(storeLayer(task.data)))

const report = (task: typeof Task.Type): Effect.Effect<unknown, unknown, CommandExecutor> => {
  switch (task.mode) {
    case "generations":
      return generations(task)
    case "reads":
      return reads(task)
    case "attributes":
      return attributes(task)
    case "interrupt":
      return interrupt(task)
    case "full":
      return full(task)
    case "links":
      return links(task)
    case "views":
      return views(task)
    case "commits":
      return commits(task)
  }
}

Schema.decodeUnknown(Schema.parseJson(Task))(process.argv[2]).pipe(
  Effect.flatMap(report),
  Effect.flatMap((result) => Console.log(JSON.stringify(result))),
  // Standard output is the report's.
  Effect.provide([
    NodeContext.layer,
    Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))
  ]),
  NodeRuntime.runMain({ disablePrettyLogger: true })
)
