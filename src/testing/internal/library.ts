/** Images, tags and uploaded files of the double: what there is, and what a listing shows of it. */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { ApiFailure } from "../../api/Failure.js"
import { type FileId, FileRecord, type Sha256 } from "../../api/Files.js"
import { type ImageKind, ImageRecord, type OperationId } from "../../api/Images.js"
import * as ImageId from "../../ImageId.js"
import * as ImageTag from "../../ImageTag.js"
import type { FileTree } from "../FileTree.js"
import { refuse } from "./refusal.js"

/** An image; `origin` is what it was imported from. */
export interface StoredImage {
  readonly id: ImageId.ImageId
  readonly kind: ImageKind
  readonly files: FileTree
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly operationId: Option.Option<OperationId>
  readonly createdAt: DateTime.Utc
  readonly origin: unknown
}

/** An uploaded file. */
export interface StoredFile {
  readonly id: FileId
  readonly sha256: Sha256
  readonly bytes: Uint8Array
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

/** All images and uploads, the oldest first, and the tags with the number of the move that gave them. */
export interface Library {
  readonly images: ReadonlyArray<StoredImage>
  readonly tags: HashMap.HashMap<ImageTag.ImageTag, { readonly image: ImageId.ImageId; readonly move: number }>
  readonly moves: number
  readonly files: ReadonlyArray<StoredFile>
}

export const empty: Library = { images: [], tags: HashMap.empty(), moves: 0, files: [] }

/** The part of a listing that a query asks for. */
export interface Window {
  readonly limit: number
  readonly offset: number
  readonly since: number | undefined
  readonly until: number | undefined
}

/** The rows of a window, newest first. */
export const page = <A extends { readonly createdAt: DateTime.Utc }>(
  rows: ReadonlyArray<A>,
  window: Window,
  wanted: (row: A) => boolean
): ReadonlyArray<A> =>
  rows
    .slice()
    .reverse()
    .filter((row) => {
      const at = DateTime.toEpochMillis(row.createdAt)
      return (
        (window.since === undefined || at >= window.since) &&
        (window.until === undefined || at <= window.until) &&
        wanted(row)
      )
    })
    .slice(window.offset, window.offset + window.limit)

/** Of the tags of an image that start with a text the one that it got last. */
const tagOf = (library: Library, id: ImageId.ImageId, prefix = ""): Option.Option<ImageTag.ImageTag> =>
  Option.fromNullable(
    HashMap.toEntries(library.tags)
      .filter(([tag, { image }]) => image === id && tag.startsWith(prefix))
      .sort(([, a], [, b]) => b.move - a.move)[0]?.[0]
  )

/** An image as the API shows it. */
export const recordOf = (library: Library, image: StoredImage, tag = tagOf(library, image.id)): ImageRecord =>
  new ImageRecord({ id: image.id, tag, createdAt: Option.some(image.createdAt), operationId: image.operationId })

/** An uploaded file as the API shows it. */
export const fileRecordOf = (file: StoredFile): FileRecord =>
  new FileRecord({
    id: file.id,
    sha256: file.sha256,
    size: file.bytes.length,
    createdAt: Option.some(file.createdAt),
    updatedAt: Option.some(file.updatedAt)
  })

/** A page of images, newest first, each under the tag that the query is about. */
export const listImages = (
  library: Library,
  query: Window & {
    readonly tagged?: boolean | undefined
    readonly tagPrefix?: string | undefined
    readonly id?: ImageId.ImageId | undefined
    readonly kind?: ImageKind | undefined
  }
): ReadonlyArray<ImageRecord> =>
  page(
    library.images,
    query,
    (image) =>
      (query.id === undefined || image.id === query.id) &&
      (query.kind === undefined || image.kind === query.kind) &&
      ((query.tagged !== true && query.tagPrefix === undefined) ||
        Option.isSome(tagOf(library, image.id, query.tagPrefix)))
  ).map((image) => recordOf(library, image, tagOf(library, image.id, query.tagPrefix)))

export const imageById = (library: Library, id: ImageId.ImageId): Either.Either<StoredImage, ApiFailure> =>
  Either.fromNullable(
    library.images.find((image) => image.id === id),
    () => refuse(404, `There is no image ${id}`)
  )

export const imageByTag = (library: Library, tag: ImageTag.ImageTag): Either.Either<StoredImage, ApiFailure> =>
  Option.match(HashMap.get(library.tags, tag), {
    onNone: () => Either.left(refuse(404, `There is no image with the tag ${JSON.stringify(tag)}`)),
    onSome: ({ image }) => imageById(library, image)
  })

/** The image that a spawn request names: a UUID, or a tag after `tag:`. */
export const imageByName = (library: Library, name: string): Either.Either<StoredImage, ApiFailure> =>
  name.startsWith("tag:")
    ? Either.flatMap(
        Either.mapLeft(ImageTag.fromString(name.slice(4)), () =>
          refuse(400, `image: ${JSON.stringify(name.slice(4))} is not a valid tag`)
        ),
        (tag) => imageByTag(library, tag)
      )
    : Either.flatMap(
        Either.mapLeft(ImageId.fromString(name), () =>
          refuse(400, `image: ${JSON.stringify(name)} is neither a UUID nor tag:<tag>`)
        ),
        (id) => imageById(library, id)
      )

export const addImage = (library: Library, image: StoredImage): Library => ({
  ...library,
  images: [...library.images, image]
})

/** Gives a tag to an image and takes it from any other. */
export const moveTag = (library: Library, image: ImageId.ImageId, tag: ImageTag.ImageTag): Library => ({
  ...library,
  tags: HashMap.set(library.tags, tag, { image, move: library.moves }),
  moves: library.moves + 1
})

/** Takes one tag from an image, which must have it, or all. */
export const untag = (
  library: Library,
  id: ImageId.ImageId,
  tag: ImageTag.ImageTag | undefined
): Either.Either<Library, ApiFailure> => {
  const tags = HashMap.filter(library.tags, ({ image }, name) => !(image === id && (tag === undefined || name === tag)))
  return tag !== undefined && HashMap.size(tags) === HashMap.size(library.tags)
    ? Either.left(refuse(404, `Image ${id} does not have the tag ${JSON.stringify(tag)}`))
    : Either.right({ ...library, tags })
}

export const fileByDigest = (library: Library, sha256: Sha256): Either.Either<StoredFile, ApiFailure> =>
  Either.fromNullable(
    library.files.find((file) => file.sha256 === sha256),
    () => refuse(404, `No file with the digest ${sha256} was uploaded`)
  )

export const fileById = (library: Library, id: FileId): Option.Option<StoredFile> =>
  Option.fromNullable(library.files.find((file) => file.id === id))

/** Keeps a content; one that is there already keeps its id and is as if uploaded now. */
export const addFile = (library: Library, file: StoredFile): readonly [StoredFile, Library] => {
  const known = library.files.find(({ sha256 }) => sha256 === file.sha256)
  const kept = known === undefined ? file : { ...known, updatedAt: file.updatedAt }
  return [
    kept,
    {
      ...library,
      files: known === undefined ? [...library.files, file] : library.files.map((one) => (one === known ? kept : one))
    }
  ]
}
