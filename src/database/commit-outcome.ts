import pg from 'pg'
import { NomalyError } from '../errors.ts'
import { openingStatements } from './connection.ts'
import { CommitRefused, isConnectionLoss, toNomalyError } from './database-errors.ts'
import { sendCommit } from './send-commit.ts'

/** Runs a look on a connection that is not the one whose commit is uncertain. */
type WithClient = (look: (client: pg.PoolClient) => Promise<boolean>) => Promise<boolean>

/** Some fifteen seconds without a server, and a minute at most: the old server process may hold the marker until its own timeout ends it. */
const ATTEMPTS = 32
const LONGEST_MS = 60_000
/** Whoever waits for a new leader is answered soon after there is one. */
const LONGEST_PAUSE_MS = 500
const STATEMENT_TIMEOUT_MS = 10_000

/**
 * Finds out whether the transaction that wrote `marker` committed. Returns where it did.
 *
 * Inserting the same marker with the verdict `refused` waits for a transaction that is still in progress, succeeds only where it has not
 * committed, and then keeps it from ever committing. Whose marker stands there is read back, since this insert may have been made by an
 * attempt before whose answer was lost.
 * @throws NomalyError `unavailable` where nothing was stored, `unknown_outcome` where it could not be found out; a server's own refusal of
 * the commit as it was.
 */
export async function establishCommit(marker: string, cause: unknown, withClient: WithClient): Promise<void> {
  const deadlineMs = performance.now() + LONGEST_MS
  for (let attempt = 0; attempt < ATTEMPTS && performance.now() < deadlineMs; attempt++) {
    if (attempt > 0) await pause(Math.min(LONGEST_PAUSE_MS, 100 * 2 ** attempt) * (0.5 + Math.random()))
    let isCommitted: boolean
    try {
      isCommitted = await withClient((client) => readVerdict(client, marker))
    } catch {
      continue
    }
    if (isCommitted) return
    // The server itself said no, a deferred constraint for instance: that is what the caller should hear.
    if (cause instanceof pg.DatabaseError && !isConnectionLoss(cause)) throw toNomalyError(cause)
    throw new NomalyError('unavailable', 'The database went away before the write was committed.', {
      hint: 'Nothing was stored. Send it again.',
      retryAfterSeconds: 1,
      cause: new CommitRefused(cause),
    })
  }
  throw new NomalyError(
    'unknown_outcome',
    'The database went away during the commit; whether it was stored is unknown.',
    {
      hint: 'Send it again: writes that may be repeated do no harm.',
      retryAfterSeconds: 2,
      cause,
    },
  )
}

async function readVerdict(client: pg.PoolClient, marker: string): Promise<boolean> {
  await client.query(
    openingStatements('read write', 'nomaly_system', undefined, STATEMENT_TIMEOUT_MS).join('; '),
  )
  await client.query(
    "insert into nomaly.commit_markers (marker, verdict) values ($1, 'refused') on conflict (marker) do nothing",
    [marker],
  )
  const result = await client.query<{ verdict: string }>(
    'select verdict from nomaly.commit_markers where marker = $1',
    [marker],
  )
  // Where standbys are waited for, the marker that is seen may not be on any of them yet. What is written after it is there only with it.
  await client.query('insert into nomaly.commit_markers (marker) values (gen_random_uuid())')
  await sendCommit(client, 'commit', STATEMENT_TIMEOUT_MS)
  return result.rows[0]?.verdict === 'committed'
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
