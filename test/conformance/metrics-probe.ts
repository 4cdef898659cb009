import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import type { MetricBucket, MetricQuery } from '../../src/metrics/metric-query.ts'
import type {
  MetricPoint,
  MetricsEngine,
  PointBatch,
  RetentionClass,
  Series,
  SeriesId,
  TimeRange,
} from '../../src/metrics/metrics-engine.ts'

export const ALWAYS: TimeRange = { fromMs: -Infinity, toMs: Infinity }

export const DAY_MS = 86_400_000

export function newSource(retention: RetentionClass = 'forever') {
  return { kind: 'dataset', id: randomUUID(), retention } as const
}

export function single(source: PointBatch['source'], timeMs: number, value: number): PointBatch {
  const columns = {
    series: new Uint32Array(1),
    timesMs: Float64Array.of(timeMs),
    values: Float64Array.of(value),
  }
  return { source, keys: [{ metric: 'm', tags: {} }], ...columns }
}

export function pair(source: PointBatch['source'], firstMs: number, secondMs: number): PointBatch {
  const columns = {
    series: new Uint32Array(2),
    timesMs: Float64Array.of(firstMs, secondMs),
    values: Float64Array.of(1, 2),
  }
  return { source, keys: [{ metric: 'm', tags: {} }], ...columns }
}

export function point(seriesId: SeriesId, timeMs: number, value: number): MetricPoint {
  return { seriesId, timeMs, value }
}

export async function scanned(
  engine: MetricsEngine,
  scope: { tenantId: string },
  ids: readonly SeriesId[],
  range: TimeRange,
): Promise<MetricPoint[]> {
  const points: MetricPoint[] = []
  for await (const { seriesId, timesMs, values } of engine.scan(scope, ids, range))
    for (const [i, timeMs] of timesMs.entries()) points.push(point(seriesId, timeMs, values[i]!))
  return points
}

export async function pointCount(
  engine: MetricsEngine,
  scope: { tenantId: string },
  series: readonly Series[],
): Promise<number> {
  return (
    await scanned(
      engine,
      scope,
      series.map(({ id }) => id),
      ALWAYS,
    )
  ).length
}

export function query(
  engine: MetricsEngine,
  scope: { tenantId: string },
  series: readonly SeriesId[],
  range: TimeRange,
  bucketSeconds: number,
): AsyncIterable<MetricBucket> {
  return engine.query(scope, { series, range, bucket: { seconds: bucketSeconds }, freshness: 'latest' })
}

export async function answered(
  engine: MetricsEngine,
  scope: { tenantId: string },
  asked: Omit<MetricQuery, 'freshness'>,
): Promise<MetricBucket[]> {
  return Array.fromAsync(engine.query(scope, { ...asked, freshness: 'latest' }))
}

/** Everything exactly, and sums but for the order in which they were added up. */
export function expectSameBuckets(buckets: readonly MetricBucket[], wanted: readonly MetricBucket[]): void {
  expect(buckets.map(exactPart)).toEqual(wanted.map(exactPart))
  for (const [i, bucket] of buckets.entries()) {
    // Adding up in another order may differ in the last digits of the largest terms.
    const magnitude = Math.max(Math.abs(bucket.min ?? 0), Math.abs(bucket.max ?? 0)) * bucket.count
    expect(Math.abs((bucket.sum ?? 0) - (wanted[i]!.sum ?? 0))).toBeLessThanOrEqual(1e-12 * magnitude)
    const squares = wanted[i]!.sumSquares ?? 0
    // Squares below the smallest normal float count as nothing.
    expect(Math.abs((bucket.sumSquares ?? 0) - squares)).toBeLessThanOrEqual(1e-12 * squares + 1e-300)
    for (const sum of ['sum', 'sumSquares'] as const)
      expect(bucket[sum] === null).toBe(wanted[i]![sum] === null)
  }
}

function exactPart({
  sum: _sum,
  sumSquares: _squares,
  ...exact
}: MetricBucket): Omit<MetricBucket, 'sum' | 'sumSquares'> {
  return exact
}

export async function bucketed(...asked: Parameters<typeof query>): Promise<MetricBucket[]> {
  const buckets: MetricBucket[] = []
  for await (const bucket of query(...asked)) buckets.push(bucket)
  return buckets
}
