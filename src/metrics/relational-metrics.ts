import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { Committed, Freshness, Position } from '../database/position.ts'
import type { BackfillStep } from './backfill.ts'
import { BackfillMerger } from './backfill-merge.ts'
import { removeBackfills } from './backfill-removal.ts'
import { type EngineState, requireEngine } from './engine-state.ts'
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
import { possibleIds } from './owned-series.ts'
import { awaitWriters, isSourceId, lockSourceForWriting } from './source-lock.ts'
import { removeSeries, removeSource, type RollUpRemoval } from './source-removal.ts'

export interface EngineOptions {
  readonly database: Database
  /** The time that retention counts from, in epoch milliseconds. */
  readonly clock: () => number
  /** Asked in the transaction of every write, as the tenant, and throws where the source is gone; left out where nobody can know. */
  readonly requireSource?: (connection: Connection, source: SeriesSource) => Promise<void>
  /** Series that one dataset may have; without it there is no limit. */
  readonly maxSeriesPerDataset?: number
  /**
   * Told after the commit of a write, and before that is acknowledged, of which source it may have changed the points; `undefined` for any of
   * the tenant.
   */
  readonly onChange?: (scope: TenantScope, sourceId: string | undefined, position: Position) => Promise<void>
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
  readonly #onChange: NonNullable<EngineOptions['onChange']>

  protected constructor(options: EngineOptions, relations: MetricsRelations, storage: PointStorage) {
    const { database, clock, requireSource, maxSeriesPerDataset, log = () => {} } = options
    this.name = relations.engine
    this.#onChange = options.onChange ?? (async () => {})
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

  async append(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport>> {
    return this.#changed(scope, batch, await this.#writer.append(scope, batch, signal))
  }

  async appendFresh(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport> | undefined> {
    const committed = await this.#writer.appendFresh(scope, batch, signal)
    return committed && this.#changed(scope, batch, committed)
  }

  async correct(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<CorrectionReport>> {
    return this.#changed(scope, batch, await this.#writer.correct(scope, batch, signal))
  }

  async mergeBackfill(scope: TenantScope, backfillId: string, signal?: AbortSignal): Promise<BackfillStep> {
    const step = await this.#merger.step(scope, backfillId, signal)
    // A step that was interrupted after its commit says nothing of it, and the next one speaks for both.
    if (step.outcome !== 'busy') await this.#onChange(scope, undefined, await this.#database.position())
    return step
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
    freshness?: Freshness,
  ): Promise<ChartPoints> {
    return this.#reader.chart(scope, series, range, maxPoints, signal, freshness)
  }

  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): AsyncGenerator<PointColumns, void, void> {
    return this.#reader.scan(scope, series, range, signal, freshness)
  }

  tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<PointColumns> {
    return this.#reader.tail(scope, series, range, limit, signal, freshness)
  }

  summaries(
    scope: TenantScope,
    sourceIds: readonly string[],
    freshness?: Freshness,
  ): Promise<Map<string, SourceSummary>> {
    return this.#reader.summaries(scope, sourceIds, freshness)
  }

  async settled(sourceId: string, signal?: AbortSignal): Promise<void> {
    await awaitWriters(this.#database, sourceId, signal)
  }

  latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    return this.#reader.latest(scope, series)
  }

  dropSource(scope: TenantScope, sourceId: string): Promise<number> {
    return this.#remove(scope, sourceId, async (connection, deleteRolledUp, state) => {
      await removeBackfills(connection, sourceId)
      return removeSource(connection, this.#relations, sourceId, deleteRolledUp, state)
    })
  }

  dropSeries(scope: TenantScope, sourceId: string, series: readonly SeriesId[]): Promise<number> {
    const ids = possibleIds(series)
    return this.#remove(scope, sourceId, (connection, deleteRolledUp, state) =>
      removeSeries(connection, this.#relations, { sourceId, ids }, deleteRolledUp, state),
    )
  }

  async #remove(
    scope: TenantScope,
    sourceId: string,
    work: (
      connection: Connection,
      deleteRolledUp: RollUpRemoval | undefined,
      state: EngineState,
    ) => Promise<number>,
  ): Promise<number> {
    if (!isSourceId(sourceId)) return 0
    const options = { role: 'nomaly_app', scope, timeoutMs: REMOVAL_TIMEOUT_MS } as const
    const { value, position } = await this.#database.transaction(options, async (connection) => {
      const state = await lockSourceForWriting(connection, sourceId, 'alone')
      requireEngine(state, this.name)
      return work(connection, await this.beginRemoval(connection), state)
    })
    await this.#onChange(scope, sourceId, position)
    return value
  }

  abstract maintain(now: Date): Promise<MaintenanceReport>

  abstract rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport>

  /** Also where all points were there already: they may be of an attempt that died before it could say so. */
  async #changed<T>(
    scope: TenantScope,
    { source }: PointBatch,
    committed: Committed<T>,
  ): Promise<Committed<T>> {
    await this.#onChange(scope, source.id, committed.position)
    return committed
  }

  /** Prepares a transaction for the deletion of points; answers how roll-ups are deleted where they are no tables. */
  protected async beginRemoval(_connection: Connection): Promise<RollUpRemoval | undefined> {
    return undefined
  }
}
