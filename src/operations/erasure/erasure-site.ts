import type { AdminSession } from './admin-session.ts'
import type { RedisPlace } from './clean-redis.ts'
import type { MetricsSite } from './erase-points.ts'

/** The databases of an installation, as an erasure works on them. */
export interface ErasureSite {
  readonly core: AdminSession
  /** Its `admin` is {@link core} where metrics are in the core database. */
  readonly metrics: MetricsSite
  /** `undefined` where no Redis is configured. */
  readonly redis: RedisPlace | undefined
}

/** The databases, each once, by what messages call them. */
export function sessionsOf({ core, metrics }: ErasureSite): [label: string, session: AdminSession][] {
  const both: [string, AdminSession][] = [
    ['core', core],
    ['metrics', metrics.admin],
  ]
  return metrics.admin === core ? both.slice(0, 1) : both
}

/** What an erasure is doing: of `total` things, so many are done. */
export interface ErasureStep {
  readonly step:
    | 'removing points'
    | 'rewriting tables'
    | 'emptying the log'
    | 'cleaning Redis'
    | 'taking a backup'
  readonly done: number
  readonly total: number
}

/** What all of its long work takes. */
export interface ErasureWork {
  readonly signal: AbortSignal
  readonly now: () => Date
  readonly progress?: (step: ErasureStep) => void
}
