import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { detectSeries } from '../detection/series-monitor.ts'
import type { BandColumns, DetectorSettings, Finding } from '../detection/series-monitor.ts'
import type { SeriesKey } from '../metrics/metrics-engine.ts'
import type { ReadPoints } from './read-points.ts'

/** What a detector says of one series of an input. */
export interface DetectedSeries {
  readonly key: SeriesKey
  readonly timesMs: Float64Array
  readonly values: Float64Array
  readonly choice: { readonly algorithm: string; readonly reason: string } | undefined
  readonly findings: readonly Finding[]
  readonly band: BandColumns | undefined
}

/** Looks at points without storing them, one series after the other, each in ascending time whatever the order of the input. */
export async function detectPoints(
  points: Pick<ReadPoints, 'keys' | 'series' | 'timesMs' | 'values'>,
  settings: DetectorSettings,
  options: { readonly band: boolean; readonly signal?: AbortSignal },
): Promise<DetectedSeries[]> {
  const detected: DetectedSeries[] = []
  for (const { key, timesMs, values } of splitBySeries(points)) {
    options.signal?.throwIfAborted()
    const { choice, findings, band } = detectSeries(settings, timesMs, values, { band: options.band })
    detected.push({ key, timesMs, values, choice, findings, band })
    await yieldToOthers()
  }
  return detected
}

/** The points of each series in columns of their own, in ascending time. */
function splitBySeries(
  points: Pick<ReadPoints, 'keys' | 'series' | 'timesMs' | 'values'>,
): { key: SeriesKey; timesMs: Float64Array; values: Float64Array }[] {
  const order = Uint32Array.from(points.series.keys()).toSorted(
    (a, b) => points.series[a]! - points.series[b]! || points.timesMs[a]! - points.timesMs[b]! || a - b,
  )
  const parts: { key: SeriesKey; timesMs: Float64Array; values: Float64Array }[] = []
  for (let start = 0; start < order.length;) {
    const series = points.series[order[start]!]!
    let end = start + 1
    while (end < order.length && points.series[order[end]!] === series) end++
    const part = order.subarray(start, end)
    parts.push({
      key: points.keys[series]!,
      timesMs: Float64Array.from(part, (index) => points.timesMs[index]!),
      values: Float64Array.from(part, (index) => points.values[index]!),
    })
    start = end
  }
  return parts
}
