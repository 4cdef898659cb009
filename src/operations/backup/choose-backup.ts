import { parseLsn } from '../../database/replicas/lsn.ts'
import { NomalyError } from '../../errors.ts'
import type { RestoreTarget } from './backup-engine.ts'
import type { BackupRecord } from './backup-record.ts'
import type { RestorePoint } from './restore-point.ts'

export interface BackupChoice {
  /** Oldest first. */
  readonly records: readonly BackupRecord[]
  readonly target: RestoreTarget
  /** Where the target is a named point that is known. */
  readonly point: RestorePoint | undefined
  readonly backupId: string | undefined
  /** The run of log that the installation on this machine writes. */
  readonly currentLineage: string | undefined
  /** Until when log of a run is stored, epoch milliseconds. */
  logEndsMs(lineage: string): Promise<number>
}

/**
 * The newest backup that is old enough for a target, of the run of log that reaches it.
 * @throws NomalyError `not_found` that says from when on there are backups.
 */
export async function chooseBackup(choice: BackupChoice): Promise<BackupRecord> {
  const { records, target, backupId, point } = choice
  if (backupId !== undefined) {
    const named = records.find(({ id }) => id === backupId)
    if (named === undefined)
      throw new NomalyError('not_found', `There is no backup "${backupId}".`, {
        hint: 'List what there is with `nomaly backup list`.',
      })
    if (!isOldEnough(named, target, point))
      throw new NomalyError(
        'invalid_input',
        `The backup ${backupId} ended at ${named.endedAt}, after what is asked for.`,
        {
          hint: 'Leave --backup out, and the right one is taken.',
        },
      )
    return named
  }
  const newestFirst = records
    .filter((record) => isOldEnough(record, target, point))
    .toSorted((a, b) => (a.endedAt < b.endedAt ? 1 : -1))
  if (newestFirst.length === 0) throw nothingThatOld(records)
  if (target.kind === 'time') {
    const reaching = await asyncFind(newestFirst, async ({ lineage }) =>
      lineage === choice.currentLineage ? true : (await choice.logEndsMs(lineage)) >= target.ms,
    )
    return reaching ?? newestFirst[0]!
  }
  const ofThis = newestFirst.find(({ lineage }) => lineage === (point?.lineage ?? choice.currentLineage))
  return ofThis ?? newestFirst[0]!
}

function isOldEnough(record: BackupRecord, target: RestoreTarget, point: RestorePoint | undefined): boolean {
  switch (target.kind) {
    case 'time':
      return Date.parse(record.endedAt) <= target.ms
    case 'lsn':
      return parseLsn(record.endLsn) <= parseLsn(target.lsn)
    case 'name':
      return (
        point === undefined ||
        (record.lineage === point.lineage && parseLsn(record.endLsn) <= parseLsn(point.lsn))
      )
    default:
      return true
  }
}

function nothingThatOld(records: readonly BackupRecord[]): NomalyError {
  const first = records.map(({ endedAt }) => endedAt).toSorted()[0]
  if (first === undefined)
    return new NomalyError('not_found', 'There is no backup to restore.', {
      hint: 'Make one with `nomaly backup create`, or look at NOMALY_BACKUP_TARGET.',
    })
  return new NomalyError('not_found', 'No backup is old enough for that.', {
    hint: `The earliest moment that can be restored to is ${first} (times without a zone are in UTC).`,
  })
}

async function asyncFind<T>(
  items: readonly T[],
  test: (item: T) => Promise<boolean>,
): Promise<T | undefined> {
  for (const item of items) if (await test(item)) return item
  return undefined
}
