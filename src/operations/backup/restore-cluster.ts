import { hash } from 'node:crypto'
import { mkdir, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readLineage } from '../../database/log-archive.ts'
import { NomalyError } from '../../errors.ts'
import type { BackupWork, RestoredFiles, RestoreOptions, RestoreTarget } from './backup-engine.ts'
import { type BackupRecord, requireKey, toBackup } from './backup-record.ts'
import { chooseBackup } from './choose-backup.ts'
import type { BackupParts } from './backup-parts.ts'
import { planLog } from './log-plan.ts'
import { type Manifest, openManifest } from './manifest.ts'
import { writeRecovery } from './recovery-settings.ts'
import { damaged, restoreFiles } from './restore-files.ts'
import { readPoint } from './restore-point.ts'
import { Unreadable } from './sealed-piece.ts'
import { listLocalLog, listStoredLog, type LogSegment } from './stored-log.ts'

type Parts = Pick<BackupParts, 'target' | 'key' | 'cluster'>

/** Room beyond what is restored. */
const ROOM_BYTES = 64 * 1024 * 1024

/** As {@link BackupEngine.restoreInto}, from these records. */
export async function restoreCluster(
  parts: Parts,
  records: readonly BackupRecord[],
  folder: string,
  target: RestoreTarget,
  options: RestoreOptions,
): Promise<RestoredFiles> {
  const { signal, progress } = options
  const point = target.kind === 'name' ? await readPoint(parts.target, target.name, signal) : undefined
  const record = await chooseBackup({
    records,
    target,
    point,
    backupId: options.backupId,
    currentLineage: (await currentLog(parts))?.lineage,
    logEndsMs: async (lineage) =>
      (await listStoredLog(parts.target, undefined, lineage, signal)).at(-1)?.finishedMs ?? 0,
  })
  requireKey(record, parts.key)
  const log = await listLog(parts, record, signal)
  const plan = planLog(record, target, log, point?.lineage === record.lineage ? point.lsn : undefined)
  await requireRoom(folder, record, plan.segments.length)
  const manifest = await readManifest(parts, record, signal)
  const report = (doneBytes: number): void =>
    progress?.({ phase: 'copying', doneBytes, totalBytes: record.databaseBytes })
  const directory = await parts.cluster.place(folder, record.postgresMajor, async (draft) => {
    await restoreFiles({ ...parts, manifest, directory: draft, signal, progress: report })
    await writeFile(join(draft, 'backup_label'), manifest.label, { mode: 0o600, flag: 'wx' })
    await writeSegments(draft, plan.segments, { signal, ...(progress && { progress }) }, record.segmentBytes)
    await writeRecovery(draft, target)
  })
  let rest = plan.rest
  return {
    backup: toBackup(record),
    directory,
    target,
    bytes: record.databaseBytes,
    logSegments: plan.segments.length,
    async fetchMore(work) {
      const more = rest
      rest = []
      await writeSegments(directory, more, work, record.segmentBytes)
      return more.length > 0
    },
  }
}

/** The log of the run that a backup belongs to: what is stored, and what the cluster on this machine has beyond that. */
async function listLog(parts: Parts, record: BackupRecord, signal: AbortSignal): Promise<LogSegment[]> {
  const stored = await listStoredLog(parts.target, parts.key, record.lineage, signal)
  const current = await currentLog(parts)
  if (current?.lineage !== record.lineage) return stored
  const last = stored.at(-1)?.segment ?? ''
  const local = await listLocalLog(current.directory, record.segmentBytes)
  return [...stored, ...local.filter(({ segment }) => segment > last)]
}

async function currentLog({ cluster }: Parts): Promise<{ directory: string; lineage: string } | undefined> {
  const directory = await cluster.directory()
  const lineage = directory === undefined ? undefined : await readLineage(directory)
  return directory === undefined || lineage === undefined ? undefined : { directory, lineage: lineage.id }
}

async function readManifest(
  { target, key }: Parts,
  record: BackupRecord,
  signal: AbortSignal,
): Promise<Manifest> {
  const { name, sha256 } = record.manifest
  const sealed = await target.get(name, signal)
  if (sealed === undefined) throw damaged(name, 'is missing')
  if (hash('sha256', sealed) !== sha256) throw damaged(name, 'is altered')
  return openManifest(key, record.id, sealed)
}

async function requireRoom(folder: string, record: BackupRecord, segments: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
  const { bavail, bsize } = await statfs(folder)
  const needed = record.databaseBytes + segments * record.segmentBytes + ROOM_BYTES
  if (bavail * bsize >= needed) return
  const mib = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2).toLocaleString('en-US')} MiB`
  throw new NomalyError(
    'unavailable',
    `The disk of ${folder} has ${mib(bavail * bsize)} left; the restored database takes ${mib(needed)}.`,
    { hint: 'Free some space, or restore into a folder on another disk with --into.' },
  )
}

/** Puts log where PostgreSQL looks for it. */
async function writeSegments(
  directory: string,
  segments: readonly LogSegment[],
  { signal, progress }: BackupWork,
  segmentBytes: number,
): Promise<void> {
  for (const [at, one] of segments.entries()) {
    signal.throwIfAborted()
    progress?.({ phase: 'log', doneBytes: at * segmentBytes, totalBytes: segments.length * segmentBytes })
    const body = await one.read(signal).catch((error: unknown) => {
      throw error instanceof Unreadable ? damaged(one.stored!, error.message) : error
    })
    await writeFile(join(directory, 'pg_wal', one.segment), body, { mode: 0o600 })
  }
}
