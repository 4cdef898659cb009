import type { Freshness } from '../database/position.ts'
import type {
  MetricsEngine,
  PointColumns,
  RetentionClass,
  SeriesFilter,
  SeriesId,
  TimeRange,
} from './metrics-engine.ts'

/**
 * How wide buckets are: a whole number of seconds, with edges at multiples of it since 1970-01-01 UTC; or a unit of the calendar as it is
 * kept in a time zone (IANA name), weeks from Monday. Days there may have 23 or 25 hours.
 */
export type BucketWidth =
  | { readonly seconds: number }
  | { readonly unit: 'day' | 'week' | 'month'; readonly timeZone: string }

/** Series by what they are instead of by id: all of a source that have this metric and at least these tags. */
export type SeriesSelection = Pick<SeriesFilter, 'metric' | 'tags'> & { readonly sourceId: string }

/** What buckets are of: one series, all series of one metric, or everything that was asked for. */
export type BucketGroup = 'series' | 'metric' | 'all'

/** What a bucket can do without, and is `null` then: the newest value of a group costs a quarter of what a query does. */
export type OptionalAggregate = 'last' | 'sumSquares'

export interface MetricQuery {
  readonly series: readonly SeriesId[] | SeriesSelection
  readonly range: TimeRange
  readonly bucket: BucketWidth
  /** `series` when left out. */
  readonly groupBy?: BucketGroup
  /** What nobody will look at. */
  readonly without?: readonly OptionalAggregate[]
  readonly freshness: Freshness
  readonly signal?: AbortSignal
}

/** What happened in one bucket of one group. Non-finite values are counted and kept out of everything else. */
export interface MetricBucket {
  /** Where a group has several series, the lowest id of them. */
  readonly seriesId: SeriesId
  /** With `groupBy: 'metric'` the metric, with `all` an empty text; left out for `series`. */
  readonly group?: string
  readonly startMs: number
  /** Finite values. */
  readonly count: number
  /** NaN and ±Infinity. */
  readonly nonFinite: number
  /** The next five are `null` when the bucket has no finite value; and where they were not wanted. */
  readonly sum: number | null
  readonly min: number | null
  readonly max: number | null
  /** The newest finite value; of several series at that instant, of the one with the highest id. */
  readonly last: number | null
  /** Squares of values below 1.5e-154, which are no normal floats, count as nothing. */
  readonly sumSquares: number | null
}

/** Where the answer to a part of a query comes from, and why. */
export interface PlanSegment {
  readonly retention: RetentionClass
  readonly source: 'raw' | 'hourly' | 'daily'
  /**
   * `whole`: these buckets lie inside the range and inside one bucket asked for. `edge`: too narrow for a roll-up. `open`: not rolled
   * up yet. `late`: points came late, and the roll-up is behind. `width`: the width asked for cannot be put together from hours.
   */
  readonly reason: 'whole' | 'edge' | 'open' | 'late' | 'width'
  readonly fromMs: number
  readonly toMs: number
  /** How many series this is about. */
  readonly series: number
  /** Only for `late`: how many hours of a series lie in it; the others in between are answered from roll-ups. */
  readonly hours?: number
}

/** How a query is answered. */
export interface QueryPlan {
  readonly engine: MetricsEngine['name']
  readonly series: number
  readonly segments: readonly PlanSegment[]
}

/** Points of a chart, at most as many as were asked for. */
export interface ChartPoints extends PointColumns {
  /** Whether there are more points in the range than these, which then are the extremes. */
  readonly isReduced: boolean
}

/** A chart needs room for its first, its last and two extremes. */
export const MIN_CHART_POINTS = 4
