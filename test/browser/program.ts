/** What the page runs: a program of a user, in a browser, with nothing but this package and `fetch`. */
import { FetchHttpClient } from "@effect/platform"
import { Chunk, Effect, Layer, Option, Redacted, Stream } from "effect"
import { Command, ContreeClient, FileUpload, Image, ImageFiles, Run } from "effect-contree"
import type { Page } from "./Page.js"

const program = Effect.gen(function* () {
  const base = yield* Image.oci("busybox:latest")
  const again = yield* Image.use("busybox:latest", { strict: true })

  const bytes = yield* FileUpload.upload(new Uint8Array(300_000).fill(7))
  // The request's body would be a stream, which browsers do not send over HTTP/1.1.
  const text = yield* FileUpload.upload(Stream.make("made ", "piece ", "by piece\n").pipe(Stream.encodeText))
  const kept = yield* Effect.forEach([bytes, text], ({ sha256 }) => FileUpload.get(sha256))

  const run = yield* Image.run(base, Command.sh`echo ${"hello"}; echo ä >&2`, { disposable: true }).pipe(
    Effect.flatMap(Run.orFail)
  )

  const branch = yield* Image.run(
    base,
    Command.sh`cat /in/placed > /out`.pipe(Command.files({ "/in/placed": "placed by a page\n" }))
  ).pipe(Effect.flatMap(Run.orFail))
  const read = yield* ImageFiles.readText(branch.image, "/out")

  const missing = yield* Effect.flip(Image.use("none:such", { strict: true }))

  const lines: Array<string> = []
  const live = yield* Effect.scoped(
    Effect.gen(function* () {
      const instance = yield* Image.start(base, "echo ready; read word; echo got $word; read word; echo got $word", {
        stdin: "open"
      })
      // Each answer is typed only after the line before it was seen, so a page that saw nothing live would hang here.
      yield* instance.stdoutLines.pipe(
        Stream.tap((line) =>
          Effect.suspend(() => {
            lines.push(line)
            return lines.length < 3 ? instance.write(`${lines.length === 1 ? "one" : "two"}\n`) : Effect.void
          })
        ),
        Stream.runDrain
      )
      const tags = yield* instance.events.pipe(
        Stream.map(({ _tag }) => _tag),
        Stream.runCollect
      )
      return { exitCode: (yield* instance.exit).exitCode, tags: Chunk.toReadonlyArray(tags) }
    })
  )
  return {
    sameImage: again.id === base.id,
    uploaded: kept.map(({ size }) => Option.getOrUndefined(size)),
    read,
    stdout: run.stdout.text,
    stderr: run.stderr.text,
    missing: missing._tag,
    lines,
    exitCode: live.exitCode,
    tags: live.tags
  }
})

const run: Page.Program = ({ token, url }) =>
  program.pipe(
    Effect.provide(
      ContreeClient.layerWith({ baseUrl: url, token: Redacted.make(token) }).pipe(Layer.provide(FetchHttpClient.layer))
    ),
    Effect.runPromise
  )

Object.assign(globalThis, { program: run })
