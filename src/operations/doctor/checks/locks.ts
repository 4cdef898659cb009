import { ENOUGH_LOCKS } from '../../lock-table.ts'
import { type Check, ok, warn } from '../check.ts'

/** What is enough where points are in partitions, of which there are fewer than chunks. */
const ENOUGH_FOR_PARTITIONS = 128

const NEARLY_HALF = 0.5

interface LockTable {
  readonly each: number
  readonly room: number
  readonly used: number
}

export const LOCKS: Check = {
  name: 'locks',
  on: 'server',
  looksAt: 'max_locks_per_transaction against what reads of years need, and how full the lock table is now.',
  why: 'When it is full, whatever wants another lock fails, whoever it is of.',
  async examine({ ask, databases }) {
    const [row] = await ask<LockTable>(
      `select current_setting('max_locks_per_transaction')::int4 as each,
         current_setting('max_locks_per_transaction')::int4
           * (current_setting('max_connections')::int4 + current_setting('max_prepared_transactions')::int4) as room,
         (select count(*)::int4 from pg_locks where not fastpath) as used`,
    )
    const { each, room, used } = row!
    const usesTimescale = databases.some((database) => database.usesTimescale)
    const enough = usesTimescale ? ENOUGH_LOCKS : ENOUGH_FOR_PARTITIONS
    const facts = { ...row, enough }
    const raise = `Set max_locks_per_transaction to ${enough} or more in postgresql.conf, and restart the server.`
    if (used > room * NEARLY_HALF)
      return [
        warn(
          `${used} of ${room} locks are taken now.`,
          'When the table is full, every statement that wants another lock fails.',
          `Look for who has them in pg_locks. ${raise}`,
          facts,
        ),
      ]
    if (each < enough)
      return [
        warn(
          `max_locks_per_transaction is ${each}: room for ${room} locks.`,
          `A read of years locks each of its ${usesTimescale ? 'chunks, and a chunk takes several' : 'partitions and indexes'}: such reads wait for each other, or are refused.`,
          raise,
          facts,
        ),
      ]
    return [ok(`max_locks_per_transaction is ${each}: room for ${room} locks, ${used} taken.`, facts)]
  },
}
