import type { Connection } from '../database/connection.ts'
import { invalidField } from '../errors.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Whether a text can be the id of a source at all. */
export function isSourceId(text: string): boolean {
  return UUID.test(text)
}

/**
 * Locks a source until the transaction ends: appends share it; corrections and removal have it alone, so that what they count
 * and delete stays as they saw it.
 */
export async function lockSource(
  connection: Connection,
  sourceId: string,
  mode: 'shared' | 'alone',
): Promise<void> {
  if (!isSourceId(sourceId)) throw invalidField('source.id', 'must be a UUID')
  const lock = mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock'
  await connection.query(`select ${lock}(hashtextextended('nomaly metrics source ' || $1, 0))`, [
    sourceId.toLowerCase(),
  ])
}
