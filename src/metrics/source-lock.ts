import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../database/connection.ts'
import type { Database } from '../database/database.ts'
import { invalidField, NomalyError } from '../errors.ts'
import { ENGINE_STATE, type EngineState, toEngineState } from './engine-state.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Whether a text can be the id of a source at all. */
export function isSourceId(text: string): boolean {
  return UUID.test(text)
}

/** What every write holds, shared, until it ends: nobody ever has it alone, but who waits for writers sees them by it. */
const WRITERS = 'nomaly metrics writers'

/** What everything that changes points holds, shared, until it ends; who moves them to another engine has it alone for a moment. */
const MOVE = 'nomaly metrics move'

/**
 * Locks a source until the transaction ends, for a write of points or for its removal: appends share it; corrections and removal have it
 * alone, so that what they count and delete stays as they saw it. Those who close hours see that it is under way. Answers which engine keeps
 * the points, which does not change as long as the transaction lasts.
 */
export async function lockSourceForWriting(
  connection: Connection,
  sourceId: string,
  mode: 'shared' | 'alone',
): Promise<EngineState> {
  if (!isSourceId(sourceId)) throw invalidField('source.id', 'must be a UUID')
  const lock = mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock'
  // Two statements: the snapshot of the second is taken when the locks are held. The id was checked to be a UUID.
  const results = (await connection.client.query(
    `select pg_advisory_xact_lock_shared(hashtextextended('${MOVE}', 0)),
       pg_advisory_xact_lock_shared(hashtextextended('${WRITERS}', 0)),
       ${lock}(hashtextextended('nomaly metrics source ${sourceId.toLowerCase()}', 0));
     ${ENGINE_STATE}`,
  )) as unknown as { rows: Parameters<typeof toEngineState>[0] }[]
  return toEngineState(results.at(-1)!.rows)
}

/** Keeps everybody from changing points until the transaction ends; waits for those who are at it only as long as `lock_timeout` says. */
export async function lockOutWriters(connection: Connection): Promise<void> {
  await connection.query(`select pg_advisory_xact_lock(hashtextextended('${MOVE}', 0))`)
}

/** Longer than any statement of a write may take. */
const WRITERS_TIMEOUT_MS = 90_000

/**
 * Waits for the writers that hold the lock of a source now; those who come later are not waited for, and nobody is held up.
 * @throws NomalyError `timeout` where one of them holds it for longer than a write may take.
 */
export async function awaitWriters(
  database: Database,
  sourceId: string,
  signal?: AbortSignal,
): Promise<void> {
  await awaitHolders(database, `nomaly metrics source ${sourceId.toLowerCase()}`, signal)
}

/** As {@link awaitWriters}, for whatever changes points. */
export async function awaitChanges(database: Database, signal?: AbortSignal): Promise<void> {
  await awaitHolders(database, MOVE, signal)
}

/** As {@link awaitWriters}, for writes to any source. */
export async function awaitAllWriters(database: Database, signal?: AbortSignal): Promise<void> {
  await awaitHolders(database, WRITERS, signal)
}

async function awaitHolders(database: Database, lock: string, signal?: AbortSignal): Promise<void> {
  const first = await readHolders(database, lock)
  const untilMs = performance.now() + WRITERS_TIMEOUT_MS
  for (let waitMs = 2; first.size > 0; waitMs = Math.min(100, waitMs * 2)) {
    await sleep(waitMs, undefined, signal === undefined ? {} : { signal })
    const now = await readHolders(database, lock)
    for (const holder of first) if (!now.has(holder)) first.delete(holder)
    if (performance.now() > untilMs)
      throw new NomalyError('timeout', 'A write to the metrics has been under way for too long.', {
        hint: 'It ends by itself at its statement timeout.',
      })
  }
}

/** The transactions that hold an advisory lock (PostgreSQL manual, 54.12 pg_locks: the two halves of the key). */
async function readHolders(database: Database, lock: string): Promise<Set<string>> {
  const rows = await database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
    connection.query<{ holder: string }>(
      `with key as (select hashtextextended($1, 0) as value)
       select l.virtualtransaction as holder from pg_locks l, key
       where l.locktype = 'advisory' and l.granted and l.objsubid = 1
         and l.database = (select oid from pg_database where datname = current_database())
         and l.classid = ((key.value >> 32) & 4294967295)::oid and l.objid = (key.value & 4294967295)::oid`,
      [lock],
    ),
  )
  return new Set(rows.map(({ holder }) => holder))
}
