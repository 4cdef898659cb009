import type { PointBatch, SeriesSource, SeriesKey } from '../../src/metrics/metrics-engine.ts'

export interface SampleSize {
  readonly points: number
  readonly pointsPerBatch: number
  readonly series: number
}

const STEP_MS = 10_000
const HOUR_MS = 3_600_000

/**
 * Points as collectors send them: all series at one time, then all at the next. The first are of this hour: older ones would be late, and
 * roll-ups be made of them while they are measured.
 */
export function makeBatches(
  { points, pointsPerBatch, series }: SampleSize,
  source: SeriesSource,
): PointBatch[] {
  const now = Date.now()
  const startMs = now - (now % HOUR_MS)
  const keys = Array.from({ length: series }, (_, i) => ({
    metric: `metric_${i % 10}`,
    tags: { host: `host-${Math.floor(i / 10)}`, region: 'north' },
  }))
  return Array.from({ length: Math.ceil(points / pointsPerBatch) }, (_, batch) => {
    const first = batch * pointsPerBatch
    const indexes = Array.from(
      { length: Math.min(pointsPerBatch, points - first) },
      (_unused, i) => first + i,
    )
    return {
      source,
      keys,
      series: Uint32Array.from(indexes, (i) => i % series),
      timesMs: Float64Array.from(indexes, (i) => startMs + Math.floor(i / series) * STEP_MS),
      // A smooth curve with digits enough to be as long as measurements are.
      values: Float64Array.from(indexes, (i) => 100 + 10 * Math.sin(i / 7919) + (i % 1000) / 997),
    }
  })
}

/** Where a series made by {@link makeBatches} stands among its keys. */
export function keyIndex({ metric, tags }: SeriesKey): number {
  return Number(tags['host']!.slice('host-'.length)) * 10 + Number(metric.slice('metric_'.length))
}

/** A batch as lines of NDJSON, as `POST /v1/datasets/{d}/points` takes them. */
export function toNdjson({ keys, series, timesMs, values }: PointBatch): Buffer {
  const heads = keys.map(({ metric, tags }) => JSON.stringify({ metric, tags }).slice(1, -1))
  let text = ''
  for (let i = 0; i < series.length; i++)
    text += `{"time":"${new Date(timesMs[i]!).toISOString()}",${heads[series[i]!]},"value":${values[i]}}\n`
  return Buffer.from(text)
}
