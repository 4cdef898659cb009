import { randomUUID } from 'node:crypto'
import {
  type MetricBucket,
  type MetricPoint,
  type MetricsEngine,
  type PointBatch,
  type RetentionClass,
  type Series,
  type SeriesId,
  type TimeRange,
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

export async function bucketed(...asked: Parameters<typeof query>): Promise<MetricBucket[]> {
  const buckets: MetricBucket[] = []
  for await (const bucket of query(...asked)) buckets.push(bucket)
  return buckets
}
