import { NomalyError } from '../../errors.ts'
import type { Backup } from './backup-engine.ts'
import type { BackupKey } from './backup-key.ts'
import type { BackupTarget } from './target/backup-target.ts'

/** A stored file, and what it must be. */
export interface RecordedFile {
  readonly name: string
  readonly bytes: number
  /** SHA-256, hexadecimal. */
  readonly sha256: string
}

/** What stands beside a backup in the clear, so that it can be listed without the key. It is written last: without it there is no backup. */
export interface BackupRecord extends Backup {
  readonly format: 1
  /** Of the key that it is encrypted with. */
  readonly keyId: string
  /** Which run of log goes with it. */
  readonly lineage: string
  readonly startLsn: string
  /** The first and the last segment of log that it needs to be consistent. */
  readonly startSegment: string
  readonly endSegment: string
  readonly segmentBytes: number
  readonly manifest: RecordedFile
  /** Of its own; those of its full backup stand there. */
  readonly packs: readonly RecordedFile[]
}

/** Below which everything of a backup is. */
export const BACKUPS = 'backups/'

const RECORD = '/backup.json'

/** Of the record of a backup, in the target. */
export function recordName(id: string): string {
  return `${BACKUPS}${id}${RECORD}`
}

/** Writes the record, and with it the backup. */
export async function storeRecord(
  target: BackupTarget,
  key: BackupKey,
  record: BackupRecord,
  signal: AbortSignal,
): Promise<void> {
  const text = JSON.stringify(record, undefined, 2)
  const body = JSON.stringify({ record: text, seal: key.sign(text) }, undefined, 2)
  await target.put(recordName(record.id), Buffer.from(`${body}\n`), signal)
}

/** What was found where a record should be. */
export interface FoundRecord {
  readonly name: string
  readonly record: BackupRecord | undefined
  /** Why it is not to be trusted; `undefined` where it is sound, or there was no key to tell. */
  readonly fault: string | undefined
}

/** Reads all records, oldest first. Without a key nothing tells whether they were altered. */
export async function readRecords(
  target: BackupTarget,
  key: BackupKey | undefined,
  signal: AbortSignal,
): Promise<FoundRecord[]> {
  const names = (await target.list(BACKUPS, signal)).filter(({ name }) => name.endsWith(RECORD))
  const found: FoundRecord[] = []
  for (const { name } of names) {
    const body = await target.get(name, signal)
    if (body !== undefined) found.push(parseRecord(name, body, key))
  }
  return found.toSorted((a, b) => ((a.record?.id ?? a.name) < (b.record?.id ?? b.name) ? -1 : 1))
}

function parseRecord(name: string, body: Buffer, key: BackupKey | undefined): FoundRecord {
  const fault = (reason: string): FoundRecord => ({ name, record: undefined, fault: reason })
  let text: unknown
  let seal: unknown
  let record: BackupRecord
  try {
    ;({ record: text, seal } = JSON.parse(body.toString('utf8')) as { record: unknown; seal: unknown })
    if (typeof text !== 'string' || typeof seal !== 'string') return fault('is no record of a backup')
    record = JSON.parse(text) as BackupRecord
  } catch {
    return fault('is cut or altered')
  }
  if (record.format !== 1) return fault('was written by another version of Nomaly')
  if (recordName(record.id) !== name) return fault('is altered, or was moved')
  if (key === undefined || record.keyId !== key.id) return { name, record, fault: undefined }
  return key.sign(text) === seal ? { name, record, fault: undefined } : fault('is altered')
}

/** What `list` tells of a record. */
export function toBackup(record: BackupRecord): Backup {
  return {
    id: record.id,
    kind: record.kind,
    baseId: record.baseId,
    startedAt: record.startedAt,
    endedAt: record.endedAt,
    endLsn: record.endLsn,
    timeline: record.timeline,
    systemId: record.systemId,
    postgresMajor: record.postgresMajor,
    databaseBytes: record.databaseBytes,
    storedBytes: record.storedBytes,
    restorePoint: record.restorePoint,
  }
}

/** @throws NomalyError `forbidden` where a backup was made with another key. */
export function requireKey(record: BackupRecord, key: BackupKey): void {
  if (record.keyId === key.id) return
  throw new NomalyError('forbidden', `The backup ${record.id} was made with another key (${record.keyId}).`, {
    hint: 'Name the file with that key in NOMALY_BACKUP_KEY_FILE: the line that `nomaly backup key` printed then. Without it nobody can read the backup.',
  })
}
