import type { BackupRecord } from './backup-record.ts'
import { listStoredLog, LOG } from './stored-log.ts'
import type { BackupTarget } from './target/backup-target.ts'

/** What is kept. */
export interface Retention {
  /** Full backups, at least. */
  readonly fulls: number
  /** Every moment of so many days back can be restored to. */
  readonly days: number
}

const DAY_MS = 86_400_000

/**
 * Which backups nobody needs any more: neither among the newest full ones, nor what a moment of the last days is restored from, nor what such
 * a one builds on.
 */
export function expired(
  records: readonly BackupRecord[],
  retention: Retention,
  nowMs: number,
): BackupRecord[] {
  const byAge = records.toSorted((a, b) => (a.endedAt < b.endedAt ? 1 : -1))
  const fulls = byAge.filter(({ kind }) => kind === 'full').slice(0, retention.fulls)
  const sinceMs = nowMs - retention.days * DAY_MS
  const recent = byAge.filter(({ endedAt }) => Date.parse(endedAt) >= sinceMs)
  // The newest before that, from which the first moments are restored; with a run of log of its own, each.
  const anchors = [...new Set(byAge.map(({ lineage }) => lineage))].flatMap((lineage) => {
    const older = byAge.filter((one) => one.lineage === lineage && Date.parse(one.endedAt) < sinceMs)
    return recent.some((one) => one.lineage === lineage) || older[0] === byAge[0] ? older.slice(0, 1) : []
  })
  const oldestFull = fulls.at(-1)
  const ofFulls = byAge.filter(({ baseId }) => fulls.some(({ id }) => id === baseId))
  const kept = new Set([...fulls, ...ofFulls, ...recent, ...anchors].map(({ id }) => id))
  for (const { id, baseId } of records) if (kept.has(id) && baseId !== undefined) kept.add(baseId)
  return oldestFull === undefined ? [] : records.filter(({ id }) => !kept.has(id))
}

/**
 * Names of stored log that no backup which is kept needs: what is before the first of its run, and runs that have no backup left. A run that is
 * being written has log before it has a backup.
 */
export async function expiredLog(
  target: BackupTarget,
  kept: readonly BackupRecord[],
  currentLineage: string | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  const lineages = new Set(
    (await target.list(LOG, signal)).map(({ name }) => name.slice(LOG.length).split('/')[0]!),
  )
  const names: string[] = []
  for (const lineage of lineages) {
    const needed = kept
      .filter((one) => one.lineage === lineage)
      .map(({ startSegment }) => startSegment)
      .toSorted()[0]
    if (needed === undefined && lineage === currentLineage) continue
    for (const { segment, stored } of await listStoredLog(target, undefined, lineage, signal))
      if (needed === undefined || segment < needed) names.push(stored!)
  }
  return names
}
