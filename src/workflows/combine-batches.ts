import type { PointBatch, SeriesKey } from '../metrics/metrics-engine.ts'

/** One batch of the points of several, in their order, all of the source of the first. */
export function combineBatches(batches: readonly PointBatch[]): PointBatch {
  const total = batches.reduce((sum, { series }) => sum + series.length, 0)
  const keys: SeriesKey[] = []
  const series = new Uint32Array(total)
  const timesMs = new Float64Array(total)
  const values = new Float64Array(total)
  let offset = 0
  for (const batch of batches) {
    const firstKey = keys.length
    for (const key of batch.keys) keys.push(key)
    for (let i = 0; i < batch.series.length; i++) series[offset + i] = batch.series[i]! + firstKey
    timesMs.set(batch.timesMs, offset)
    values.set(batch.values, offset)
    offset += batch.series.length
  }
  return { source: batches[0]!.source, keys, series, timesMs, values }
}
