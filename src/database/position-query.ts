import type pg from 'pg'
import type { Position } from './position.ts'

/** Asks where the newest write stands: after COMMIT it is where that stands, or later. */
export const POSITION_QUERY =
  'select pg_current_wal_insert_lsn()::text as lsn, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline'

/** A row of {@link POSITION_QUERY}. */
export interface PositionRow {
  readonly lsn: string
  readonly timeline: string
}

export function toPosition(row: PositionRow, systemId: string): Position {
  return { systemId, timeline: Number.parseInt(row.timeline, 16), lsn: row.lsn }
}

/** `system_identifier` of the cluster that a connection leads to. */
export async function readSystemId(client: pg.ClientBase): Promise<string> {
  const result = await client.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  return result.rows[0]!.id
}
