import type { Connection } from '../database/connection.ts'
import { float8Array, int4Array, timestampArray } from './array-encoder.ts'
import { int4Literal } from './array-text.ts'
import { readTimestampMs } from './copy-decoder.ts'
import type { MetricPoint, SeriesId } from './metrics-engine.ts'
import type { OrderedPoints } from './point-order.ts'

/** Writes the entries of new series, which have no point yet. */
export async function createLatest(connection: Connection, created: readonly SeriesId[]): Promise<void> {
  if (created.length === 0) return
  await connection.query(
    `insert into metrics.latest_points (series_id, tenant_id)
     select id, tenant_id from metrics.series where id = any($1::int4[])`,
    [int4Array(Int32Array.from(created))],
  )
}

/**
 * Keeps the newest point of each series up to date with points just written, as `nomaly_system`.
 * `onTie` says whether a point of the same instant replaces the entry: a correction does, an append does not.
 */
export async function updateLatest(
  connection: Connection,
  points: OrderedPoints,
  onTie: 'keep' | 'replace',
): Promise<void> {
  const { newest, ids, micros, values } = points
  await connection.query(
    `update metrics.latest_points l set time = i.time, value = i.value
     from unnest($1::int4[], $2::timestamptz[], $3::float8[]) i(series_id, time, value)
     where l.series_id = i.series_id and l.time ${onTie === 'keep' ? '<' : '<='} i.time`,
    [
      int4Array(Int32Array.from(newest, (index) => ids[index]!)),
      timestampArray(Float64Array.from(newest, (index) => micros[index]!)),
      float8Array(Float64Array.from(newest, (index) => values[index]!)),
    ],
  )
}

/** The statement that answers, as `nomaly_system`, the newest points of those series that the tenant owns; see {@link toNewest}. */
export function newestStatement(ids: Int32Array): string {
  return `select * from metrics.newest_points(${int4Literal(ids)})`
}

const PACKED_BYTES = 20

/** What {@link newestStatement} answers: all points packed into one value, which takes a fraction of the time of a row each. */
export function toNewest([row]: readonly unknown[][]): MetricPoint[] {
  const packed = row![0] as Buffer | null
  if (packed === null) return []
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  return Array.from({ length: packed.byteLength / PACKED_BYTES }, (_, i) => {
    const at = i * PACKED_BYTES
    return {
      seriesId: view.getInt32(at),
      timeMs: readTimestampMs(view, at + 4),
      value: view.getFloat64(at + 12),
    }
  })
}

/** The newest point of each series that has one, in no particular order, as `nomaly_system`. */
export async function readLatest(
  connection: Connection,
  series: readonly SeriesId[],
): Promise<MetricPoint[]> {
  if (series.length === 0) return []
  const rows = await connection.query<{ series_id: number; micros: string; value: number }>(
    `select series_id, (extract(epoch from time) * 1000000)::int8 as micros, value
     from metrics.latest_points where series_id = any($1::int4[]) and time > '-infinity'`,
    [int4Array(Int32Array.from(series))],
  )
  return rows.map((row) => ({
    seriesId: row.series_id,
    timeMs: Number(row.micros) / 1000,
    value: row.value,
  }))
}
