import type { Connection } from './connection.ts'

/** Something that refers to what is not there. */
export interface Orphan {
  readonly tenantId: string
  /** Of the dataset that is gone, or of the job of the detector. */
  readonly ownerId: string
  /** The series that is gone; 0 where it is about a whole source. */
  readonly seriesId: number
}

export type OrphanKind = 'source' | 'detector-state'

const COLUMNS = 'tenant_id as "tenantId", owner_id as "ownerId", series_id as "seriesId"'
const GIVEN = 'unnest($2::uuid[], $3::uuid[], $4::int4[]) as given(tenant_id, owner_id, series_id)'
const IS_GIVEN =
  'given.tenant_id = o.tenant_id and given.owner_id = o.owner_id and given.series_id = o.series_id'

/**
 * Notes what was found, and forgets what was found before and is no orphan any more; answers those that were first seen an hour ago or
 * earlier by the clock of the database. As `nomaly_system`, in a transaction that writes.
 */
export async function noteOrphans(
  connection: Connection,
  kind: OrphanKind,
  found: readonly Orphan[],
): Promise<Orphan[]> {
  const values = columns(kind, found)
  await connection.query(
    `delete from nomaly.orphans o where kind = $1 and not exists (select from ${GIVEN} where ${IS_GIVEN})`,
    values,
  )
  await connection.query(
    `insert into nomaly.orphans (kind, tenant_id, owner_id, series_id, first_seen_at)
     select $1, tenant_id, owner_id, series_id, now() from ${GIVEN}
     on conflict (kind, tenant_id, owner_id, series_id) do nothing`,
    values,
  )
  return connection.query<Orphan & Record<string, unknown>>(
    `select ${COLUMNS} from nomaly.orphans
     where kind = $1 and first_seen_at <= now() - interval '1 hour'
     order by tenant_id, owner_id, series_id`,
    [kind],
  )
}

/** Forgets orphans that have been removed. As `nomaly_system`. */
export async function forgetOrphans(
  connection: Connection,
  kind: OrphanKind,
  removed: readonly Orphan[],
): Promise<void> {
  await connection.query(
    `delete from nomaly.orphans o using ${GIVEN} where kind = $1 and ${IS_GIVEN}`,
    columns(kind, removed),
  )
}

function columns(kind: OrphanKind, orphans: readonly Orphan[]): unknown[] {
  return [
    kind,
    orphans.map(({ tenantId }) => tenantId),
    orphans.map(({ ownerId }) => ownerId),
    orphans.map(({ seriesId }) => seriesId),
  ]
}
