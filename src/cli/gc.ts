/**
 * `effect-contree gc`: frees the images that nobody needs, and what only they had.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { displayBytes } from "../local/DiskUsage.js"
import type { Garbage } from "../local/GarbageCollector.js"
import { age } from "./age.js"
import * as Maintenance from "./maintenance.js"

const options = {
  dataDir: Maintenance.dataDir,
  apply: Options.boolean("apply").pipe(
    Options.withDescription("Free it; without this gc only says what it would free")
  ),
  keepRecent: age("keep-recent").pipe(
    Options.withDescription("Images made or used within this time stay: 12h, 7d (default)"),
    Options.withDefault(Duration.days(7))
  ),
  operationsOlderThan: age("operations-older-than").pipe(
    Options.withDescription("Also forget operations that are over and this old"),
    Options.optional
  ),
  filesOlderThan: age("files-older-than").pipe(
    Options.withDescription("Also forget uploaded files whose last upload is this long ago"),
    Options.optional
  ),
  publicProject: Options.text("public-project").pipe(
    Options.withDescription("The project whose images all stay (as serve was told)"),
    Options.optional
  )
}

const sentence = (garbage: Garbage, apply: boolean) =>
  `${apply ? "freed" : "would free"} ${garbage.images} images, ${garbage.layers} layers (${displayBytes(garbage.layerBytes)}), ` +
  `${garbage.operations} operations, ${garbage.files} files (${displayBytes(garbage.fileBytes)})` +
  (apply ? "" : "; --apply does it")

/**
 * The command `gc`.
 */
export const gc = Command.make("gc", options, (given) =>
  Effect.gen(function* () {
    const answer = yield* Maintenance.carryOut({
      _tag: "Collect",
      directory: yield* Maintenance.directoryOf(given.dataDir),
      options: {
        apply: given.apply,
        keepRecent: given.keepRecent,
        operationsOlderThan: Option.getOrUndefined(given.operationsOlderThan),
        filesOlderThan: Option.getOrUndefined(given.filesOlderThan),
        publicProject: Option.getOrUndefined(given.publicProject)
      }
    })
    if (answer._tag === "Collected") yield* Console.log(sentence(answer.garbage, given.apply))
  })
).pipe(
  Command.withDescription(
    "Free images without a tag that were not used lately. No engine may work on the folder: one that runs frees by itself with --gc-interval"
  )
)
