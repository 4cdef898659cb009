import { availableParallelism } from 'node:os'
import { BACKUP_OPTIONS } from './backup-options.ts'
import { DRILL_OPTIONS } from './drill-options.ts'
import { FAILOVER_OPTIONS } from './failover-options.ts'
import { LIMIT_OPTIONS } from './limit-options.ts'
import { databaseUrl, integer, type Option, text } from './option.ts'
import { POOL_OPTIONS } from './pool-options.ts'
import { SERVING_OPTIONS } from './serving-options.ts'
import { REPLICA_OPTIONS } from './replica-options.ts'
import { SESSION_OPTIONS } from './session-options.ts'

export type { Option, OptionKind } from './option.ts'

/** Everything that can be set, in the order of the reference. Each variable may also be given as `NAME_FILE`, the path of a file that holds it. */
export const CONFIG_OPTIONS = {
  profile: {
    env: 'NOMALY_PROFILE',
    kind: { type: 'choice', choices: ['embedded', 'production'] },
    fallback: undefined,
    fallbackText: '`production` where DATABASE_URL is set, else `embedded`',
    description: 'A set of defaults. `production` refuses webhooks to private addresses and logs JSON.',
  } as Option<'embedded' | 'production' | undefined>,
  dataDirectory: text(
    'NOMALY_DATA_DIR',
    '.nomaly',
    'Folder of the embedded database, the generated secrets and the admin key. Only its owner can read it.',
  ),
  host: text(
    'NOMALY_HOST',
    '127.0.0.1',
    'Address to listen on. Anything but loopback opens the product to the network.',
  ),
  port: integer(
    'NOMALY_PORT',
    8420,
    [0, 65_535],
    '',
    'Port to listen on; the next free one is taken, and printed, where it is in use. 0 takes any free port.',
  ),
  publicUrl: {
    env: 'NOMALY_PUBLIC_URL',
    kind: { type: 'url' },
    fallback: undefined,
    fallbackText: 'the address it listens on',
    description: 'How browsers reach the product, for links and for the check of the Host header.',
  } as Option<string | undefined>,
  trustedProxies: text(
    'NOMALY_TRUSTED_PROXIES',
    '',
    'Addresses and networks of the proxies in front of it, with commas: `10.0.0.7, 192.168.4.0/24`. Only of these are `X-Forwarded-For`, `-Host` and `-Proto` believed; who asks is told by the address of the connection otherwise.',
  ),
  ...SERVING_OPTIONS,
  databaseUrl: databaseUrl(
    'DATABASE_URL',
    'the embedded server',
    'A PostgreSQL server, 15 or newer: `postgresql://user:password@host:5432/database`. Several with commas, `…@h1:5432,h2:5432/…`: the one that takes writes is found, and followed when it changes.',
  ),
  adminDatabaseUrl: databaseUrl(
    'ADMIN_DATABASE_URL',
    'DIRECT_DATABASE_URL, else DATABASE_URL',
    'The login that migrations run as; it may create roles and schemas.',
  ),
  directDatabaseUrl: databaseUrl(
    'DIRECT_DATABASE_URL',
    'DATABASE_URL',
    'The same database past a connection pooler such as PgBouncer, for what needs a connection of its own: listening, the queue, locks that outlast a transaction, migrations.',
  ),
  metricsDatabaseUrl: databaseUrl(
    'METRICS_DATABASE_URL',
    'the core database',
    'A database of their own for series and points, as DATABASE_URL. For new installations: one that has points in its core stays with that.',
  ),
  metricsAdminDatabaseUrl: databaseUrl(
    'METRICS_ADMIN_DATABASE_URL',
    'METRICS_DIRECT_DATABASE_URL, else METRICS_DATABASE_URL',
    'The login that migrations of the metrics database run as, as ADMIN_DATABASE_URL.',
  ),
  metricsDirectDatabaseUrl: databaseUrl(
    'METRICS_DIRECT_DATABASE_URL',
    'METRICS_DATABASE_URL',
    'To METRICS_DATABASE_URL what DIRECT_DATABASE_URL is to DATABASE_URL.',
  ),
  ...REPLICA_OPTIONS,
  ...FAILOVER_OPTIONS,
  ...BACKUP_OPTIONS,
  ...DRILL_OPTIONS,
  redisUrl: {
    env: 'REDIS_URL',
    kind: { type: 'text' },
    fallback: undefined,
    fallbackText: 'none: everything works without',
    secret: true,
    description:
      'A Redis 7 or Valkey, to be quicker: `redis://user:password@host:6379/0`, `rediss://` for TLS, `redis+sentinel://user:password@h1:26379,h2:26379/master/0`, `redis+cluster://h1:6379,h2:6379`. See the guide on running Nomaly.',
  } as Option<string | undefined>,
  redisPrefix: text(
    'NOMALY_REDIS_PREFIX',
    'nomaly:',
    'What all keys in Redis begin with. Installations that share one Redis must each have their own.',
  ),
  redisTimeoutMs: integer(
    'NOMALY_REDIS_TIMEOUT_MS',
    250,
    [10, 60_000],
    'ms',
    'How long a command to Redis may take. After a few that took longer none is tried until it answers again.',
  ),
  cacheBytes: integer(
    'NOMALY_CACHE_BYTES',
    33_554_432,
    [0, 17_179_869_184],
    'bytes',
    'What answers that are kept may take in the memory of one process; beyond it those used longest ago make room, and one that takes an eighth of it is not kept.',
  ),
  cacheTtlSeconds: integer(
    'NOMALY_CACHE_TTL_SECONDS',
    3_600,
    [1, 86_400],
    's',
    'How long an answer is kept at most, less up to a fifth, so that not all end at once; what is read of points is kept a minute at most. Never how stale it may be: what a commit replaced is not served.',
  ),
  notifier: {
    env: 'NOMALY_NOTIFIER',
    kind: { type: 'choice', choices: ['auto', 'redis', 'postgres'] },
    fallback: 'auto',
    description:
      'How processes tell each other what has changed: by Redis pub/sub, or by NOTIFY of PostgreSQL. `auto` takes Redis where REDIS_URL is set; what it does not take goes by NOTIFY.',
  } as Option<'auto' | 'redis' | 'postgres'>,
  ...SESSION_OPTIONS,
  embeddedDatabasePort: integer(
    'NOMALY_EMBEDDED_DATABASE_PORT',
    8421,
    [1, 65_535],
    '',
    'Port of the embedded server on 127.0.0.1; the next free one is taken where it is in use.',
  ),
  metricsEngine: {
    env: 'NOMALY_METRICS_ENGINE',
    kind: { type: 'choice', choices: ['auto', 'timescale', 'partitioned'] },
    fallback: 'auto',
    description:
      'What keeps the points: TimescaleDB (2.20 or newer, not its Apache edition), or partitions of plain PostgreSQL. `auto` takes TimescaleDB where the server offers it. Decides for a new database only: one that has metrics stays with what they are in.',
  } as Option<'auto' | 'timescale' | 'partitioned'>,
  ...POOL_OPTIONS,
  statementTimeoutMs: integer(
    'NOMALY_DATABASE_STATEMENT_TIMEOUT_MS',
    30_000,
    [100, 3_600_000],
    'ms',
    'Longest time of one statement.',
  ),
  slowStatementMs: integer(
    'NOMALY_SLOW_STATEMENT_MS',
    2_000,
    [0, 3_600_000],
    'ms',
    'Statements that take this long or longer are logged, without their values; 0 turns it off.',
  ),
  commitTimeoutMs: integer(
    'NOMALY_DATABASE_COMMIT_TIMEOUT_MS',
    15_000,
    [100, 600_000],
    'ms',
    'How long a commit may take before its outcome is looked up on another connection.',
  ),
  eventRetentionHours: integer(
    'NOMALY_EVENT_RETENTION_HOURS',
    24,
    [1, 8_760],
    'hours',
    'How long events are kept for listeners that come back; the audit log is kept for good.',
  ),
  findingRetention: {
    env: 'NOMALY_FINDING_RETENTION',
    kind: { type: 'choice', choices: ['class', 'forever'] },
    fallback: 'class',
    description:
      'How long findings are kept: `class` as long as the points of their dataset (a week, a month, a year, forever), counted from the end of each, `forever` until somebody erases them.',
  } as Option<'class' | 'forever'>,
  erasureLedger: text(
    'NOMALY_ERASURE_LEDGER',
    '',
    'File in which a copy of the ledger of erasures is kept, so that a database that was restored from before one is told of it; `erasures.ndjson` in the data folder where it is not set. It names nobody. Keep it where it outlives the database, and give it to every process that may start on a restored one.',
  ),
  maxEventStreams: integer(
    'NOMALY_MAX_EVENT_STREAMS',
    5_000,
    [1, 100_000],
    'listeners',
    'How many listeners to events one process serves; more are refused with 503 and Retry-After.',
  ),
  maxEventStreamsPerTenant: integer(
    'NOMALY_MAX_EVENT_STREAMS_PER_TENANT',
    2_000,
    [1, 100_000],
    'listeners',
    'How many of them may be of one tenant, so that it cannot take all.',
  ),
  maxBodyBytes: integer(
    'NOMALY_MAX_BODY_BYTES',
    67_108_864,
    [1024, 1_073_741_824],
    'bytes',
    'Largest request body, counted after decompression.',
  ),
  maxSeriesPerRequest: integer(
    'NOMALY_MAX_SERIES_PER_REQUEST',
    20_000,
    [1, 1_000_000],
    'series',
    'Most distinct series in one request; more is refused with the name of the tag that explodes.',
  ),
  maxSeriesPerDataset: integer(
    'NOMALY_MAX_SERIES_PER_DATASET',
    100_000,
    [1, 100_000_000],
    'series',
    'Most series in one dataset; what would make more is refused with the name of the tag that explodes.',
  ),
  maxIngestBytes: integer(
    'NOMALY_MAX_INGEST_BYTES',
    67_108_864,
    [1_048_576, 17_179_869_184],
    'bytes',
    'What all requests with points may hold together in one process, by the size of their bodies after decompression or 100 bytes a point, whichever is more. Beyond it bodies are taken off the wire only as others end, and a request that has waited as long as for a connection (NOMALY_DATABASE_ACQUIRE_TIMEOUT_MS) is refused with 503 and Retry-After. One request at a time may exceed it, up to its own limits.',
  ),
  maxWaitingPoints: integer(
    'NOMALY_MAX_WAITING_POINTS',
    200_000,
    [10_000, 100_000_000],
    'points',
    'Points of small requests that may wait in one process to be stored together with others, in batches of at most 10,000 points or after 50 ms; more are refused with 503 and Retry-After.',
  ),
  ...LIMIT_OPTIONS,
  workerConcurrency: integer(
    'NOMALY_WORKER_CONCURRENCY',
    Math.max(1, Math.min(8, availableParallelism())),
    [1, 64],
    'tasks',
    'How many tasks this process works on at once.',
  ),
  drainTimeoutMs: integer(
    'NOMALY_DRAIN_TIMEOUT_MS',
    20_000,
    [0, 600_000],
    'ms',
    'How long open requests and tasks may take to finish after SIGTERM.',
  ),
  selfWatchSeconds: integer(
    'NOMALY_SELF_WATCH_SECONDS',
    10,
    [0, 3600],
    's',
    'How often the product records its own machine and database in the dataset `nomaly`; 0 turns it off.',
  ),
  logLevel: {
    env: 'NOMALY_LOG_LEVEL',
    kind: { type: 'choice', choices: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] },
    fallback: 'warn',
    description: 'What is logged to standard error.',
  } as Option<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'>,
  webhookPrivateAddresses: {
    env: 'NOMALY_WEBHOOK_PRIVATE_ADDRESSES',
    kind: { type: 'choice', choices: ['allow', 'refuse'] },
    fallback: undefined,
    fallbackText: '`allow` in the profile `embedded`, `refuse` in `production`',
    description: 'Whether webhooks may go to loopback and private addresses.',
  } as Option<'allow' | 'refuse' | undefined>,
  clientUrl: {
    env: 'NOMALY_URL',
    kind: { type: 'url' },
    fallback: undefined,
    fallbackText: 'the server that runs on this data folder',
    description: 'Which server the command line talks to.',
  } as Option<string | undefined>,
  clientApiKey: {
    env: 'NOMALY_API_KEY',
    kind: { type: 'text' },
    fallback: undefined,
    fallbackText: 'the admin key of this data folder',
    secret: true,
    description: 'The API key that the command line uses.',
  } as Option<string | undefined>,
} as const

type Values<T> = { -readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never }

/** All settings, as read, with defaults filled in by {@link loadConfig}. */
export type RawConfig = Values<typeof CONFIG_OPTIONS>
