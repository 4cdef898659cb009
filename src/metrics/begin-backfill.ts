import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import { NomalyError } from '../errors.ts'
import { type Backfill, ENDED_STATUSES } from './backfill.ts'
import { findBackfill } from './backfill-rows.ts'
import type { SeriesSource } from './metrics-engine.ts'
import { lockSourceForWriting } from './source-lock.ts'

export interface NewBackfill {
  readonly scope: TenantScope
  readonly source: SeriesSource
  readonly id: string
  readonly requireSource?: ((connection: Connection, source: SeriesSource) => Promise<void>) | undefined
}

/** How many backfills of one tenant may be open: each keeps its points in a table of its own. */
const MOST_OPEN = 20

/**
 * Makes a backfill that takes parts, or answers it where it was made under this id before.
 * @throws NomalyError `conflict` where the tenant has too many that are open.
 */
export async function beginBackfill(
  connection: Connection,
  { scope, source, id, requireSource }: NewBackfill,
): Promise<Backfill> {
  // One of a tenant after the other: the second of two under one id finds what the first has made.
  await connection.query(
    `select pg_advisory_xact_lock(hashtextextended('nomaly metrics backfills ' || $1, 0))`,
    [scope.tenantId],
  )
  const before = await findBackfill(connection, id)
  if (before?.source.id === source.id) return before
  await lockSourceForWriting(connection, source.id, 'shared')
  await requireSource?.(connection, source)
  await requireRoom(connection)
  const [row] = await connection.query<{ number: string }>(
    `insert into metrics.backfills (id, tenant_id, source_kind, source_id, retention) values ($1, $2, $3, $4, $5) returning number`,
    [id, scope.tenantId, source.kind, source.id, source.retention],
  )
  await connection.as('nomaly_system', 'nomaly_app', () =>
    connection.query('select metrics.create_backfill_points($1)', [row!.number]),
  )
  return (await findBackfill(connection, id))!
}

async function requireRoom(connection: Connection): Promise<void> {
  const [row] = await connection.query<{ open: number }>(
    `select count(*)::int4 as open from metrics.backfills
     where tenant_id = nomaly.current_tenant() and status <> all($1)`,
    [ENDED_STATUSES],
  )
  if (row!.open >= MOST_OPEN)
    throw new NomalyError('conflict', `There are ${row!.open} backfills that have not ended.`, {
      hint: 'Finish or cancel some of them first.',
    })
}
