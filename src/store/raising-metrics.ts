import type { TenantScope } from '../access/tenant-scope.ts'
import type { Cache } from '../cache/cache.ts'
import type { Committed, Position } from '../database/position.ts'
import type { BackfillStep } from '../metrics/backfill.ts'
import type { ChartPoints, MetricBucket, MetricQuery, QueryPlan } from '../metrics/metric-query.ts'
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
  SourceSummary,
  TimeRange,
} from '../metrics/metrics-engine.ts'
import { ALL_POINTS, pointsTag } from './point-tags.ts'

/** An engine whose writes say to the cache, before they are acknowledged, of which dataset they changed the points. */
export class RaisingMetrics implements MetricsEngine {
  readonly #engine: MetricsEngine
  readonly #cache: Pick<Cache, 'raise'>
  readonly #position: () => Promise<Position>

  /** @param position where the database of the points stands. */
  constructor(engine: MetricsEngine, cache: Pick<Cache, 'raise'>, position: () => Promise<Position>) {
    this.#engine = engine
    this.#cache = cache
    this.#position = position
  }

  get name(): MetricsEngine['name'] {
    return this.#engine.name
  }

  async append(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport>> {
    return this.#raised(scope, batch, await this.#engine.append(scope, batch, signal))
  }

  async appendFresh(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport> | undefined> {
    const committed = await this.#engine.appendFresh(scope, batch, signal)
    return committed === undefined ? undefined : this.#raised(scope, batch, committed)
  }

  async correct(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<CorrectionReport>> {
    return this.#raised(scope, batch, await this.#engine.correct(scope, batch, signal))
  }

  async mergeBackfill(scope: TenantScope, backfillId: string, signal?: AbortSignal): Promise<BackfillStep> {
    const step = await this.#engine.mergeBackfill(scope, backfillId, signal)
    // A step that was interrupted after its commit says nothing of it, and the next one speaks for both.
    if (step.outcome !== 'busy') await this.#cache.raise(scope, [ALL_POINTS], await this.#position())
    return step
  }

  async dropSource(scope: TenantScope, sourceId: string): Promise<number> {
    const count = await this.#engine.dropSource(scope, sourceId)
    await this.#cache.raise(scope, [pointsTag(sourceId)], await this.#position())
    return count
  }

  listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]> {
    return this.#engine.listSeries(scope, filter)
  }

  query(scope: TenantScope, query: MetricQuery): AsyncIterable<MetricBucket> {
    return this.#engine.query(scope, query)
  }

  explain(scope: TenantScope, query: MetricQuery): Promise<QueryPlan> {
    return this.#engine.explain(scope, query)
  }

  chart(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    maxPoints: number,
    signal?: AbortSignal,
  ): Promise<ChartPoints> {
    return this.#engine.chart(scope, series, range, maxPoints, signal)
  }

  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
  ): AsyncIterable<PointColumns> {
    return this.#engine.scan(scope, series, range, signal)
  }

  tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
  ): Promise<PointColumns> {
    return this.#engine.tail(scope, series, range, limit, signal)
  }

  summaries(scope: TenantScope, sourceIds: readonly string[]): Promise<Map<string, SourceSummary>> {
    return this.#engine.summaries(scope, sourceIds)
  }

  settled(sourceId: string, signal?: AbortSignal): Promise<void> {
    return this.#engine.settled(sourceId, signal)
  }

  latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]> {
    return this.#engine.latest(scope, series)
  }

  maintain(now: Date): Promise<MaintenanceReport> {
    return this.#engine.maintain(now)
  }

  rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport> {
    return this.#engine.rollUp(now, signal)
  }

  /** Also where all points were there already: they may be of an attempt that died before it could say so. */
  async #raised<T>(
    scope: TenantScope,
    { source }: PointBatch,
    committed: Committed<T>,
  ): Promise<Committed<T>> {
    await this.#cache.raise(scope, [pointsTag(source.id)], committed.position)
    return committed
  }
}
