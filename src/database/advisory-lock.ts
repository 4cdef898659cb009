import type { Connection } from './connection.ts'
import type { Database, TransactionOptions } from './database.ts'

/**
 * Runs work while no other process runs what takes the same lock, on a connection of its own that the work may use; for work that is several
 * transactions. Answers `undefined`, without working, where another one is at it. `key` is a number, or an expression of SQL for one.
 */
export async function whileAlone<T>(
  database: Database,
  key: string | number,
  options: TransactionOptions,
  work: (session: Connection) => Promise<T>,
): Promise<T | undefined> {
  return database.session({ ...options, mayIdle: true }, async (session) => {
    const [row] = await session.query<{ taken: boolean }>(`select pg_try_advisory_lock(${key}) as taken`)
    if (!row!.taken) return undefined
    try {
      return await work(session)
    } finally {
      // The end of the connection would do it as well, a moment later.
      await session.query(`select pg_advisory_unlock(${key})`).catch(() => {})
    }
  })
}
