import { Identities } from '../access/identities.ts'
import { Tenants } from '../access/tenants.ts'
import type { Config } from '../config/profiles.ts'
import type { Connection } from '../database/connection.ts'
import { Database } from '../database/database.ts'
import { notFound } from '../errors.ts'
import type { MetricsEngine, SeriesSource } from '../metrics/metrics-engine.ts'
import { MovableMetrics } from '../metrics/movable-metrics.ts'
import type { MoveSide } from '../metrics/move-side.ts'
import { PartitionedEngine } from '../metrics/partitioned-engine.ts'
import { PartitionedMoveSide } from '../metrics/partitioned-move-side.ts'
import { TimescaleEngine } from '../metrics/timescale-engine.ts'
import { TimescaleMoveSide } from '../metrics/timescale-move-side.ts'
import { PostgresNotifier } from '../notifications/postgres-notifier.ts'
import { TaskQueue } from '../queue/task-queue.ts'
import { Store } from './store.ts'

type StoreConfig = Pick<
  Config,
  | 'databaseConnections'
  | 'acquireTimeoutMs'
  | 'statementTimeoutMs'
  | 'commitTimeoutMs'
  | 'maxSeriesPerDataset'
>

/** Opens the database tier: the one place that decides which adapters stand behind the ports. */
export async function openStore(
  config: StoreConfig,
  databaseUrl: string,
  log: (message: string) => void,
): Promise<Store> {
  const database = new Database({
    url: databaseUrl,
    applicationName: 'nomaly',
    maxConnections: config.databaseConnections,
    acquireTimeoutMs: config.acquireTimeoutMs,
    statementTimeoutMs: config.statementTimeoutMs,
    commitTimeoutMs: config.commitTimeoutMs,
    log,
  })
  await using stack = new AsyncDisposableStack()
  stack.use(database)
  const notifier = stack.use(await PostgresNotifier.connect(databaseUrl, log))
  const queue = new TaskQueue(databaseUrl, log)
  stack.defer(() => queue.stop(5_000))
  await queue.start()
  const identities = new Identities(database, log)
  notifier.subscribe(({ channel }) => channel === 'keys' && identities.forget())
  const metrics = await openMetrics(database, config.maxSeriesPerDataset, log)
  stack.move()
  return new Store({ database, metrics, notifier, queue, identities, tenants: new Tenants(database) })
}

/** Opens the engine that keeps the metrics of this database, and follows where they are moved. */
function openMetrics(
  database: Database,
  maxSeriesPerDataset: number,
  log: (message: string) => void,
): Promise<MetricsEngine> {
  const options = { database, clock: Date.now, requireSource: requireDataset, maxSeriesPerDataset, log }
  return MovableMetrics.find(database, (name) =>
    name === 'timescale' ? new TimescaleEngine(options) : new PartitionedEngine(options),
  )
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

/** Keeps points from being stored for a dataset that was deleted while they were on their way. */
async function requireDataset(connection: Connection, source: SeriesSource): Promise<void> {
  if (source.kind !== 'dataset') return
  const rows = await connection.query('select from nomaly.datasets where id = $1', [source.id])
  if (rows.length === 0) throw notFound('dataset', source.id)
}
