import type { Connection } from '../database/connection.ts'
import { sqlState } from '../database/database-errors.ts'
import { NomalyError } from '../errors.ts'
import { instantLiteral } from './instant-literal.ts'
import type { RetentionClass } from './metrics-engine.ts'
import type { MetricsRelations } from './metrics-relations.ts'
import type { MicrosRange } from './micros-range.ts'
import { DAY_MICROS } from './roll-up-ledger.ts'

/** Points of one class over a range of time. */
export interface PointsRead extends MicrosRange {
  readonly retention: RetentionClass
}

/** What is not longer than that locks little, however many partitions or chunks it has. */
const FEW_DAYS = 60

/** Reads of more than this part of the server's lock table take turns: it is everybody's, and when it is full nobody gets another lock. */
const MOST_TOGETHER = 1 / 16

/** No read takes more than this part of it. */
const MOST = 3 / 4

/** How long a read waits for its turn. */
const TURN_TIMEOUT_MS = 30_000

const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Leaves room in the server's lock table for others before points are read: every partition or chunk of a range is locked until the
 * transaction ends. Whoever needs much of it waits until nobody else does; as `nomaly_system`.
 * @throws NomalyError `too_large` where the lock table would be all but full, `overloaded` where the turn does not come in half a minute.
 */
export async function takeTurn(
  connection: Connection,
  relations: MetricsRelations,
  reads: readonly PointsRead[],
): Promise<void> {
  const wide = reads.filter(({ fromMicros, toMicros }) => toMicros - fromMicros > FEW_DAYS * DAY_MICROS)
  if (wide.length === 0) return
  const counts = wide.map(
    ({ retention, fromMicros, toMicros }) =>
      `(${relations.countTables(retention, instantLiteral(fromMicros), instantLiteral(toMicros))})`,
  )
  // How many locks a server has room for: PostgreSQL manual, max_locks_per_transaction.
  const [[row]] = (await connection.batch([
    `select ${relations.locksPerTable} * (${counts.join(' + ')})::float8, current_setting('max_locks_per_transaction')::float8
       * (current_setting('max_connections')::float8 + current_setting('max_prepared_transactions')::float8)`,
  ])) as [[[number, number]]]
  const [locks, room] = row
  if (locks > room * MOST)
    throw new NomalyError(
      'too_large',
      `This is of ${locks / relations.locksPerTable} parts of storage at once.`,
      {
        hint: `Ask for a shorter time range, or for buckets of whole hours; or raise max_locks_per_transaction of the server.`,
      },
    )
  if (locks <= room * MOST_TOGETHER) return
  try {
    await connection.batch([
      `set local lock_timeout = ${TURN_TIMEOUT_MS}`,
      `select pg_advisory_xact_lock(hashtextextended('nomaly metrics wide reads', 0))`,
      'set local lock_timeout = 0',
    ])
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
    throw new NomalyError(
      'overloaded',
      'Other reads of years are under way, which are done one after the other.',
      {
        hint: 'Try again in a moment, or for a shorter time range; raising max_locks_per_transaction of the server lets more of them work at once.',
        retryAfterSeconds: 5,
        cause: error,
      },
    )
  }
}
