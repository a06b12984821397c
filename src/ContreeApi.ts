/**
 * The wire contract of ConTree, declared once: client, server and OpenAPI document follow from it.
 *
 * @since 0.1.0
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import { AccountGroup, Caller } from "./api/Account.js"
import { failure } from "./api/Failure.js"
import { FilesGroup } from "./api/Files.js"
import { ImagesGroup } from "./api/Images.js"
import { InspectGroup } from "./api/Inspect.js"
import { InstancesGroup } from "./api/Instances.js"
import { OperationsGroup } from "./api/Operations.js"
import { SubprocessesGroup } from "./api/Subprocesses.js"

export {
  /**
   * The caller's token, what it may do, and its limits.
   *
   * @since 0.1.0
   * @category schemas
   */
  WhoAmI
} from "./api/Account.js"
export {
  /**
   * A failed request as the API reports it.
   *
   * @since 0.1.0
   * @category errors
   */
  ApiFailure
} from "./api/Failure.js"
export {
  /**
   * How an image came to be: made by a run, or imported from a registry.
   *
   * @since 0.1.0
   * @category schemas
   */
  ImageKind,
  /**
   * An image as the service describes it.
   *
   * @since 0.1.0
   * @category schemas
   */
  ImageRecord,
  /**
   * The id of an operation: a UUID.
   *
   * @since 0.1.0
   * @category schemas
   */
  OperationId,
  /**
   * Name and password for a registry.
   *
   * @since 0.1.0
   * @category schemas
   */
  RegistryCredentials
} from "./api/Images.js"
export {
  /**
   * An event of an instance.
   *
   * @since 0.1.0
   * @category schemas
   */
  InstanceEvent
} from "./api/Events.js"
export {
  /**
   * The id of an uploaded file: a UUID.
   *
   * @since 0.1.0
   * @category schemas
   */
  FileId,
  /**
   * An uploaded file as the service keeps it.
   *
   * @since 0.1.0
   * @category schemas
   */
  FileRecord,
  /**
   * The SHA-256 digest of a file's content.
   *
   * @since 0.1.0
   * @category schemas
   */
  Sha256,
  /**
   * The answer to an upload.
   *
   * @since 0.1.0
   * @category schemas
   */
  UploadReceipt
} from "./api/Files.js"
export {
  /**
   * A file, folder or link of an image.
   *
   * @since 0.1.0
   * @category schemas
   */
  FileItem,
  /**
   * A line that a search found.
   *
   * @since 0.1.0
   * @category schemas
   */
  GrepMatch,
  /**
   * What is searched for in an image.
   *
   * @since 0.1.0
   * @category schemas
   */
  GrepQuery,
  /**
   * What a search found.
   *
   * @since 0.1.0
   * @category schemas
   */
  GrepResult
} from "./api/Inspect.js"
export {
  /**
   * An uploaded file as it is placed into an instance.
   *
   * @since 0.1.0
   * @category schemas
   */
  PlacedFile,
  /**
   * The body of a spawn request.
   *
   * @since 0.1.0
   * @category schemas
   */
  SpawnRequest
} from "./api/Instances.js"
export {
  /**
   * What is started in a running instance.
   *
   * @since 0.1.0
   * @category schemas
   */
  ExecRequest,
  /**
   * The number of a process in its instance.
   *
   * @since 0.1.0
   * @category schemas
   */
  ProcessNumber
} from "./api/Subprocesses.js"
export {
  /**
   * An operation with everything that is known of it.
   *
   * @since 0.1.0
   * @category schemas
   */
  OperationDetail,
  /**
   * The kind of an operation.
   *
   * @since 0.1.0
   * @category models
   */
  type OperationKind,
  /**
   * The state of an operation.
   *
   * @since 0.1.0
   * @category models
   */
  type OperationStatus,
  /**
   * An operation as listings give it.
   *
   * @since 0.1.0
   * @category schemas
   */
  OperationSummary,
  /**
   * What a run consumed.
   *
   * @since 0.1.0
   * @category schemas
   */
  ProcessResources,
  /**
   * The result of a run's main process.
   *
   * @since 0.1.0
   * @category schemas
   */
  ProcessResult
} from "./api/Operations.js"

/**
 * The check of the caller's bearer token, done by a server on every request to an endpoint.
 *
 * @since 0.1.0
 * @category tags
 */
export class Authorization extends HttpApiMiddleware.Tag<Authorization>()("effect-contree/ContreeApi/Authorization", {
  provides: Caller,
  failure: failure(401, "The bearer token is missing or unknown"),
  security: { bearer: HttpApiSecurity.bearer }
}) {}

/**
 * The API under `/v1`.
 *
 * @since 0.1.0
 * @category schemas
 */
export class ContreeApi extends HttpApi.make("contree")
  .add(AccountGroup.middleware(Authorization))
  .add(FilesGroup.middleware(Authorization))
  .add(ImagesGroup.middleware(Authorization))
  .add(InspectGroup.middleware(Authorization))
  .add(InstancesGroup.middleware(Authorization))
  .add(OperationsGroup.middleware(Authorization))
  .add(SubprocessesGroup.middleware(Authorization))
  .addError(failure(400, "The request is not valid"))
  .addError(failure(403, "The token may not do this"))
  .addError(failure(429, "Too many requests at once; nothing was started"))
  .addError(failure(500, "The server failed"))
  .addError(failure(503, "The server cannot do this now"))
  .prefix("/v1")
  .annotate(OpenApi.Title, "ConTree")
  .annotate(OpenApi.Version, "1.0.0") {}
