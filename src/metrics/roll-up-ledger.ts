import type { Connection } from '../database/connection.ts'
import { int4Array, timestampArray } from './array-encoder.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass, SeriesId } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { OrderedPoints } from './point-order.ts'

export const HOUR_MICROS = 3_600_000_000
export const DAY_MICROS = 24 * HOUR_MICROS

/** All hours of a day, as bits. */
export const WHOLE_DAY = 2 ** 24 - 1

/** Days of series and which of their hours are meant, as columns. */
export interface SeriesDays {
  readonly ids: Int32Array
  /** Starts of UTC days in epoch microseconds. */
  readonly days: Float64Array
  /** Bit n is hour n of the day. */
  readonly hours: Int32Array
}

export const NOTHING_LATE: SeriesDays = {
  ids: new Int32Array(),
  days: new Float64Array(),
  hours: new Int32Array(),
}

/** Up to where the hours of each class are closed, or being closed, in epoch microseconds; `-Infinity` where none is. */
export type HourBounds = ReadonlyMap<RetentionClass, number>

/** The statement that answers rows of {@link StateRow}. */
export function stateStatement(
  relations: MetricsRelations,
  column: 'closing_until' | 'closed_until',
): string {
  return `select retention, extract(epoch from ${column})::float8 * 1000000 as micros from ${relations.state}`
}

export interface StateRow {
  readonly retention: RetentionClass
  readonly micros: number
}

export function toBounds(rows: readonly StateRow[]): HourBounds {
  return new Map(rows.map(({ retention, micros }) => [retention, micros]))
}

/**
 * Marks the hours of points just written that are closed or being closed, as `nomaly_system`, in the transaction that wrote them. `closing` is
 * what `closing_until` was at some moment after the transaction took the lock of writers.
 */
export async function markLate(
  connection: Connection,
  relations: MetricsRelations,
  points: OrderedPoints,
  closing: HourBounds,
): Promise<void> {
  for (const [retention, { ids, days, hours }] of lateDays(points, closing))
    await connection.query(
      `insert into ${relations.late(retention)} (day, series_id, hours)
       select * from unnest($1::timestamptz[], $2::int4[], $3::int4[])`,
      [timestampArray(days), int4Array(ids), int4Array(hours)],
    )
}

/** Which hours points lie in, as far as they are before the bound of their class. */
export function lateDays(points: OrderedPoints, closing: HourBounds): Map<RetentionClass, SeriesDays> {
  const { ids, micros } = points
  const found = new Map<RetentionClass, { ids: number[]; days: number[]; hours: number[] }>()
  for (const { retention, start, end, lowerMicros } of points.runs) {
    const bound = closing.get(retention) ?? Number.NEGATIVE_INFINITY
    if (lowerMicros >= bound) continue
    const late = found.get(retention) ?? { ids: [], days: [], hours: [] }
    let id: SeriesId | undefined
    let day = 0
    for (let i = start; i < end; i++) {
      const time = micros[i]!
      if (time >= bound) continue
      if (ids[i] !== id || time >= day + DAY_MICROS) {
        id = ids[i]!
        day = time - (time % DAY_MICROS)
        late.ids.push(id)
        late.days.push(day)
        late.hours.push(0)
      }
      late.hours[late.hours.length - 1]! |= 1 << Math.floor((time - day) / HOUR_MICROS)
    }
    if (late.ids.length > 0) found.set(retention, late)
  }
  return new Map(
    [...found].map(([retention, late]) => [
      retention,
      {
        ids: Int32Array.from(late.ids),
        days: Float64Array.from(late.days),
        hours: Int32Array.from(late.hours),
      },
    ]),
  )
}

/**
 * The marked hours of series in whole days from `fromMicros` to `toMicros`, by day and series, as `nomaly_system`; `undefined` where there
 * are more than `limit` days of series.
 */
export async function readLate(
  connection: Connection,
  relations: MetricsRelations,
  retention: RetentionClass,
  ids: Int32Array,
  range: { readonly fromMicros: number; readonly toMicros: number },
  limit: number,
): Promise<SeriesDays | undefined> {
  const rows = await connection.query<{ series_id: number; micros: number; hours: number }>(
    `select series_id, extract(epoch from day)::float8 * 1000000 as micros, bit_or(hours) as hours
     from ${relations.late(retention)}
     where day >= ${instantLiteral(range.fromMicros)} and day < ${instantLiteral(range.toMicros)}
       and series_id = any($1::int4[])
     group by day, series_id order by day, series_id limit ${limit + 1}`,
    [int4Array(ids)],
  )
  if (rows.length > limit) return undefined
  return toSeriesDays(rows)
}

export function toSeriesDays(
  rows: readonly { readonly series_id: number; readonly micros: number; readonly hours: number }[],
): SeriesDays {
  return {
    ids: Int32Array.from(rows, (row) => row.series_id),
    days: Float64Array.from(rows, (row) => row.micros),
    hours: Int32Array.from(rows, (row) => row.hours),
  }
}

/** How many hours are marked in days. */
export function countHours({ hours }: SeriesDays): number {
  let count = 0
  for (let bits of hours) for (; bits !== 0; bits &= bits - 1) count++
  return count
}
