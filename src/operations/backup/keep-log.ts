import { setTimeout as sleep } from 'node:timers/promises'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { ARCHIVE_FOLDER } from '../../database/log-archive.ts'
import { NomalyError } from '../../errors.ts'
import { archiveFailure, finishSegment, lastArchived, type ServerFacts } from './base-session.ts'
import type { BackupKey } from './backup-key.ts'
import { storeFinishedLog } from './stored-log.ts'
import type { BackupTarget } from './target/backup-target.ts'
import { SEGMENT_NAME } from './wal-segment.ts'

const POLL_MS = 50
const PATIENCE_MS = 90_000
const KEPT_TRIES = 20

/** The log of a running server, and where it is stored. */
export interface LogKeeping {
  readonly target: BackupTarget
  readonly key: BackupKey
  readonly directory: string
  readonly lineage: string
}

/** Stores what the server has finished. */
export function storeLog(keeping: LogKeeping, signal: AbortSignal): Promise<number> {
  const { target, key, directory, lineage } = keeping
  return storeFinishedLog(target, key, directory, lineage, signal)
}

/** Waits until a segment that is finished, and all before it, are in the target. @throws NomalyError `timeout`. */
export async function awaitStored(
  client: pg.Client,
  keeping: LogKeeping,
  segment: string,
  signal: AbortSignal,
): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (;;) {
    const archived = await lastArchived(client)
    await storeLog(keeping, signal)
    // What the server had put away when it was asked is stored now, unless another process still stores it.
    if (archived >= segment && !(await isWaiting(keeping.directory, segment))) return
    if (performance.now() > giveUpAt) {
      const failed = await archiveFailure(client)
      throw new NomalyError(
        'timeout',
        `The server does not put its log away (segment ${failed ?? segment}).`,
        {
          hint: 'Read logs/postgres.log in the data folder: the disk may be full.',
        },
      )
    }
    await sleep(POLL_MS, undefined, { signal })
  }
}

/** Waits until the server puts its log where it is to, after its settings were changed: segments before may have been let go. */
export async function awaitKept(
  client: pg.Client,
  facts: ServerFacts,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 0; tries < KEPT_TRIES; tries++) {
    const segment = await finishSegment(client, facts)
    const giveUpAt = performance.now() + PATIENCE_MS
    while ((await lastArchived(client)) < segment) {
      if (performance.now() > giveUpAt) break
      await sleep(POLL_MS, undefined, { signal })
    }
    if (await isWaiting(directory, segment)) return
  }
  throw new NomalyError('unavailable', 'The server does not put its log away.', {
    hint: 'Read logs/postgres.log in the data folder. Start the server again with `nomaly stop` and `nomaly start` where it still runs with older settings.',
  })
}

async function isWaiting(directory: string, segment: string): Promise<boolean> {
  const names = await readdir(join(directory, ARCHIVE_FOLDER)).catch(() => [])
  return names.some((name) => SEGMENT_NAME.test(name) && name <= segment)
}
