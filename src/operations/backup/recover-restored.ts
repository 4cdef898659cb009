import type pg from 'pg'
import { NomalyError } from '../../errors.ts'
import type { BackupWork, RestoredFiles } from './backup-engine.ts'
import { connectAdmin } from './base-session.ts'
import { RECOVERY_SETTINGS, removeRecovery, writeRecovery } from './recovery-settings.ts'

export interface RecoverOptions {
  readonly work: BackupWork
  readonly log: (message: string) => void
  /** Starts a server on the files and answers when it takes writes. */
  start(): Promise<{ readonly adminUrl: string; stop(): Promise<void> }>
  /** What has to be done before anybody uses the restored database, such as erasing again what was erased since. */
  beforeOpen?(adminUrl: string): Promise<void>
}

/** A cluster that has replayed its log up to the target, and was ended in order. */
export interface Recovered {
  /** Where it stood when it began to take writes. */
  readonly lsn: string
  readonly timeline: number
  /** When the last transaction that it has was committed, ISO 8601; `undefined` where it replayed none. */
  readonly lastCommitAt: string | undefined
  /** How long PostgreSQL took. */
  readonly recoveryMs: number
}

/**
 * Lets PostgreSQL replay the log of restored files, brings more of it where that was not enough, and closes what must not come back.
 * @throws NomalyError `unavailable` where the target was not reached.
 */
export async function recoverRestored(restored: RestoredFiles, options: RecoverOptions): Promise<Recovered> {
  const { work, beforeOpen } = options
  work.progress?.({ phase: 'recovering', doneBytes: 0, totalBytes: undefined })
  const startedAt = performance.now()
  const server = await startUntilReached(restored, options)
  const recoveryMs = performance.now() - startedAt
  try {
    const client = await connectAdmin(server.adminUrl)
    try {
      const reached = await readReached(client)
      await endSessions(client)
      await resetRecovery(client)
      await beforeOpen?.(server.adminUrl)
      return { ...reached, recoveryMs }
    } finally {
      await client.end()
    }
  } finally {
    await server.stop()
    await removeRecovery(restored.directory)
  }
}

async function startUntilReached(
  restored: RestoredFiles,
  { start, work }: RecoverOptions,
): ReturnType<RecoverOptions['start']> {
  for (let isLast = false; ;) {
    try {
      return await start()
    } catch (error) {
      if (!isShortOfTarget(error)) throw error
      if (await restored.fetchMore(work)) continue
      // Nothing was committed from then on to where the log ends: all of it is the state of that moment.
      if (restored.target.kind === 'time' && !isLast) {
        isLast = true
        await writeRecovery(restored.directory, { kind: 'latest' })
        continue
      }
      throw new NomalyError('unavailable', 'The log ends before what was asked for.', {
        hint: 'Restore to `latest`, or look at the name or position that you gave.',
        cause: error,
      })
    }
  }
}

function isShortOfTarget(error: unknown): boolean {
  return (
    error instanceof NomalyError && /recovery ended before configured recovery target/.test(error.message)
  )
}

async function readReached(client: pg.Client): Promise<Omit<Recovered, 'recoveryMs'>> {
  const { rows } = await client.query<{
    lsn: string
    timeline: number
    at: Date | null
    isReplaying: boolean
  }>(
    `select pg_current_wal_lsn() as lsn, (select timeline_id from pg_control_checkpoint()) as timeline,
       pg_last_xact_replay_timestamp() as at, pg_is_in_recovery() as "isReplaying"`,
  )
  const { lsn, timeline, at } = rows[0]!
  return { lsn, timeline, lastCommitAt: at?.toISOString() }
}

/** Who was signed in then may have been signed out since; everybody signs in again. */
async function endSessions(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ exists: boolean }>(
    `select exists(select from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = 'nomaly' and c.relname = 'sessions') as exists`,
  )
  if (rows[0]!.exists) await client.query('delete from nomaly.sessions')
}

async function resetRecovery(client: pg.Client): Promise<void> {
  for (const name of RECOVERY_SETTINGS) await client.query(`alter system reset ${name}`)
}
