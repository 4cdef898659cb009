/** What a cluster holds dearer: that no acknowledged write is lost, or that writing goes on with one database left. */
export type Preset = 'never-lose' | 'never-stop'

export const PRESETS: readonly Preset[] = ['never-lose', 'never-stop']

/** How soon a leader that does not answer is replaced. */
export type Timing = 'fast' | 'default'

export const TIMINGS: readonly Timing[] = ['fast', 'default']

/** The clock of a cluster, in seconds; Patroni wants `loopWait + 2 * retryTimeout <= ttl`. */
export interface ClusterClock {
  /** After so long without its leader's word somebody else may lead. */
  readonly ttlSeconds: number
  readonly loopWaitSeconds: number
  readonly retryTimeoutSeconds: number
  /** How long a database that crashed is left to recover where it is, before another one takes over. */
  readonly startTimeoutSeconds: number
  /** Between two looks of the balancer; two that fail take a server out. */
  readonly checkIntervalMs: number
  readonly checkTimeoutMs: number
  /** After so long without an answer a Sentinel takes the Redis master for dead. */
  readonly redisDownAfterMs: number
  readonly redisFailoverTimeoutMs: number
}

export const CLOCKS: Readonly<Record<Timing, ClusterClock>> = {
  // For machines close to one another and not overcommitted: a pause of five seconds ends a leader's time.
  fast: {
    ttlSeconds: 5,
    loopWaitSeconds: 1,
    retryTimeoutSeconds: 2,
    startTimeoutSeconds: 5,
    checkIntervalMs: 500,
    checkTimeoutMs: 1_000,
    redisDownAfterMs: 1_000,
    redisFailoverTimeoutMs: 3_000,
  },
  default: {
    ttlSeconds: 30,
    loopWaitSeconds: 10,
    retryTimeoutSeconds: 10,
    startTimeoutSeconds: 30,
    checkIntervalMs: 1_000,
    checkTimeoutMs: 2_000,
    redisDownAfterMs: 5_000,
    redisFailoverTimeoutMs: 10_000,
  },
}

/** What `maximum_lag_on_failover` is unless it is set, in bytes: Patroni's own default. */
export const DEFAULT_MAX_LAG_BYTES = 1_048_576

/** What can be lost with a preset, in one sentence each: printed by the command, and written into what it makes. */
export function describeLoss(preset: Preset, timing: Timing, maxLagBytes: number): string {
  if (preset === 'never-lose')
    return 'No acknowledged write is lost when one machine is: each is on a second one first. Writing stops while there is only one database left.'
  const { ttlSeconds } = CLOCKS[timing]
  return (
    `Writing goes on with one database left. A failover may lose what was acknowledged last: at most ${formatBytes(maxLagBytes)} of ` +
    `write-ahead log (maximum_lag_on_failover) and what is written in ${ttlSeconds} s beside it (ttl); a standby further behind is not promoted.`
  )
}

/** Whole mebibytes or kibibytes, as PostgreSQL writes sizes. */
export function formatBytes(bytes: number): string {
  const mebibytes = bytes / 1_048_576
  return Number.isInteger(mebibytes) ? `${mebibytes}MB` : `${Math.round(bytes / 1024)}kB`
}
