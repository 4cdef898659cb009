import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import type { RetentionClass } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'

/**
 * Locks the roll-ups of a class until the transaction ends. Of two that compute the same hours at once the one that saw less could write
 * last; and what is being removed must not be rolled up any more. `try` answers false where another has the lock.
 */
export async function lockRollUps(
  connection: Connection,
  retention: RetentionClass,
  mode: 'wait' | 'try',
): Promise<boolean> {
  const key = rollUpsKey(retention)
  const lock = mode === 'wait' ? `pg_advisory_xact_lock(${key}) is null` : `pg_try_advisory_xact_lock(${key})`
  const [row] = await connection.query<{ locked: boolean }>(`select ${lock} as locked`)
  return mode === 'wait' || row!.locked
}

/** The key of the advisory lock of {@link lockRollUps}, for those who lock for longer than a transaction. */
export function rollUpsKey(retention: RetentionClass): string {
  return `hashtextextended('nomaly metrics roll-ups ${retention}', 0)`
}

/** The highest id of the marks that there are now, as text; `undefined` where there are none. */
export async function newestMark(
  database: Database,
  relations: MetricsRelations,
  retention: RetentionClass,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const options = { role: 'nomaly_system', freshness: 'latest', signal } as const
  return database.read(options, async (connection) => {
    const [some] = await connection.query(`select from ${relations.late(retention)} limit 1`)
    if (some === undefined) return undefined
    const [row] = await connection.query<{ id: string }>(
      `select max(id) as id from ${relations.late(retention)}`,
    )
    return row!.id
  })
}
