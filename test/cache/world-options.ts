import type { Cache } from '../../src/cache/cache.ts'
import type { ReadThroughOptions } from '../../src/cache/read-through.ts'
import type { Freshness } from '../../src/database/position.ts'
import type { ModelScripts } from './model-scripts.ts'

/** What is built, and what is done to it. */
export interface WorldOptions {
  readonly seed: number
  readonly steps: number
  readonly store: 'redis' | 'memory' | 'memory of several'
  /** How a process reads through the cache; the product's way unless a variant is to be found wanting. */
  readonly open?: (options: ReadThroughOptions) => Cache
  readonly scripts?: ModelScripts
  /** Committers acknowledge without raising first, and leave that to the outbox. */
  readonly raisesLate?: boolean
  /** Floors that are missing are made at the beginning of time. */
  readonly inventsFloors?: boolean
  /** Another server takes over, and nobody can tell. */
  readonly hidesFailOver?: boolean
  /** Processes that Redis was away for do not notice. */
  readonly hidesOutages?: boolean
  /** Every server at the address of a standby is taken for the one that was asked how far it is. */
  readonly trustsRuns?: boolean
  /** What happens to caches in this world; everything unless left out. */
  readonly disturbances?: readonly string[]
  /** How likely one of them happens in a step. */
  readonly disturbShare?: number
  /** How many reads have a bound. */
  readonly boundedShare?: number
  /** How many of what is begun are commits, the others being reads. */
  readonly commitShare?: number
}

/** What went wrong: a read answered what a commit had replaced. */
export interface Staleness {
  readonly step: number
  readonly process: number
  readonly freshness: Freshness
  readonly cell: string
  readonly seen: number
  readonly wanted: number
}

export interface Outcome {
  readonly stale: readonly Staleness[]
  readonly reads: number
  readonly hits: number
  readonly commits: number
  /** Loads that a standby answered. */
  readonly standbyReads: number
}
