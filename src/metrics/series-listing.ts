import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import { readLatest } from './latest-points.ts'
import { possibleIds } from './owned-series.ts'
import { isStorableText } from './series-key.ts'
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
  if (!canMatch(filter)) return []
  const values: unknown[] = []
  const conditions: string[] = ['tenant_id = nomaly.current_tenant()']
  const add = (left: string, value: unknown, right = '') =>
    conditions.push(`${left} $${values.push(value)}${right}`)
  if (filter.sourceId !== undefined) add('source_id =', filter.sourceId)
  if (filter.metric !== undefined) add('metric =', filter.metric)
  if (filter.tags !== undefined) add('tags @>', JSON.stringify(filter.tags), '::jsonb')
  if (filter.ids !== undefined) add('id = any(', int4Array(possibleIds(filter.ids)), '::int4[])')
  if (filter.afterId !== undefined) add('id >', filter.afterId, '::int8')
  const limit = `limit $${values.push(filter.limit ?? DEFAULT_LIMIT)}`
  const matching = `where ${conditions.join(' and ')} order by id ${limit}`
  const rows = await (filter.tags === undefined
    ? readSeries(connection, matching, values)
    : readByTags(connection, matching, values))
  await connection.become('nomaly_system')
  const ids = rows.map(({ id }) => id)
  const latest = await readLatest(connection, ids)
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

/** False for a filter that nothing can match, and that the database would not even understand. */
function canMatch({ sourceId, metric, tags }: SeriesFilter): boolean {
  return (
    (sourceId === undefined || isSourceId(sourceId)) &&
    [metric ?? '', ...Object.entries(tags ?? {}).flat()].every(isStorableText)
  )
}

async function readSeries(
  connection: Connection,
  matching: string,
  values: readonly unknown[],
): Promise<Row[]> {
  return connection.query<Row>(
    `select id, source_kind, source_id, metric, tags, retention, created_at from metrics.series ${matching}`,
    values,
  )
}

/** The index on tags serves the system role only: under it ids are found, and under the tenant's policy read. */
async function readByTags(
  connection: Connection,
  matching: string,
  values: readonly unknown[],
): Promise<Row[]> {
  const found = await connection.as('nomaly_system', 'nomaly_app', () =>
    connection.query<{ id: number }>(`select id from metrics.series ${matching}`, values),
  )
  const ids = int4Array(Int32Array.from(found, ({ id }) => id))
  return readSeries(connection, 'where id = any($1::int4[]) order by id', [ids])
}

/** Counts the series of each source and finds its newest point; starts as `nomaly_app` and leaves as `nomaly_system`. */
export async function summariseSources(
  connection: Connection,
  sourceIds: readonly string[],
): Promise<Map<string, SourceSummary>> {
  const ids = sourceIds.filter(isSourceId)
  if (ids.length === 0) return new Map()
  // As the tenant, so that row-level security says which of these it owns; the points' side is read as the system.
  const owned = await connection.query<{ source_id: string; tenant_id: string }>(
    'select distinct source_id, tenant_id from metrics.series where source_id = any($1::uuid[])',
    [ids],
  )
  await connection.become('nomaly_system')
  const rows = await connection.query<{ source_id: string; count: number; ms: number | null }>(
    `select s.source_id, count(*)::int4 as count,
            (extract(epoch from max(l.time) filter (where l.time > '-infinity')) * 1000)::float8 as ms
     from metrics.series s left join metrics.latest_points l on l.series_id = s.id
     where s.tenant_id = $1 and s.source_id = any($2::uuid[]) group by s.source_id`,
    [owned[0]?.tenant_id ?? null, owned.map(({ source_id }) => source_id)],
  )
  return new Map(rows.map(({ source_id, count, ms }) => [source_id, { count, latestMs: ms ?? undefined }]))
}
