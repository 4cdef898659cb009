import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Committed } from '../database/position.ts'
import type { BackfillStep } from './backfill.ts'
import { BackfillMerger } from './backfill-merge.ts'
import { removeBackfills } from './backfill-removal.ts'
import { requireEngine } from './engine-state.ts'
import { MetricReader } from './metric-reader.ts'
import { MetricWriter, type PointStorage } from './metric-writer.ts'
import type { ChartPoints, MetricBucket, MetricQuery, QueryPlan } from './metric-query.ts'
import type {
  AppendReport,
  CorrectionReport,
  MaintenanceReport,
  MetricPoint,
  MetricsEngine,
  PointBatch,
  PointColumns,
  RollUpReport,
  Series,
  SeriesFilter,
  SeriesId,
  SeriesSource,
  SourceSummary,
  TimeRange,
} from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import { awaitWriters, isSourceId, lockSourceForWriting } from './source-lock.ts'
import { removeSource, type RollUpRemoval } from './source-removal.ts'

export interface EngineOptions {
  readonly database: Database
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** Asked in the transaction of every write, as the tenant, and throws where the source is gone; left out where nobody can know. */
  readonly requireSource?: (connection: Connection, source: SeriesSource) => Promise<void>
  /** Series that one dataset may have; without it there is no limit. */
  readonly maxSeriesPerDataset?: number
  /** Told what of the database's own jobs has failed; left out where nobody listens. */
  readonly log?: (message: string) => void
}

const REMOVAL_TIMEOUT_MS = 600_000

/** What engines on PostgreSQL have in common: all but how tables are made, compressed, rolled up and dropped. */
export abstract class RelationalMetrics implements MetricsEngine {
  readonly name: MetricsEngine['name']
  readonly #database: Database
  readonly #relations: MetricsRelations
  readonly #reader: MetricReader
  readonly #writer: MetricWriter
  readonly #merger: BackfillMerger

  protected constructor(options: EngineOptions, relations: MetricsRelations, storage: PointStorage) {
    const { database, clock, requireSource, maxSeriesPerDataset, log = () => {} } = options
    this.name = relations.engine
    this.#database = database
    this.#relations = relations
    this.#reader = new MetricReader(database, relations)
    this.#writer = new MetricWriter({
      database,
      relations,
      clock,
      requireSource,
      maxSeriesPerDataset,
      storage,
    })
    this.#merger = new BackfillMerger({ database, relations, clock, requireSource, storage, log })
  }

  append(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<AppendReport>> {
    return this.#writer.append(scope, batch, signal)
  }

  appendFresh(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport> | undefined> {
    return this.#writer.appendFresh(scope, batch, signal)
  }

  correct(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<CorrectionReport>> {
    return this.#writer.correct(scope, batch, signal)
  }

  mergeBackfill(scope: TenantScope, backfillId: string, signal?: AbortSignal): Promise<BackfillStep> {
    return this.#merger.step(scope, backfillId, signal)
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
      const state = await lockSourceForWriting(connection, sourceId, 'alone')
      requireEngine(state, this.name)
      await removeBackfills(connection, sourceId)
      const deleteRolledUp = await this.beginRemoval(connection)
      return removeSource(connection, this.#relations, sourceId, deleteRolledUp, state)
    })
    return value
  }

  abstract maintain(now: Date): Promise<MaintenanceReport>

  abstract rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport>

  /** Prepares a transaction for the deletion of points; answers how roll-ups are deleted where they are no tables. */
  protected async beginRemoval(_connection: Connection): Promise<RollUpRemoval | undefined> {
    return undefined
  }
}
