import { connectClient } from '../database/connect.ts'

/**
 * What it takes, as `max_locks_per_transaction`, for twenty connections that each read all time at once, where every day of some years has
 * a chunk: a compressed chunk takes four locks, and a read of all classes then 7,000 of them. The server's own default is 64.
 */
const ENOUGH_LOCKS = 512

/** A sentence where the server's lock table is small for hypertables: when it is full, whatever wants another lock fails, whoever it is of. */
export async function adviseOnLocks(adminUrl: string): Promise<string | undefined> {
  const client = await connectClient(adminUrl, { application_name: 'nomaly migrate' })
  try {
    const { rows } = await client.query<{ locks: number }>(
      "select current_setting('max_locks_per_transaction')::int4 as locks",
    )
    const { locks } = rows[0]!
    return locks >= ENOUGH_LOCKS
      ? undefined
      : `max_locks_per_transaction of the database server is ${locks}: many reads of years at once may fail with "out of shared memory". ` +
          `Set it to ${ENOUGH_LOCKS} or more in postgresql.conf, and restart the server.`
  } finally {
    await client.end()
  }
}
