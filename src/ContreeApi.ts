/**
 * The wire contract of ConTree, declared once: client, server and OpenAPI document follow from it.
 *
 * @since 0.1.0
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import { AccountGroup } from "./api/Account.js"
import { failure } from "./api/Failure.js"
import { ImagesGroup } from "./api/Images.js"
import { InspectGroup } from "./api/Inspect.js"
import { InstancesGroup } from "./api/Instances.js"
import { OperationsGroup } from "./api/Operations.js"

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
   * The body of a spawn request.
   *
   * @since 0.1.0
   * @category schemas
   */
  SpawnRequest
} from "./api/Instances.js"
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
 * The check of the caller's bearer token, done by a server on every request.
 *
 * @since 0.1.0
 * @category tags
 */
export class Authorization extends HttpApiMiddleware.Tag<Authorization>()("effect-contree/ContreeApi/Authorization", {
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
  .add(AccountGroup)
  .add(ImagesGroup)
  .add(InspectGroup)
  .add(InstancesGroup)
  .add(OperationsGroup)
  .addError(failure(400, "The request is not valid"))
  .addError(failure(403, "The token may not do this"))
  .addError(failure(500, "The server failed"))
  .addError(failure(503, "The server cannot do this now"))
  .middleware(Authorization)
  .prefix("/v1")
  .annotate(OpenApi.Title, "ConTree")
  .annotate(OpenApi.Version, "1.0.0") {}
