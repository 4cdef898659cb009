import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import type { RetentionClass, SeriesId } from './metrics-engine.ts'

/** The class of each of these series that the tenant of the transaction owns, by id; as `nomaly_app`. */
export async function ownedSeries(
  connection: Connection,
  series: readonly SeriesId[],
): Promise<Map<SeriesId, RetentionClass>> {
  const ids = possibleIds(series)
  if (ids.length === 0) return new Map()
  const rows = await connection.query<{ id: number; retention: RetentionClass }>(
    'select id, retention from metrics.series where id = any($1::int4[])',
    [int4Array(ids)],
  )
  return new Map(rows.map(({ id, retention }) => [id, retention]))
}

/** Leaves out ids that no series can have: absent, like everything that is not there. */
export function possibleIds(series: readonly SeriesId[]): Int32Array {
  return Int32Array.from(series.filter((id) => Number.isInteger(id) && id > 0 && id <= 0x7fffffff))
}
