/**
 * ConTree sandboxes for Effect programs: references, the typed client, and the verbs of a pipeline.
 *
 * @since 0.1.0
 */
export * as Command from "./Command.js"
export * as ContreeApi from "./ContreeApi.js"
export * as ContreeClient from "./ContreeClient.js"
export * as ContreeConfig from "./ContreeConfig.js"
export * as ContreeError from "./ContreeError.js"
export * as ContreeMetrics from "./ContreeMetrics.js"
export * as FileUpload from "./FileUpload.js"
export * as Hasher from "./Hasher.js"
export * as Image from "./Image.js"
export * as ImageFiles from "./ImageFiles.js"
export * as ImageId from "./ImageId.js"
export * as ImageRef from "./ImageRef.js"
export * as ImageTag from "./ImageTag.js"
export * as Instance from "./Instance.js"
export * as InstanceEvent from "./InstanceEvent.js"
export * as InvalidImageRef from "./InvalidImageRef.js"
export * as OciReference from "./OciReference.js"
export * as Operation from "./Operation.js"
export * as ResourceUsage from "./ResourceUsage.js"
export * as RetryPolicy from "./RetryPolicy.js"
export * as Run from "./Run.js"
export * as Subprocess from "./Subprocess.js"
export * as WaitPolicy from "./WaitPolicy.js"
