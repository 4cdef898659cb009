import { integer, type Option } from './option.ts'

/** How many connections to the databases a process keeps, who may have them, and for how long. */
export const POOL_OPTIONS = {
  databasePoolSize: {
    env: 'NOMALY_DATABASE_POOL_SIZE',
    kind: { type: 'integer', min: 4, max: 1000, unit: 'connections' },
    fallback: undefined,
    fallbackText: '`20`; `8` on the embedded server',
    description:
      'Connections to the database that this process keeps once it has made them, beside four for listening, the queue and the presence of a worker.',
  } as Option<number | undefined>,
  databasePoolOverflow: {
    env: 'NOMALY_DATABASE_POOL_OVERFLOW',
    kind: { type: 'integer', min: 0, max: 1000, unit: 'connections' },
    fallback: undefined,
    fallbackText: '`30`; `12` on the embedded server',
    description:
      'Connections beyond those, made when all are busy and closed when they were idle for half a minute.',
  } as Option<number | undefined>,
  metricsDatabasePoolSize: integer(
    'NOMALY_METRICS_DATABASE_POOL_SIZE',
    10,
    [4, 1000],
    'connections',
    'The same for the database of METRICS_DATABASE_URL.',
  ),
  metricsDatabasePoolOverflow: integer(
    'NOMALY_METRICS_DATABASE_POOL_OVERFLOW',
    20,
    [0, 1000],
    'connections',
    'The same for the database of METRICS_DATABASE_URL.',
  ),
  databasePoolQueue: integer(
    'NOMALY_DATABASE_POOL_QUEUE',
    500,
    [0, 100_000],
    'callers',
    'How many may wait for a connection of each database, of requests, tasks and maintenance each. Who comes beyond it, or would wait too long as it looks, is refused at once with 503 and Retry-After.',
  ),
  acquireTimeoutMs: integer(
    'NOMALY_DATABASE_ACQUIRE_TIMEOUT_MS',
    30_000,
    [100, 600_000],
    'ms',
    'How long a request waits for a free connection before it is refused with 503.',
  ),
  databaseRecycleSeconds: integer(
    'NOMALY_DATABASE_RECYCLE_SECONDS',
    3_600,
    [10, 604_800],
    's',
    'How old a connection becomes before another one takes its place.',
  ),
  databaseIdleHoldMs: integer(
    'NOMALY_DATABASE_IDLE_HOLD_MS',
    30_000,
    [100, 3_600_000],
    'ms',
    'How long a connection may be held without a statement. One that is held longer is taken for leaked: it is ended, and the log says what had taken it.',
  ),
  databaseLockTimeoutMs: integer(
    'NOMALY_DATABASE_LOCK_TIMEOUT_MS',
    15_000,
    [100, 3_600_000],
    'ms',
    'How long a statement waits for a lock that another one has, where its own time is not longer.',
  ),
} as const
