/** A program of someone who depends on `effect-contree` alone: bundled for a browser, type-checked when packed. */
import { Command, ContreeClient, Image, Run } from "effect-contree"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const pipeline = Effect.gen(function* () {
  const base = yield* Image.oci("docker://docker.io/library/busybox:latest")
  const built = yield* Image.run(base, Command.shell("echo hello > /greeting"), { tag: "greeting:latest" })
  const runs = yield* Effect.forEach(
    ["world", "moon"],
    (name) =>
      Image.run(built.image, Command.sh`echo ${name} >> /greeting; cat /greeting`, { disposable: true }).pipe(
        Effect.flatMap(Run.orFail)
      ),
    { concurrency: 2 }
  )
  const tags = yield* Image.stream({ tagPrefix: "greeting:" }).pipe(
    Stream.map((image) => image.tag),
    Stream.runCollect
  )
  return { runs: runs.length, tags }
})

export const program = pipeline.pipe(
  Effect.catchTag("NotFound", (error) => Effect.logWarning(error.message)),
  Effect.provide(ContreeClient.layer)
)
