/** A call of each endpoint for something that is not there. */
import { Effect, Schema, Stream } from "effect"
import type { Permission } from "../../src/api/Account.js"
import { Sha256 } from "../../src/api/Files.js"
import { OperationId } from "../../src/api/Images.js"
import { ProcessNumber } from "../../src/api/Subprocesses.js"
import { ContreeClient } from "../../src/ContreeClient.js"
import type { StartError } from "../../src/ContreeError.js"
import { ImageId } from "../../src/ImageId.js"
import { ImageTag } from "../../src/ImageTag.js"

const nothing = "00000000-0000-4000-8000-000000000006"
const image = Schema.decodeSync(ImageId)(nothing)
const operation = Schema.decodeSync(OperationId)(nothing)
const tag = Schema.decodeSync(ImageTag)("nothing:0")
const sha256 = Schema.decodeSync(Sha256)("0".repeat(64))
const process = Schema.decodeSync(ProcessNumber)(1)

export interface EndpointCall {
  /** Any one of these is enough. */
  readonly permissions: ReadonlyArray<Permission>
  /** How a caller that may do it learns that there is nothing: by an error, by `false`, or not at all. */
  readonly missing: "NotFound" | "false" | "nothing"
  readonly call: Effect.Effect<unknown, StartError, ContreeClient>
}

const call = (
  permissions: ReadonlyArray<Permission>,
  missing: EndpointCall["missing"],
  call: (client: ContreeClient.Service) => Effect.Effect<unknown, StartError>
): EndpointCall => ({ permissions, missing, call: Effect.flatMap(ContreeClient, call) })

const runs = ["spawn", "spawn_disposable"] as const

export const endpoints: Readonly<Record<string, EndpointCall>> = {
  "images.list": call(["list"], "nothing", ({ images }) => images.list({})),
  "images.import": call(["import"], "nothing", ({ images }) =>
    images.import({ registry: { url: "docker://127.0.0.1:1/nothing:0" } })
  ),
  "images.tag": call(["set_image_tag"], "NotFound", ({ images }) => images.tag(image, tag)),
  "images.untag": call(["set_image_tag"], "NotFound", ({ images }) => images.untag(image, tag)),
  "files.upload": call(runs, "nothing", ({ files }) => files.upload(new Uint8Array(1))),
  "files.list": call(["list"], "nothing", ({ files }) => files.list({})),
  "files.get": call(["list"], "NotFound", ({ files }) => files.get(sha256)),
  "files.exists": call(["list"], "false", ({ files }) => files.exists(sha256)),
  "inspect.byTag": call(["list"], "NotFound", ({ inspect }) => inspect.byTag(tag)),
  "inspect.byId": call(["list"], "NotFound", ({ inspect }) => inspect.byId(image)),
  "inspect.list": call(["list"], "NotFound", ({ inspect }) => inspect.list(image, "/")),
  "inspect.download": call(["list"], "NotFound", ({ inspect }) => Stream.runDrain(inspect.download(image, "/x"))),
  "inspect.hasDownload": call(["list"], "NotFound", ({ inspect }) => inspect.hasDownload(image, "/x")),
  "inspect.archive": call(["list"], "NotFound", ({ inspect }) => Stream.runDrain(inspect.archive(image, "/x"))),
  "inspect.hasArchive": call(["list"], "NotFound", ({ inspect }) => inspect.hasArchive(image, "/x")),
  "inspect.grep": call(["list"], "NotFound", ({ inspect }) => inspect.grep(image, { pattern: ["x"] })),
  "instances.spawn": call(["spawn"], "NotFound", ({ instances }) => instances.spawn({ image, command: "true" })),
  "instances.spawn, disposable": call(["spawn_disposable"], "NotFound", ({ instances }) =>
    instances.spawn({ image, command: "true", disposable: true })
  ),
  "operations.list": call(["list"], "nothing", ({ operations }) => operations.list({})),
  "operations.get": call(["list"], "NotFound", ({ operations }) => operations.get(operation)),
  "operations.cancel": call(["cancel"], "NotFound", ({ operations }) => operations.cancel(operation)),
  "operations.events": call(["list"], "NotFound", ({ operations }) => Stream.runDrain(operations.events(operation))),
  // Who follows must be one who could have started it: no permission is enough by itself.
  "operations.events, followed": call([], "NotFound", ({ operations }) =>
    Stream.runDrain(operations.events(operation, { follow: true }))
  ),
  "subprocesses.start": call(runs, "NotFound", ({ subprocesses }) =>
    subprocesses.start(operation, { command: "true" })
  ),
  "subprocesses.get": call(["list"], "NotFound", ({ subprocesses }) => subprocesses.get(operation, process)),
  "subprocesses.signal": call(runs, "NotFound", ({ subprocesses }) => subprocesses.signal(operation, process)),
  "subprocesses.writeStdin": call(runs, "NotFound", ({ subprocesses }) =>
    subprocesses.writeStdin(operation, process, { bytes: new Uint8Array(0), close: true })
  )
}
