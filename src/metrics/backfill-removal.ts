import type { Connection } from '../database/connection.ts'

/** Removes the points of backfills that have ended; ends as `nomaly_system`. */
export async function dropPoints(
  connection: Connection,
  backfills: readonly { readonly number: string }[],
): Promise<void> {
  await connection.become('nomaly_system')
  for (const { number } of backfills)
    await connection.query('select metrics.drop_backfill_points($1)', [number])
}

/** Removes all backfills of a source that is being removed, as `nomaly_app`, the source locked. */
export async function removeBackfills(connection: Connection, sourceId: string): Promise<void> {
  const rows = await connection.query<{ number: string }>(
    'delete from metrics.backfills where source_id = $1 returning number',
    [sourceId],
  )
  await dropPoints(connection, rows)
  await connection.become('nomaly_app')
}
