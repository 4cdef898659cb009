import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError } from '../../errors.ts'
import type { AdminSession } from './admin-session.ts'
import type { ErasureSite } from './erasure-site.ts'

/** Any number will do, as long as every process takes the same. */
const ERASER_LOCK = 4_207_310_023

const LOOK_EVERY_MS = 500

/**
 * Runs work while no other process erases from these databases.
 * @param onWait where one that is at it is to be waited for: called when there is one.
 * @throws NomalyError `conflict` where one is at it and is not waited for.
 */
export async function asEraser<T>(
  { core }: ErasureSite,
  signal: AbortSignal,
  work: () => Promise<T>,
  onWait?: () => void,
): Promise<T> {
  for (let tries = 0; !(await takeLock(core)); tries++) {
    if (onWait === undefined)
      throw new NomalyError('conflict', 'Another process erases something at this moment.', {
        hint: 'Wait until it has ended; `nomaly erase --list` shows what it is at.',
      })
    if (tries === 0) onWait()
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
  try {
    return await work()
  } finally {
    await core.client.query('select pg_advisory_unlock($1)', [ERASER_LOCK]).catch(() => {})
  }
}

async function takeLock({ client }: AdminSession): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [
    ERASER_LOCK,
  ])
  return rows[0]!.taken
}
