import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Committed } from '../database/position.ts'
import { MetricReader } from './metric-reader.ts'
import { MetricWriter } from './metric-writer.ts'
import type {
  AppendReport,
  ChartPoints,
  CorrectionReport,
  MaintenanceReport,
  MetricBucket,
  MetricPoint,
  MetricQuery,
  MetricsEngine,
  PointBatch,
  PointColumns,
  QueryPlan,
  RollUpReport,
  Series,
  SeriesFilter,
  SeriesId,
  SeriesSource,
  SourceSummary,
  TimeRange,
} from './metrics-engine.ts'
import { METRICS_RELATIONS } from './metrics-relations.ts'
import { PartitionedRollUps } from './partitioned-roll-ups.ts'
import { Partitions } from './partitions.ts'
import { insertPoints, overwritePoints } from './point-writer.ts'
import { removeSource } from './source-removal.ts'
import { awaitWriters, isSourceId, lockSource } from './source-lock.ts'

export interface PartitionedEngineOptions {
  readonly database: Database
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** Asked in the transaction of every write, as the tenant, and throws where the source is gone; left out where nobody can know. */
  readonly requireSource?: (connection: Connection, source: SeriesSource) => Promise<void>
  /** Series that one dataset may have; without it there is no limit. */
  readonly maxSeriesPerDataset?: number
}

const REMOVAL_TIMEOUT_MS = 600_000

/** Metrics in plain PostgreSQL: range partitions for each retention class, one index, roll-up tables, no extension. */
export class PartitionedEngine implements MetricsEngine {
  readonly name = 'partitioned'
  readonly #database: Database
  readonly #reader: MetricReader
  readonly #writer: MetricWriter
  readonly #partitions: Partitions
  readonly #rollUps: PartitionedRollUps

  constructor({ database, clock, requireSource, maxSeriesPerDataset }: PartitionedEngineOptions) {
    const relations = METRICS_RELATIONS
    const partitions = new Partitions(database)
    this.#database = database
    this.#partitions = partitions
    this.#rollUps = new PartitionedRollUps(database, relations)
    this.#reader = new MetricReader(database, relations)
    this.#writer = new MetricWriter({
      database,
      relations,
      clock,
      requireSource,
      maxSeriesPerDataset,
      storage: {
        map: partitions.map,
        ensure: (...wanted) => partitions.ensure(...wanted),
        forgetAll: () => partitions.forgetAll(),
        insert: (connection, points) => insertPoints(connection, relations, points),
        overwrite: (connection, points) => overwritePoints(connection, relations, points),
      },
    })
  }

  append(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<AppendReport>> {
    return this.#writer.append(scope, batch, signal)
  }

  correct(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<CorrectionReport>> {
    return this.#writer.correct(scope, batch, signal)
  }

  listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]> {
    return this.#reader.listSeries(scope, filter)
  }

  query(scope: TenantScope, query: MetricQuery): AsyncGenerator<MetricBucket, void, void> {
    return this.#reader.query(scope, query)
  }

  explain(scope: TenantScope, query: MetricQuery): Promise<QueryPlan> {
    return this.#reader.explain(this.name, scope, query)
  }

  chart(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    maxPoints: number,
    signal?: AbortSignal,
  ): Promise<ChartPoints> {
    return this.#reader.chart(scope, series, range, maxPoints, signal)
  }

  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
  ): AsyncGenerator<PointColumns, void, void> {
    return this.#reader.scan(scope, series, range, signal)
  }

  tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
  ): Promise<PointColumns> {
    return this.#reader.tail(scope, series, range, limit, signal)
  }

  summaries(scope: TenantScope, sourceIds: readonly string[]): Promise<Map<string, SourceSummary>> {
    return this.#reader.summaries(scope, sourceIds)
  }

  async settled(sourceId: string, signal?: AbortSignal): Promise<void> {
    await awaitWriters(this.#database, sourceId, signal)
  }

  latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    return this.#reader.latest(scope, series)
  }

  async dropSource(scope: TenantScope, sourceId: string): Promise<number> {
    if (!isSourceId(sourceId)) return 0
    const options = { role: 'nomaly_app', scope, timeoutMs: REMOVAL_TIMEOUT_MS } as const
    const { value } = await this.#database.transaction(options, async (connection) => {
      await lockSource(connection, sourceId, 'alone')
      return removeSource(connection, METRICS_RELATIONS, sourceId)
    })
    return value
  }

  maintain(now: Date): Promise<MaintenanceReport> {
    return this.#partitions.maintain(now.getTime())
  }

  rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport> {
    return this.#rollUps.rollUp(now.getTime(), signal)
  }
}
