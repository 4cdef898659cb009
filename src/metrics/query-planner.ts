import type { BucketWidth, PlanSegment } from './metric-query.ts'
import type { RetentionClass } from './metrics-engine.ts'
import type { MicrosRange } from './micros-range.ts'
import { DAY_MICROS, HOUR_MICROS, NOTHING_LATE, type SeriesDays } from './roll-up-ledger.ts'

/** The widest roll-up whose buckets never straddle an edge of the buckets asked for. */
export type Grain = 'daily' | 'hourly' | 'none'

/** A part of a range and where it is answered from. */
export interface Segment extends MicrosRange, Pick<PlanSegment, 'source' | 'reason'> {}

/** How the series of one class are answered. */
export interface ClassPlan {
  readonly retention: RetentionClass
  readonly ids: Int32Array
  /** Ascending and without gap or overlap. */
  readonly segments: readonly Segment[]
  /** Hours inside roll-up segments that come from raw instead. */
  readonly late: SeriesDays
}

/** What fixed widths can be put together from; for calendar widths see `edgesStatement`. */
export function grainOf({ seconds }: Extract<BucketWidth, { seconds: number }>): Grain {
  if (seconds % 86_400 === 0) return 'daily'
  return seconds % 3_600 === 0 ? 'hourly' : 'none'
}

/** The hours that roll-ups can answer for, were nothing late; `undefined` where there are none. */
export function rolledUpRange(
  { fromMicros, toMicros }: MicrosRange,
  grain: Grain,
  closedMicros: number,
): MicrosRange | undefined {
  if (grain === 'none') return undefined
  const from = ceilTo(fromMicros, HOUR_MICROS)
  const to = Math.min(floorTo(toMicros, HOUR_MICROS), closedMicros)
  return from < to ? { fromMicros: from, toMicros: to } : undefined
}

/** The whole days around a range: what marks are looked up by. */
export function daysAround({ fromMicros, toMicros }: MicrosRange): MicrosRange {
  return { fromMicros: floorTo(fromMicros, DAY_MICROS), toMicros: ceilTo(toMicros, DAY_MICROS) }
}

/**
 * Plans the series of one class. `late` are the marks in the days around the range that is rolled up, `undefined` where
 * they are so many that everything comes from raw.
 */
export function planClass(
  retention: RetentionClass,
  ids: Int32Array,
  range: MicrosRange,
  grain: Grain,
  closedMicros: number,
  late: SeriesDays | undefined,
): ClassPlan {
  const rolled = rolledUpRange(range, grain, closedMicros)
  const whole = (reason: Segment['reason']): ClassPlan => {
    return { retention, ids, segments: [{ ...range, source: 'raw', reason }], late: NOTHING_LATE }
  }
  if (grain === 'none') return whole('width')
  if (rolled === undefined) return whole(closedMicros < range.toMicros ? 'open' : 'edge')
  if (late === undefined) return whole('late')
  const segments: Segment[] = []
  const add = (
    fromMicros: number,
    toMicros: number,
    source: Segment['source'],
    reason: Segment['reason'],
  ) => {
    if (fromMicros < toMicros) segments.push({ fromMicros, toMicros, source, reason })
  }
  const { fromMicros: from, toMicros: to } = rolled
  add(range.fromMicros, from, 'raw', 'edge')
  const firstDay = ceilTo(from, DAY_MICROS)
  const lastDay = floorTo(to, DAY_MICROS)
  if (grain === 'daily' && firstDay < lastDay) {
    add(from, firstDay, 'hourly', 'whole')
    add(firstDay, lastDay, 'daily', 'whole')
    add(lastDay, to, 'hourly', 'whole')
  } else add(from, to, 'hourly', 'whole')
  add(to, range.toMicros, 'raw', closedMicros < floorTo(range.toMicros, HOUR_MICROS) ? 'open' : 'edge')
  return { retention, ids, segments, late: clip(late, rolled) }
}

/** Leaves out the hours that lie outside a range of whole hours. */
function clip({ ids, days, hours }: SeriesDays, { fromMicros, toMicros }: MicrosRange): SeriesDays {
  const inside = hours.map((bits, i) => {
    const first = Math.max(0, (fromMicros - days[i]!) / HOUR_MICROS)
    const end = Math.max(0, Math.min(24, (toMicros - days[i]!) / HOUR_MICROS))
    return first >= end ? 0 : bits & (2 ** end - 1) & ~(2 ** first - 1)
  })
  const kept = [...inside.keys()].filter((i) => inside[i] !== 0)
  return {
    ids: Int32Array.from(kept, (i) => ids[i]!),
    days: Float64Array.from(kept, (i) => days[i]!),
    hours: Int32Array.from(kept, (i) => inside[i]!),
  }
}

/** Stretches of hours, as columns, each of one series. */
export interface SeriesStretches {
  readonly ids: Int32Array
  readonly fromMicros: Float64Array
  readonly toMicros: Float64Array
}

/** Puts hours that follow one another together. */
export function stretchesOf({ ids, days, hours }: SeriesDays): SeriesStretches {
  const order = [...ids.keys()].sort((a, b) => ids[a]! - ids[b]! || days[a]! - days[b]!)
  const found: { id: number; from: number; to: number }[] = []
  for (const i of order)
    for (let hour = 0; hour < 24; hour++) {
      if (((hours[i]! >>> hour) & 1) === 0) continue
      const from = days[i]! + hour * HOUR_MICROS
      const last = found.at(-1)
      if (last?.id === ids[i] && last!.to === from) last!.to += HOUR_MICROS
      else found.push({ id: ids[i]!, from, to: from + HOUR_MICROS })
    }
  return {
    ids: Int32Array.from(found, ({ id }) => id),
    fromMicros: Float64Array.from(found, ({ from }) => from),
    toMicros: Float64Array.from(found, ({ to }) => to),
  }
}

function floorTo(micros: number, width: number): number {
  return micros - (micros % width)
}

function ceilTo(micros: number, width: number): number {
  return floorTo(micros + width - 1, width)
}
