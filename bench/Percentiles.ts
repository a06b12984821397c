/** Order statistics of measured times. */

export interface Percentiles {
  readonly count: number
  readonly min: number
  readonly p50: number
  readonly p99: number
}

/** The smallest sample that at least this share of all samples does not exceed (the nearest rank). */
const rank = (sorted: ReadonlyArray<number>, share: number) =>
  sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN

/** Of no samples each is `NaN`. */
export const of = (samples: ReadonlyArray<number>): Percentiles => {
  const sorted = [...samples].sort((a, b) => a - b)
  return { count: sorted.length, min: rank(sorted, 0), p50: rank(sorted, 0.5), p99: rank(sorted, 0.99) }
}
