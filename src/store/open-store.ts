import { Identities } from '../access/identities.ts'
import { Tenants } from '../access/tenants.ts'
import type { Config } from '../config/profiles.ts'
import { Database, type DatabaseOptions } from '../database/database.ts'
import { METRICS_DATABASE } from '../database/database-errors.ts'
import type { ReplicaOptions } from '../database/replicas/open-replicas.ts'
import { requireJoined } from '../database/installation.ts'
import { invalidField, NomalyError } from '../errors.ts'
import type { LiveOption } from '../config/live-options.ts'
import { Flags } from '../flags/flags.ts'
import { LiveEntries } from '../flags/live-entries.ts'
import { LiveSettings, type LiveValues } from '../flags/live-settings.ts'
import { FailedAttempts } from '../limits/failed-attempts.ts'
import { RateLimits } from '../limits/rate-limits.ts'
import { Backfills } from '../metrics/backfills.ts'
import type { MetricsEngine } from '../metrics/metrics-engine.ts'
import { MovableMetrics } from '../metrics/movable-metrics.ts'
import type { MoveSide } from '../metrics/move-side.ts'
import { PartitionedEngine } from '../metrics/partitioned-engine.ts'
import { PartitionedMoveSide } from '../metrics/partitioned-move-side.ts'
import type { EngineOptions } from '../metrics/relational-metrics.ts'
import { TimescaleEngine } from '../metrics/timescale-engine.ts'
import { TimescaleMoveSide } from '../metrics/timescale-move-side.ts'
import { TaskQueue } from '../queue/task-queue.ts'
import { openCache } from './open-cache.ts'
import { openNotifier, openQuickTier, openRateCounter, openSessions } from './open-quick-tier.ts'
import { ALL_POINTS, pointsTag } from './point-tags.ts'
import { requireDataset, requireDatasetOf } from './require-dataset.ts'
import { Store } from './store.ts'

type StoreConfig = Pick<
  Config,
  | 'metricsDatabaseUrl'
  | 'directDatabaseUrl'
  | 'metricsDirectDatabaseUrl'
  | 'databasePoolSize'
  | 'databasePoolOverflow'
  | 'metricsDatabasePoolSize'
  | 'metricsDatabasePoolOverflow'
  | 'databasePoolQueue'
  | 'databaseRecycleSeconds'
  | 'databaseIdleHoldMs'
  | 'databaseLockTimeoutMs'
  | 'acquireTimeoutMs'
  | 'databaseReplicaUrls'
  | 'metricsDatabaseReplicaUrls'
  | 'replicaWaitMs'
  | 'replicaMaxLagMs'
  | 'statementTimeoutMs'
  | 'commitTimeoutMs'
  | 'maxSeriesPerDataset'
  | 'redisUrl'
  | 'redisPrefix'
  | 'redisTimeoutMs'
  | 'cacheBytes'
  | 'notifier'
  | 'sessions'
  | 'sessionHours'
  | 'sessionIdleMinutes'
  | 'sessionRotateMinutes'
  | 'sessionGraceSeconds'
  | 'sessionsPerKey'
  | LiveOption
>

export interface StoreOptions {
  /** Whether no other process writes to these databases, so that what this one remembers of them is all there is to know. */
  readonly isAlone?: boolean
}

/**
 * Opens the database tier: the one place that decides which adapters stand behind the ports.
 * @throws NomalyError `conflict` where the databases do not belong together.
 */
export async function openStore(
  config: StoreConfig,
  databaseUrl: string,
  log: (message: string) => void,
  { isAlone = false }: StoreOptions = {},
): Promise<Store> {
  await using stack = new AsyncDisposableStack()
  const { metricsDatabaseUrl } = config
  const directUrl = config.directDatabaseUrl ?? databaseUrl
  const liveSettings = new LiveSettings(config, log)
  const { values } = liveSettings
  if (metricsDatabaseUrl === undefined && config.metricsDatabaseReplicaUrls.length > 0)
    throw invalidField(
      'METRICS_DATABASE_REPLICA_URLS',
      'has standbys of METRICS_DATABASE_URL, and that is not set',
    )
  const database = stack.use(
    new Database(
      withLiveTimes(values, {
        url: databaseUrl,
        directUrl: config.directDatabaseUrl,
        applicationName: 'nomaly',
        ...poolOf(config, config.databasePoolSize, config.databasePoolOverflow),
        replicas: replicasOf(config, config.databaseReplicaUrls),
        log,
      }),
    ),
  )
  const metricsDatabase =
    metricsDatabaseUrl === undefined
      ? database
      : stack.use(
          new Database(
            withLiveTimes(values, {
              url: metricsDatabaseUrl,
              directUrl: config.metricsDirectDatabaseUrl,
              applicationName: 'nomaly metrics',
              ...poolOf(config, config.metricsDatabasePoolSize, config.metricsDatabasePoolOverflow),
              label: METRICS_DATABASE,
              replicas: replicasOf(config, config.metricsDatabaseReplicaUrls),
              log,
            }),
          ),
        )
  await requireJoined(database, metricsDatabase)
  await requireDirect(database, 'DIRECT_DATABASE_URL', config.directDatabaseUrl)
  if (metricsDatabase !== database)
    await requireDirect(metricsDatabase, 'METRICS_DIRECT_DATABASE_URL', config.metricsDirectDatabaseUrl)
  const quickTier = stack.use(await openQuickTier(config, log))
  const notifier = stack.use(await openNotifier(config, directUrl, quickTier, log))
  const liveEntries = stack.use(new LiveEntries({ database, notifier, log }))
  const flags = new Flags(database, liveEntries, log)
  liveSettings.connect(database, liveEntries)
  await liveEntries.start()
  const queue = new TaskQueue(directUrl, log)
  stack.defer(() => queue.stop(5_000))
  await queue.start()
  const identities = new Identities(database, log)
  notifier.subscribe(({ channel }) => channel === 'keys' && identities.forget())
  notifier.subscribe(({ channel }) => {
    if (channel === 'hold') database.hold.hold()
    else if (channel === 'resume') database.hold.release()
  })
  const sessions = await openSessions({ config, database, notifier, quickTier, log })
  const counter = await openRateCounter(quickTier)
  const rateLimits = new RateLimits(counter, values)
  const failedAttempts = new FailedAttempts({ counter, quotas: values, database, log })
  const requireSource = metricsDatabase === database ? requireDataset : requireDatasetOf(database)
  const { maxSeriesPerDataset } = config
  const cache = stack.use(
    await openCache({ config, live: values, database, metricsDatabase, notifier, quickTier, isAlone }),
  )
  const metrics = await openMetrics({
    database: metricsDatabase,
    clock: Date.now,
    requireSource,
    maxSeriesPerDataset,
    onChange: (scope, sourceId, position) =>
      cache.raise(scope, [sourceId === undefined ? ALL_POINTS : pointsTag(sourceId)], position),
    log,
  })
  const backfills = new Backfills({
    database: metricsDatabase,
    clock: Date.now,
    requireSource,
    maxSeriesPerDataset,
  })
  stack.move()
  const tenants = new Tenants(database)
  return new Store({
    database,
    metricsDatabase,
    metrics,
    cache,
    backfills,
    notifier,
    queue,
    identities,
    sessions,
    tenants,
    flags,
    liveSettings,
    rateLimits,
    failedAttempts,
    liveEntries,
    quickTier,
  })
}

/**
 * Through a pooler that lends servers by the transaction nobody hears a notice, and two processes have the same lock.
 * @throws NomalyError `invalid_input`.
 */
async function requireDirect(
  database: Database,
  variable: string,
  directUrl: string | undefined,
): Promise<void> {
  if (directUrl !== undefined || !(await database.isPooled())) return
  const pooled = variable.replace('DIRECT_', '')
  throw new NomalyError(
    'invalid_input',
    `${pooled} leads through a connection pooler, and ${variable} is not set.`,
    {
      hint: `Set ${variable} to the server itself, or to the same address where the pooler gives each client a server of its own (pool_mode = session).`,
    },
  )
}

function replicasOf(config: StoreConfig, urls: readonly string[]): ReplicaOptions {
  return { urls, waitMs: config.replicaWaitMs, maxLagMs: config.replicaMaxLagMs }
}

/** What the pools of both databases have in common, and what is this one's. */
function poolOf(
  config: StoreConfig,
  size: number,
  overflow: number,
): Pick<
  DatabaseOptions,
  | 'maxConnections'
  | 'keptConnections'
  | 'maxWaiting'
  | 'acquireTimeoutMs'
  | 'recycleSeconds'
  | 'idleHoldMs'
  | 'lockTimeoutMs'
> {
  return {
    maxConnections: size + overflow,
    keptConnections: size,
    maxWaiting: config.databasePoolQueue,
    acquireTimeoutMs: config.acquireTimeoutMs,
    recycleSeconds: config.databaseRecycleSeconds,
    idleHoldMs: config.databaseIdleHoldMs,
    lockTimeoutMs: config.databaseLockTimeoutMs,
  }
}

/** What a database asks anew at each statement is what holds then. */
function withLiveTimes(
  values: LiveValues,
  options: Omit<DatabaseOptions, 'statementTimeoutMs' | 'commitTimeoutMs' | 'slowStatementMs'>,
): DatabaseOptions {
  return {
    ...options,
    get statementTimeoutMs() {
      return values.statementTimeoutMs
    },
    get commitTimeoutMs() {
      return values.commitTimeoutMs
    },
    get slowStatementMs() {
      return values.slowStatementMs
    },
  }
}

/** Opens the engine that keeps the metrics of this database, and follows where they are moved. */
function openMetrics(options: EngineOptions): Promise<MetricsEngine> {
  return MovableMetrics.find(options.database, (name) =>
    name === 'timescale' ? new TimescaleEngine(options) : new PartitionedEngine(options),
  )
}

/** The engine that keeps the metrics of a database, for who reads them and nothing else. */
export function openMetricsReader(database: Database, clock: () => number): Promise<MetricsEngine> {
  return openMetrics({ database, clock })
}

/** Both engines of a database of metrics as the ends of a move. Nothing is read or made yet. */
export function openMoveSides(
  database: Database,
  clock: () => number,
): Record<MetricsEngine['name'], MoveSide> {
  return {
    timescale: new TimescaleMoveSide(database, new TimescaleEngine({ database, clock })),
    partitioned: new PartitionedMoveSide(database, new PartitionedEngine({ database, clock })),
  }
}
