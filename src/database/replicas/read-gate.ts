import type pg from 'pg'
import type { Connection, OpeningCheck } from '../connection.ts'
import type { ReadOptions } from '../database-options.ts'
import type { RoutedRead } from './replica-set.ts'
import type { StandbyConnections } from './standby-connections.ts'

/** What surrounds a read that is made on a standby: says what is to go along with its opening, if anything. */
export type ReadGate = <T>(
  client: pg.ClientBase,
  read: (check: OpeningCheck | undefined) => Promise<T>,
) => Promise<T>

/** A read as it is made on the primary, or through the gate of a standby. */
export function readOnEither<D extends AsyncDisposable, T>(
  primary: D,
  options: ReadOptions,
  readOn: (database: D, gate?: ReadGate) => Promise<T>,
): RoutedRead<StandbyConnections<D>, T> {
  return {
    ...options,
    primary: () => readOn(primary),
    standby: (server, admission) => readOn(server.database, server.gate(admission)),
  }
}

/** The work of a read, and the end of its transaction where the work has not ended it. */
export function committing<T>(
  work: (connection: Connection) => Promise<T>,
  { signal }: Pick<ReadOptions, 'signal'>,
): (connection: Connection) => Promise<T> {
  return async (connection) => {
    const value = await work(connection)
    signal?.throwIfAborted()
    if (connection.isOpen) await connection.batch([], 'commit')
    return value
  }
}
