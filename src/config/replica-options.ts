import { integer, type Option } from './option.ts'

function urls(env: string, description: string): Option<readonly string[]> {
  return {
    env,
    kind: { type: 'database urls' },
    fallback: [],
    fallbackText: 'none',
    secret: true,
    description,
  }
}

/** Standbys that reads are made on, and how old what they answer may be. */
export const REPLICA_OPTIONS = {
  databaseReplicaUrls: urls(
    'DATABASE_REPLICA_URLS',
    'Streaming standbys of DATABASE_URL: URLs with spaces or commas between them, or one with several servers. Reads that need not be of this very moment are made on them; the primary may be among them, as after a switchover.',
  ),
  metricsDatabaseReplicaUrls: urls(
    'METRICS_DATABASE_REPLICA_URLS',
    'The same for the database of METRICS_DATABASE_URL.',
  ),
  replicaWaitMs: integer(
    'NOMALY_REPLICA_WAIT_MS',
    200,
    [0, 60_000],
    'ms',
    'How long a read waits for a standby to catch up with what it must see before it is made on the primary.',
  ),
  replicaMaxLagMs: integer(
    'NOMALY_REPLICA_MAX_LAG_MS',
    10_000,
    [100, 3_600_000],
    'ms',
    'A standby that is further behind is not asked until it has caught up.',
  ),
  readLagMs: integer(
    'NOMALY_READ_LAG_MS',
    2_000,
    [0, 3_600_000],
    'ms',
    'How old charts, queries of metrics and exports may be where the caller says nothing, and there are standbys; 0 has them read on the primary. A browser always sees what it has written, and so does who sends `Nomaly-Read-After`.',
  ),
} as const
