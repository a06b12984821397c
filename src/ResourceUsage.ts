/**
 * What a command consumed, as typed quantities.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { EventResources } from "./api/Events.js"
import type { ProcessResources } from "./api/Operations.js"

/**
 * What a command consumed; none where the server cannot tell.
 *
 * - `userTime`, `systemTime`: processor time in the command's own code and in the kernel for it.
 * - `elapsed`: wall time.
 * - `maxMemoryBytes`: the most physical memory that it held at once.
 * - `pageFaults`: those served from memory; `pageFaultsFromDisk`: those that had to wait for the disk.
 * - `blockReads`, `blockWrites`: operations on the disk.
 * - `voluntarySwitches`, `involuntarySwitches`: how often it gave the processor away, or lost it.
 * - `cost`: in the service's own unit.
 *
 * @since 0.1.0
 * @category models
 */
export class ResourceUsage extends Data.Class<{
  readonly userTime: Option.Option<Duration.Duration>
  readonly systemTime: Option.Option<Duration.Duration>
  readonly elapsed: Option.Option<Duration.Duration>
  readonly maxMemoryBytes: Option.Option<number>
  readonly sharedMemoryBytes: Option.Option<number>
  readonly unsharedMemoryBytes: Option.Option<number>
  readonly pageFaults: Option.Option<number>
  readonly pageFaultsFromDisk: Option.Option<number>
  readonly blockReads: Option.Option<number>
  readonly blockWrites: Option.Option<number>
  readonly swaps: Option.Option<number>
  readonly signals: Option.Option<number>
  readonly voluntarySwitches: Option.Option<number>
  readonly involuntarySwitches: Option.Option<number>
  readonly cost: Option.Option<number>
}> {
  /** Processor time altogether; none unless both of its parts are known. */
  get cpuTime(): Option.Option<Duration.Duration> {
    return Option.zipWith(this.userTime, this.systemTime, Duration.sum)
  }
}

/** The service says -1 where it cannot tell. */
const known = (value: number | undefined): Option.Option<number> =>
  Option.filter(Option.fromNullable(value), (value) => value >= 0)

const kibibytes = (value: number | undefined): Option.Option<number> => Option.map(known(value), (kib) => kib * 1024)

const seconds = (value: number): Option.Option<Duration.Duration> => Option.map(known(value), Duration.seconds)

const micros = (value: number | undefined): Option.Option<Duration.Duration> =>
  Option.map(known(value), (micros) => Duration.millis(micros / 1000))

/**
 * Reads the figures that an operation's result has.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromProcessResources = (resources: typeof ProcessResources.Type): ResourceUsage =>
  new ResourceUsage({
    userTime: seconds(resources.userCpuTime),
    systemTime: seconds(resources.systemCpuTime),
    elapsed: seconds(resources.elapsedTime),
    maxMemoryBytes: kibibytes(resources.maxRss),
    sharedMemoryBytes: kibibytes(resources.sharedMemory),
    unsharedMemoryBytes: kibibytes(resources.unsharedMemory),
    pageFaults: known(resources.pageFaults),
    pageFaultsFromDisk: known(resources.pageFaultsIo),
    blockReads: known(resources.blockInput),
    blockWrites: known(resources.blockOutput),
    swaps: known(resources.swaps),
    signals: known(resources.signals),
    voluntarySwitches: known(resources.voluntarySwitches),
    involuntarySwitches: known(resources.involuntarySwitches),
    cost: known(resources.cost)
  })

/**
 * Reads the figures that the event of a process's exit has.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromEventResources = (
  resources: typeof EventResources.Type,
  elapsed: Option.Option<Duration.Duration> = Option.none()
): ResourceUsage =>
  new ResourceUsage({
    userTime: micros(resources.userTimeMicros),
    systemTime: micros(resources.systemTimeMicros),
    elapsed,
    maxMemoryBytes: kibibytes(resources.maxRss),
    sharedMemoryBytes: kibibytes(resources.sharedMemory),
    unsharedMemoryBytes: kibibytes(resources.unsharedMemory),
    pageFaults: known(resources.minorFaults),
    pageFaultsFromDisk: known(resources.majorFaults),
    blockReads: known(resources.blockInput),
    blockWrites: known(resources.blockOutput),
    swaps: known(resources.swaps),
    signals: known(resources.signals),
    voluntarySwitches: known(resources.voluntarySwitches),
    involuntarySwitches: known(resources.involuntarySwitches),
    cost: Option.none()
  })
