/**
 * The parts of the engine put together for one data folder, inside the worker's mount namespace.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Database from "../Database.js"
import * as DockerConfig from "../DockerConfig.js"
import * as Engine from "../Engine.js"
import type { EngineConfig } from "../EngineConfig.js"
import * as EventLog from "../EventLog.js"
import * as FileStore from "../FileStore.js"
import * as GarbageCollector from "../GarbageCollector.js"
import * as ImageSearch from "../ImageSearch.js"
import * as ImageStore from "../ImageStore.js"
import * as ImageView from "../ImageView.js"
import * as Importer from "../Importer.js"
import * as Instances from "../Instances.js"
import * as LayerSquash from "../LayerSquash.js"
import * as LayerStore from "../LayerStore.js"
import * as MountNamespace from "../MountNamespace.js"
import * as OperationStore from "../OperationStore.js"
import * as RegistryClient from "../RegistryClient.js"
import * as Sandbox from "../Sandbox.js"
import * as Scheduler from "../Scheduler.js"
import * as Squasher from "../Squasher.js"
import * as Machine from "./machine.js"

const importer = (directory: string) =>
  Layer.unwrapEffect(
    Effect.map(Effect.all([MountNamespace.MountNamespace, Path.Path]), ([{ idShift, ownership }, path]) =>
      Importer.layer({
        temporary: path.join(directory, "t"),
        idShift,
        ownership: ownership === "single" ? "single" : "full"
      })
    )
  )

const registries = ({ dockerConfig, insecureRegistries, mirrors }: EngineConfig) =>
  Layer.unwrapEffect(
    Effect.map(FileSystem.FileSystem, (fs) =>
      RegistryClient.layer({
        mirrors,
        insecureRegistries,
        credentialsOf:
          dockerConfig === undefined
            ? undefined
            : (registry) =>
                Effect.provideService(DockerConfig.credentials(dockerConfig, registry), FileSystem.FileSystem, fs)
      })
    )
  )

/** Frees what nobody needs from time to time, where that is asked for. */
const collecting = (config: EngineConfig) =>
  config.gcIntervalSeconds === undefined
    ? Layer.empty
    : GarbageCollector.collect(config.dataDirectory, {
        apply: true,
        keepRecent: Duration.seconds(config.gcKeepRecentSeconds),
        publicProject: config.publicProject
      }).pipe(
        Effect.flatMap((garbage) =>
          garbage.images === 0
            ? Effect.void
            : Effect.logInfo(`freed ${garbage.images} images and ${garbage.layers} layers, ${garbage.layerBytes} bytes`)
        ),
        Effect.catchAll((error) => Effect.logWarning("what nobody needs could not be freed", error)),
        Effect.schedule(Schedule.spaced(Duration.seconds(config.gcIntervalSeconds))),
        Effect.forkScoped,
        Layer.scopedDiscard
      )

/** `keep` names the paths that the worker's program needs, so that no mount hides them. */
export const layer = (config: EngineConfig, keep: ReadonlyArray<string>) => {
  const directory = config.dataDirectory
  return Engine.layer(config).pipe(
    Layer.merge(collecting(config)),
    Layer.provideMerge(Squasher.layer(config.squashDepth)),
    Layer.provideMerge(
      Scheduler.layer({
        maxConcurrency: config.maxConcurrency,
        maxImportConcurrency: config.maxImportConcurrency,
        maxQueued: config.maxQueued
      })
    ),
    Layer.provide(importer(directory)),
    Layer.provide(registries(config)),
    Layer.provideMerge(
      Sandbox.layer({
        maxConcurrency: config.maxConcurrency,
        launcher: config.launcher === "auto" ? undefined : config.launcher,
        network: config.network,
        nameServers: config.nameServers,
        limits: {
          memoryBytes: config.memoryLimitBytes,
          processes: config.processLimit,
          openFiles: config.openFilesLimit,
          fileSizeBytes: config.fileSizeLimitBytes,
          cpuSeconds: config.cpuTimeLimitSeconds
        }
      })
    ),
    Layer.provide(LayerSquash.layer),
    Layer.provideMerge(Layer.merge(ImageView.layer, ImageSearch.layer)),
    Layer.provideMerge(
      Layer.mergeAll(
        ImageStore.layer({ publicProject: config.publicProject }),
        OperationStore.layer,
        EventLog.layer({ directory }),
        Instances.layer,
        Machine.layer,
        FileStore.layer({ directory, maxUploadBytes: config.maxUploadBytes, durable: config.durability === "power" })
      )
    ),
    Layer.provideMerge(
      LayerStore.layer({ directory, known: ImageStore.knownLayers, durable: config.durability === "power" })
    ),
    Layer.provideMerge(MountNamespace.layer({ directory, keep })),
    // First of all: it says when another engine works on the folder, before that one's files are touched.
    Layer.provideMerge(Database.layer(directory, { durability: config.durability }))
  )
}
