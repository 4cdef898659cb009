import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import { readLatest } from './latest-points.ts'
import { possibleIds } from './owned-series.ts'
import { isSourceId } from './source-lock.ts'
import type { RetentionClass, Series, SeriesFilter, SourceSummary } from './metrics-engine.ts'

const DEFAULT_LIMIT = 1_000

interface Row {
  readonly id: number
  readonly source_kind: 'dataset' | 'job'
  readonly source_id: string
  readonly metric: string
  readonly tags: Record<string, string>
  readonly retention: RetentionClass
  readonly created_at: Date
}

/** Series of the tenant that match a filter, ascending by id; starts as `nomaly_app` and leaves as `nomaly_system`. */
export async function listSeries(connection: Connection, filter: SeriesFilter): Promise<Series[]> {
  if (filter.sourceId !== undefined && !isSourceId(filter.sourceId)) return []
  const conditions = ['true']
  const values: unknown[] = []
  const add = (condition: string, value: unknown) =>
    conditions.push(condition.replace('?', `$${values.push(value)}`))
  if (filter.sourceId !== undefined) add('source_id = ?', filter.sourceId)
  if (filter.metric !== undefined) add('metric = ?', filter.metric)
  if (filter.tags !== undefined) add('tags @> ?::jsonb', JSON.stringify(filter.tags))
  if (filter.ids !== undefined) add('id = any(?::int4[])', int4Array(possibleIds(filter.ids)))
  if (filter.afterId !== undefined) add('id > ?::int8', filter.afterId)
  const limit = `limit $${values.push(filter.limit ?? DEFAULT_LIMIT)}`
  const rows = await connection.query<Row>(
    `select id, source_kind, source_id, metric, tags, retention, created_at from metrics.series
     where ${conditions.join(' and ')} order by id ${limit}`,
    values,
  )
  await connection.become('nomaly_system')
  const latest = await readLatest(
    connection,
    rows.map(({ id }) => id),
  )
  const latestMs = new Map(latest.map(({ seriesId, timeMs }) => [seriesId, timeMs]))
  return rows.map((row) => ({
    id: row.id,
    metric: row.metric,
    tags: row.tags,
    source: { kind: row.source_kind, id: row.source_id },
    retention: row.retention,
    createdAt: row.created_at,
    latestMs: latestMs.get(row.id),
  }))
}

/** Counts the series of a source and finds its newest point; starts as `nomaly_app` and leaves as `nomaly_system`. */
export async function summariseSource(connection: Connection, sourceId: string): Promise<SourceSummary> {
  if (!isSourceId(sourceId)) return { count: 0, latestMs: undefined }
  const rows = await connection.query<{ id: number }>('select id from metrics.series where source_id = $1', [
    sourceId,
  ])
  await connection.become('nomaly_system')
  const ids = int4Array(Int32Array.from(rows, ({ id }) => id))
  const [newest] = await connection.query<{ ms: number | null }>(
    `select (extract(epoch from max(time)) * 1000)::float8 as ms
     from metrics.latest_points where series_id = any($1::int4[])`,
    [ids],
  )
  return { count: rows.length, latestMs: newest?.ms ?? undefined }
}
