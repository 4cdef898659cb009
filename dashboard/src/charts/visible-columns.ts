import type { BandColumns, PointColumns } from '../api/points.ts'

/** Columns as uPlot wants them: times, values, expected, lower, upper; `null` where there is nothing. */
export interface VisibleColumns {
  readonly data: [number[], Column, Column, Column, Column]
  /** Smallest and largest number worth showing; `undefined` when nothing is visible. */
  readonly extent: { min: number; max: number } | undefined
  /** Points in the range, before thinning. */
  readonly count: number
}

type Column = (number | null)[]

/** How far the band may stretch the vertical axis beyond the values, as a share of their span. */
const MOST_BAND_STRETCH = 0.4

/**
 * Thins what lies in a range down to about four points a pixel column: its first, smallest, largest and last value, so
 * that no extreme is lost. One point on either side is kept, so that the line runs out of the picture.
 */
export function visibleColumns(
  points: PointColumns,
  band: BandColumns | undefined,
  range: { fromMs: number; toMs: number },
  widthPixels: number,
): VisibleColumns {
  const start = Math.max(0, lowerBound(points.timesMs, range.fromMs) - 1)
  const end = Math.min(points.timesMs.length, lowerBound(points.timesMs, range.toMs) + 1)
  const indexes = thinned(points, start, end, Math.max(50, Math.floor(widthPixels)), range)

  const times: number[] = []
  const columns: [Column, Column, Column, Column] = [[], [], [], []]
  let min = Infinity
  let max = -Infinity
  let bandMin = Infinity
  let bandMax = -Infinity
  let at =
    band === undefined ? 0 : Math.max(0, lowerBound(band.timesMs, points.timesMs[start] ?? range.fromMs) - 1)
  for (const index of indexes) {
    const time = points.timesMs[index] as number
    const value = points.values[index] as number
    times.push(time)
    columns[0].push(Number.isFinite(value) ? value : null)
    if (Number.isFinite(value)) {
      min = Math.min(min, value)
      max = Math.max(max, value)
    }
    if (band === undefined) continue
    while (at + 1 < band.timesMs.length && (band.timesMs[at + 1] as number) <= time) at++
    const bandTime = band.timesMs[at] ?? Infinity
    // What lies beyond the band's last point has not been judged yet.
    const inside = bandTime === time || (bandTime < time && at + 1 < band.timesMs.length)
    const pick = (column: Float64Array): number | null => {
      const found = inside ? (column[at] as number) : Number.NaN
      return Number.isFinite(found) ? found : null
    }
    const lower = pick(band.lower)
    const upper = pick(band.upper)
    columns[1].push(pick(band.expected))
    columns[2].push(lower)
    columns[3].push(upper)
    if (lower !== null && lower < bandMin) bandMin = lower
    if (upper !== null && upper > bandMax) bandMax = upper
  }
  if (band === undefined) for (let each = 1; each < 4; each++) columns[each] = times.map(() => null)
  return { data: [times, ...columns], extent: extentOf(min, max, bandMin, bandMax), count: end - start }
}

function extentOf(
  min: number,
  max: number,
  bandMin: number,
  bandMax: number,
): { min: number; max: number } | undefined {
  if (min > max) return undefined
  const span = max - min || Math.abs(max) * 0.1 || 1
  // What is never negative is not expected below zero, whatever a symmetric band says.
  const lower = min >= 0 ? Math.max(0, bandMin) : bandMin
  const low = Math.max(Math.min(min, lower), min - span * MOST_BAND_STRETCH)
  const high = Math.min(Math.max(max, bandMax), max + span * MOST_BAND_STRETCH)
  const margin = (high - low || span) * 0.06
  // A quantity that is never negative keeps its zero line instead of a strip below it.
  const floor = min >= 0 && low - margin < 0 ? Math.min(0, low) : low - margin
  return { min: floor, max: high + margin }
}

function thinned(
  points: PointColumns,
  start: number,
  end: number,
  buckets: number,
  range: { fromMs: number; toMs: number },
): Iterable<number> {
  if (end - start <= buckets * 4)
    return Array.from({ length: Math.max(0, end - start) }, (_, offset) => start + offset)
  const { timesMs, values } = points
  const width = (range.toMs - range.fromMs) / buckets
  const kept: number[] = []
  let index = start
  while (index < end) {
    const bucket = Math.floor(((timesMs[index] as number) - range.fromMs) / width)
    const edge = range.fromMs + (bucket + 1) * width
    const first = index
    let lowest = index
    let highest = index
    do {
      const value = values[index] as number
      if (Number.isFinite(value)) {
        // Whatever comes first may be no number, which anything replaces.
        const low = values[lowest] as number
        const high = values[highest] as number
        if (value < low || !Number.isFinite(low)) lowest = index
        if (value > high || !Number.isFinite(high)) highest = index
      }
      index++
    } while (index < end && (timesMs[index] as number) < edge)
    const chosen = [first, Math.min(lowest, highest), Math.max(lowest, highest), index - 1]
    for (const each of chosen) if (kept.at(-1) !== each) kept.push(each)
  }
  return kept
}

/** Index of the first element that is not below `target` in an ascending column. */
export function lowerBound(column: Float64Array, target: number): number {
  let low = 0
  let high = column.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((column[middle] as number) < target) low = middle + 1
    else high = middle
  }
  return low
}
