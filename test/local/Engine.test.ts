import { assert, describe, layer as suite } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Option, Stream } from "effect"
import type { SpawnRequest } from "../../src/api/Instances.js"
import * as Command from "../../src/Command.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import * as Image from "../../src/Image.js"
import * as LocalContree from "../../src/local/LocalContree.js"
import * as Operation from "../../src/Operation.js"
import * as Run from "../../src/Run.js"
import { output } from "../contract/steps.js"
import * as Contree from "../fixtures/Contree.js"
import * as EngineTraces from "../fixtures/EngineTraces.js"
import { Registry } from "../fixtures/Registry.js"

const depth = 8

class Place extends Context.Tag("effect-contree/test/Place")<
  Place,
  { readonly traces: Effect.Effect<EngineTraces.Traces> }
>() {}

/** An engine with narrow limits, and busybox. */
const engine = Layer.unwrapScoped(
  Effect.gen(function* () {
    const registry = yield* Registry
    const dataDirectory = `${yield* Contree.temporaryFolder}/data`
    return Layer.merge(
      Layer.succeed(Place, { traces: EngineTraces.tracesOf(dataDirectory) }),
      LocalContree.layerWith({
        ...Contree.engineOptions(registry.address, dataDirectory),
        squashDepth: depth,
        maxConcurrency: 2,
        defaultRunTimeoutSeconds: 2,
        maxRunTimeoutSeconds: 60
      })
    )
  })
).pipe(Layer.provide(Contree.busyboxRegistry))

const busybox = Image.oci("busybox:latest")

/** Runs a request as it stands, with what only other clients ask for, and gives what it wrote and made. */
const request = (fields: Partial<SpawnRequest>) =>
  Effect.gen(function* () {
    const client = yield* ContreeClient
    const { id } = yield* busybox
    const operation = yield* client.instances.spawn({ image: id, command: "true", shell: true, ...fields })
    const over = yield* Operation.wait(operation)
    const result = Option.getOrThrow(Option.flatMap(over.metadata, ({ result }) => result))
    const image = Option.getOrThrow(over.resultImageId)
    return { image, stdout: Buffer.from(result.stdout.bytes).toString() }
  })

suite(engine, { excludeTestServices: true })("the engine", (it) => {
  it.effect("keeps a long chain of runs shallow, and every image of it shows its own files", () =>
    Effect.gen(function* () {
      const { traces } = yield* Place
      const generations = 60
      const chain: Array<Image.Image> = [yield* busybox]
      for (let number = 1; number <= generations; number++) {
        const script = [
          `echo ${number} >> /log; echo ${number} > /own-${number}; rm -f /own-${number - 3}`,
          // A folder that is removed and made anew hides what is below it.
          number % 7 === 0 ? "rm -rf /dir; mkdir /dir" : "mkdir -p /dir",
          `echo ${number} > /dir/${number}; chmod ${number % 2 === 0 ? 700 : 755} /dir; rm -f /etc/group`
        ].join("; ")
        const run = yield* Effect.flatMap(Image.run(chain[number - 1] ?? "", script), Run.orFail)
        chain.push(run.image)
      }
      const lines = (from: number, to: number) =>
        Array.from({ length: to - from + 1 }, (_, index) => `${from + index}\n`).join("")
      for (const number of [1, 2, depth, depth + 1, depth + 2, 30, generations]) {
        const seen = yield* output(
          chain[number] ?? "",
          "cat /log; echo; cat /own-* | sort -n; echo; ls /dir | sort -n; stat -c %a /dir; ls /etc"
        )
        const [log, own, rest] = seen.split("\n\n")
        assert.strictEqual(log, lines(1, number).trimEnd())
        assert.strictEqual(own, lines(Math.max(1, number - 2), number).trimEnd())
        const first = Math.max(1, number - (number % 7))
        assert.strictEqual(rest, `${lines(first, number)}${number % 2 === 0 ? 700 : 755}\npasswd\nresolv.conf\n`)
      }

      const last = yield* Effect.fork(Image.run(chain[generations] ?? "", "sleep 5", { disposable: true }))
      const { overlays } = yield* EngineTraces.within(3000)(traces, (now) => now.overlays.length > 0)
      const lower = /lowerdir=([^,]+)/.exec(overlays[0] ?? "")?.[1]?.split(":") ?? []
      assert.isAtLeast(lower.length, 2)
      assert.isAtMost(lower.length, depth + 2)
      yield* Fiber.interrupt(last)
    })
  )

  it.effect("runs no more commands at once than it may, the others in their order", () =>
    Effect.gen(function* () {
      const client = yield* ContreeClient
      const { id } = yield* busybox
      const seconds = yield* EngineTraces.uniqueSeconds
      const sleeping = { image: id, command: "sleep", args: [seconds], disposable: true, timeout: Duration.seconds(30) }
      const blocking = yield* Effect.replicateEffect(client.instances.spawn(sleeping), 2)
      yield* EngineTraces.within(3000)(
        Stream.runCount(Operation.stream({ status: "EXECUTING" })),
        (running) => running === 2
      )
      const waiting = yield* Effect.forEach([1, 2, 3], () => client.instances.spawn(sleeping))
      assert.strictEqual(yield* Stream.runCount(Operation.stream({ status: "PENDING" })), 3)
      const [first] = blocking
      assert.isDefined(first)
      yield* Operation.cancel(first)
      const statuses = Effect.forEach(waiting, (id) => Effect.map(Operation.get(id), ({ status }) => status))
      yield* EngineTraces.within(3000)(statuses, (now) => now[0] === "EXECUTING")
      assert.deepStrictEqual(yield* statuses, ["EXECUTING", "PENDING", "PENDING"])
      yield* Effect.forEach([...waiting.reverse(), ...blocking], Operation.cancel)
      assert.deepStrictEqual(yield* EngineTraces.processesNaming(seconds), [])
    })
  )

  describe("a run", () => {
    it.effect("without a timeout has the engine's own, and none may have more than the limit", () =>
      Effect.gen(function* () {
        const image = yield* busybox
        const [took, run] = yield* Effect.timed(Image.run(image, "sleep 1000", { disposable: true }))
        assert.isTrue(run.timedOut)
        assert.isTrue(Duration.between(took, { minimum: "2 seconds", maximum: "4 seconds" }))
        const over = Image.run(image, Command.shell("true").pipe(Command.timeout("61 seconds")))
        const error = yield* Effect.flip(over)
        assert.strictEqual(error._tag, "RequestRejected")
        assert.include(error.message, "60 seconds")
      })
    )

    it.effect("can leave its environment and its directory to the image", () =>
      Effect.gen(function* () {
        const print = 'echo "$GREETING $ADDED $(pwd)"'
        const { image } = yield* request({
          command: `echo x > /x; ${print}`,
          env: { ADDED: "new", GREETING: "" },
          preserveEnv: true,
          cwd: "/work",
          preserveCwd: true
        })
        assert.strictEqual(yield* output(image, `${print}; env | grep -c GREETING || true`), " new /work\n0\n")
        const without = yield* request({ command: "echo x > /x", env: { ADDED: "new" }, cwd: "/work" })
        assert.strictEqual(yield* output(without.image, print), "hello  /\n")
      })
    )

    it.effect("is what the request says: a user, a group and a hostname", () =>
      Effect.gen(function* () {
        const look = { command: "id -u; id -g; hostname; touch /tmp/mine /mine; stat -c %u:%g /tmp/mine" }
        const { stdout } = yield* request({ ...look, uid: 12, gid: 34, hostname: "box" })
        assert.strictEqual(stdout, "12\n34\nbox\n12:34\n")
        assert.strictEqual((yield* request(look)).stdout, "0\n0\nlinuxkit\n0:0\n")
      })
    )

    it.effect("files in folders that stay as they were, with what was removed from them still gone", () =>
      Effect.gen(function* () {
        const client = yield* ContreeClient
        const made = yield* request({
          command: `mkdir -p /own/deep /gone /shared; echo old > /own/deep/old; echo old > /gone/old; echo old > /shared/old
            chown 7:8 /own; chmod 2710 /own; touch -d '2001-02-03 04:05:06' /own /own/deep`
        })
        const changed = yield* request({
          image: made.image,
          command:
            "rm -r /gone; rm /shared/old; rm /own/deep/old; mkdir /own/deep/more; touch -d '2001-02-03 04:05:06' /own/deep"
        })
        const { id } = yield* client.files.upload(new TextEncoder().encode("placed\n"))
        const { stdout } = yield* request({
          image: changed.image,
          files: {
            "/own/deep/more/placed": { id },
            "/own/deep/more/twice": { id, mode: 0o400 },
            "own/deep//more/./twice": { id, mode: 0o600, uid: 3, gid: 4 },
            "/gone/again/placed": { id, uid: 5, gid: 6 },
            "/shared/placed": { id }
          },
          command: `stat -c '%n %a %u:%g' /own /own/deep/more/* /gone /gone/again; date -r /own +%Y; date -r /own/deep +%Y
            ls /gone /shared; cat /own/deep/more/twice`
        })
        assert.deepStrictEqual(stdout.trim().split("\n"), [
          "/own 2710 7:8",
          "/own/deep/more/placed 644 0:0",
          "/own/deep/more/twice 600 3:4",
          "/gone 755 5:6",
          "/gone/again 755 5:6",
          "2001",
          "2001",
          "/gone:",
          "again",
          "",
          "/shared:",
          "placed",
          "placed"
        ])
        for (const path of ["/proc/placed", "/dev/placed", "/shared/placed/below"]) {
          const client = yield* ContreeClient
          const operation = yield* client.instances.spawn({
            image: changed.image,
            command: "true",
            files: path.endsWith("below") ? { "/shared/placed": { id }, [path]: { id } } : { [path]: { id } }
          })
          const over = yield* Operation.wait(operation).pipe(Effect.flip)
          assert.include(over.message, path)
        }
        const beyond = client.instances.spawn({
          image: changed.image,
          command: "true",
          files: { "/file": { id, uid: 65_536 } }
        })
        assert.include((yield* Effect.flip(beyond)).message, "65536")
      })
    )

    it.effect("a limit on what it writes, whether it writes fast or for long, and is ended beyond it", () =>
      Effect.gen(function* () {
        const { traces } = yield* Place
        const limited = (script: string) =>
          Effect.flatMap(busybox, (image) =>
            Image.run(
              image,
              Command.shell(script).pipe(Command.maxLayerBytes(1_000_000), Command.timeout("30 seconds"))
            )
          )
        const within = yield* limited(
          "dd if=/dev/zero of=/file bs=1000 count=900; truncate -s 10G /hole; ln /file /twin"
        )
        assert.strictEqual(within.exitCode, 0)
        for (const script of [
          "dd if=/dev/zero of=/file bs=1000 count=1100",
          "dd if=/dev/zero of=/file bs=1000 count=1100; sleep 20"
        ]) {
          const [took, error] = yield* Effect.timed(Effect.flip(limited(script)))
          assert.include(error.message, "limit of 1000000 bytes")
          assert.isBelow(Duration.toSeconds(took), 15)
        }
        yield* EngineTraces.within(3000)(traces, (now) => now.runs.length === 0)
      })
    )
  })
})
