import type { Connection } from '../database/connection.ts'
import { NomalyError } from '../errors.ts'
import { int4Array } from './array-encoder.ts'
import type { SeriesGroups } from './bucket-statement.ts'
import type { MetricQuery, RetentionClass, SeriesId } from './metrics-engine.ts'
import { possibleIds } from './owned-series.ts'
import { isStorableText } from './series-key.ts'
import { isSourceId } from './source-lock.ts'

/** Most series of one query. */
export const MAX_SERIES_PER_QUERY = 100_000

/** The series of a query that the tenant owns. */
export interface SelectedSeries {
  readonly byClass: ReadonlyMap<RetentionClass, Int32Array>
  readonly count: number
  /** The lowest id of each series' group; `undefined` where each series is its own. */
  readonly groups: SeriesGroups | undefined
  /** What groups are called, by their lowest id; empty where each series is its own. */
  readonly names: ReadonlyMap<SeriesId, string>
}

interface Row {
  readonly id: SeriesId
  readonly retention: RetentionClass
  readonly metric: string
}

/**
 * Finds the series of a query, as `nomaly_app`, which it leaves as it was.
 * @throws NomalyError `too_large` for more than {@link MAX_SERIES_PER_QUERY}.
 */
export async function selectSeries(
  connection: Connection,
  { series, groupBy = 'series' }: Pick<MetricQuery, 'series' | 'groupBy'>,
): Promise<SelectedSeries> {
  const rows = await find(connection, series)
  if (rows.length > MAX_SERIES_PER_QUERY)
    throw new NomalyError('too_large', `This query is of more than ${MAX_SERIES_PER_QUERY} series.`, {
      hint: 'Name a metric or more tags.',
    })
  const byClass = new Map(
    [...Map.groupBy(rows, ({ retention }) => retention)].map(([retention, of]) => [
      retention,
      Int32Array.from(of, ({ id }) => id),
    ]),
  )
  if (groupBy === 'series') return { byClass, count: rows.length, groups: undefined, names: new Map() }
  const nameOf = ({ metric }: Row) => (groupBy === 'metric' ? metric : '')
  const lowest = new Map<string, SeriesId>()
  for (const row of rows) lowest.set(nameOf(row), Math.min(lowest.get(nameOf(row)) ?? row.id, row.id))
  return {
    byClass,
    count: rows.length,
    groups: {
      ids: Int32Array.from(rows, ({ id }) => id),
      groups: Int32Array.from(rows, (row) => lowest.get(nameOf(row))!),
    },
    names: new Map([...lowest].map(([name, id]) => [id, name])),
  }
}

async function find(connection: Connection, series: MetricQuery['series']): Promise<Row[]> {
  if (!('sourceId' in series)) {
    const ids = possibleIds(series)
    if (ids.length === 0) return []
    return connection.query<Row>(
      'select id, retention, metric from metrics.series where id = any($1::int4[])',
      [int4Array(ids)],
    )
  }
  const { sourceId, metric, tags } = series
  const texts = [metric ?? '', ...Object.entries(tags ?? {}).flat()]
  if (!isSourceId(sourceId) || !texts.every(isStorableText)) return []
  // The source narrows enough: the index on tags, which the tenant's policy keeps from being used, is not missed.
  return connection.query<Row>(
    `select id, retention, metric from metrics.series
     where tenant_id = nomaly.current_tenant() and source_id = $1
       and ($2::text is null or metric = $2) and ($3::jsonb is null or tags @> $3)
     order by id limit ${MAX_SERIES_PER_QUERY + 1}`,
    [sourceId, metric ?? null, tags === undefined ? null : JSON.stringify(tags)],
  )
}
