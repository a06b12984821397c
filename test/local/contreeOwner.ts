/** A program that owns an engine and runs a command on it that does not end; the suite kills it. */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Schema } from "effect"
import * as Command from "../../src/Command.js"
import * as Image from "../../src/Image.js"
import * as LocalContree from "../../src/local/LocalContree.js"

const [dataDirectory = "", registry = "", seconds = ""] = Schema.decodeUnknownSync(Schema.Array(Schema.String))(
  process.argv.slice(2)
)

Effect.gen(function* () {
  const image = yield* Image.oci("busybox:latest")
  return yield* Image.run(image, Command.shell(`echo x > /x; (setsid sleep ${seconds} &) ; exec sleep ${seconds}`))
}).pipe(
  Effect.provide(
    LocalContree.layerWith({ dataDirectory, mirrors: [{ registry: "docker.io", url: `http://${registry}` }] })
  ),
  NodeRuntime.runMain
)
