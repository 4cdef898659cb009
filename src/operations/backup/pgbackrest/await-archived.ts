import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { NomalyError } from '../../../errors.ts'

const WAIT_MS = 120_000
const LOOK_MS = 200

/**
 * Has the server finish its segment of the log, and waits until that is archived.
 * @throws NomalyError `unavailable` where it does not arrive within two minutes.
 */
export async function awaitArchived(client: pg.Client, signal: AbortSignal): Promise<string> {
  // A segment in which nothing was written is not finished: this is something.
  const { rows } = await client.query<{ segment: string }>(
    `select pg_walfile_name(pg_create_restore_point('nomaly flush')) as segment, pg_switch_wal()`,
  )
  const { segment } = rows[0]!
  const giveUpAt = performance.now() + WAIT_MS
  for (;;) {
    signal.throwIfAborted()
    const { rows: found } = await client.query<{ archived: string | null; failed: string | null }>(
      `select last_archived_wal as archived,
         case when last_failed_time > coalesce(last_archived_time, '-infinity') then last_failed_wal end as failed
       from pg_stat_archiver`,
    )
    const { archived, failed } = found[0]!
    if (archived !== null && archived.slice(0, 24) >= segment) return segment
    if (performance.now() > giveUpAt)
      throw new NomalyError(
        'unavailable',
        'The newest log of the server does not arrive in the repository.',
        {
          hint:
            failed === null
              ? 'It is behind; try again later.'
              : `Archiving ${failed} fails: the log of the server says why.`,
        },
      )
    await sleep(LOOK_MS, undefined, { signal })
  }
}
