import type { TenantScope } from '../access/tenant-scope.ts'
import type { Committed, Freshness } from '../database/position.ts'
import type { BackfillStep } from './backfill.ts'
import type { ChartPoints, MetricBucket, MetricQuery, QueryPlan } from './metric-query.ts'

/** Id of a series, unique over all tenants. */
export type SeriesId = number

/** Half-open range of time `[from, to)`, epoch milliseconds with microsecond fractions. */
export interface TimeRange {
  readonly fromMs: number
  readonly toMs: number
}

/** What names a series inside its source: the metric and its tags. */
export interface SeriesKey {
  readonly metric: string
  readonly tags: Readonly<Record<string, string>>
}

/** How long the points of a dataset are kept; each class is a partition set of its own. */
export type RetentionClass = 'forever' | 'year' | 'month' | 'week'

/** What owns series: a dataset (or, for what a job measures of itself, a job). */
export interface SeriesSource {
  readonly kind: 'dataset' | 'job'
  /** UUID of the dataset or job. */
  readonly id: string
  /** The class of series made from now on: one that exists keeps its own. */
  readonly retention: RetentionClass
}

export interface Series extends SeriesKey {
  readonly id: SeriesId
  readonly source: Pick<SeriesSource, 'kind' | 'id'>
  readonly retention: RetentionClass
  readonly createdAt: Date
  /** Time of the newest point in epoch milliseconds; `undefined` while the series is empty. */
  readonly latestMs: number | undefined
}

/**
 * Points in columns: index `i` of `series`, `timesMs` and `values` is one point.
 * `series` holds indexes into `keys`. At most 1,000,000 points, which are one transaction.
 */
export interface PointBatch {
  readonly source: SeriesSource
  readonly keys: readonly SeriesKey[]
  readonly series: Uint32Array
  /** Epoch milliseconds, with microseconds as the fraction. */
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

/** A point that was not stored, by its index in the batch, and why. */
export interface RejectedPoint {
  readonly index: number
  readonly reason: string
}

export interface AppendReport {
  readonly inserted: number
  /** Points that were there already with the same value: a retry. */
  readonly duplicates: number
  /** Points whose instant already holds another value: the first write won. */
  readonly conflicting: number
  /** At most `rejectedTotal` entries; the first 100 are listed. */
  readonly rejected: readonly RejectedPoint[]
  readonly rejectedTotal: number
}

export interface CorrectionReport {
  readonly changed: number
  readonly inserted: number
  readonly unchanged: number
  readonly rejected: readonly RejectedPoint[]
  readonly rejectedTotal: number
}

export interface MetricPoint {
  readonly seriesId: SeriesId
  readonly timeMs: number
  readonly value: number
}

/** A run of points of one series in ascending time; at most some thousand at once. */
export interface PointColumns {
  readonly seriesId: SeriesId
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

export interface SeriesFilter {
  readonly sourceId?: string
  readonly metric?: string
  /** Series that carry at least these tags. */
  readonly tags?: Readonly<Record<string, string>>
  readonly ids?: readonly SeriesId[]
  /** Keyset paging: only ids above this one, ascending. */
  readonly afterId?: SeriesId
  readonly limit?: number
  /** The latest, where it is left out. */
  readonly freshness?: Freshness
}

export interface SourceSummary {
  readonly count: number
  /** Epoch milliseconds; `undefined` where there are no points. */
  readonly latestMs: number | undefined
}

export interface MaintenanceReport {
  readonly partitionsCreated: number
  readonly partitionsDropped: number
  /** Partitions or chunks that were compressed, or compressed again with what came late. */
  readonly compressed?: number
  /** Sentences on what of the database's own maintenance failed, and what became of it. */
  readonly problems?: readonly string[]
}

export interface RollUpReport {
  /** Hours of series that were computed anew. */
  readonly hoursRefreshed: number
  /** Marks of late points that are still to be worked off; those too that came meanwhile. */
  readonly hasMore: boolean
}

/** Limits of one series batch; what goes beyond is refused with a reason. */
export const POINT_LIMITS = {
  /** Values beyond this are refused: the squares of a day of them, one each microsecond, would overflow its roll-up. */
  maxAbsoluteValue: 1e148,
  /** 1970-01-01 and 2100-01-01 in epoch milliseconds. */
  minTimeMs: 0,
  maxTimeMs: 4_102_444_800_000,
  maxMetricLength: 200,
  maxTags: 20,
  maxTagKeyLength: 100,
  maxTagValueLength: 500,
} as const

/**
 * Where points live. Every call resolves its series under the caller's tenant first: ids of another tenant are as
 * good as absent. What is read is the latest, unless a freshness says less.
 */
export interface MetricsEngine {
  readonly name: 'timescale' | 'partitioned'
  /**
   * Stores points; the first write of an instant wins. Answers after commit, and may be repeated without harm.
   * Of several points at one instant in the batch the first counts, and the others are compared with it.
   * @throws NomalyError `too_large` for more points than one call takes, or more series than a dataset may have; nothing is stored then.
   */
  append(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<AppendReport>>
  /**
   * As `append`, but all or nothing: where a point is refused, or its instant is taken or is in the batch twice, nothing is stored and the
   * answer is `undefined`. So whoever puts several batches together knows what became of each.
   */
  appendFresh(
    scope: TenantScope,
    batch: PointBatch,
    signal?: AbortSignal,
  ): Promise<Committed<AppendReport> | undefined>
  /**
   * Overwrites the values of instants that exist, and adds those that do not. Of several points at one instant in the batch
   * the last counts, and the others are `unchanged`.
   */
  correct(scope: TenantScope, batch: PointBatch, signal?: AbortSignal): Promise<Committed<CorrectionReport>>
  /**
   * Puts the next part of a backfill that is to be merged where points are, as appends of its parts in their order would, in one
   * transaction; any number of processes may call it at once. A step that failed changes nothing, and may be repeated without harm.
   */
  mergeBackfill(scope: TenantScope, backfillId: string, signal?: AbortSignal): Promise<BackfillStep>
  /** Series of the tenant, ascending by id. */
  listSeries(scope: TenantScope, filter: SeriesFilter): Promise<Series[]>
  /**
   * Aggregates over time buckets, by series id and ascending time; buckets without points are left out.
   * @throws NomalyError `invalid_input` naming the parameter, `too_large` for more than 1,000,000 buckets.
   */
  query(scope: TenantScope, query: MetricQuery): AsyncIterable<MetricBucket>
  /** Says how a query would be answered right now. Throws as `query` does. */
  explain(scope: TenantScope, query: MetricQuery): Promise<QueryPlan>
  /**
   * A range of one series in at most `maxPoints` points, ascending: all of them where they are so few, otherwise the first, the last, and
   * the extremes of as many stretches of equal length as there is room for, at their real times. Non-finite values are left out
   * then. An absent series has no points.
   * @throws NomalyError `invalid_input` for fewer than {@link MIN_CHART_POINTS}.
   */
  chart(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    maxPoints: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<ChartPoints>
  /** Raw points, series after series in the order asked for, each in ascending time. */
  scan(
    scope: TenantScope,
    series: readonly SeriesId[],
    range: TimeRange,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): AsyncIterable<PointColumns>
  /** The newest `limit` raw points of a series in a range, in ascending time; none where the series is absent. */
  tail(
    scope: TenantScope,
    series: SeriesId,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
    freshness?: Freshness,
  ): Promise<PointColumns>
  /** How many series each source has, and the time of the newest point in any of them; sources without series are left out. */
  summaries(
    scope: TenantScope,
    sourceIds: readonly string[],
    freshness?: Freshness,
  ): Promise<Map<string, SourceSummary>>
  /**
   * Waits until every write to the source that is under way now has ended, so that a reader who goes on from a point it knows misses
   * none that was on its way meanwhile.
   */
  settled(sourceId: string, signal?: AbortSignal): Promise<void>
  /** The newest point of each series; series without points are left out. Constant cost a series. */
  latest(scope: TenantScope, series: readonly SeriesId[]): Promise<MetricPoint[]>
  /** Removes all series, points and backfills of a source; answers how many series there were. */
  dropSource(scope: TenantScope, sourceId: string): Promise<number>
  /**
   * Removes some series of a source with their points, also what backfills have gathered of them; answers how many there were. Whoever writes to
   * one of them afterwards makes it anew.
   */
  dropSeries(scope: TenantScope, sourceId: string, series: readonly SeriesId[]): Promise<number>
  /** Makes partitions ahead and drops what retention has passed. */
  maintain(now: Date): Promise<MaintenanceReport>
  /**
   * Closes hours that ended an hour before `now`, and brings roll-ups up to date with points that came late. Cheap where there is nothing
   * to do; any number of processes may call it at once. Answers are the same before and after, only slower before.
   */
  rollUp(now: Date, signal?: AbortSignal): Promise<RollUpReport>
}
