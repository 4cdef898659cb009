import type { Connection } from '../database/connection.ts'
import { int4Array } from './array-encoder.ts'
import type { SeriesId } from './metrics-engine.ts'

/** What has series, over all tenants. */
export interface StoredSource {
  readonly tenantId: string
  readonly kind: 'dataset' | 'job'
  readonly id: string
}

const BEFORE_ALL = {
  tenantId: '00000000-0000-0000-0000-000000000000',
  kind: '',
  id: '00000000-0000-0000-0000-000000000000',
}

/**
 * The sources that have series, by tenant, kind and id, from after one of them, as `nomaly_system`. Goes from source to source in the index:
 * it costs the same however many series each has.
 */
export async function readSources(
  connection: Connection,
  after: StoredSource | undefined,
  limit: number,
): Promise<StoredSource[]> {
  const { tenantId, kind, id } = after ?? BEFORE_ALL
  return connection.query<StoredSource & Record<string, unknown>>(
    `with recursive walk as (
       (select tenant_id, source_kind, source_id, 1 as n from metrics.series
        where (tenant_id, source_kind, source_id) > ($1::uuid, $2::text, $3::uuid)
        order by tenant_id, source_kind, source_id limit 1)
       union all
       select s.tenant_id, s.source_kind, s.source_id, w.n + 1
       from walk w cross join lateral (
         select tenant_id, source_kind, source_id from metrics.series
         where (tenant_id, source_kind, source_id) > (w.tenant_id, w.source_kind, w.source_id)
         order by tenant_id, source_kind, source_id limit 1) s
       where w.n < $4::int4
     )
     select tenant_id as "tenantId", source_kind as kind, source_id as id from walk order by n`,
    [tenantId, kind, id, limit],
  )
}

/** Those of these ids that are also the id of a job that series were written for, as `nomaly_system`. */
export async function readJobSources(connection: Connection, ids: readonly string[]): Promise<Set<string>> {
  const rows = await connection.query<{ id: string }>(
    "select distinct source_id as id from metrics.series where source_kind = 'job' and source_id = any($1::uuid[])",
    [ids],
  )
  return new Set(rows.map(({ id }) => id))
}

/** The source of each of these series that there is, over all tenants, as `nomaly_system`. */
export async function readSourcesOf(
  connection: Connection,
  series: readonly SeriesId[],
): Promise<Map<SeriesId, StoredSource>> {
  const rows = await connection.query<StoredSource & { seriesId: SeriesId } & Record<string, unknown>>(
    `select id as "seriesId", tenant_id as "tenantId", source_kind as kind, source_id as id
     from metrics.series where id = any($1::int4[])`,
    [int4Array(Int32Array.from(series))],
  )
  return new Map(rows.map(({ seriesId, ...source }) => [seriesId, source]))
}
