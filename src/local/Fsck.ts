/**
 * Whether a data folder is sound: its database, the layers of every image, the contents of uploaded files, and whether
 * anything lies there that nothing lists. No engine may work on the folder meanwhile.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { type DatabaseError, failed } from "./Database.js"
import * as Tree from "./internal/overlayFileSystem.js"
import { LayerName } from "./LayerStore.js"
import type { LayerStoreError } from "./LayerStoreError.js"

/**
 * What may be wrong.
 *
 * - `database`: the file is not sound, or a row is not what the engine writes.
 * - `tag`: it names an image that is not there.
 * - `layer`: a layer of an image is missing or cannot be read.
 * - `squash`: a squashed layer is missing; the image still has its own layers.
 * - `file`: the content of an uploaded file is missing, or is not what its digest says.
 * - `orphan`: something that nothing lists, mostly what a killed engine left; it only takes space.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ProblemKind = Schema.Literal("database", "tag", "layer", "squash", "file", "orphan")

/**
 * One thing that is wrong. `repaired` says that it is no longer so.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Problem = Schema.Struct({
  kind: ProblemKind,
  what: Schema.String,
  detail: Schema.String,
  suggestion: Schema.String,
  repaired: Schema.Boolean
})

/**
 * One thing that is wrong.
 *
 * @since 0.1.0
 * @category models
 */
export type Problem = typeof Problem.Type

/**
 * What was looked at, and what is wrong with it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FsckReport = Schema.Struct({
  images: Schema.Int,
  layers: Schema.Int,
  files: Schema.Int,
  problems: Schema.Array(Problem)
})

/**
 * What was looked at, and what is wrong with it.
 *
 * @since 0.1.0
 * @category models
 */
export type FsckReport = typeof FsckReport.Type

/**
 * How to look.
 *
 * - `directory`: the data folder, absolute.
 * - `repair`: also repairs what costs no data: forgets tags and squashes of nothing and files whose content is damaged,
 *   removes orphans, and has damaged imports pulled anew when they are imported again.
 *
 * @since 0.1.0
 * @category configuration
 */
export interface FsckOptions {
  readonly directory: string
  readonly repair: boolean
}

const Images = Schema.Array(
  Schema.Struct({
    id: Schema.String,
    chain: Schema.parseJson(Schema.Array(LayerName)),
    digest: Schema.NullOr(Schema.String)
  })
)
const Squashes = Schema.Array(Schema.Struct({ top: Schema.String, layer: LayerName, base: LayerName }))
const Files = Schema.Array(Schema.Struct({ sha256: Schema.String, size: Schema.Int }))
const Tags = Schema.Array(Schema.Struct({ tag: Schema.String, image_id: Schema.String }))
const Verdicts = Schema.Array(Schema.Struct({ verdict: Schema.String }))

/** Reads every folder and every file of a layer to its end. */
const readTree = (root: Tree.BytePath): Effect.Effect<void, LayerStoreError> =>
  Effect.gen(function* () {
    const pending = [root]
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      const at = directory
      yield* Effect.forEach(
        yield* Tree.list(at),
        (child) => {
          const path = Tree.join(at, child.name)
          if (child.isDirectory()) pending.push(path)
          return child.isFile() ? Tree.readThrough(path, () => {}) : Effect.void
        },
        { concurrency: Tree.CONCURRENCY, discard: true }
      )
    }
  })

const digestOf = (path: Tree.BytePath): Effect.Effect<string, LayerStoreError> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    return Effect.map(
      Tree.readThrough(path, (piece) => void hash.update(piece)),
      () => hash.digest("hex")
    )
  })

const listOrNothing = (path: Tree.BytePath) =>
  Effect.catchIf(
    Tree.list(path),
    (error) => error.reason === "Missing",
    () => Effect.succeed([])
  )

/**
 * Looks at everything. What is wrong is in the report; it fails only where it cannot look.
 *
 * @since 0.1.0
 * @category constructors
 */
export const check = Effect.fn("Fsck.check")(function* (
  options: FsckOptions
): Effect.fn.Return<FsckReport, DatabaseError | LayerStoreError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const data = Tree.bytePath(options.directory)
  const problems: Array<Problem> = []

  /** Notes a problem, and mends it where that is asked for and can be done. */
  const note = <E extends { readonly message: string }>(
    problem: Omit<Problem, "repaired">,
    repair?: Effect.Effect<unknown, E>
  ) =>
    (options.repair && repair !== undefined
      ? Effect.match(repair, {
          onFailure: (error) => ({
            ...problem,
            detail: `${problem.detail}; not repaired: ${error.message}`,
            repaired: false
          }),
          onSuccess: () => ({ ...problem, repaired: true })
        })
      : Effect.succeed({ ...problem, repaired: false })
    ).pipe(Effect.map((noted) => void problems.push(noted)))

  const rows = <A, I>(
    schema: Schema.Schema<A, I>,
    query: Effect.Effect<ReadonlyArray<unknown>, Parameters<ReturnType<typeof failed>>[0]>
  ) => Effect.mapError(Effect.flatMap(query, Schema.decodeUnknown(schema)), failed("be read"))

  const verdicts = yield* rows(Verdicts, sql`SELECT integrity_check AS verdict FROM pragma_integrity_check`)
  for (const { verdict } of verdicts.filter(({ verdict }) => verdict !== "ok")) {
    yield* note({
      kind: "database",
      what: "contree.db",
      detail: verdict,
      suggestion: "Restore the file from a copy; `sqlite3 contree.db .recover` reads what is left of a damaged one"
    })
  }

  const images = yield* rows(Images, sql`SELECT id, chain, digest FROM images ORDER BY seq`)
  const squashes = yield* rows(Squashes, sql`SELECT top, layer, base FROM squashes`)
  const files = yield* rows(Files, sql`SELECT DISTINCT sha256, size FROM files`)
  const dangling = yield* rows(
    Tags,
    sql`SELECT tag, image_id FROM tags WHERE image_id NOT IN (SELECT id FROM images) ORDER BY tag`
  )
  for (const { image_id, tag } of dangling) {
    yield* note(
      {
        kind: "tag",
        what: tag,
        detail: `it names the image ${image_id}, which is not there`,
        suggestion: "Tag another image"
      },
      sql`DELETE FROM tags WHERE image_id = ${image_id}`
    )
  }

  const layers = Tree.join(data, "l")
  const known = new Set([
    ...images.flatMap(({ chain }) => chain),
    ...squashes.flatMap(({ base, layer }) => [base, layer])
  ])
  const broken = new Map<string, string>()
  for (const name of known) {
    yield* Effect.catchAll(readTree(Tree.join(layers, name)), (error) =>
      Effect.sync(() => broken.set(name, error.reason === "Missing" ? "is missing" : `cannot be read: ${error.detail}`))
    )
  }
  for (const { chain, digest, id } of images) {
    const bad = chain.filter((name) => broken.has(name))
    if (bad.length === 0) continue
    yield* note({
      kind: "layer",
      what: `image ${id}`,
      detail: bad.map((name) => `its layer ${name} ${broken.get(name)}`).join("; "),
      suggestion:
        digest === null
          ? "Make the image again, or restore the folder l of the data folder from a copy"
          : "Import the image again after a repair, or restore the folder l of the data folder from a copy"
    })
    // The image stays, and stays a problem; its digest must not keep a good import away.
    if (options.repair && digest !== null) {
      yield* Effect.mapError(sql`UPDATE images SET digest = NULL WHERE id = ${id}`, failed("be repaired"))
    }
  }
  for (const { base, layer, top } of squashes) {
    const bad = [layer, base].find((name) => broken.has(name))
    if (bad === undefined) continue
    yield* note(
      {
        kind: "squash",
        what: `layer ${layer}`,
        detail: `the layer ${bad} ${broken.get(bad)}, which stands for the layers from ${top} down`,
        suggestion: "Repair: its images are mounted by their own layers then"
      },
      sql`DELETE FROM squashes WHERE top = ${top}`
    )
  }

  const contents = Tree.join(data, "f")
  for (const { sha256 } of files) {
    const found = yield* Effect.either(digestOf(Tree.join(contents, sha256)))
    if (found._tag === "Right" && found.right === sha256) continue
    yield* note(
      {
        kind: "file",
        what: `file ${sha256}`,
        detail:
          found._tag === "Right"
            ? `its content has the digest ${found.right}`
            : found.left.reason === "Missing"
              ? "its content is missing"
              : `its content cannot be read: ${found.left.detail}`,
        suggestion: "Upload the file again"
      },
      sql`DELETE FROM files WHERE sha256 = ${sha256}`
    )
  }

  const orphan = (path: Tree.BytePath, name: string, isDirectory: boolean) =>
    note(
      { kind: "orphan", what: name, detail: "nothing lists it", suggestion: "The next start of the engine removes it" },
      isDirectory ? Tree.removeTree(path) : Tree.unlink(path)
    )
  const listed = new Set<string>([...files.map(({ sha256 }) => sha256), "new"])
  for (const [folder, isKept] of [
    ["l", (name: string) => known.has(LayerName.make(name, { disableValidation: true }))],
    ["r", () => false],
    ["t", () => false],
    ["f", (name: string) => listed.has(name)],
    ["f/new", () => false]
  ] as const) {
    const at = Tree.join(data, folder)
    for (const entry of yield* listOrNothing(at)) {
      const { name } = entry
      if (!isKept(name))
        yield* orphan(Tree.join(at, name), `${folder}/${Buffer.from(name, "latin1").toString()}`, entry.isDirectory())
    }
  }
  return { images: images.length, layers: known.size, files: files.length, problems }
})

/**
 * The report as text: one line for each problem, and one for the whole.
 *
 * @since 0.1.0
 * @category getters
 */
export const render = ({ files, images, layers, problems }: FsckReport): string => {
  const left = problems.filter(({ repaired }) => !repaired).length
  return [
    ...problems.map(
      ({ detail, kind, repaired, suggestion, what }) =>
        `${repaired ? "repaired" : "problem "}  ${kind.padEnd(8)}  ${what}: ${detail}. ${suggestion}`
    ),
    `${images} images, ${layers} layers, ${files} files: ${
      problems.length === 0
        ? "all sound"
        : `${problems.length} problems, ${problems.length - left} repaired, ${left} left`
    }`
  ].join("\n")
}
