import type { Config } from '../config/profiles.ts'

/** How many connections one process may have open at once, by what they are for. */
export interface PoolSizes {
  /** To the core database. */
  readonly core: number
  /** To the metrics, where they are in a database of their own; these are part of `core` otherwise. */
  readonly metrics: number
  /** To the core database, beside the pool: what listens for notices. */
  readonly notifier: number
  /** To the core database, beside the pool: the queue's two, and one that listens in a process that works. */
  readonly queue: number
  /** To the core database, in a process that works: what shows that it lives. */
  readonly presence: number
}

/** What a process of these settings may open: the one place where the sizes of its pools are read. */
export function poolSizes(
  config: Pick<
    Config,
    | 'databasePoolSize'
    | 'databasePoolOverflow'
    | 'metricsDatabasePoolSize'
    | 'metricsDatabasePoolOverflow'
    | 'metricsDatabaseUrl'
  >,
): PoolSizes {
  return {
    core: config.databasePoolSize + config.databasePoolOverflow,
    metrics:
      config.metricsDatabaseUrl === undefined
        ? 0
        : config.metricsDatabasePoolSize + config.metricsDatabasePoolOverflow,
    notifier: 1,
    queue: 3,
    presence: 1,
  }
}

/** What a process may open to the server of the core at most, and to that of the metrics where that is another one. */
export function connectionsOf({ core, metrics, notifier, queue, presence }: PoolSizes): {
  readonly core: number
  readonly metrics: number
} {
  return { core: core + notifier + queue + presence, metrics }
}
