import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import type { RetentionClass, SeriesId } from './metrics-engine.ts'

/** Series whose points one statement deletes. */
const SERIES_AT_ONCE = 1_000

/** Deletes the series of a source and all their points; answers how many series. Starts as `nomaly_app`, the source locked. */
export async function removeSource(connection: Connection, sourceId: string): Promise<number> {
  const removed = await connection.query<{ id: SeriesId; retention: RetentionClass }>(
    'delete from metrics.series where source_id = $1 returning id, retention',
    [sourceId],
  )
  await connection.become('nomaly_system')
  for (const [retention, series] of Map.groupBy(removed, (one) => one.retention))
    for (let start = 0; start < series.length; start += SERIES_AT_ONCE) {
      const ids = int4Array(Int32Array.from(series.slice(start, start + SERIES_AT_ONCE), ({ id }) => id))
      await connection.query(`delete from metrics.points_${retention} where series_id = any($1::int4[])`, [
        ids,
      ])
      await connection.query('delete from metrics.latest_points where series_id = any($1::int4[])', [ids])
    }
  return removed.length
}
