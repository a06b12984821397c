/**
 * Search in the files of an image with ripgrep, which is asked as a program of its own: what a pattern means is what
 * ripgrep says, a search takes time in proportion to what is searched whatever the pattern, and it ends when nobody
 * waits for it any more.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { GrepQuery, GrepResult } from "../api/Inspect.js"
import type { ImagePathError } from "./ImagePathError.js"
import type { OpenImage } from "./ImageView.js"
import * as ImagePath from "./internal/imagePath.js"
import * as Tree from "./internal/overlayFileSystem.js"
import * as SearchOutput from "./internal/searchOutput.js"
import * as SystemTool from "./internal/systemTool.js"
import type { LayerStoreError } from "./LayerStoreError.js"

/**
 * A search that could not be done.
 *
 * - `Invalid`: a pattern or a glob is not one; the detail names it.
 * - `TooMuch`: a line is too long to be held in memory.
 * - `Missing`: there is no ripgrep on this machine.
 * - `Failed`: ripgrep could not be run.
 *
 * @since 0.1.0
 * @category errors
 */
export class ImageSearchError extends Schema.TaggedError<ImageSearchError>("effect-contree/local/ImageSearchError")(
  "ImageSearchError",
  {
    reason: Schema.Literal("Invalid", "TooMuch", "Missing", "Failed"),
    detail: Schema.String
  }
) {
  override get message(): string {
    return this.detail
  }
}

/**
 * Service that searches images.
 *
 * @since 0.1.0
 * @category tags
 */
export class ImageSearch extends Context.Tag("effect-contree/local/ImageSearch")<ImageSearch, ImageSearch.Service>() {}

/**
 * The types of the service.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace ImageSearch {
  /**
   * Searches images.
   *
   * @since 0.1.0
   * @category models
   */
  interface Service {
    /**
     * Searches the files of an image, in the order of their paths. Hidden files are searched and ignore files
     * disregarded; links are not followed, except those of the paths themselves; files with a NUL byte are left out.
     * `truncated` says that there is more than `maxTotal`, or than one answer can hold.
     */
    readonly search: (
      image: OpenImage,
      query: typeof GrepQuery.Type
    ) => Effect.Effect<typeof GrepResult.Type, ImageSearchError | ImagePathError | LayerStoreError>
  }
}

/** How many searches go on at once. */
const AT_ONCE = 2

/** What ripgrep says of one line; a longer one is left out, since taking it apart would hold up everyone else. */
const MAX_EVENT_BYTES = 8 * 1024 * 1024

/** A line without an end is gathered in memory: no more of it than this. */
const MEMORY_KIB = 4 * 1024 * 1024

const COMPLAINT = 2000

/** The program that `@vscode/ripgrep` brings, where it is installed, else the machine's own. */
const findProgram = Effect.tryPromise(() => import("@vscode/ripgrep")).pipe(
  Effect.map(({ rgPath }) => Option.some(rgPath)),
  Effect.orElse(() => SystemTool.find("rg"))
)

const cases = { sensitive: "--case-sensitive", insensitive: "--ignore-case", smart: "--smart-case" } as const

const words = (query: typeof GrepQuery.Type): ReadonlyArray<string> => [
  "--no-config",
  "--json",
  "--hidden",
  "--no-ignore",
  "--no-messages",
  "--no-mmap",
  // One file after the other: an answer that is cut is cut at the same place every time.
  "--sort=path",
  cases[query.case ?? "sensitive"],
  `--before-context=${query.before ?? 0}`,
  `--after-context=${query.after ?? 0}`,
  ...(query.maxCount === undefined ? [] : [`--max-count=${query.maxCount}`]),
  ...(query.glob ?? []).map((glob) => `--glob=${glob}`),
  ...query.pattern.map((pattern) => `--regexp=${pattern}`)
]

const quoted = (texts: ReadonlyArray<string>): string => texts.map((text) => `"${text}"`).join(", ")

/** A place to search, as ripgrep gets it and as the answer names it. */
interface Target {
  readonly word: string
  readonly path: string
}

const below = (root: string, path: string, to: string): Option.Option<string> =>
  path === root
    ? Option.some(to)
    : path.startsWith(root.endsWith("/") ? root : `${root}/`)
      ? Option.some(`${to === "/" ? "" : to}/${path.slice(root.length).replace(/^\//, "")}`)
      : Option.none()

/**
 * Makes the service.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<ImageSearch.Service, never, CommandExecutor.CommandExecutor | FileSystem.FileSystem> =
  Effect.gen(function* () {
    const executor = yield* CommandExecutor.CommandExecutor
    const fs = yield* FileSystem.FileSystem
    const program = yield* Effect.cached(Effect.provideService(findProgram, FileSystem.FileSystem, fs))
    const turn = yield* Effect.makeSemaphore(AT_ONCE)

    const targetsOf = Effect.fnUntraced(function* (image: OpenImage, paths: ReadonlyArray<string>) {
      const root = Tree.bytePath(image.root)
      const targets = yield* Effect.forEach(
        new Set(paths.map((path) => (path.startsWith("/") ? ImagePath.normalize(path) : path))),
        (path) =>
          Effect.map(ImagePath.lookup(root, path), (place): ReadonlyArray<Target> => {
            const inside = place.path.slice(root.length)
            return place.stats.isDirectory() || place.stats.isFile()
              ? [{ word: `.${inside === "" ? "/" : Tree.display(Tree.latin1(inside))}`, path }]
              : []
          })
      )
      return targets.flat()
    })

    /** Feeds the answer until it is full or ripgrep has said everything. Without a summary ripgrep has refused to start. */
    const run = (
      query: typeof GrepQuery.Type,
      command: Command.Command,
      output: ReturnType<typeof SearchOutput.collector>
    ) =>
      Effect.gen(function* () {
        const split = SearchOutput.lineSplitter(MAX_EVENT_BYTES)
        const process = yield* Command.start(command)
        const complaint = yield* process.stderr.pipe(
          Stream.decodeText(),
          Stream.runFold("", (all, part) => (all + part).slice(0, COMPLAINT)),
          Effect.forkScoped
        )
        let full = false
        yield* process.stdout.pipe(
          Stream.mapConcat(split),
          Stream.runForEachWhile((line) =>
            Effect.sync(() => {
              full = !output.take(line)
              return !full
            })
          )
        )
        if (full || output.finished()) return
        const said = (yield* Fiber.join(complaint)).trim().replace(/^rg: /, "")
        // Killed, or out of memory: a shell gives such an end a code above 128.
        const code = yield* Effect.orElseSucceed(process.exitCode, () => 255)
        return yield* code === 2
          ? new ImageSearchError({
              reason: "Invalid",
              detail: `pattern ${quoted(query.pattern)}${(query.glob ?? []).length > 0 ? ` or glob ${quoted(query.glob ?? [])}` : ""}: ${said}`
            })
          : new ImageSearchError({
              reason: "TooMuch",
              detail: `The search needs more memory than it may have: search a narrower path. ${said}`.trim()
            })
      }).pipe(
        Effect.scoped,
        Effect.catchTags({
          BadArgument: (error) => Effect.fail(new ImageSearchError({ reason: "Failed", detail: error.message })),
          SystemError: (error) => Effect.fail(new ImageSearchError({ reason: "Failed", detail: error.message }))
        }),
        Effect.provideService(CommandExecutor.CommandExecutor, executor)
      )

    const search = Effect.fn("ImageSearch.search")(function* (image: OpenImage, query: typeof GrepQuery.Type) {
      if ([...query.pattern, ...(query.glob ?? [])].some((text) => text.includes("\0"))) {
        return yield* new ImageSearchError({
          reason: "Invalid",
          detail: "pattern and glob cannot contain a NUL character"
        })
      }
      const paths = query.path === undefined || query.path.length === 0 ? ["/"] : query.path
      const targets = yield* targetsOf(image, paths)
      // The innermost first, which is the one that a result below several belongs to.
      const innermost = [...targets].sort((a, b) => b.word.length - a.word.length)
      const output = SearchOutput.collector({
        maxTotal: query.maxTotal ?? 1000,
        after: query.after ?? 0,
        pathOf: (shown) =>
          Option.getOrElse(Option.firstSomeOf(innermost.map(({ path, word }) => below(word, shown, path))), () =>
            shown.slice(1)
          )
      })
      const rg = yield* program
      if (Option.isNone(rg)) {
        return yield* new ImageSearchError({
          reason: "Missing",
          detail:
            "The engine's machine has no ripgrep: npm install @vscode/ripgrep, or install the system's package ripgrep"
        })
      }
      if (targets.length > 0) {
        const command = Command.make(
          "sh",
          "-c",
          `ulimit -v ${MEMORY_KIB}; exec "$0" "$@"`,
          rg.value,
          ...words(query),
          "--",
          ...targets.map(({ word }) => word)
        ).pipe(Command.workingDirectory(image.root), Command.env({ LC_ALL: "C" }))
        yield* turn.withPermits(1)(run(query, command, output))
      }
      return { path: paths[0] ?? "/", patterns: query.pattern, ...output.result() }
    })

    return { search }
  })

/**
 * The service, with ripgrep looked for at the first search.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ImageSearch, never, CommandExecutor.CommandExecutor | FileSystem.FileSystem> =
  Layer.effect(ImageSearch, make)
