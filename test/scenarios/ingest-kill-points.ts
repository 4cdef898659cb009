import type { MetricBucket } from '../../src/metrics/metric-query.ts'
import type { PointBatch, SeriesKey } from '../../src/metrics/metrics-engine.ts'

/** How many write side by side. */
export const LANES = 4
/** Those of the lanes, and one that all of them write to. */
const KEYS: readonly SeriesKey[] = Array.from({ length: LANES + 1 }, (_, n) => ({
  metric: 'm',
  tags: { n: `${n}` },
}))

/** Second 0 of the points, in epoch milliseconds. */
export const START_MS = Date.UTC(2026, 5, 1)
/** Of differences. */
export const MOST_LISTED = 5

/** One append: rows of the lane's own series that are in no other one, and some that other appends have too. */
export interface Append {
  readonly own: Stretch
  readonly others: readonly Stretch[]
}

/** Points of a series, one a second. */
export interface Stretch {
  readonly series: number
  readonly from: number
  readonly to: number
}

/** By series of the plan: seconds since the start to values. */
export type Points = ReadonlyMap<number, ReadonlyMap<number, number>>
export type NumberedSeries = { readonly id: number; readonly series: number }

/** Values are small whole numbers: every sum is exact, in whatever order. */
export function bucketsOf(
  seriesId: number,
  points: ReadonlyMap<number, number>,
  width: number,
): MetricBucket[] {
  const byStart = Map.groupBy(
    [...points].toSorted(([a], [b]) => a - b),
    ([second]) => second - (second % width),
  )
  return [...byStart].map(([start, inside]) => {
    const values = inside.map(([, value]) => value)
    return {
      seriesId,
      startMs: START_MS + start * 1000,
      count: values.length,
      nonFinite: 0,
      sum: values.reduce((sum, value) => sum + value, 0),
      min: values.reduce((a, b) => Math.min(a, b)),
      max: values.reduce((a, b) => Math.max(a, b)),
      last: values.at(-1)!,
      sumSquares: values.reduce((sum, value) => sum + value * value, 0),
    }
  })
}

export function valueOf(series: number, second: number): number {
  return ((second * 7_919 + series * 104_729) % 2_003) - 1_001
}

export function pointsOf(appends: readonly Append[]): Points {
  const points = new Map<number, Map<number, number>>()
  for (const { series, from, to } of appends.flatMap(stretchesOf)) {
    const own = points.get(series) ?? new Map<number, number>()
    points.set(series, own)
    for (let second = from; second < to; second++) own.set(second, valueOf(series, second))
  }
  return points
}

export function countOf(points: Points, { series, from, to }: Stretch): number {
  let count = 0
  for (let second = from; second < to; second++) if (points.get(series)?.has(second) === true) count++
  return count
}

export function missing(points: Points, { series, from, to }: Stretch): string[] {
  for (let second = from; second < to; second++)
    if (points.get(series)?.get(second) !== valueOf(series, second)) return [`${series} ${second}`]
  return []
}

/** Points of the first that the second does not have like that, some of them. */
export function differences(points: Points, others: Points): string[] {
  const found: string[] = []
  for (const [series, own] of points)
    for (const [second, value] of own)
      if (others.get(series)?.get(second) !== value && found.length < MOST_LISTED)
        found.push(`${series} ${second}`)
  return found
}

export function maxKey(points: ReadonlyMap<number, number>): number {
  return [...points.keys()].reduce((a, b) => Math.max(a, b))
}

export function stretchesOf({ own, others }: Append): readonly Stretch[] {
  return [own, ...others]
}

/** The points of an append, as an engine takes them. */
export function batchOf(source: PointBatch['source'], one: Append): PointBatch {
  const stretches = stretchesOf(one)
  const length = stretches.reduce((sum, { from, to }) => sum + to - from, 0)
  const columns = {
    series: new Uint32Array(length),
    timesMs: new Float64Array(length),
    values: new Float64Array(length),
  }
  let i = 0
  for (const { series, from, to } of stretches)
    for (let second = from; second < to; second++, i++) {
      columns.series[i] = series
      columns.timesMs[i] = START_MS + second * 1000
      columns.values[i] = valueOf(series, second)
    }
  return { source, keys: KEYS, ...columns }
}
